/**
 * Decode, handle, encode: one call from its record to its reply. It owns every reject arm (RFC 5531 9), so that programs see only
 * calls whose arguments decoded.
 *
 *     record -> header -> RPC_MISMATCH? -> AUTH_ERROR? -> PROG_UNAVAIL, PROG_MISMATCH, PROC_UNAVAIL? -> arguments -> GARBAGE_ARGS?
 *        -> (not idempotent: duplicates.ts) -> handle -+- answered now ---------------> encode into the channel's writer
 *                                                      +- promise: held, one object --> the same when it settles
 *
 * Invariants: a failed encode leaves nothing in the writer and is answered with SYSTEM_ERR; the synchronous path makes no
 * promise, no closure and no timer; each call is answered once, or not at all if the handler says `noReply`.
 */
import { isPromise, type Log } from '../base/mod.ts';
import { XdrError, XdrReader, XdrWriter } from '../xdr/mod.ts';
import { CallHeader } from './call.ts';
import type { AnyServed, ReplyChannel } from './channel.ts';
import { ClosedError } from './closed-error.ts';
import { type Duplicate, type DuplicateRequestCache, duplicateKey } from './duplicates.ts';
import { acceptStatus, authStatus, rpcVersion } from './message.ts';
import { defaultReplyBytes, noReply, type RpcCall, type RpcProgram } from './procedure.ts';
import { ProgramTable } from './programs.ts';
import { writeAccepted, writeAuthError, writeProgramMismatch, writeRpcMismatch } from './reply.ts';

export interface DispatchStats {
  calls: number;
  /** Calls answered by a reject arm. */
  rejected: number;
  /** Retransmissions that were not executed again: dropped because the call is under way, or answered from a kept reply. */
  absorbed: number;
  replayed: number;
}

export class Dispatcher {
  readonly stats: DispatchStats = { calls: 0, rejected: 0, absorbed: 0, replayed: 0 };
  readonly #programs: ProgramTable;
  readonly #log: Log;
  readonly #duplicates: DuplicateRequestCache | undefined;
  readonly #header = new CallHeader();
  /** Replies that are kept are encoded here first. */
  readonly #scratch = new XdrWriter();

  constructor(options: { programs: readonly RpcProgram[]; log: Log; duplicates?: DuplicateRequestCache | undefined }) {
    this.#programs = new ProgramTable(options.programs);
    this.#log = options.log;
    this.#duplicates = options.duplicates;
  }

  /** Serves one record. Returns why the stream is not to be trusted any more, if it is not a call. */
  serve(record: readonly Buffer[], channel: ReplyChannel): string | undefined {
    const reader = new XdrReader(record);
    const recordBytes = reader.remaining();
    const header = this.#header;
    this.stats.calls++;
    try {
      if (!header.read(reader)) return 'a message that is not a call';
      if (header.rpcVersion !== rpcVersion) return this.#rejectVersion(channel, header.xid);
      const status = channel.credentials.read(reader);
      if (status !== authStatus.ok) {
        this.stats.rejected++;
        const mark = channel.begin();
        writeAuthError(channel.writer, header.xid, status);
        channel.finish(mark);
        return undefined;
      }
    } catch (error) {
      if (error instanceof XdrError) return `a call header that does not decode: ${error.message}`;
      throw error;
    }
    const served = this.#find(header, channel);
    if (served === undefined) return undefined;
    const call: RpcCall = {
      xid: header.xid,
      credential: channel.credentials.credential,
      flavor: channel.credentials.flavor,
      fencing: channel.credentials.fencing,
      peer: channel.peer.name,
      peerAddress: channel.peer.address,
      peerPort: channel.peer.port,
      notes: channel.peer.notes,
    };
    const argumentBytes = reader.remaining();
    let args: unknown;
    try {
      args = served.procedure.arguments.decode(reader);
      reader.end();
    } catch (error) {
      const garbage = error instanceof XdrError;
      if (!garbage) this.#bug(served, 'decoding the arguments', error);
      this.#reject(channel, call.xid, garbage ? acceptStatus.garbageArguments : acceptStatus.systemError);
      return undefined;
    }
    if (served.procedure.idempotent || this.#duplicates === undefined) {
      this.#handle(served, call, args, channel, recordBytes);
    } else {
      const key = duplicateKey(channel.peer.address, header, record, argumentBytes);
      this.#handleOnce(this.#duplicates, key, served, call, args, channel, recordBytes);
    }
    return undefined;
  }

  /** The procedure called; undefined if there is none and that has been answered, or if it was procedure 0. */
  #find(header: CallHeader, channel: ReplyChannel): AnyServed | undefined {
    const versions = this.#programs.find(header.program);
    if (versions === undefined) {
      this.#reject(channel, header.xid, acceptStatus.programUnavailable);
      return undefined;
    }
    const program = versions.versions.get(header.version);
    if (program === undefined) {
      this.stats.rejected++;
      const mark = channel.begin();
      writeProgramMismatch(channel.writer, header.xid, versions.low, versions.high);
      channel.finish(mark);
      return undefined;
    }
    if (header.procedure === 0) {
      this.#accept(channel, header.xid, acceptStatus.success);
      return undefined;
    }
    const served = program.procedures[header.procedure];
    if (served === undefined) this.#reject(channel, header.xid, acceptStatus.procedureUnavailable);
    return served;
  }

  #handle(served: AnyServed, call: RpcCall, args: unknown, channel: ReplyChannel, recordBytes: number): void {
    if (channel.holds(call.xid, served.procedure.number)) {
      this.stats.absorbed++;
      return;
    }
    let reply: unknown;
    try {
      reply = served.handle(call, args);
    } catch (error) {
      this.#bug(served, 'handling a call', error);
      this.#accept(channel, call.xid, acceptStatus.systemError);
      return;
    }
    if (!isPromise(reply)) {
      this.#answer(served, call.xid, reply, channel);
      return;
    }
    const bytes = recordBytes + (served.replyBytes?.(args) ?? defaultReplyBytes);
    channel.hold(call.xid, served.procedure.number, bytes);
    reply.then(
      (value) => {
        this.#answer(served, call.xid, value, channel);
        channel.unhold(call.xid, bytes);
      },
      (error) => {
        const answer = this.#mustAnswer(served, 'handling a call', error);
        if (answer && channel.open) this.#accept(channel, call.xid, acceptStatus.systemError);
        channel.unhold(call.xid, bytes);
      },
    );
  }

  #answer(served: AnyServed, xid: number, reply: unknown, channel: ReplyChannel): void {
    if (reply === noReply) return;
    if (!channel.open) {
      served.release?.(reply);
      return;
    }
    const writer = channel.writer;
    const mark = channel.begin();
    try {
      writeAccepted(writer, xid, acceptStatus.success);
      served.procedure.reply.encode(writer, reply);
    } catch (error) {
      writer.rewind(mark);
      this.#bug(served, 'encoding a reply', error);
      this.#accept(channel, xid, acceptStatus.systemError);
      served.release?.(reply);
      return;
    }
    if (served.release !== undefined) channel.releaseLater(served, reply);
    channel.finish(mark);
  }

  /** As `#handle`, for a procedure whose second execution would do harm. */
  #handleOnce(
    duplicates: DuplicateRequestCache,
    key: string,
    served: AnyServed,
    call: RpcCall,
    args: unknown,
    channel: ReplyChannel,
    recordBytes: number,
  ): void {
    const known = duplicates.find(key);
    if (known !== undefined) {
      if (known.reply === undefined) {
        // The latest connection of a client is where it listens.
        known.channel = channel;
        this.stats.absorbed++;
      } else {
        this.stats.replayed++;
        this.#replay(known.reply, channel);
      }
      return;
    }
    const entry = duplicates.begin(key, channel);
    const asked = duplicates.isRepeat(key) ? { ...call, isRepeat: true } : call;
    const begun = duplicates.noteBegun(entry);
    let reply: unknown;
    try {
      reply = isPromise(begun) ? begun.then(() => served.handle(asked, args)) : served.handle(asked, args);
    } catch (error) {
      this.#failOnce(duplicates, entry, served, call, error);
      return;
    }
    if (!isPromise(reply)) {
      this.#answerOnce(duplicates, entry, served, call, reply);
      return;
    }
    const bytes = recordBytes + (served.replyBytes?.(args) ?? defaultReplyBytes);
    channel.hold(call.xid, served.procedure.number, bytes);
    reply.then(
      (value) => {
        this.#answerOnce(duplicates, entry, served, call, value);
        channel.unhold(call.xid, bytes);
      },
      (error) => {
        this.#failOnce(duplicates, entry, served, call, error);
        channel.unhold(call.xid, bytes);
      },
    );
  }

  /** Keeps the reply, then sends it: RFC 5531 leaves the cache to us; that order makes the kept copy true after a crash. */
  #answerOnce(
    duplicates: DuplicateRequestCache,
    entry: Duplicate,
    served: AnyServed,
    call: RpcCall,
    reply: unknown,
  ): void {
    if (reply === noReply) {
      duplicates.forget(entry);
      return;
    }
    const writer = this.#scratch;
    let bytes: Buffer;
    try {
      writeAccepted(writer, call.xid, acceptStatus.success);
      served.procedure.reply.encode(writer, reply);
      bytes = Buffer.concat(writer.take());
    } catch (error) {
      writer.take();
      this.#failOnce(duplicates, entry, served, call, error);
      served.release?.(reply);
      return;
    }
    const kept = duplicates.complete(entry, bytes);
    if (isPromise(kept)) kept.then(() => this.#sendKept(entry, served, bytes, reply));
    else this.#sendKept(entry, served, bytes, reply);
  }

  #sendKept(entry: Duplicate, served: AnyServed, bytes: Buffer, reply: unknown): void {
    const channel = entry.channel;
    entry.channel = undefined;
    if (channel?.open !== true) {
      served.release?.(reply);
      return;
    }
    if (served.release !== undefined) channel.releaseLater(served, reply);
    this.#replay(bytes, channel);
  }

  #failOnce(
    duplicates: DuplicateRequestCache,
    entry: Duplicate,
    served: AnyServed,
    call: RpcCall,
    error: unknown,
  ): void {
    const answer = this.#mustAnswer(served, 'answering a call', error);
    duplicates.forget(entry);
    if (answer && entry.channel?.open === true) this.#accept(entry.channel, call.xid, acceptStatus.systemError);
  }

  #replay(bytes: Buffer, channel: ReplyChannel): void {
    if (!channel.open) return;
    const mark = channel.begin();
    channel.writer.raw(bytes);
    channel.finish(mark);
  }

  #rejectVersion(channel: ReplyChannel, xid: number): undefined {
    this.stats.rejected++;
    const mark = channel.begin();
    writeRpcMismatch(channel.writer, xid);
    channel.finish(mark);
  }

  #reject(channel: ReplyChannel, xid: number, status: number): void {
    this.stats.rejected++;
    this.#accept(channel, xid, status);
  }

  #accept(channel: ReplyChannel, xid: number, status: number): void {
    const mark = channel.begin();
    writeAccepted(channel.writer, xid, status);
    channel.finish(mark);
  }

  /** A call whose origin is closed under it is left to the client, who sends it again to whoever serves next. */
  #mustAnswer(served: AnyServed, during: string, error: unknown): boolean {
    if (error instanceof ClosedError) return false;
    this.#bug(served, during, error);
    return true;
  }

  #bug(served: AnyServed, during: string, error: unknown): void {
    const text = error instanceof Error ? error.stack : String(error);
    this.#log.error({ procedure: served.procedure.name, error: text }, `a bug in ${during}; answered with SYSTEM_ERR`);
  }
}
