/** Floor 1: the `Filesystem` contract. Knows no RPC. */
export * from './attributes.ts';
export * from './beyond-nfs.ts';
export type { ChainLink, ChainReply, Hop, HopState, WriteBackOutcome } from './chain.ts';
export { type Credential, credential, inGroup, nobody, nobodyId } from './credential.ts';
export * from './file-settings.ts';
export * from './filesystem.ts';
export { ForwardingFilesystem } from './forwarding.ts';
export type { LeaseRecord, LeaseRequest, LeaseState, LeaseStore, LeaseToken, NotedChange } from './lease.ts';
export type {
  AcquireArguments,
  AcquireReply,
  LeaseHolder,
  LeaseReference,
  LeaseService,
  LeaseStatusReply,
  ReleaseReply,
  RenewReply,
} from './lease-service.ts';
export { type FileStamp, isOlder, sameStamp, stampOf, stampOfAttributes } from './stamp.ts';
export { type Failure, isKnownStatus, Status, type StatusCode, statusName } from './status.ts';
export type { TreeLocator } from './tree-locator.ts';
export { Urgency } from './urgency.ts';
