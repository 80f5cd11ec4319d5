/**
 * The requests for data that are under way, demand and prefetch, and how much of the link they hold.
 *
 *     begun ──answered──> ended
 *       └──not answered for `overdueMs`, and the room is needed──> overdue ──answered──> ended
 *
 * Invariants: each request is begun and ended once; what is overdue holds no room, and of its file nothing more is asked until it is
 * answered (an origin that answers JUKEBOX keeps one file waiting, and must not keep the others); overdue bytes are bounded.
 */
import type { TransferMark } from './link-estimator.ts';

/** A file that requests are for. */
export interface Stuck {
  /** Of its requests, those that are overdue. */
  stuckRequests: number;
}

interface Request {
  readonly bytes: number;
  readonly file: Stuck | undefined;
}

/** A request that takes longer waits for something else than the link. */
const overdueMs = 15_000;

export class InFlight {
  /** Of what is not overdue. */
  bytes = 0;
  readonly #mostOverdueBytes: number;
  /** The oldest first. */
  readonly #open = new Map<TransferMark, Request>();
  readonly #overdue = new Map<TransferMark, Request>();
  #overdueBytes = 0;

  constructor(mostOverdueBytes: number) {
    this.#mostOverdueBytes = mostOverdueBytes;
  }

  add(mark: TransferMark, bytes: number, file: Stuck | undefined): void {
    this.bytes += bytes;
    this.#open.set(mark, { bytes, file });
  }

  isTimely(mark: TransferMark): boolean {
    return this.#open.has(mark);
  }

  end(mark: TransferMark): void {
    const request = this.#open.get(mark);
    if (request !== undefined) {
      this.#open.delete(mark);
      this.bytes -= request.bytes;
      return;
    }
    const late = this.#overdue.get(mark);
    if (late === undefined) return;
    this.#overdue.delete(mark);
    this.#overdueBytes -= late.bytes;
    if (late.file !== undefined) late.file.stuckRequests--;
  }

  /** There is no room: how long the oldest request still has; 0: it is overdue from now on. Undefined: it goes on holding its room. */
  writeOff(nowMs: number): number | undefined {
    const [first] = this.#open;
    if (first === undefined) return undefined;
    const [mark, request] = first;
    if (this.#overdueBytes + request.bytes > this.#mostOverdueBytes) return undefined;
    const leftMs = mark.atMs + overdueMs - nowMs;
    if (leftMs > 0) return leftMs;
    this.#open.delete(mark);
    this.#overdue.set(mark, request);
    this.#overdueBytes += request.bytes;
    this.bytes -= request.bytes;
    if (request.file !== undefined) request.file.stuckRequests++;
    return 0;
  }
}
