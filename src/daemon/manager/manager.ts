/**
 * The sessions of a daemon: created, listed, closed; opened again after a restart; stored, and told of.
 *
 *     openManager: lock ──► store ──► what an earlier daemon left (start.ts) ──► sessions opened in parallel
 *     create (create.ts)   close (close.ts)   reconfigure (reload.ts)   reopen, run, show ...
 *     stop: sessions closed as they are, rows and logs stay ──► store, lock
 *
 * Invariants: one manager for each state directory; a session is busy with one thing at a time; a row stands for a session that can be
 * opened again, a session for a row (or for one that waits to be written).
 */
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { type Clock, counted, type Log, type Random, ViaductError } from '../../base/mod.ts';
import type { Configuration } from '../../config/mod.ts';
import { LogIndex } from '../../control/mod.ts';
import { makeDirectory } from '../../native/mod.ts';
import { type SessionTask, type TaskProgress, type TaskResult, WorkerPool } from '../../sessions/mod.ts';
import type {
  CloseOptions,
  CloseResult,
  DaemonEvent,
  Reloaded,
  SessionDetail,
  SessionManager,
  SessionRequest,
  SessionSample,
  SessionView,
  ThreadReport,
} from '../contract.ts';
import { sampleOf } from '../sample.ts';
import { Addresses, mayListenOnPortmapper } from './addresses.ts';
import { closeSession, endInPool, forget } from './close.ts';
import { createSession } from './create.ts';
import { ManagerEvents } from './events.ts';
import { type Ground, type HeldListeners, type Step, tellState } from './ground.ts';
import { ManagerNotes } from './notes.ts';
import { openAll } from './open.ts';
import type { ManagerConfiguration } from './opening.ts';
import { managerConfiguration } from './opening-decision.ts';
import { reconfigure } from './reload.ts';
import { reopenSession } from './reopen.ts';
import type { ManagedSession } from './session.ts';
import { SessionStore } from './session-store.ts';
import { endOf, recover, sweep } from './start.ts';
import { type DaemonLock, lockDaemon } from './store/daemon-lock.ts';
import { StoreKeeper } from './store-keeper.ts';
import { runTask } from './task.ts';
import { ManagerThreads } from './threads.ts';

export interface ManagerOptions {
  readonly configuration: Configuration;
  readonly stateDirectory: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** Started before the manager was loaded: threads of the pool, and sockets that listen for sessions of an earlier daemon. */
  readonly begun?: { readonly threads: readonly Worker[]; readonly listeners: HeldListeners } | undefined;
  /** Where `viaduct status` looks for logs that sessions left; default: in the state directory. */
  readonly index?: LogIndex | undefined;
  /** For tests: what is done by now. */
  readonly onStep?: ((step: Step) => void) | undefined;
  /** For tests: the workers' program, and each of its threads. */
  readonly program?: string | undefined;
  readonly onWorker?: ((worker: Worker) => void) | undefined;
}

export interface RunningManager extends SessionManager {
  /** ISO 8601: what the notes about its logs say of this process. */
  readonly startedAt: string;
  /** A session that is created now need not wait for a thread to be loaded; at most a second after the start. */
  readonly warmed: Promise<void>;
  /** Every session that is known was tried once: it runs, or waits for what it needs. */
  readonly settled: Promise<void>;
  /** What it does not allow is refused by whoever read it. */
  reconfigure(configuration: Configuration): Promise<Reloaded>;
  /** `after`: events with larger numbers that are still kept are given first. */
  subscribe(listener: (event: DaemonEvent) => void, after?: number): () => void;
  close(
    session: string,
    options?: CloseOptions & { readonly onProgress?: (progress: TaskProgress) => void },
  ): Promise<CloseResult>;
  /** For a restart: nothing is written back; the next manager opens the sessions again. */
  stop(): Promise<void>;
}

/** Rejects with DAEMON_RUNNING, STORE_FAILED, STORE_VERSION, DISK_FULL or PRIVILEGE_NEEDED; then nothing is open. */
export async function openManager(options: ManagerOptions): Promise<RunningManager> {
  const { stateDirectory, clock, log, random, program, onWorker } = options;
  const configuration = managerConfiguration(options.configuration);
  const addresses = new Addresses(configuration.listenPool, { hasPortmapper: mayListenOnPortmapper() });
  makeState(stateDirectory);
  const lock = lockDaemon(stateDirectory);
  let store: SessionStore;
  try {
    store = new SessionStore(join(stateDirectory, 'daemon.sqlite'));
  } catch (error) {
    lock.release();
    throw error;
  }
  const events = new ManagerEvents({ clock, log });
  const startedAt = new Date(clock.wallTimeMs()).toISOString();
  const index = options.index ?? new LogIndex(stateDirectory);
  const pool = new WorkerPool({
    ...{ clock, log, random, workers: configuration.workers, program, onWorker, begun: options.begun?.threads },
    onRestart: (name, error, sessions) => {
      const message = `${name} ended, and is started again with its ${counted(sessions, 'session')}`;
      events.tell({ kind: 'worker-restarted', error, message });
    },
  });
  const manager: Manager = new Manager(lock, startedAt, configuration, {
    ...{ stateDirectory, clock, log, random, events, pool, addresses, listeners: options.begun?.listeners },
    store: new StoreKeeper({ store, clock, log }),
    notes: new ManagerNotes({ index, startedAt, clock, log }),
    sessions: new Map(),
    configuration: () => manager.current,
    onStep: options.onStep ?? (() => {}),
    isStopping: () => manager.isStopping,
    during: (work) => manager.during(work),
  });
  try {
    await manager.start(store.read());
  } catch (error) {
    await manager.stop();
    throw error;
  }
  return manager;
}

class Manager implements RunningManager {
  readonly startedAt: string;
  current: ManagerConfiguration;
  readonly #lock: DaemonLock;
  readonly #ground: Ground;
  readonly #threads: ManagerThreads;
  /** Under way: what `stop` waits for. */
  readonly #work = new Set<Promise<unknown>>();
  #settled: Promise<void> = Promise.resolve();
  #warmed: Promise<void> = Promise.resolve();
  #reloading: Promise<unknown> = Promise.resolve();
  #stopping: Promise<void> | undefined;
  isStopping = false;

  constructor(lock: DaemonLock, startedAt: string, configuration: ManagerConfiguration, ground: Ground) {
    this.#lock = lock;
    this.startedAt = startedAt;
    this.current = configuration;
    this.#ground = ground;
    this.#threads = new ManagerThreads(ground);
  }

  get warmed(): Promise<void> {
    return this.#warmed;
  }

  get settled(): Promise<void> {
    return this.#settled;
  }

  async start(stored: Parameters<typeof recover>[1]): Promise<void> {
    const ground = this.#ground;
    this.#warmed = ground.pool.warm();
    const unknown = await recover(ground, stored);
    const wanted = [...ground.sessions.values()].filter(({ row }) => row.state === 'running');
    for (const session of ground.sessions.values()) tellState(ground, session);
    const { opened, reloaded } = await reconfigure(ground, this.current, { isStart: true });
    for (const { session, keys } of reloaded.pending)
      ground.log.warn({ name: session, keys }, 'these settings of a session hold when it is reopened');
    ground.listeners?.keep(wanted.flatMap(({ row }) => row.place ?? []));
    const tried = [openAll(ground, [...wanted, ...opened]), sweep(ground, unknown)];
    this.#settled = this.during(Promise.all(tried).then(() => {}));
    this.#settled.catch(() => {});
  }

  create(request: SessionRequest): Promise<SessionView> {
    return this.#do(() => createSession(this.#ground, request));
  }

  list(): readonly SessionView[] {
    return [...this.#ground.sessions.values()].map((session) => session.view());
  }

  async show(name: string): Promise<SessionDetail> {
    return await this.#find(name).detail();
  }

  async samples(): Promise<readonly SessionSample[]> {
    const { sessions, clock } = this.#ground;
    return await Promise.all(
      [...sessions.values()].map(async (session) => {
        const status = await session.status();
        return sampleOf(session.view(), status, clock);
      }),
    );
  }

  reopen(name: string): Promise<SessionView> {
    return this.#do(() => reopenSession(this.#ground, this.#find(name)));
  }

  run(
    name: string,
    task: SessionTask,
    onProgress?: (progress: TaskProgress) => void,
    taskId?: string,
  ): Promise<TaskResult> {
    return this.#do(() => runTask(this.#ground, this.#find(name), task, onProgress, taskId));
  }

  close(
    name: string,
    options?: CloseOptions & { readonly onProgress?: (progress: TaskProgress) => void },
  ): Promise<CloseResult> {
    return this.#do(() => closeSession(this.#ground, this.#find(name), options));
  }

  subscribe(listener: (event: DaemonEvent) => void, after?: number): () => void {
    return this.#ground.events.subscribe(listener, after);
  }

  threads(): Promise<readonly ThreadReport[]> {
    return this.#threads.report();
  }

  reconfigure(configuration: Configuration): Promise<Reloaded> {
    return this.#do(async () => {
      const before = this.#reloading;
      const done = Promise.withResolvers<void>();
      this.#reloading = done.promise;
      await before;
      try {
        const next = managerConfiguration(configuration);
        // Nothing has changed yet if it is refused; what follows is not.
        this.#ground.addresses.setPool(next.listenPool);
        this.current = next;
        const { reloaded, opened } = await reconfigure(this.#ground, this.current, { isStart: false });
        void this.during(openAll(this.#ground, opened));
        return reloaded;
      } finally {
        done.resolve();
      }
    });
  }

  stop(): Promise<void> {
    this.isStopping = true;
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { sessions, store, pool, log } = this.#ground;
    for (const { retry } of sessions.values()) retry?.cancel();
    try {
      await Promise.all([...sessions.values()].map((session) => this.#stopOne(session)));
      // What was being created or closed ends with its session in the pool.
      await pool.close();
      await Promise.allSettled([...this.#work]);
    } catch (error) {
      log.warn({ cause: String(error) }, 'not all sessions closed in order; their logs keep what was written');
    } finally {
      this.#threads.close();
      store.close();
      this.#lock.release();
    }
  }

  async #stopOne(session: ManagedSession): Promise<void> {
    const { errand } = session;
    if (errand === 'creating' || errand === 'closing') return;
    const left = await endInPool(session, { isLast: true });
    if (!session.row.isTemporary) return;
    session.row = { ...session.row, state: 'closing', step: endOf(session.row) };
    await forget(this.#ground, session, left);
  }

  #find(name: string): ManagedSession {
    const { sessions } = this.#ground;
    const found = sessions.get(name) ?? [...sessions.values()].find((session) => session.name === name);
    if (found !== undefined) return found;
    throw new ViaductError('SESSION_NOT_FOUND', {
      cause: `there is no session "${name}".`,
      remedy: 'Name one by its id or name: `viaduct session list` shows them.',
    });
  }

  async #do<Result>(action: () => Promise<Result>): Promise<Result> {
    if (this.isStopping) {
      throw new ViaductError('SESSION_BUSY', {
        cause: 'the daemon is being stopped.',
        remedy: 'Ask again when it runs again: its sessions come back by themselves.',
      });
    }
    return await this.during(action());
  }

  during<Result>(work: Promise<Result>): Promise<Result> {
    this.#work.add(work);
    const over = (): void => void this.#work.delete(work);
    work.then(over, over);
    return work;
  }
}

function makeState(directory: string): void {
  try {
    makeDirectory(directory, 0o700);
  } catch (error) {
    throw new ViaductError('PRIVILEGE_NEEDED', {
      cause: `the state directory ${directory} cannot be made (${String(error)})`,
      remedy: 'Name one that this user may create or write to.',
      from: error,
    });
  }
}
