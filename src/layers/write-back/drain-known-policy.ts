/**
 * Whether it pays to ask the origin what it has (drain-known.ts): for copies of images and for memory that was restored it does, for
 * nothing else. Whoever finds too little rests while so much is written as it is, longer each time.
 */
import type { ChunkHolder } from '../../vfs/mod.ts';

/** Once it is known to pay: at 40 ms that is 100 MB/s of what the origin has. */
const mostBatches = 4;
/** Digests are worth their bytes above 1/256, and their time above this. */
const worthwhileShare = 1 / 16;
const firstRestBytes = 16 * 1024 * 1024;
const longestRestBytes = 256 * 1024 * 1024;

/** One for a drain. */
export class KnownPolicy {
  readonly chunks: ChunkHolder;
  /** Written without being sent. */
  knownBytes = 0;
  #restBytes = 0;
  #nextRestBytes = firstRestBytes;
  /** Of the last batches: how much of them was found. */
  #share = 0;

  constructor(chunks: ChunkHolder) {
    this.chunks = chunks;
  }

  /** Batches that may be asked about at a time. */
  get batches(): number {
    if (this.#restBytes > 0 || !this.chunks.canReference()) return 0;
    return this.#share > worthwhileShare ? mostBatches : 1;
  }

  handedOut(bytes: number): void {
    this.#restBytes = Math.max(0, this.#restBytes - bytes);
  }

  answered(asked: number, found: number): void {
    this.#share = (this.#share + found / asked) / 2;
    if (this.#share > worthwhileShare) this.#nextRestBytes = firstRestBytes;
    else this.rest();
  }

  rest(): void {
    this.#share = 0;
    if (this.#restBytes > 0) return;
    this.#restBytes = this.#nextRestBytes;
    this.#nextRestBytes = Math.min(2 * this.#nextRestBytes, longestRestBytes);
  }
}
