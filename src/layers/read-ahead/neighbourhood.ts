/**
 * Which surroundings of misses are worth fetching while the link is idle. A guest that boots reads scattered small ranges, but
 * files that are used together lie together: what is missed in a region makes the rest of the region, and then its
 * neighbours, likely to be read soon.
 *
 * Invariants: at most `mostRegions` are remembered, the oldest give way; a region is asked for only as far as it is unknown;
 * what was fetched in vain is bounded by the credit: each byte that was missed or used earns credit, each byte prefetched
 * costs it, so a reader at random over a huge file soon gets no prefetch at all.
 *
 *     region (1 MiB)   [ . . m u p p p . ]    m missed  u touched  p prefetched: nearest after the miss first, then before it
 *     order            hot regions, latest miss first; when none is left, the neighbours of well-used regions
 */
import { limits } from '../../base/mod.ts';
import { type BlockRun, type BlockView, unknownRun } from './block-view.ts';

export interface NeighbourhoodOptions {
  /** Blocks of a region; at most 16, for the masks. */
  readonly regionBlocks: number;
  /** Distinct blocks touched in a region before its neighbours are fetched too. */
  readonly spillTouches: number;
  /** How far the spreading goes on both sides of a well-used region, in regions. */
  readonly spillRegions: number;
  /** Files below this are left to the sequential streams. */
  readonly smallestFileBytes: number;
  /** Bytes that may be prefetched before any use is seen. */
  readonly initialCreditBytes: number;
  /** Credit that one missed byte earns, and one used byte. */
  readonly missCredit: number;
  readonly useCredit: number;
}

export const defaultNeighbourhood: NeighbourhoodOptions = {
  regionBlocks: 16,
  spillTouches: 3,
  spillRegions: 1,
  smallestFileBytes: 64 * 1024 * 1024,
  initialCreditBytes: 32 * 1024 * 1024,
  missCredit: 4,
  useCredit: 4,
};

/** About 100 bytes each. */
const mostRegions = 1024;

interface Region {
  readonly index: number;
  /** One bit a block. */
  touched: number;
  prefetched: number;
  used: number;
  lastMiss: number;
}

export class Neighbourhood {
  readonly #options: NeighbourhoodOptions;
  readonly #regions = new Map<number, Region>();
  /** Regions with something left to fetch, the most urgent last. */
  #hot: Region[] = [];
  #spill: Region[] = [];
  #creditBytes: number;

  constructor(options: NeighbourhoodOptions) {
    this.#options = options;
    this.#creditBytes = options.initialCreditBytes;
  }

  get creditBytes(): number {
    return this.#creditBytes;
  }

  /** What is wanted is known from elsewhere: from now on guesses must be earned. */
  forgoCredit(): void {
    this.#creditBytes = 0;
  }

  /** A reader touched the block. Returns true if it was prefetched and is used for the first time. */
  touch(block: number, missed: boolean): boolean {
    const { regionBlocks } = this.#options;
    const index = Math.floor(block / regionBlocks);
    let region = this.#regions.get(index);
    if (region === undefined) {
      if (!missed) return false;
      region = this.#remember(index);
    }
    const bit = 1 << (block - index * regionBlocks);
    const isNew = (region.touched & bit) === 0;
    region.touched |= bit;
    if (missed && this.#options.smallestFileBytes < Number.POSITIVE_INFINITY) {
      this.#creditBytes += this.#options.missCredit * limits.blockBytes;
      region.lastMiss = block;
      raise(this.#hot, region);
    }
    const isFirstUse = (region.prefetched & bit) !== 0 && (region.used & bit) === 0;
    if (isFirstUse) {
      region.used |= bit;
      this.#creditBytes += this.#options.useCredit * limits.blockBytes;
    }
    if (isNew && this.#options.spillRegions > 0 && bitCount(region.touched) >= this.#options.spillTouches)
      this.#spread(region);
    return isFirstUse;
  }

  /** Somebody (a stream, or this policy) fetched the blocks ahead of need. */
  prefetched(run: BlockRun): void {
    const { regionBlocks } = this.#options;
    for (let block = run.first; block < run.first + run.count; block++) {
      const index = Math.floor(block / regionBlocks);
      const region = this.#regions.get(index) ?? this.#remember(index);
      region.prefetched |= 1 << (block - index * regionBlocks);
    }
  }

  next(view: BlockView, mostBlocks: number): BlockRun | undefined {
    if (view.blockCount * limits.blockBytes < this.#options.smallestFileBytes) return undefined;
    const most = Math.min(mostBlocks, Math.floor(this.#creditBytes / limits.blockBytes));
    if (most < 1) return undefined;
    const run = this.#take(this.#hot, view, most) ?? this.#take(this.#spill, view, most);
    if (run !== undefined) this.#creditBytes -= run.count * limits.blockBytes;
    return run;
  }

  #take(queue: Region[], view: BlockView, most: number): BlockRun | undefined {
    for (let region = queue.at(-1); region !== undefined; region = queue.at(-1)) {
      const run = this.#inRegion(region, view, most);
      if (run !== undefined) return run;
      queue.pop();
    }
    return undefined;
  }

  #inRegion(region: Region, view: BlockView, most: number): BlockRun | undefined {
    const begin = region.index * this.#options.regionBlocks;
    const end = Math.min(begin + this.#options.regionBlocks, view.blockCount);
    for (let block = Math.max(region.lastMiss, begin); block < end; block++) {
      const run = unknownRun(view, block, end, most);
      if (run !== undefined) return run;
    }
    for (let block = Math.min(region.lastMiss, end) - 1; block >= begin; block--) {
      if (view.known(block)) continue;
      let first = block;
      while (first > begin && block + 1 - first < most && !view.known(first - 1)) first--;
      return { first, count: block + 1 - first };
    }
    return undefined;
  }

  /** The neighbours of a well-used region come when no region with misses is left. */
  #spread(region: Region): void {
    const { spillRegions, regionBlocks } = this.#options;
    for (let distance = spillRegions; distance >= 1; distance--) {
      for (const index of [region.index - distance, region.index + distance]) {
        if (index < 0) continue;
        const neighbour = this.#regions.get(index) ?? this.#remember(index);
        if (neighbour.touched !== 0 && this.#hot.includes(neighbour)) continue;
        if (neighbour.lastMiss < 0) {
          neighbour.lastMiss = index < region.index ? (index + 1) * regionBlocks : index * regionBlocks;
        }
        raise(this.#spill, neighbour);
      }
    }
  }

  #remember(index: number): Region {
    if (this.#regions.size >= mostRegions) {
      const oldest = this.#regions.keys().next().value;
      if (oldest !== undefined) this.#forget(oldest);
    }
    const region: Region = { index, touched: 0, prefetched: 0, used: 0, lastMiss: -1 };
    this.#regions.set(index, region);
    return region;
  }

  #forget(index: number): void {
    const region = this.#regions.get(index);
    this.#regions.delete(index);
    this.#hot = this.#hot.filter((other) => other !== region);
    this.#spill = this.#spill.filter((other) => other !== region);
  }
}

/** Puts the region at the urgent end. */
function raise(queue: Region[], region: Region): void {
  if (queue.at(-1) === region) return;
  const at = queue.indexOf(region);
  if (at >= 0) queue.splice(at, 1);
  queue.push(region);
}

function bitCount(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++;
  return count;
}
