/** Floor 4: the layers of a stack, each a `Filesystem` over the next one. */
export { AccessCache, type AccessCacheOptions, accessCacheDefaults } from './access-cache.ts';
export { AttributeCache } from './attribute-cache.ts';
export {
  type AttributeCacheOptions,
  type AttributeCacheStats,
  attributeCacheDefaults,
  closeToOpen,
  type FileWitness,
} from './attribute-cache-options.ts';
export {
  BlockCache,
  type BlockCacheOptions,
  type BlockCacheReport,
  type LinkMemory,
} from './block-cache.ts';
export { Checker, type CheckerContext } from './checker.ts';
export { isTrustedDirectory } from './content/trust.ts';
export { Content, type ContentOptions, type ContentReport } from './content.ts';
export { FilesystemFacts, type RememberedFacts } from './filesystem-facts.ts';
export { Hidden } from './hidden.ts';
export { Identity, type IdentityOptions, type IdRange, identityDefaults } from './identity.ts';
export { type Keepsake, type KeepsakeStore, Keepsakes } from './keepsakes.ts';
export type { KnownFiles } from './known-files.ts';
export type { LatencySummary } from './latency-histograms.ts';
export type { LeasesOptions, TakeoverPolicy } from './leases/service.ts';
export { Leases, type LeasesStats } from './leases.ts';
export { OriginPresence, type OriginPresenceOptions, type OriginPresenceStats } from './origin-presence.ts';
export { Outage, type OutageOptions } from './outage.ts';
export type { StabilityOptions } from './own-commits.ts';
export {
  defaultReadAhead,
  type LinkFigures,
  noReadAhead,
  type ReadAheadOptions,
} from './read-ahead/mod.ts';
export {
  Stability,
  type StabilityContext,
  type StabilityStats,
  stabilityDefaults,
} from './stability.ts';
export { type OperationStats, operationNames, Stats, type StatsSnapshot } from './stats.ts';
export {
  type BlockFetcher,
  type WorkingSetStore,
  writtenPurpose,
} from './working-sets/contract.ts';
export type { Warming } from './working-sets/fetch-plan.ts';
export { WorkingSets, type WorkingSetsOptions, type WorkingSetsReport } from './working-sets.ts';
export type {
  Conflict,
  DirtyFiles,
  DrainContext,
  DrainFace,
  DrainOptions,
  DrainResult,
  DrainStatus,
  FileRecord,
  OriginFacts,
} from './write-back/contract.ts';
export { Drain, type DrainTools } from './write-back/drain.ts';
export { decodeRecord, fileNotes } from './write-back/file-record.ts';
export type { ConflictStatus, DirtyFileStatus, WriteBackStatus } from './write-back/status.ts';
export type { WriteBackOptions } from './write-back/workings.ts';
export { WriteBack, type WriteBackContext, writeBackDefaults } from './write-back.ts';
