/**
 * One connection of the client: socket, framing, xid table, sending queue, liveness. Which call goes where, and what a reply
 * means, is the client's matter.
 *
 *     idle --call--> connecting --> open --lost--> (unanswered calls?) --yes--> waiting --backoff--> connecting
 *      ^                 |failed                          | no                      ^
 *      |                 +------------------------------- | ------------------------+
 *      +--------------------------------------------------+            closed: from anywhere, for good
 *
 * Invariants: an unanswered call is in `pending` of exactly one connection; after each connect all of `pending` is queued again,
 * in the order of its starting; at most `batchBytes` are given to the socket before it has drained, so demand calls overtake
 * prefetch in our queue and progress can be seen. Silence with calls outstanding is tested by a NULL call, and if that
 * gets no answer either, the connection is given up.
 */
import { connect, type Socket } from 'node:net';
import { abortSocket, type Clock, type Log, limits, type Random, systemCode, type Timer } from '../base/mod.ts';
import { XdrError, XdrReader } from '../xdr/mod.ts';
import { Backoff } from './backoff.ts';
import { messageType } from './message.ts';
import type { PendingCall } from './pending-call.ts';
import { RecordAssembler } from './record.ts';
import { SourcePort } from './source-port.ts';

const batchBytes = 256 * 1024;
const keepAliveMs = 30_000;
/** Replies are received into slabs of this size, until less than the rest is left. */
const slabBytes = 512 * 1024;
const slabRestBytes = 64 * 1024;
/** A connection that has owed answers for so long is avoided: the usual reason is a lost packet. */
const stalledMs = 500;
const stalledLoadBytes = 64 * 1024 * 1024;
const resendDelayMaximumMs = 10 * 60 * 1000;

export interface ClientConnectionOptions {
  readonly host: string;
  readonly port: number;
  readonly localAddress?: string | undefined;
  readonly privilegedPort: boolean;
  readonly connectTimeoutMs: number;
  readonly pingMs: number;
  readonly pingTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
}

export interface ConnectionOwner {
  onOpen(connection: ClientConnection): void;
  /** Not open any more, or could not be opened. */
  onLost(connection: ClientConnection, reason: string): void;
  /** The source port below 1024 is not to be had: no attempt will succeed. */
  onForbidden(error: Error): void;
  /** A reply to a call that was pending until now; the reader stands behind xid and REPLY. */
  onReply(call: PendingCall, reader: XdrReader, replyBytes: number): void;
  /** A NULL call with an xid of its own, as a whole record. */
  ping(): Buffer;
  /** What goes before all calls on a connection that has been established, as a whole record; its reply is ignored. */
  greeting(): Buffer | undefined;
}

export class ClientConnection {
  readonly pending = new Map<number, PendingCall>();
  state: 'idle' | 'connecting' | 'open' | 'waiting' | 'closed' = 'idle';
  bytesIn = 0;
  bytesOut = 0;
  /** Times it was established. */
  established = 0;
  retransmissions = 0;

  readonly #options: ClientConnectionOptions;
  readonly #owner: ConnectionOwner;
  readonly #sourcePort: SourcePort;
  readonly #backoff: Backoff;
  #socket: Socket | undefined;
  #records = new RecordAssembler(limits.replyRecordBytes, limits.recordFragments);
  #slab: Buffer = Buffer.alloc(0);
  #slabUsed = 0;
  #retry: Timer | undefined;
  #connectingSince = 0;
  #loadBytes = 0;
  #demand: PendingCall[] = [];
  #prefetch: PendingCall[] = [];
  #flushScheduled = false;
  /** Since when answers have been owed and nothing has moved. */
  #quietSince = 0;
  #pingedAt: number | undefined;
  readonly #flushLater = (): void => {
    this.#flushScheduled = false;
    this.#flush();
  };

  constructor(options: ClientConnectionOptions, owner: ConnectionOwner) {
    this.#options = options;
    this.#owner = owner;
    this.#sourcePort = new SourcePort(options.privilegedPort, options.random);
    this.#backoff = new Backoff(options.random);
  }

  /** How much waits before a new call would be answered, in bytes. */
  load(now: number): number {
    const stalled = this.pending.size > 0 && now - this.#quietSince > stalledMs;
    return stalled ? this.#loadBytes + stalledLoadBytes : this.#loadBytes;
  }

  /** The socket's own end, while open. */
  localPort(): number | undefined {
    return this.#socket?.localPort;
  }

  add(call: PendingCall): void {
    if (this.pending.size === 0) this.#quietSince = this.#options.clock.now();
    this.pending.set(call.xid, call);
    this.#loadBytes += call.loadBytes;
    if (this.state === 'open') this.#enqueue(call);
    else this.open();
  }

  /** Takes a call out, settled or for another connection. */
  remove(call: PendingCall): void {
    if (!this.pending.delete(call.xid)) return;
    this.#loadBytes -= call.loadBytes;
    call.queued = false;
    if (this.pending.size === 0) this.#pingedAt = undefined;
  }

  /** If it waits here, it overtakes from now on; what it leaves behind in the other queue is passed over. */
  raise(call: PendingCall): void {
    if (call.queued && this.pending.get(call.xid) === call) this.#demand.push(call);
  }

  open(): void {
    if (this.state === 'idle') this.#connect();
  }

  close(): void {
    this.state = 'closed';
    this.#retry?.cancel();
    this.#dropSocket();
  }

  /** The greeting is new: calls that have not been sent yet go behind it. */
  greet(greeting: Buffer): void {
    if (this.state === 'open') this.#write(greeting);
  }

  /** Called every now and then while calls are pending. */
  tick(now: number): void {
    if (this.state === 'connecting' && now - this.#connectingSince > this.#options.connectTimeoutMs) {
      this.#lost(`no answer to connecting within ${this.#options.connectTimeoutMs} ms`);
      return;
    }
    if (this.state !== 'open' || this.pending.size === 0) return;
    const quietMs = now - this.#quietSince;
    if (this.#pingedAt !== undefined && now - this.#pingedAt > this.#options.pingTimeoutMs) {
      this.#lost(`nothing received for ${Math.round(quietMs)} ms`);
      return;
    }
    if (this.#pingedAt === undefined && quietMs > this.#options.pingMs) {
      this.#pingedAt = now;
      this.#write(this.#owner.ping());
    }
    for (const call of this.pending.values()) {
      if (!call.sent || call.queued || now < call.resendAt) continue;
      this.retransmissions++;
      call.onRetransmit?.();
      this.#enqueue(call);
    }
  }

  #connect(): void {
    const { host, port, localAddress, clock } = this.#options;
    this.state = 'connecting';
    this.#connectingSince = clock.now();
    const source = this.#sourcePort.offer(this.#owesNonIdempotent());
    const bound = localAddress ?? source.address;
    const socket = connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveMs,
      autoSelectFamilyAttemptTimeout: 2000,
      ...(source.port === undefined ? {} : { localPort: source.port }),
      ...(bound === undefined ? {} : { localAddress: bound }),
      onread: {
        buffer: () => this.#receiveBuffer(),
        callback: (size, buffer) => {
          if (this.#socket === socket) this.#receive((buffer as Buffer).subarray(0, size));
          return true;
        },
      },
    });
    this.#socket = socket;
    this.#records = new RecordAssembler(limits.replyRecordBytes, limits.recordFragments);
    // After `#dropSocket` none of these fires for us any more.
    socket.on('connect', () => this.#connected(socket));
    socket.on('drain', () => this.#drained());
    socket.on('error', (error) => this.#failed(error));
    socket.on('close', () => this.#lost('the server closed the connection'));
  }

  #owesNonIdempotent(): boolean {
    for (const call of this.pending.values()) if (call.sent && !call.procedure.idempotent) return true;
    return false;
  }

  #connected(socket: Socket): void {
    this.state = 'open';
    this.established++;
    this.#sourcePort.established(socket.localAddress, socket.localPort);
    this.#quietSince = this.#options.clock.now();
    this.#pingedAt = undefined;
    const greeting = this.#owner.greeting();
    if (greeting !== undefined) this.#write(greeting);
    for (const call of this.pending.values()) {
      if (call.sent) {
        this.retransmissions++;
        call.onRetransmit?.();
      }
      this.#enqueue(call);
    }
    this.#owner.onOpen(this);
  }

  #failed(error: Error): void {
    const code = systemCode(error);
    const connecting = this.state === 'connecting';
    if (connecting && (code === 'EACCES' || code === 'EPERM') && this.#sourcePort.privileged) {
      this.#dropSocket();
      this.state = 'idle';
      this.#owner.onForbidden(error);
      return;
    }
    if (connecting && (code === 'EADDRINUSE' || code === 'EADDRNOTAVAIL')) {
      const again = this.#sourcePort.taken();
      if (again !== 'no') {
        this.#dropSocket();
        if (again === 'now') this.#connect();
        else this.#retryLater();
        return;
      }
    }
    this.#lost(code === undefined ? error.message : `${code} (${error.message})`);
  }

  #lost(reason: string): void {
    if (this.state === 'closed') return;
    const wasOpen = this.state === 'open';
    this.#dropSocket();
    // Settled before the owner is told: it may move the calls to other connections.
    this.state = 'waiting';
    this.#owner.onLost(this, reason);
    if (this.pending.size === 0 && wasOpen) {
      this.state = 'idle';
      return;
    }
    this.#retryLater();
  }

  #retryLater(): void {
    this.state = 'waiting';
    this.#retry = this.#options.clock.after(this.#backoff.nextDelayMs(), () => {
      if (this.state !== 'waiting') return;
      if (this.pending.size === 0) this.state = 'idle';
      else this.#connect();
    });
  }

  #dropSocket(): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#socket = undefined;
    socket.removeAllListeners();
    socket.on('error', () => undefined);
    abortSocket(socket);
    for (const call of this.pending.values()) call.queued = false;
    this.#demand = [];
    this.#prefetch = [];
  }

  /**
   * Where the next read goes. Node's own 64 KiB a read would cut a reply of 1 MiB in 17; bytes are never overwritten, so
   * views of them are good for ever.
   */
  #receiveBuffer(): Buffer {
    if (this.#slab.length - this.#slabUsed < slabRestBytes) {
      this.#slab = Buffer.allocUnsafeSlow(slabBytes);
      this.#slabUsed = 0;
    }
    return this.#slab.subarray(this.#slabUsed);
  }

  #receive(chunk: Buffer): void {
    this.#slabUsed += chunk.length;
    this.bytesIn += chunk.length;
    this.#quietSince = this.#options.clock.now();
    this.#pingedAt = undefined;
    const records = this.#records;
    records.push(chunk);
    for (;;) {
      const record = records.next();
      if (record === undefined) break;
      if (!this.#accept(record)) {
        this.#options.log.warn(
          { server: this.#options.host },
          'the server sent a message that is no reply: reconnecting',
        );
        this.#lost('a message that is no reply');
        return;
      }
    }
    if (records.violation !== undefined) {
      this.#options.log.warn(
        { server: this.#options.host, reason: records.violation },
        'replies cannot be read: reconnecting',
      );
      this.#lost(records.violation);
    }
  }

  #accept(record: readonly Buffer[]): boolean {
    const reader = new XdrReader(record);
    const replyBytes = reader.remaining();
    let xid: number;
    try {
      xid = reader.uint32();
      if (reader.uint32() !== messageType.reply) return false;
    } catch (error) {
      if (error instanceof XdrError) return false;
      throw error;
    }
    const call = this.pending.get(xid);
    // Others are answers to pings, second answers, and answers after a deadline.
    if (call === undefined) return true;
    this.remove(call);
    this.#backoff.reset();
    this.#owner.onReply(call, reader, replyBytes);
    return true;
  }

  #enqueue(call: PendingCall): void {
    if (call.queued) return;
    call.queued = true;
    if (call.demand) this.#demand.push(call);
    else this.#prefetch.push(call);
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(this.#flushLater);
  }

  #drained(): void {
    this.#quietSince = this.#options.clock.now();
    this.#flush();
  }

  #flush(): void {
    const socket = this.#socket;
    if (socket === undefined || this.state !== 'open') return;
    while (!socket.writableNeedDrain) {
      const batch = this.#nextBatch();
      if (batch.length === 0) return;
      if (batch.length === 1) {
        this.#write(batch[0]!);
        continue;
      }
      socket.cork();
      for (const piece of batch) this.#write(piece);
      socket.uncork();
    }
  }

  #write(bytes: Buffer): void {
    this.bytesOut += bytes.length;
    this.#socket?.write(bytes);
  }

  #nextBatch(): Buffer[] {
    const pieces: Buffer[] = [];
    let bytes = 0;
    const now = this.#options.clock.now();
    for (const queue of [this.#demand, this.#prefetch]) {
      let taken = 0;
      while (taken < queue.length && bytes < batchBytes) {
        const call = queue[taken]!;
        taken++;
        // Settled or moved while it waited.
        if (!call.queued || this.pending.get(call.xid) !== call) continue;
        call.queued = false;
        call.sent = true;
        call.resendAt = now + call.resendDelayMs;
        call.resendDelayMs = Math.min(2 * call.resendDelayMs, resendDelayMaximumMs);
        for (const piece of call.pieces) {
          pieces.push(piece);
          bytes += piece.length;
        }
      }
      queue.splice(0, taken);
    }
    return pieces;
  }
}
