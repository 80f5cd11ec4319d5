/** Floor 2: the clean cache. Keys are opaque; it knows no file systems. */
export { CleanCache } from './clean-cache.ts';
export type {
  AttachOptions,
  BankReport,
  ByteRange,
  CacheDisk,
  CachedFile,
  CacheHit,
  CacheShare,
  CacheStat,
  CleanCacheOptions,
  DirectoryStat,
  FillTicket,
  PendingWrite,
  VerifyReport,
} from './contract.ts';
