/** Floor 2: the clean cache. Keys are opaque; it knows no file systems. */
export { CleanCache } from './clean-cache.ts';
export type {
  AttachOptions,
  BankReport,
  ByteRange,
  CacheDisk,
  CachedFile,
  CacheHit,
  CacheOwner,
  CacheShare,
  CacheStat,
  CacheStore,
  CleanCacheOptions,
  DirectoryStat,
  FileCare,
  FillTicket,
  OwnerOptions,
  OwnerStat,
  PendingWrite,
  VerifyReport,
} from './contract.ts';
