/** Counters of the content layer. Bytes are payload of the file unless they are said to be stored. */
export interface ContentStatistics {
  /** Zeros that meta-data told of: neither origin nor disk was asked. */
  zeroBytes: number;
  /** Chunks that were on this host already. */
  dedupeBytes: number;
  /** Stored bytes of packs that were fetched, and what was answered from them. */
  packBytes: number;
  packChunkBytes: number;
  /** Fetched as they are, of files with meta-data. */
  plainBytes: number;
  /** Stored bytes of meta-data that were fetched. */
  metaBytes: number;
  /** Heads that were accepted. */
  heads: number;
  /** Files and packs that were looked for and not there, or were not to be trusted. */
  absent: number;
  distrusted: number;
  /** Meta-data of another version of the file than the origin has. */
  stale: number;
  /** Heads, pages and groups that were damaged, and chunks that had another digest. */
  damaged: number;
  /** Candidates of the hint index that were something else. */
  wrongHints: number;
}

export function newStatistics(): ContentStatistics {
  return {
    zeroBytes: 0,
    dedupeBytes: 0,
    packBytes: 0,
    packChunkBytes: 0,
    plainBytes: 0,
    metaBytes: 0,
    heads: 0,
    absent: 0,
    distrusted: 0,
    stale: 0,
    damaged: 0,
    wrongHints: 0,
  };
}
