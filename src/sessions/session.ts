/**
 * One session by itself, for the commands that run one: a pool of one worker that has nothing else to do.
 *
 * An unexpected error in it ends that worker, and the session is opened again on its port: there is nobody whom that would disturb.
 */
import type { Worker } from 'node:worker_threads';
import type { Clock, Log, Random } from '../base/mod.ts';
import type { SessionPlan } from './plan.ts';
import type { RunningSession } from './running-session.ts';
import { WorkerPool } from './worker-pool.ts';
import type { LeftBehind } from './write-back-status.ts';

export interface SessionOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** For tests: sees each worker that is started. */
  readonly onWorker?: ((worker: Worker) => void) | undefined;
}

/** Checks the plan, opens the cache and starts the worker. Rejects if plan or cache are bad; what the worker finds rejects `ready`. */
export async function startSession(plan: SessionPlan, options: SessionOptions): Promise<RunningSession> {
  const pool = new WorkerPool({ ...options, workers: 1, isolates: false });
  const session = await pool.start(plan);
  const close = async (): Promise<LeftBehind | undefined> => {
    try {
      return await session.close({ isLast: true });
    } finally {
      await pool.close();
    }
  };
  // What cannot be closed is told to whoever closes it.
  session.ended.then(() => pool.close()).catch(() => {});
  return { ...session, close };
}
