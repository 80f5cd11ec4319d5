/**
 * Blocks of one file that are known to be wanted: a working set in its order, and after it, if somebody wants the whole file, the
 * rest as it lies. A need that is known, unlike a guess; whoever paces it decides how much of the link it gets.
 *
 *     lists    [ 7 8 9 | 400 | 12 ... ]  then  [ appended later ]        taken as runs of neighbours, what is known is skipped
 *     rest     0 ............ blockCount                                 once more as long as a pass asked for something, 3 at most
 *
 *     retries  [ what failed: last of all, so that a part that cannot be read keeps nothing else back ]
 *
 *     listed ──lists empty──> rest (if wanted) ──passes done, no retries──> ended, once nothing is in flight
 *        └─────────────────────┴──given up, with the reason if it lies in the file──> ended
 *
 * Invariants: a block is asked for once, unless its request failed (then again, `mostRetries` in all); what is taken is counted
 * until it is done; one call looks at `mostPassed` blocks at most, so that a large file holds nobody up.
 */
import type { Failure } from '../../vfs/mod.ts';
import { BlockBits } from './block-bits.ts';
import type { BlockRun, BlockView } from './block-view.ts';

/** Blocks that one call looks at: each costs a look into the cache's tags. */
const mostPassed = 4096;
const mostPasses = 3;
const mostRetries = 256;

export class WantedBlocks {
  /** Settles when all of it was asked for and answered, or it was given up. */
  readonly ended: Promise<void>;
  /** It ended before all of it was asked for. */
  isGivenUp = false;
  /** Why, if the origin does not give it. */
  failure: Failure | undefined;
  /** The latest call stopped for having looked at enough; there may be more. */
  isPaused = false;
  /** Requests of it that brought nothing, and were not repeated. */
  failedBlocks = 0;
  /** Brought by its requests. */
  fetchedBytes = 0;
  readonly #end: () => void;
  readonly #lists: Uint32Array[] = [];
  readonly #asked: BlockBits;
  readonly #fetched: BlockBits;
  /** All that was ever listed. */
  readonly #listed = new BlockBits();
  /** Blocks whose request failed. */
  readonly #retries: number[] = [];
  #listAt = 0;
  #listedLeft = 0;
  #rest: number | undefined;
  #restEnd = 0;
  #pass = 0;
  #askedInPass = 0;
  #retried = 0;
  #inFlight = 0;
  #expected = 0;
  #hasEnded = false;

  /**
   * `asked`: what is not asked for again, is told each block that is. `fetched`: is told each block that is here, or on its way, by a
   * request of this one; whoever touches one of them uses it.
   */
  constructor(asked = new BlockBits(), fetched = new BlockBits()) {
    this.#asked = asked;
    this.#fetched = fetched;
    let end = (): void => {};
    this.ended = new Promise((resolve) => {
      end = resolve;
    });
    this.#end = end;
  }

  /** All of it is done, or was given up. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }
  /** Something is listed that was not asked for, or may come: a working set that is still being fetched. */
  get isListed(): boolean {
    return !this.#hasEnded && (this.#listedLeft > 0 || this.#expected > 0);
  }
  get isListEmpty(): boolean {
    return this.#listedLeft === 0;
  }
  /** Blocks that were not looked at yet, or are on their way; each once. */
  get leftBlocks(): number {
    if (this.#hasEnded) return 0;
    return this.#listedLeft + this.#restLeft + this.#retries.length + this.#inFlight;
  }
  get #restLeft(): number {
    // Later passes only look whether all is here.
    if (this.#rest === undefined || this.#pass > 0) return 0;
    return Math.max(0, this.#restEnd - this.#rest - this.#listed.countIn(this.#rest, this.#restEnd));
  }

  /** Somebody looks for more to append, and calls `expected` when that is over. */
  expect(): void {
    this.#expected++;
  }
  expected(): void {
    this.#expected--;
    this.#endIfDone();
  }

  /** To be fetched after what is listed already. */
  append(blocks: Uint32Array): void {
    if (this.#hasEnded) return;
    const fresh = blocks.filter((block) => this.#listed.add(block));
    if (fresh.length === 0) return;
    this.#lists.push(fresh);
    this.#listedLeft += fresh.length;
  }

  /** After the lists: all that the file has. */
  wantRest(blockCount: number): void {
    this.#restEnd = Math.max(this.#restEnd, blockCount);
    this.#rest ??= 0;
  }

  /** Whether it was foreseen that somebody would read the block. */
  lists(block: number): boolean {
    return this.#listed.has(block);
  }

  /** The next blocks that are wanted and unknown. Each run is to be answered by `done`. */
  take(view: BlockView, mostBlocks: number): BlockRun | undefined {
    this.isPaused = false;
    if (this.#hasEnded) return undefined;
    const run =
      this.#fromLists(view, mostBlocks) ?? this.#fromRest(view, mostBlocks) ?? this.#fromRetries(view, mostBlocks);
    if (run === undefined) this.#endIfDone();
    else {
      this.#inFlight += run.count;
      for (let block = run.first; block < run.first + run.count; block++) {
        this.#asked.add(block);
        this.#fetched.add(block);
      }
    }
    return run;
  }

  /** The run was answered with so many bytes; 0: it failed. */
  done(run: BlockRun, bytes: number): void {
    this.#inFlight -= run.count;
    this.fetchedBytes += bytes;
    for (let block = run.first; bytes === 0 && block < run.first + run.count; block++) {
      this.#fetched.delete(block);
      if (this.#hasEnded) continue;
      if (this.#retried++ < mostRetries) this.#retries.push(block);
      else this.failedBlocks++;
    }
    this.#endIfDone();
  }

  /** The run could not be sent now. */
  putBack(run: BlockRun): void {
    this.#inFlight -= run.count;
    for (let block = run.first; block < run.first + run.count; block++) {
      this.#fetched.delete(block);
      this.#retries.push(block);
    }
  }

  /** Nobody wants the rest of it any more, or (`failure`) the origin does not give it. */
  giveUp(failure?: Failure): void {
    if (this.#hasEnded) return;
    this.failure = failure;
    this.#hasEnded = true;
    this.isGivenUp = true;
    this.#lists.length = 0;
    this.#listedLeft = 0;
    this.#retries.length = 0;
    this.#rest = undefined;
    this.#end();
  }

  #fromRetries(view: BlockView, mostBlocks: number): BlockRun | undefined {
    if (this.isPaused) return undefined;
    for (let first = this.#retries.shift(); first !== undefined; first = this.#retries.shift()) {
      if (first >= view.blockCount || view.known(first)) continue;
      let count = 1;
      for (; count < mostBlocks && this.#retries[0] === first + count && !view.known(first + count); count++)
        this.#retries.shift();
      return { first, count };
    }
    return undefined;
  }

  #fromLists(view: BlockView, mostBlocks: number): BlockRun | undefined {
    for (let passed = 0; this.#lists.length > 0; passed++) {
      const list = this.#lists[0]!;
      if (this.#listAt >= list.length) {
        this.#lists.shift();
        this.#listAt = 0;
        continue;
      }
      if (passed >= mostPassed) {
        this.isPaused = true;
        return undefined;
      }
      const first = this.#next(list);
      if (!this.#isUnknown(view, first)) continue;
      let count = 1;
      while (count < mostBlocks && list[this.#listAt] === first + count && this.#isUnknown(view, first + count)) {
        this.#next(list);
        count++;
      }
      return { first, count };
    }
    return undefined;
  }

  #next(list: Uint32Array): number {
    this.#listedLeft--;
    return list[this.#listAt++]!;
  }

  /** What was asked for and is not known any more was dropped from the cache: fetching it in circles would be worse. */
  #isUnknown(view: BlockView, block: number): boolean {
    return block < view.blockCount && !this.#asked.has(block) && !view.known(block);
  }

  #fromRest(view: BlockView, mostBlocks: number): BlockRun | undefined {
    if (this.isPaused || this.#rest === undefined || this.#expected > 0) return undefined;
    const end = Math.min(this.#restEnd, view.blockCount);
    const stop = Math.min(end, this.#rest + mostPassed);
    while (this.#rest < stop && view.known(this.#rest)) this.#rest++;
    if (this.#rest < stop) {
      const first = this.#rest;
      while (this.#rest < end && this.#rest - first < mostBlocks && !view.known(this.#rest)) this.#rest++;
      this.#askedInPass += this.#rest - first;
      return { first, count: this.#rest - first };
    }
    if (this.#rest < end) this.isPaused = true;
    else if (this.#inFlight === 0) this.#endPass();
    return undefined;
  }

  /** A block may have been pushed out by another, or was not kept: looked at once more. */
  #endPass(): void {
    this.#pass++;
    const isAgain = this.#askedInPass > 0 && this.#pass < mostPasses;
    this.#rest = isAgain ? 0 : undefined;
    this.#askedInPass = 0;
    this.isPaused = isAgain;
  }

  #endIfDone(): void {
    if (this.#hasEnded || this.#inFlight > 0 || this.isListed || this.#rest !== undefined) return;
    if (this.#retries.length > 0) return;
    this.#hasEnded = true;
    this.#end();
  }
}
