/** What a read-ahead policy may know of a file, in blocks of the cache. */
export interface BlockView {
  /** Blocks of the file, the last one may be short. */
  readonly blockCount: number;
  /** In the cache or under way: asking for it again would be wasted. */
  known(block: number): boolean;
}

/** Adjacent blocks, at least one. */
export interface BlockRun {
  readonly first: number;
  readonly count: number;
}

/** The blocks from `first` on that are unknown, at most `most` and before `end`; undefined if `first` itself is known. */
export function unknownRun(view: BlockView, first: number, end: number, most: number): BlockRun | undefined {
  const stop = Math.min(end, first + most, view.blockCount);
  let block = first;
  while (block < stop && !view.known(block)) block++;
  return block > first ? { first, count: block - first } : undefined;
}
