/** A running session as whoever started it sees it: its state, its tasks, its end. */
import type { CacheStat, OwnerStat } from '../cache/mod.ts';
import type { FileRuleSet } from '../vfs/mod.ts';
import type { ErrorRecord } from './error-record.ts';
import type { ListeningPlace, WorkerStats } from './messages.ts';
import type { SessionPlan } from './plan.ts';
import type { EndOptions, SupervisorState, SupervisorStatus } from './supervision.ts';
import type { SessionTask, TaskProgress, TaskResult } from './tasks.ts';
import type { LeftBehind } from './write-back-status.ts';

export interface SessionStatus {
  readonly kind: SessionPlan['kind'];
  readonly origin: string;
  readonly writes: SessionPlan['writes'];
  readonly state: SupervisorState;
  readonly place: ListeningPlace | undefined;
  readonly restarts: number;
  readonly lastError: ErrorRecord | undefined;
  /** Counters are of all the sessions that use it; `own`: this session's. */
  readonly cache: ({ readonly directory: string; readonly own: OwnerStat } & CacheStat) | undefined;
  /** Absent while the worker cannot answer. */
  readonly data: WorkerStats | undefined;
}

export interface RunningSession {
  /** Settles once: the session serves, or could not be started. */
  readonly ready: Promise<ListeningPlace>;
  /** When it is over: what ended it, or undefined if it was told to end. Never rejects. */
  readonly ended: Promise<ErrorRecord | undefined>;
  /** At once, without asking its worker. */
  status(): SupervisorStatus;
  stats(): Promise<SessionStatus>;
  /** The counters that were told last; of one that failed, as it ended. */
  lastCounters(): WorkerStats | undefined;
  /** Rejects with what is wrong with the task. */
  run(task: SessionTask, onProgress?: (progress: TaskProgress) => void): Promise<TaskResult>;
  /** Rules for files in place of those that held so far, without opening it again. Throws CONFIGURATION_INVALID. */
  setFiles(files: FileRuleSet): void;
  /** What it may occupy of its cache from now on; undefined: all of it. */
  setQuota(bytes: number | undefined): void;
  /** Waits for calls under way (bounded), then frees everything. What the dirty log holds that the origin does not have. */
  close(options?: EndOptions): Promise<LeftBehind | undefined>;
}
