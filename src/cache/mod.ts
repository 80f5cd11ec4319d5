/** Floor 2: the clean cache. Keys are opaque; it knows no file systems. */
export type {
  AttachOptions,
  ByteRange,
  CacheDisk,
  CachedFile,
  CacheHit,
  CacheShare,
  CacheStat,
  CleanCacheOptions,
  FileStamp,
  FillTicket,
  PendingWrite,
} from './contract.ts';

import type { AttachOptions, CachedFile, CacheShare, CacheStat, CleanCacheOptions, FileStamp } from './contract.ts';

/** The class's signatures; the code follows. */
export declare class CleanCache {
  /** Locks and opens the directory, making it if needed. Fails with CACHE_IN_USE, CACHE_DAMAGED (foreign), CACHE_VERSION, DISK_FULL. */
  static open(options: CleanCacheOptions): Promise<CleanCache>;
  /** In another thread of the same process. The owner must be closed last. */
  static attach(share: CacheShare, options: AttachOptions): CleanCache;
  share(): CacheShare;
  /** The record of `key` (16 bytes, latin1) for `stamp`; a different stamp than before begins a new version. Always live at return. */
  file(key: string, stamp: FileStamp): CachedFile;
  /** The record of `key` whatever it stands for, or undefined. */
  find(key: string): CachedFile | undefined;
  stat(): CacheStat;
  /** All tags and records are in the index file (not: on the disk). */
  sync(): Promise<void>;
  close(): Promise<void>;
}
