/**
 * The workers of this process and the sessions in them: the data paths of all sessions, on as many threads as there are cores.
 *
 *   start(plan) ──► cache (opened once a directory) ──► worker with the fewest sessions ──► Supervisor ──► RunningSession
 *
 *   main thread: CleanCache (owner) ──share, one a worker──► workers: stacks, RPC servers, listeners
 *
 * A session stays in the worker that it was given to. Caches are opened here and outlive the workers: one that dies is started again and
 * attaches to the same tags.
 */
import { availableParallelism } from 'node:os';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type Clock, type Log, type Random, systemCode, ViaductError } from '../base/mod.ts';
import { makeDirectory } from '../native/mod.ts';
import type { ErrorRecord } from './error-record.ts';
import { checkFiles } from './file-rule-schema.ts';
import type { WorkerStart } from './messages.ts';
import { checkPlan, type SessionPlan } from './plan.ts';
import { PooledWorker, type PooledWorkerStatus, type WorkerHandle } from './pooled-worker.ts';
import type { RunningSession, SessionStatus } from './running-session.ts';
import { type CacheUse, SharedCaches } from './shared-caches.ts';
import type { EarlierLives, EndOptions } from './supervision.ts';
import { Supervisor } from './supervisor.ts';
import { taggedLog } from './tagged-log.ts';
import type { Load } from './thread-load.ts';
import type { LeftBehind } from './write-back-status.ts';

export interface WorkerPoolOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** Threads, each started when it is first needed; default: one a core. */
  readonly workers?: number | undefined;
  /**
   * An unexpected error of one session ends that session, and log lines say whose they are. Default: yes. Without it such an error ends
   * the worker, and its sessions are opened again.
   */
  readonly isolates?: boolean | undefined;
  /** A thread died, and is started again with so many sessions. */
  readonly onRestart?: ((name: string, error: ErrorRecord, sessions: number) => void) | undefined;
  /** Threads with our program that were started before there was a pool; those that it has no use for end. */
  readonly begun?: readonly Worker[] | undefined;
  /** For tests: sees each thread that is started. */
  readonly onWorker?: ((worker: Worker) => void) | undefined;
  /** For tests: another program for the threads. */
  readonly program?: string | undefined;
}

export interface StartOptions extends EarlierLives {
  /** Where its log lines go; default: the pool's, with its number. */
  readonly log?: Log | undefined;
  /** Its status is another. */
  readonly onChange?: (() => void) | undefined;
  /** Asked when all is there that it waits for; false: it is not started after all, and `start` rejects. */
  readonly isWanted?: (() => boolean) | undefined;
  /** Given the session before anything happens in it. */
  readonly onStart?: ((session: RunningSession) => void) | undefined;
}

/** A thread of the pool, for people. */
export interface PoolThread extends PooledWorkerStatus {
  readonly name: string;
  /** Undefined: it does not answer. */
  readonly load: Load | undefined;
}

interface Slot {
  readonly name: string;
  readonly worker: PooledWorker;
  /** Made to tell apart who ends its worker; goes with its last session. */
  readonly isExtra: boolean;
  /** Those that are to come back count, too. */
  sessions: number;
}

/** Halving finds one of two hundred in eight steps. */
const mostExtras = 16;

export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #isolates: boolean;
  readonly #caches: SharedCaches;
  readonly #slots: Slot[];
  readonly #sessions = new Set<RunningSession>();
  readonly #begun: Worker[];
  #numbers = 0;
  #names = 0;
  #closing: Promise<void> | undefined;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    const { clock, log, random } = options;
    this.#isolates = options.isolates ?? true;
    this.#begun = [...(options.begun ?? [])];
    this.#caches = new SharedCaches({ clock, log, random });
    const count = options.workers ?? availableParallelism();
    this.#slots = Array.from({ length: count }, () => this.#slot(false));
  }

  /** Checks the plan, opens the cache and has the session opened. Rejects if plan or cache are bad; what the worker finds rejects `ready`. */
  async start(input: SessionPlan, options: StartOptions = {}): Promise<RunningSession> {
    this.#refuseIfClosing();
    const plan = checkPlan(input);
    makeStateDirectory(plan.stateDirectory);
    const number = ++this.#numbers;
    const use = plan.cache === undefined ? undefined : await this.#caches.acquire(plan.cache, String(number));
    try {
      this.#refuseIfClosing();
      if (options.isWanted?.() === false) throw notWanted();
      const session = this.#host(number, plan, use, options);
      options.onStart?.(session);
      return session;
    } catch (error) {
      await use?.release(false);
      throw error;
    }
  }

  /** Starts all the threads, so that the first sessions need not wait for them. Resolves when they are loaded, or after a second. */
  async warm(): Promise<void> {
    for (const { worker } of this.#slots) worker.warm();
    for (const surplus of this.#begun.splice(0)) void surplus.terminate();
    await Promise.all(this.#slots.map(({ worker }) => worker.loaded()));
  }

  /** By worker, with how busy each is since this was asked last. */
  threads(): Promise<PoolThread[]> {
    return Promise.all(
      this.#slots.map(async ({ name, worker }) => {
        const load = await worker.load();
        return { name, ...worker.status(), load };
      }),
    );
  }

  /** By worker. */
  status(): PooledWorkerStatus[] {
    return this.#slots.map(({ worker }) => worker.status());
  }

  /** Closes every session, then the workers. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #host(number: number, plan: SessionPlan, use: CacheUse | undefined, options: StartOptions): RunningSession {
    const { clock, log } = this.#options;
    const regular = this.#slots.filter(({ isExtra }) => !isExtra);
    const able = regular.filter(({ worker }) => !worker.isStuck);
    const slot = (able.length > 0 ? able : regular).reduce((least, other) =>
      other.sessions < least.sessions ? other : least,
    );
    slot.sessions++;
    const supervisor = new Supervisor({
      ...{ number, plan, cache: use?.cache, worker: slot.worker, clock },
      ...options,
      isQuarantined: this.#isolates,
      log: options.log !== undefined ? options.log : this.#isolates ? taggedLog(log, { session: number }) : log,
    });
    let wasReady = false;
    supervisor.ready.then(
      () => (wasReady = true),
      () => {},
    );
    const freed = supervisor.released.then(() => use?.release(wasReady));
    // Whoever closes the session is told; one that ended by itself has nobody.
    freed.catch(() => {});
    const close = async (end?: EndOptions): Promise<LeftBehind | undefined> => {
      const left = await supervisor.close(end);
      // What is left behind in a worker is not waited for.
      if (supervisor.isReleased) await freed;
      return left;
    };
    const session: RunningSession = {
      ready: supervisor.ready,
      ended: supervisor.ended,
      status: () => supervisor.status(),
      lastCounters: () => supervisor.lastStats,
      stats: () => statusOf(plan, supervisor, use),
      run: (task, onProgress = () => {}) => supervisor.run(task, onProgress),
      setFiles: (files) => supervisor.setFiles(checkFiles(files)),
      setQuota: (bytes) => use?.owner.setQuota(bytes),
      close,
    };
    this.#sessions.add(session);
    void supervisor.ended.then(() => {
      this.#sessions.delete(session);
      this.#left(supervisor.worker);
    });
    return session;
  }

  /** A session of that worker is over. */
  #left(worker: PooledWorker): void {
    const slot = this.#slots.find((each) => each.worker === worker);
    if (slot === undefined) return;
    slot.sessions--;
    if (!slot.isExtra || slot.sessions > 0) return;
    this.#slots.splice(this.#slots.indexOf(slot), 1);
    void worker.close();
  }

  /** For half of the sessions of one that keeps dying. */
  #another(from: PooledWorker): PooledWorker | undefined {
    if (this.#slots.filter(({ isExtra }) => isExtra).length >= mostExtras) return undefined;
    const crowded = this.#slots.find(({ worker }) => worker === from);
    const slot = this.#slot(true);
    const moving = Math.floor(from.status().sessions / 2);
    slot.sessions = moving;
    if (crowded !== undefined) crowded.sessions -= moving;
    this.#slots.push(slot);
    return slot.worker;
  }

  #slot(isExtra: boolean): Slot {
    const index = ++this.#names;
    const { clock, log, onWorker, program = workerProgram() } = this.#options;
    const isolates = this.#isolates;
    const startWorker = (): WorkerHandle => {
      const worker = this.#takeBegun() ?? startThread(program, { isolates }, `sessions ${index}`);
      onWorker?.(worker);
      return worker;
    };
    const name = `worker ${index}`;
    const worker: PooledWorker = new PooledWorker({
      ...{ startWorker, clock, log: isolates ? taggedLog(log, { worker: index }) : log },
      onRestart: (error, sessions) => this.#options.onRestart?.(name, error, sessions),
      another: () => (isolates ? this.#another(worker) : undefined),
    });
    return { name, worker, isExtra, sessions: 0 };
  }

  /** One that has ended by now is of no use. */
  #takeBegun(): Worker | undefined {
    for (;;) {
      const worker = this.#begun.shift();
      if (worker === undefined || worker.threadId > 0) return worker;
    }
  }

  async #close(): Promise<void> {
    const closed = await Promise.allSettled([...this.#sessions].map((session) => session.close({ isLast: true })));
    await Promise.all(this.#slots.map(({ worker }) => worker.close()));
    const failed = closed.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  #refuseIfClosing(): void {
    if (this.#closing === undefined) return;
    throw new ViaductError('UNEXPECTED', {
      cause: 'A session was to be started while all are being closed.',
      remedy: 'Start it again when the program runs again.',
    });
  }
}

function notWanted(): ViaductError {
  return new ViaductError('UNEXPECTED', {
    cause: 'A session was closed while it waited for its cache.',
    remedy: 'Nothing: it was not started.',
  });
}

async function statusOf(plan: SessionPlan, supervisor: Supervisor, use: CacheUse | undefined): Promise<SessionStatus> {
  const data = await supervisor.stats();
  const kept =
    plan.cache === undefined || use === undefined
      ? undefined
      : { directory: plan.cache.directory, ...use.cache.stat(), own: use.owner.stat() };
  const { kind, origin, writes } = plan;
  return { kind, origin, writes, ...supervisor.status(), cache: kept, data };
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

function workerProgram(): string {
  return fileURLToPath(new URL(`./worker${extname(import.meta.url)}`, import.meta.url));
}

function startThread(program: string, start: WorkerStart, name: string): Worker & WorkerHandle {
  return new Worker(program, { workerData: start, name });
}
