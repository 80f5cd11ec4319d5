/** Beside the floors: what only tests and benches use. */

export {
  CacheFixture,
  cacheKey,
  cacheStamp,
  checkPattern,
  chooser,
  fillPattern,
  LogLines,
  patternBytes,
  readAll,
  smallCacheBytes,
} from './cache-fixture.ts';
export { Chance } from './chance.ts';
export { SimulatedClock, settle } from './clock.ts';
export { describeFile, type MadeContent, makeContent, putContent, stampOfFile } from './content-fixture.ts';
export { databaseWriter } from './database-writer.ts';
export { DelayLayer, type DelayOptions } from './delay.ts';
export { DirectCaller } from './direct-caller.ts';
export { FaultLayer, type Hook } from './faults.ts';
export { filesystemSuite } from './filesystem-suite.ts';
export { InterceptingFilesystem } from './intercept.ts';
export { type LeaseStoreSubject, leaseStoreSuite } from './lease-store-suite.ts';
export { MemoryFilesystem, type MemoryFilesystemOptions } from './memory-filesystem.ts';
export { MemoryLeaseStore } from './memory-lease-store.ts';
export { type Arbitraries, nfsArbitraries } from './nfs-arbitraries.ts';
export { bytesOf, headOf, laterClock, unpacked } from './packed-image.ts';
export { PlainDrain } from './plain-drain.ts';
export {
  eventually,
  framed,
  KeptLog,
  numberArgument,
  type RawCall,
  RawPeer,
  rawCall,
  sysBody,
  TestService,
  testProcedures,
  testProgram,
} from './rpc-peer.ts';
export {
  type CrashKind,
  type DiskEvent,
  type DiskOperation,
  SimulatedDisk,
  type SimulatedDiskOptions,
} from './simulated-disk.ts';
export {
  type NetworkEvent,
  type NetworkListener,
  type SimulatedConnection,
  SimulatedNetwork,
  type SimulatedNetworkOptions,
} from './simulated-network.ts';
export { type MutationListener, SimulatedOrigin, type SimulatedOriginOptions } from './simulated-origin.ts';
export {
  callBy,
  fullCapabilities,
  ok,
  pattern,
  refused,
  type Subject,
  type SuiteCapabilities,
  Workbench,
} from './suite/workbench.ts';
export { WriteBackFixture, type WriteBackFixtureOptions } from './write-back-fixture.ts';
