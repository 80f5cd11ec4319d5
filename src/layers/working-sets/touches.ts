/**
 * The blocks of one file that a session touched, in the order of their first touches.
 *
 * Invariants: a block is listed once; at most `limits.workingSetBlocks` are listed; a touch of a known block costs a bit test.
 */
import { limits } from '../../base/mod.ts';
import { BlockBits } from '../read-ahead/mod.ts';

const { blockBytes } = limits;
/** Of more than this part of a file, read mostly in order, nothing can be learned: that was a copy, and read-ahead sees to those. */
const wholeShare = 0.9;
/** Fewer blocks are a look at the file's head. */
const fewestBlocks = 8;

export class Touches {
  readonly #seen = new BlockBits();
  #order: number[] = [];
  #inOrder = 0;
  #isOver = false;

  /** Listed so far. */
  get count(): number {
    return this.#order.length;
  }

  /** Undefined: no block of the range, which is not empty, is touched for the first time. Else those that are and are in `among`. */
  touch(offset: number, count: number, among?: BlockBits): readonly number[] | undefined {
    const last = Math.floor((offset + count - 1) / blockBytes);
    let isFresh = false;
    const found: number[] = [];
    for (let block = Math.floor(offset / blockBytes); block <= last; block++) {
      if (!this.#seen.add(block)) continue;
      isFresh = true;
      if (among?.has(block) === true) found.push(block);
      this.#list(block);
    }
    return isFresh ? found : undefined;
  }

  /** Nothing more is listed; touches are still told apart. */
  stop(): void {
    this.#isOver = true;
  }

  /** Likewise, and what was listed is forgotten. */
  end(): void {
    this.stop();
    this.#order = [];
  }

  /** The blocks below `blockEnd` in order; undefined if they teach nothing. */
  learned(blockEnd: number): Uint32Array | undefined {
    const blocks = this.#order.filter((block) => block < blockEnd);
    if (blocks.length < fewestBlocks) return undefined;
    const isWhole = blocks.length >= wholeShare * blockEnd && this.#inOrder >= wholeShare * blocks.length;
    return isWhole ? undefined : Uint32Array.from(blocks);
  }

  #list(block: number): void {
    if (this.#isOver || this.#order.length >= limits.workingSetBlocks) return;
    if (this.#order.at(-1) === block - 1) this.#inOrder++;
    this.#order.push(block);
  }
}
