/**
 * The face of the clean cache: what the layers above see. It holds **clean data only**: anything may vanish at any time
 * and is then simply absent; what it does return is right (docs/cache-format.md argues why).
 *
 * A file is an opaque 16-byte key. Its content is known by a `FileStamp`, the attributes at the origin: another stamp is
 * another version, and everything kept of the version before is dead.
 *
 *   READ   file.read() hit ──────────────────────────────────────────► slices, release()
 *          file.read() undefined: ticket = file.ticket(); ask origin; file.fill(ticket, reply's attributes, data)
 *   WRITE  write = await file.beginWrite(); ask origin; write.complete(data) + file.restamp(before, after), or write.abandon()
 */
import type { Clock, Eventual, Log, Random } from '../base/mod.ts';
import type { CachePriority, FileStamp } from '../vfs/mod.ts';

export interface ByteRange {
  readonly offset: number;
  readonly count: number;
}

/** Bytes from the cache. The slices are lent: call `release` exactly once, when they are no longer read. */
export interface CacheHit {
  readonly slices: Buffer[];
  release(): void;
}

/** Taken when a READ leaves for the origin; proves at `fill` that no write met the range while the reply was under way. */
export interface FillTicket {
  readonly offset: number;
  readonly count: number;
  /** False: a write to the range is in flight, a fill with this ticket is refused. */
  readonly good: boolean;
  readonly sequence: number;
  readonly version: number;
}

/** A write of ours on its way to the origin. Exactly one of the two must be called, when no later effect is possible. */
export interface PendingWrite {
  /**
   * The origin has taken the first `count` bytes of the range (less than asked is allowed; 0 if the data are unknown). Only what
   * lies inside the version's size is kept. A range that ends there is taken for the end of the file: unless `restamp` has said
   * that the version stands for the state after this write, end it with a whole sector.
   */
  complete(slices: readonly Uint8Array[], count: number): Eventual<void>;
  /** It failed, or nobody knows. */
  abandon(): void;
}

export interface CachedFile {
  readonly key: string;
  /** False once the version moved on (by another worker, another stamp, eviction of the record): then all is absent and fills are refused. */
  readonly live: boolean;
  /** Size of the version; 0 when not live. */
  readonly size: number;
  matches(stamp: FileStamp): boolean;
  /** Whether the range [offset, offset+count) is present. No I/O; `read` can still miss. */
  has(offset: number, count: number): boolean;
  /** The absent parts of the range, in whole sectors, ascending, merged, clipped to the file's size. No I/O. */
  missing(offset: number, count: number): ByteRange[];
  /**
   * The bytes of the range, or undefined when any of them is absent or does not verify. The range must lie within `size`
   * (else undefined). Synchronous when the data are in the page cache.
   */
  read(offset: number, count: number): Eventual<CacheHit | undefined>;
  /** To be taken when a READ of this range is sent. */
  ticket(offset: number, count: number): FillTicket;
  /**
   * Keeps what a READ returned: `count` bytes at `offset`, inside the ticket's range; `stamp` are the reply's own attributes
   * and must match. Whole sectors are kept, and a partial one at the end of the file. Slices must not change until the promise
   * is done; it resolves to the bytes kept (0 when refused), and never rejects.
   */
  fill(
    ticket: FillTicket,
    stamp: FileStamp,
    offset: number,
    slices: readonly Uint8Array[],
    count: number,
  ): Eventual<number>;
  /**
   * To be awaited before a WRITE, or a SETATTR of the size (`beginWrite(newSize, Infinity)`), leaves for the origin. The range
   * is absent from now on, in RAM and for whoever opens the directory after a kill -9; the first time for each file it
   * waits for one fdatasync.
   */
  beginWrite(offset: number, count: number): Eventual<PendingWrite>;
  /** Drops the sectors that the range touches. */
  invalidate(offset: number, count: number): void;
  /**
   * Our own write moved the attributes and nobody else's did (the reply's wcc data): the version goes on under `to` if it
   * stood for `from`. Replies may come in another order than the writes were done: hops that do not fit yet are kept and
   * applied when the chain reaches them. True if the version now stands for `to` or something after it.
   */
  restamp(from: FileStamp, to: FileStamp): boolean;
  /** Drops the file: its version is dead. */
  forget(): void;
  /**
   * How its blocks are to be kept; cheap, to be said again for each object that `file` or `find` gave. What others say of the same file
   * does not take anything away: a block has the head start of the highest priority it was touched with, and a file is pinned as long as
   * an owner that pinned it (and did not take that back) is there. Without an owner pins have no effect.
   */
  setCare(care: FileCare): void;
}

export interface FileCare {
  /** How many rounds of its set's hand a block survives without being touched: 1, 2, 4. */
  readonly priority: CachePriority;
  /** Its blocks are not evicted, as far as the cache's share for pinned blocks goes. */
  readonly isPinned: boolean;
}

/** Files of one origin on the account of one owner. What `find` finds may be of any origin. */
export interface CacheStore {
  /** As `CleanCache.file`. */
  file(key: string, stamp: FileStamp): CachedFile;
  find(key: string): CachedFile | undefined;
  /** Drops the files of this origin, for all owners and threads, and those of which it is not known; otherwise as `CleanCache.clear`. */
  clear(): Promise<void>;
  /** Of the whole cache. */
  stat(): CacheStat;
}

export interface OwnerOptions {
  /** The same name is the same owner, in all threads. */
  readonly name: string;
  /** What its blocks may occupy, rounded down to frames; undefined: as much as there is. Left out: as it was. */
  readonly quotaBytes?: number | undefined;
}

/**
 * On whose account blocks are kept: a session. A block counts for the owner that brought it in; one that is nobody's (its owner ended, or
 * the cache was opened anew) for the one that reads it next. One thread at a time uses an owner's stores; its figures can be had in any.
 */
export interface CacheOwner {
  readonly name: string;
  /** `origin`: its identity. */
  store(origin: string): CacheStore;
  stat(): OwnerStat;
  /** What is beyond it becomes nobody's at once, and is evicted first. */
  setQuota(bytes: number | undefined): void;
  /** It is not used any more: its blocks are nobody's, what it pinned is not, and its figures are gone. */
  end(): void;
}

/** Counters of one owner since it began; they outlive the threads that use it. */
export interface OwnerStat {
  readonly quotaBytes: number | undefined;
  /** Whole frames. */
  readonly occupiedBytes: number;
  readonly hits: number;
  readonly hitBytes: number;
  readonly misses: number;
  readonly fillBytes: number;
  /** Its blocks that made room for others, or fell out of its quota. */
  readonly evictions: number;
}

export interface CleanCacheOptions {
  readonly directory: string;
  /** Limit for all of the directory. */
  readonly sizeBytes: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** Writes to banks and index go through it; tests put faults here. */
  readonly disk?: CacheDisk;
  /** Which boot of the host this is; read from /proc if absent. */
  readonly bootId?: string;
}

export interface AttachOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly disk?: CacheDisk;
}

/** The few disk calls whose failure the cache must live with. */
export interface CacheDisk {
  writev(fd: number, slices: readonly Uint8Array[], position: number): Promise<number>;
  datasync(fd: number): Promise<void>;
}

/** Plain data that can be posted to a worker. */
export interface CacheShare {
  readonly directory: string;
  /** Each share is for one attachment. */
  readonly attachment: number;
  readonly memory: Readonly<Record<string, SharedArrayBuffer>>;
}

/** Counters of all attachments of this process together since open, and the state of the directory. */
export interface CacheStat {
  readonly sizeBytes: number;
  readonly frameCount: number;
  readonly frameBytes: number;
  readonly framesUsed: number;
  readonly validBytes: number;
  readonly fileRecordCount: number;
  readonly filesUsed: number;
  /** Of pinned files, in whole frames. */
  readonly pinnedBytes: number;
  readonly hits: number;
  readonly hitBytes: number;
  readonly misses: number;
  readonly slowReads: number;
  readonly fills: number;
  readonly fillBytes: number;
  readonly fillsRefused: number;
  readonly fillsDropped: number;
  readonly evictions: number;
  readonly corruptSectors: number;
  readonly diskErrors: number;
}

/** What `CleanCache.readStat` tells of a directory that another process may have open. */
export interface DirectoryStat {
  readonly stat: CacheStat;
  /** Room that the directory takes on its disk now. */
  readonly diskBytes: number;
  /** The process that has it open, if it lives. */
  readonly holder: number | undefined;
  /** When the counters were written down (milliseconds since 1970). */
  readonly writtenAtMs: number;
  /** What is wrong with the index, if it can be seen at once: the counters are then unknown or old. */
  readonly damage: string | undefined;
}

export interface BankReport {
  readonly bank: number;
  readonly goodSectors: number;
  readonly badSectors: number;
}

export interface VerifyReport {
  /** What was found wrong with the index when it was opened: what it said of the sectors there is lost. */
  readonly indexDamage: readonly string[];
  readonly banks: readonly BankReport[];
  readonly goodSectors: number;
  readonly badSectors: number;
}
