/**
 * One accepted TCP connection of the server: socket, framing, flushing and back-pressure. What a call means is not its matter.
 *
 *     'data' -> RecordAssembler -> dispatcher -> writer --end of chunk, or above `flushBytes`--> socket.write -> kernel
 *                   ^ stops while paused                                                           |
 *                   +------------- resumes when calls are answered and bytes have left <-----------+ write callback: release
 *
 *     open --'end'--> leaving --what is answered has left--> closed
 *       +--violation, error, close()-----------------------> closed
 *
 * A peer that ends its side is gone: waiting for its held calls would keep dead connections through an outage.
 *
 * Invariants: all replies to the calls of one chunk leave in one write; reading pauses only above `limits.connectionCalls`,
 * `connectionCallBytes` and `connectionReplyBytes` (less when all peers together take too little), so held calls leave cached reads
 * alone and peers that take no replies cost bounded memory; every reply is released exactly once, after its write or with the connection.
 */
import type { Socket } from 'node:net';
import { type Log, limits } from '../base/mod.ts';
import { type WriterMark, XdrWriter } from '../xdr/mod.ts';
import { type ClaimCheck, CredentialReader } from './auth.ts';
import type { BoundedWarnings } from './bounded-warnings.ts';
import type { AnyServed, Peer, ReplyChannel } from './channel.ts';
import type { Dispatcher } from './dispatch.ts';
import { lastFragment, RecordAssembler } from './record.ts';

/** Replies are sent before the turn ends above this: memory stays small, and the kernel has work meanwhile. */
const flushBytes = 256 * 1024;
/** Arenas up to this size are used again. */
const reusedArenaBytes = 512 * 1024;
const noReleases: readonly unknown[] = [];

/** What one server's connections count together. */
export interface TransferCounters {
  bytesIn: number;
  bytesOut: number;
  violations: number;
  /** Given to the sockets and not taken by the peers. */
  unsentBytes: number;
}

export interface ConnectionOptions {
  readonly socket: Socket;
  readonly peer: Peer;
  readonly mayClaim: ClaimCheck;
  readonly dispatcher: Dispatcher;
  readonly counters: TransferCounters;
  readonly log: Log;
  /** What a peer can make us say as often as it likes. */
  readonly warnings: BoundedWarnings;
  readonly onClose: (connection: ServerConnection) => void;
}

export class ServerConnection implements ReplyChannel {
  readonly peer: Peer;
  readonly credentials: CredentialReader;
  readonly writer = new XdrWriter();
  open = true;

  readonly #socket: Socket;
  readonly #dispatcher: Dispatcher;
  readonly #counters: TransferCounters;
  readonly #log: Log;
  readonly #warnings: BoundedWarnings;
  readonly #records = new RecordAssembler(limits.recordBytes, limits.recordFragments);
  /** Calls being worked on: xid to procedure. */
  readonly #held = new Map<number, number>();
  #heldCalls = 0;
  #heldBytes = 0;
  /** Bytes given to the socket whose write has not been called back. */
  #unsentBytes = 0;
  #paused = false;
  #working = false;
  #flushScheduled = false;
  /** We take no more. */
  #stopped = false;
  #spareArena: Buffer | undefined;
  /** Replies finished since the last flush that want to be released: procedure and reply in turn. */
  #releases: unknown[] = [];
  readonly #flushLater = (): void => {
    this.#flushScheduled = false;
    this.#flush();
  };

  constructor(options: ConnectionOptions) {
    this.#socket = options.socket;
    this.peer = options.peer;
    this.credentials = new CredentialReader(options.mayClaim);
    this.#dispatcher = options.dispatcher;
    this.#counters = options.counters;
    this.#log = options.log;
    this.#warnings = options.warnings;
    const socket = options.socket;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('end', () => {
      if (this.#records.partial()) this.#log.debug({ peer: this.peer.name }, 'connection ended inside a record');
      this.#flush();
      this.open = false;
      socket.end();
    });
    socket.on('error', (error) => this.#log.debug({ peer: this.peer.name, error: error.message }, 'connection failed'));
    socket.on('close', () => {
      this.open = false;
      this.#releaseAll(this.#releases);
      this.#releases = [];
      options.onClose(this);
    });
    socket.resume();
  }

  /** Nothing is being worked on and nothing waits to be sent. */
  idle(): boolean {
    return this.#heldCalls === 0 && this.#unsentBytes === 0 && this.writer.length() === 0;
  }

  /** Takes no more calls; what has been taken may still be answered. */
  stopReading(): void {
    this.#stopped = true;
    this.#paused = true;
    this.#socket.pause();
  }

  destroy(): void {
    this.open = false;
    this.#socket.destroy();
  }

  begin(): WriterMark {
    const mark = this.writer.mark();
    this.writer.uint32(0);
    return mark;
  }

  finish(mark: WriterMark): void {
    const writer = this.writer;
    const length = writer.length() - mark.position - mark.externalBytes - 4;
    writer.patchUint32(mark.position, lastFragment + length);
    if (this.#working) return;
    if (writer.length() >= flushBytes) this.#flush();
    else this.#scheduleFlush();
  }

  releaseLater(served: AnyServed, reply: unknown): void {
    this.#releases.push(served, reply);
  }

  holds(xid: number, procedure: number): boolean {
    return this.#heldCalls > 0 && this.#held.get(xid) === procedure;
  }

  hold(xid: number, procedure: number, bytes: number): void {
    this.#held.set(xid, procedure);
    this.#heldCalls++;
    this.#heldBytes += bytes;
  }

  unhold(xid: number, bytes: number): void {
    this.#held.delete(xid);
    this.#heldCalls--;
    this.#heldBytes -= bytes;
    if (this.#paused) this.#relieve();
  }

  #receive(chunk: Buffer): void {
    this.#counters.bytesIn += chunk.length;
    this.#records.push(chunk);
    this.#work();
  }

  #work(): void {
    this.#working = true;
    while (!this.#paused && this.open) {
      const record = this.#records.next();
      if (record === undefined) break;
      const reason = this.#dispatcher.serve(record, this);
      if (reason !== undefined) {
        this.#working = false;
        this.#violate(reason);
        return;
      }
      if (this.writer.length() >= flushBytes) this.#flush();
      if (this.#pressed(1)) {
        this.#paused = true;
        this.#socket.pause();
      }
    }
    this.#working = false;
    if (this.#records.violation !== undefined) this.#violate(this.#records.violation);
    else if (this.writer.length() > 0) this.#flush();
  }

  /** Whether more is under way than `share` of the limits allows. */
  #pressed(share: number): boolean {
    const crowded = this.#counters.unsentBytes > limits.serverReplyBytes;
    const replyBytes = crowded ? limits.crowdedReplyBytes : limits.connectionReplyBytes;
    return (
      this.#unsentBytes + this.writer.length() > replyBytes * share ||
      this.#heldCalls > limits.connectionCalls * share ||
      this.#heldBytes > limits.connectionCallBytes * share
    );
  }

  /** Reads on if there is room again: half of each limit, so that it does not flutter. */
  #relieve(): void {
    if (!this.#paused || this.#stopped || !this.open || this.#working || this.#pressed(0.5)) return;
    this.#paused = false;
    this.#work();
    if (!this.#paused) this.#socket.resume();
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(this.#flushLater);
  }

  #flush(): void {
    // The array that grows must never be the one that waits for its write: later replies would be released before they left.
    const releases = this.#releases.length > 0 ? this.#releases : noReleases;
    if (releases.length > 0) this.#releases = [];
    const length = this.writer.length();
    if (!this.open || length === 0) {
      this.#releaseAll(releases);
      return;
    }
    const arena = this.writer.arena();
    const pieces = this.writer.take(
      this.#spareArena ?? Buffer.allocUnsafeSlow(Math.min(arena.length, reusedArenaBytes)),
    );
    this.#spareArena = undefined;
    this.#unsentBytes += length;
    this.#counters.unsentBytes += length;
    const sent = (error?: Error | null): void => {
      // Node is calling back all that waits: a write from here would make it call some of them a second time.
      if (error) this.open = false;
      else this.#counters.bytesOut += length;
      this.#unsentBytes -= length;
      this.#counters.unsentBytes -= length;
      if (arena.length <= reusedArenaBytes) this.#spareArena = arena;
      if (releases.length > 0) this.#releaseAll(releases);
      if (this.#paused) this.#relieve();
    };
    if (pieces.length === 1) {
      this.#socket.write(pieces[0]!, sent);
      return;
    }
    this.#socket.cork();
    for (let i = 0; i < pieces.length - 1; i++) this.#socket.write(pieces[i]!);
    this.#socket.write(pieces[pieces.length - 1]!, sent);
    this.#socket.uncork();
  }

  #releaseAll(releases: readonly unknown[]): void {
    for (let i = 0; i < releases.length; i += 2) (releases[i] as AnyServed).release?.(releases[i + 1]);
  }

  #violate(reason: string): void {
    this.#counters.violations++;
    this.#warnings.warn(
      { peer: this.peer.name, reason },
      'connection closed: its bytes are not ONC RPC as we accept it',
    );
    // What came before is answered.
    this.#flush();
    this.destroy();
  }
}
