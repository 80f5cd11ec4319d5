/** Counters of one BlockCache. Bytes are payload. */
export interface BlockCacheStatistics {
  /** READs answered from the cache alone. */
  hits: number;
  hitBytes: number;
  /** READs that waited for the origin, by their own request or by one that was under way. */
  misses: number;
  missBytes: number;
  /** READs passed to the origin uncached: no ACCESS grant, no regular file, or a file that changes too fast. */
  passed: number;
  /** Blocks that a READ wanted and that were already under way. */
  joined: number;
  demandBytes: number;
  /** When the latest request left that a reader waited for, by the session's clock; undefined: none yet. */
  lastDemandMs: number | undefined;
  prefetchBytes: number;
  /** Prefetched bytes that a reader touched later; the rest of `prefetchBytes` is wasted so far. */
  prefetchUsedBytes: number;
  /** Times that a cached file turned out to be changed by somebody else. */
  foreignChanges: number;
  fillBytes: number;
  /** Bytes that did not enter the cache: changed meanwhile, written meanwhile, disk too slow or failing. */
  unfilledBytes: number;
}

export function newStatistics(): BlockCacheStatistics {
  return {
    hits: 0,
    hitBytes: 0,
    misses: 0,
    missBytes: 0,
    passed: 0,
    joined: 0,
    demandBytes: 0,
    lastDemandMs: undefined,
    prefetchBytes: 0,
    prefetchUsedBytes: 0,
    foreignChanges: 0,
    fillBytes: 0,
    unfilledBytes: 0,
  };
}
