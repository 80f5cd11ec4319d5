/**
 * The ONC RPC client: calls to one server over several connections, which break and come back without the callers noticing.
 *
 *     call -> encode once -> connection with the least outstanding bytes -> reply, in any order -> decode -> settle
 *                                   ^                       |
 *                                   +-- lost: same xid -----+   idempotent calls go on over another open connection,
 *                                                               the others wait for theirs (same source port)
 *
 * Invariants: xids are unique over all connections; a call without deadline is pending until it is answered or the client is
 * closed; no timer belongs to a call: one coarse timer looks after all while there are any.
 */
import { type Clock, type Log, type Random, type Timer, ViaductError } from '../base/mod.ts';
import type { Credential } from '../vfs/mod.ts';
import { XdrError, type XdrReader, XdrWriter } from '../xdr/mod.ts';
import { encodedNoAuth, encodeSysAuth } from './auth.ts';
import { writeCallHeader } from './call.ts';
import { ClientConnection, type ConnectionOwner } from './client-connection.ts';
import { ClientHealth, type ClientState } from './client-health.ts';
import { ClosedError } from './closed-error.ts';
import type { PendingCall } from './pending-call.ts';
import type { CallOptions, Procedure, RpcCaller } from './procedure.ts';
import { lastFragment } from './record.ts';
import { readReplyStatus } from './reply.ts';

export interface RpcClientOptions {
  readonly host: string;
  readonly port: number;
  /** At most; they are opened as calls need them. */
  readonly connections?: number | undefined;
  /** Connect from a source port below 1024. */
  readonly privilegedPort?: boolean | undefined;
  readonly localAddress?: string | undefined;
  readonly machineName?: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** A call without an answer for so long is sent again on a connection that is alive; then after twice as long, and so on. */
  readonly retransmitMs?: number | undefined;
  /** Silence with calls outstanding after which a NULL call asks whether the server is there... */
  readonly pingMs?: number | undefined;
  /** ...and how long that may take. */
  readonly pingTimeoutMs?: number | undefined;
  readonly connectTimeoutMs?: number | undefined;
  /** What becomes of calls when the server cannot be reached: they wait (default), or reject with ORIGIN_UNREACHABLE. */
  readonly unreachable?: 'hold' | 'fail' | undefined;
  readonly onState?: ((state: ClientState) => void) | undefined;
}

export interface Greeting<Arguments, Reply> {
  readonly program: { readonly program: number; readonly version: number };
  readonly procedure: Procedure<Arguments, Reply>;
  readonly args: Arguments;
  readonly credential: Credential;
}

export interface RpcClientStats {
  readonly connected: number;
  readonly outstanding: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly reconnects: number;
  readonly retransmissions: number;
}

const tickMs = 100;
const rememberedCredentials = 256;
const firstReplyBytes = 512;

export class RpcClient implements RpcCaller {
  readonly #options: RpcClientOptions;
  readonly #server: string;
  readonly #retransmitMs: number;
  readonly #connections: ClientConnection[] = [];
  readonly #place: { port: number };
  readonly #writer = new XdrWriter(64 * 1024);
  readonly #auth = new Map<string, Buffer>();
  #fencing: string | undefined;
  /** About how large the replies of each procedure are. */
  readonly #replyBytes = new Map<object, number>();
  readonly #health: ClientHealth;
  #xid: number;
  #timer: Timer | undefined;
  #pingProgram = { program: 100003, version: 3 };
  #greeting: (() => Buffer) | undefined;
  #closed = false;

  constructor(options: RpcClientOptions) {
    this.#options = options;
    this.#server = `${options.host.includes(':') ? `[${options.host}]` : options.host}:${options.port}`;
    this.#retransmitMs = options.retransmitMs ?? 60_000;
    this.#xid = options.random.uint32();
    this.#health = new ClientHealth(options.clock, options.log, this.#server, options.onState);
    const owner: ConnectionOwner = {
      onOpen: (connection) => this.#opened(connection),
      onLost: (connection, reason) => this.#lost(connection, reason),
      onForbidden: (error) => this.#forbidden(error),
      onReply: (call, reader, replyBytes) => this.#settle(call, reader, replyBytes),
      ping: () => this.#ping(),
      greeting: () => this.#greeting?.(),
    };
    const connectionOptions = {
      host: options.host,
      port: options.port,
      localAddress: options.localAddress,
      privilegedPort: options.privilegedPort ?? false,
      connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
      pingMs: options.pingMs ?? 10_000,
      pingTimeoutMs: options.pingTimeoutMs ?? 15_000,
      clock: options.clock,
      log: options.log,
      random: options.random,
    };
    this.#place = connectionOptions;
    for (let i = 0; i < (options.connections ?? 1); i++) {
      this.#connections.push(new ClientConnection(connectionOptions, owner));
    }
  }

  call<Arguments, Reply>(
    program: { readonly program: number; readonly version: number },
    procedure: Procedure<Arguments, Reply>,
    args: Arguments,
    options: CallOptions,
  ): Promise<Reply> {
    return new Promise<Reply>((resolve, reject) => {
      if (this.#closed) return reject(new ClosedError(this.#server));
      this.#xid = (this.#xid + 1) >>> 0;
      const now = this.#options.clock.now();
      const writer = this.#writer;
      try {
        writer.uint32(0);
        writeCallHeader(
          writer,
          this.#xid,
          program,
          procedure.number,
          this.#authOf(options.credential, options.fencing),
        );
        procedure.arguments.encode(writer, args);
      } catch (error) {
        writer.take();
        return reject(error);
      }
      const recordBytes = writer.length() - 4;
      writer.patchUint32(0, lastFragment + recordBytes);
      this.#pingProgram = program;
      const replyBytes = options.replyBytes ?? this.#replyBytes.get(procedure) ?? firstReplyBytes;
      const call: PendingCall = {
        xid: this.#xid,
        pieces: writer.take(),
        loadBytes: recordBytes + replyBytes,
        procedure,
        name: { server: this.#server, program: program.program, version: program.version, procedure: procedure.name },
        demand: options.priority !== 'prefetch' || options.urgency?.isRaised === true,
        deadline: options.deadlineMs === undefined ? Number.POSITIVE_INFINITY : now + options.deadlineMs,
        startedAt: now,
        resolve,
        reject,
        onRetransmit: options.onRetransmit,
        sent: false,
        queued: false,
        resendAt: Number.POSITIVE_INFINITY,
        resendDelayMs: this.#retransmitMs,
      };
      this.#choose(now).add(call);
      if (!call.demand) options.urgency?.onRaise(() => this.#raise(call));
      this.#timer ??= this.#options.clock.after(tickMs, () => this.#tick());
    });
  }

  /**
   * The token that the verifier of calls from now on carries; undefined: none. Calls encoded before keep what they have, also
   * when they are sent again: the server can tell that they are of before.
   */
  setFencing(token: string | undefined): void {
    if (token === this.#fencing) return;
    this.#fencing = token;
    this.#auth.clear();
  }

  /**
   * A call that each connection begins with, those that are open included, so that the server knows of each whose it is. Its reply is
   * ignored; the calls behind it do not wait for it. Undefined: none any more.
   */
  setGreeting<Arguments, Reply>(greeting: Greeting<Arguments, Reply> | undefined): void {
    this.#greeting = greeting && (() => this.#encodeGreeting(greeting));
    if (this.#greeting === undefined) return;
    for (const connection of this.#connections) connection.greet(this.#greeting());
  }

  stats(): RpcClientStats {
    let connected = 0;
    let outstanding = 0;
    let bytesIn = 0;
    let bytesOut = 0;
    let established = 0;
    let retransmissions = 0;
    let used = 0;
    for (const connection of this.#connections) {
      if (connection.state === 'open') connected++;
      if (connection.established > 0) used++;
      outstanding += connection.pending.size;
      bytesIn += connection.bytesIn;
      bytesOut += connection.bytesOut;
      established += connection.established;
      retransmissions += connection.retransmissions;
    }
    return { connected, outstanding, bytesIn, bytesOut, reconnects: established - used, retransmissions };
  }

  state(): ClientState {
    return this.#health.state();
  }

  /** Connects before there is a call: the first one need not wait for it. That it does not succeed, calls find out. */
  connect(): void {
    if (this.#closed) return;
    this.#connections[0]?.open();
    this.#timer ??= this.#options.clock.after(tickMs, () => this.#tick());
  }

  /** The server listens there now: what is connected from now on goes there. */
  moveTo(port: number): void {
    this.#place.port = port;
  }

  /** Calls under way reject with ORIGIN_UNREACHABLE. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    for (const connection of this.#connections) connection.close();
    this.#rejectAll(new ClosedError(this.#server));
  }

  /** The open connection with the least to do; while it is busy, another one is opened for the calls to come. */
  #choose(now: number): ClientConnection {
    let best: ClientConnection | undefined;
    let unopened: ClientConnection | undefined;
    let connecting = false;
    for (const connection of this.#connections) {
      if (connection.state === 'idle') unopened ??= connection;
      else if (connection.state === 'connecting') connecting = true;
      if (connection.state === 'open' && (best === undefined || connection.load(now) < best.load(now)))
        best = connection;
    }
    if (best === undefined) return this.#chooseUnopened(now);
    if (unopened !== undefined && !connecting && best.pending.size > 0) unopened.open();
    return best;
  }

  /** None is open: one that will be soon. */
  #chooseUnopened(now: number): ClientConnection {
    let best = this.#connections[0]!;
    for (const connection of this.#connections) {
      if (connection.state === 'connecting' && best.state !== 'connecting') best = connection;
      else if (connection.state === best.state && connection.load(now) < best.load(now)) best = connection;
    }
    return best;
  }

  #authOf(who: Credential, fencing?: string): Buffer {
    const key = fencing === undefined ? who.key : `!${fencing}${who.key}`;
    let auth = this.#auth.get(key);
    if (auth === undefined) {
      auth = encodeSysAuth(who, this.#options.machineName ?? 'viaduct', fencing ?? this.#fencing);
      if (this.#auth.size >= rememberedCredentials) this.#auth.clear();
      this.#auth.set(key, auth);
    }
    return auth;
  }

  #raise(call: PendingCall): void {
    call.demand = true;
    for (const connection of this.#connections) connection.raise(call);
  }

  #ping(): Buffer {
    return this.#record((writer) => writeCallHeader(writer, this.#xid, this.#pingProgram, 0, encodedNoAuth));
  }

  #encodeGreeting<Arguments, Reply>(greeting: Greeting<Arguments, Reply>): Buffer {
    const { program, procedure, args, credential } = greeting;
    return this.#record((writer) => {
      writeCallHeader(writer, this.#xid, program, procedure.number, this.#authOf(credential));
      procedure.arguments.encode(writer, args);
    });
  }

  /** A call of our own, whose xid nobody waits for. */
  #record(encode: (writer: XdrWriter) => void): Buffer {
    this.#xid = (this.#xid + 1) >>> 0;
    const writer = this.#writer;
    writer.uint32(0);
    encode(writer);
    writer.patchUint32(0, lastFragment + writer.length() - 4);
    return Buffer.concat(writer.take());
  }

  #settle(call: PendingCall, reader: XdrReader, replyBytes: number): void {
    const average = this.#replyBytes.get(call.procedure) ?? replyBytes;
    this.#replyBytes.set(call.procedure, average + (replyBytes - average) / 8);
    try {
      const error = readReplyStatus(reader, call.name);
      if (error !== undefined) {
        call.reject(error);
        return;
      }
      const reply = call.procedure.reply.decode(reader) as never;
      reader.end();
      call.resolve(reply);
    } catch (error) {
      if (!(error instanceof XdrError)) {
        call.reject(error as Error);
        return;
      }
      call.reject(
        new ViaductError('UNEXPECTED', {
          cause: `the reply of ${this.#server} to ${call.procedure.name} does not decode: ${error.message}`,
          remedy: 'Report this with the name and version of the server.',
          from: error,
        }),
      );
    }
  }

  #opened(connection: ClientConnection): void {
    this.#health.connected();
    for (const other of this.#connections) if (other.state !== 'open') this.#moveCalls(other, connection);
  }

  #lost(connection: ClientConnection, reason: string): void {
    const owed = connection.pending.size > 0;
    const now = this.#options.clock.now();
    for (const other of this.#connections) {
      if (other.state === 'open') {
        this.#moveCalls(connection, this.#choose(now));
        return;
      }
    }
    if (owed) this.#health.disconnected(reason);
    if (this.#options.unreachable === 'fail') this.#rejectAll(this.#unreachableError(reason));
  }

  /** Moves what may go over another connection: what was never sent, and what does no harm twice. */
  #moveCalls(from: ClientConnection, to: ClientConnection): void {
    for (const call of [...from.pending.values()]) {
      if (call.sent && !call.procedure.idempotent) continue;
      from.remove(call);
      if (call.sent) {
        to.retransmissions++;
        call.onRetransmit?.();
      }
      to.add(call);
    }
  }

  #tick(): void {
    this.#timer = undefined;
    const now = this.#options.clock.now();
    let pending = 0;
    for (const connection of this.#connections) {
      for (const call of connection.pending.values()) {
        if (now < call.deadline) continue;
        connection.remove(call);
        call.reject(this.#timedOut(call, now));
      }
      connection.tick(now);
      pending += connection.pending.size;
    }
    const connecting = this.#connections.some((connection) => connection.state === 'connecting');
    if (pending > 0 || connecting) this.#timer ??= this.#options.clock.after(tickMs, () => this.#tick());
  }

  #timedOut(call: PendingCall, now: number): ViaductError {
    return new ViaductError('TIMED_OUT', {
      cause: `${this.#server} did not answer ${call.procedure.name} within ${Math.round(now - call.startedAt)} ms`,
      remedy: 'Check that the server runs and that the network lets this port through.',
    });
  }

  #forbidden(error: Error): void {
    this.#rejectAll(
      new ViaductError('PRIVILEGE_NEEDED', {
        cause: `connecting to ${this.#server} from a source port below 1024 is not allowed to this process`,
        remedy:
          'Run as root or with CAP_NET_BIND_SERVICE, or let the server accept other ports (option "insecure" of the export).',
        from: error,
      }),
    );
  }

  #rejectAll(error: Error): void {
    for (const connection of this.#connections) {
      for (const call of [...connection.pending.values()]) {
        connection.remove(call);
        call.reject(error);
      }
    }
  }

  #unreachableError(reason: string): ViaductError {
    if (/^a record of|that is no reply$/.test(reason)) {
      return new ViaductError('ORIGIN_UNREACHABLE', {
        cause: `what answers at ${this.#server} is no NFS server: it sent ${reason}`,
        remedy: 'Check the port: another service listens there.',
      });
    }
    const refused = /ECONNRESET|EPIPE|closed the connection/.test(reason)
      ? ' It took the connection and ended it: if it is Viaduct, it may not allow this network (see its --allow).'
      : '';
    return new ViaductError('ORIGIN_UNREACHABLE', {
      cause: `${this.#server} cannot be reached: ${reason}`,
      remedy: `Check the address, that the server runs, and that the network lets this port through.${refused}`,
    });
  }
}
