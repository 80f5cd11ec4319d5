/** Floor 5: from a plan to a running session. */

export { fetchModes } from '../vfs/mod.ts';
export type { ChainStatus } from './chain.ts';
export { leasesFile } from './channel.ts';
export { type ErrorRecord, errorOf, recordOf } from './error-record.ts';
export { whenFull } from './log-disk.ts';
export type { HeldAddress, ListeningPlace, WorkerStart, WorkerStats } from './messages.ts';
export {
  checkPlan,
  defaultAttributes,
  defaultConnections,
  isLoopback,
  type ListenRule,
  parseListen,
  type SessionPlan,
} from './plan.ts';
export { RestartDelay } from './restart-delay.ts';
export type { RunningSession, SessionStatus } from './running-session.ts';
export { type SessionOptions, startSession } from './session.ts';
export { holdsLog } from './session-log.ts';
export { SqliteLeaseStore } from './sqlite-lease-store.ts';
export { describeStack, type LayerDescription, type StackDescription } from './stack.ts';
export {
  parseTask,
  type SessionTask,
  type TaskEvent,
  type TaskOutcome,
  type TaskProgress,
  type TaskResult,
} from './tasks.ts';
export { type Load, ThreadLoad } from './thread-load.ts';
export { type PoolThread, type StartOptions, WorkerPool, type WorkerPoolOptions } from './worker-pool.ts';
export type { ConflictStatus, LeftBehind, PendingFile, WriteBackStatus } from './write-back-status.ts';
export {
  type CommitPlace,
  commitPlaces,
  type DirtyRule,
  defaultDirty,
  defaultOutage,
  keepsLog,
  type OutageRule,
  type WritePolicy,
  writePolicies,
} from './write-policy.ts';
