/**
 * A running session as the main thread sees it: its cache, its worker, its state.
 *
 *   main thread: CleanCache (owner) ──share──► worker: stack, RPC server, listeners
 *
 * The cache is opened here and outlives the worker: one that dies is started again and attaches to the same tags.
 */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type Clock, type Log, type Random, systemCode, ViaductError } from '../base/mod.ts';
import { type CacheShare, type CacheStat, CleanCache } from '../cache/mod.ts';
import { makeDirectory } from '../native/mod.ts';
import type { ErrorRecord } from './error-record.ts';
import type { ListeningPlace, WorkerStart, WorkerStats } from './messages.ts';
import { checkPlan, type SessionPlan } from './plan.ts';
import { Supervisor, type SupervisorState, type WorkerHandle } from './supervisor.ts';
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
  readonly cache: ({ readonly directory: string } & CacheStat) | undefined;
  /** Absent while the worker cannot answer. */
  readonly data: WorkerStats | undefined;
}

export interface RunningSession {
  /** Settles once: the session serves, or could not be started. */
  readonly ready: Promise<ListeningPlace>;
  stats(): Promise<SessionStatus>;
  /** Rejects with what is wrong with the task. */
  run(task: SessionTask, onProgress?: (progress: TaskProgress) => void): Promise<TaskResult>;
  /** Waits for calls under way (bounded), then frees everything. What the dirty log holds that the origin does not have. */
  close(): Promise<LeftBehind | undefined>;
}

export interface SessionOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** For tests: sees each worker that is started. */
  readonly onWorker?: ((worker: Worker) => void) | undefined;
}

/** Checks the plan, opens the cache and starts the worker. Rejects if plan or cache are bad; what the worker finds rejects `ready`. */
export async function startSession(input: SessionPlan, options: SessionOptions): Promise<RunningSession> {
  const plan = checkPlan(input);
  makeStateDirectory(plan.stateDirectory);
  const cache = plan.cache === undefined ? undefined : await CleanCache.open({ ...plan.cache, ...options });
  let share: CacheShare | undefined;
  const supervisor = new Supervisor({
    clock: options.clock,
    log: options.log,
    startWorker(port) {
      // What the dead worker held of the cache, it holds no more.
      if (share !== undefined) cache?.lost(share);
      share = cache?.share();
      const worker = startWorker({ plan, port, cache: share });
      options.onWorker?.(worker);
      return worker;
    },
  });
  let wasReady = false;
  supervisor.ready.then(
    () => (wasReady = true),
    () => {},
  );
  let closing: Promise<LeftBehind | undefined> | undefined;
  const close = async (): Promise<LeftBehind | undefined> => {
    const left = await supervisor.close();
    if (share !== undefined) cache?.lost(share);
    // A start that failed leaves nothing where nothing was.
    await cache?.close({ unmake: !wasReady });
    return left;
  };
  return {
    ready: supervisor.ready,
    stats: () => statusOf(plan, supervisor, cache),
    run: (task, onProgress = () => {}) => supervisor.run(task, onProgress),
    close: () => (closing ??= close()),
  };
}

function makeStateDirectory(directory: string): void {
  try {
    makeDirectory(directory, 0o700);
  } catch (error) {
    const code = systemCode(error);
    throw new ViaductError(code === 'EACCES' || code === 'EPERM' ? 'PRIVILEGE_NEEDED' : 'CONFIGURATION_INVALID', {
      cause: `the state directory ${directory} cannot be made (${code ?? String(error)})`,
      remedy: 'name a --state-directory that this user may create or write to',
      from: error,
    });
  }
}

async function statusOf(
  plan: SessionPlan,
  supervisor: Supervisor,
  cache: CleanCache | undefined,
): Promise<SessionStatus> {
  const data = await supervisor.stats();
  const kept =
    plan.cache === undefined || cache === undefined ? undefined : { directory: plan.cache.directory, ...cache.stat() };
  const { kind, origin, writes } = plan;
  return { kind, origin, writes, ...supervisor.status(), cache: kept, data };
}

function startWorker(start: WorkerStart): Worker & WorkerHandle {
  const program = fileURLToPath(new URL(`./worker${extname(import.meta.url)}`, import.meta.url));
  return new Worker(program, { workerData: start, name: `session ${start.plan.origin}` });
}
