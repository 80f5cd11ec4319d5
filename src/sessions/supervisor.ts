/**
 * Keeps a session's worker alive. A worker that dies is started again with the same plan on the same port; its clients reconnect
 * by themselves and find every handle valid.
 *
 * ```
 *   starting ──ready──► running ──died──► waiting (0.1 s, doubling to 10 s) ──► starting
 *      │ failed, never ready before         │ close()                              │ failed again: waiting
 *      ▼                                    ▼                                      ▼
 *    ended (`ready` rejects)            closing ──closed, or 10 s (0.3 s while starting)──► ended
 * ```
 *
 * Invariants: at most one worker at a time; after `close` none is started; `ready` settles once.
 */
import { type Clock, type Log, limits, type Timer, ViaductError } from '../base/mod.ts';
import { type ErrorRecord, errorOf, recordOf } from './error-record.ts';
import type { ListeningPlace, WorkerOrder, WorkerReport, WorkerStats } from './messages.ts';
import type { SessionTask, TaskEvent, TaskProgress, TaskResult } from './tasks.ts';
import type { LeftBehind } from './write-back-status.ts';

/** The part of node:worker_threads' Worker that is needed. */
export interface WorkerHandle {
  postMessage(order: WorkerOrder): void;
  on(event: 'message', listener: (report: WorkerReport) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'exit', listener: (code: number) => void): unknown;
  terminate(): Promise<number>;
}

export interface SupervisorOptions {
  /** Starts a worker; `port` is the port that it must listen on again, if it had one. */
  startWorker(port: number | undefined): WorkerHandle;
  readonly clock: Clock;
  readonly log: Log;
}

export type SupervisorState = 'starting' | 'running' | 'waiting' | 'closing' | 'ended';

export interface SupervisorStatus {
  readonly state: SupervisorState;
  readonly place: ListeningPlace | undefined;
  readonly restarts: number;
  /** Why the worker was last restarted, or is not running. */
  readonly lastError: ErrorRecord | undefined;
}

const firstDelayMs = 100;
const longestDelayMs = 10_000;
/** A worker that ran this long was well: the next restart is quick again. */
const wellAfterMs = 60_000;
const closeLimitMs = 10_000;
/** A worker that is still opening may wait for an origin that does not answer; it has nothing under way that is worth waiting for. */
const openingCloseLimitMs = 300;
const statsLimitMs = 1_000;

export class Supervisor {
  readonly ready: Promise<ListeningPlace>;
  readonly #options: SupervisorOptions;
  #state: SupervisorState = 'starting';
  #worker: WorkerHandle | undefined;
  #place: ListeningPlace | undefined;
  #restarts = 0;
  #lastError: ErrorRecord | undefined;
  #delayMs = firstDelayMs;
  #startedAt = 0;
  #timer: Timer | undefined;
  #resolveReady: (place: ListeningPlace) => void = () => {};
  #rejectReady: (error: unknown) => void = () => {};
  readonly #questions = new Map<number, (stats: WorkerStats | undefined) => void>();
  readonly #tasks = new Map<number, (event: TaskEvent) => void>();
  #questionId = 0;
  #closing: Promise<LeftBehind | undefined> | undefined;
  #left: LeftBehind | undefined;
  #ended: () => void = () => {};

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve;
      this.#rejectReady = reject;
    });
    // Whoever waits for `ready` sees the rejection; nobody has to.
    this.ready.catch(() => {});
    this.#start();
  }

  status(): SupervisorStatus {
    return { state: this.#state, place: this.#place, restarts: this.#restarts, lastError: this.#lastError };
  }

  /** The worker's counters, or undefined when it has none to give within a second (starting, dead, or stuck). */
  stats(): Promise<WorkerStats | undefined> {
    const worker = this.#worker;
    if (this.#state !== 'running' || worker === undefined) return Promise.resolve(undefined);
    const id = ++this.#questionId;
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(statsLimitMs, () => this.#questions.get(id)?.(undefined));
      this.#questions.set(id, (stats) => {
        this.#questions.delete(id);
        timer.cancel();
        resolve(stats);
      });
      worker.postMessage({ kind: 'stats', id });
    });
  }

  /** Has the worker do it. Rejects with what is wrong with the task; a worker that dies meanwhile has not done it. */
  run(task: SessionTask, onProgress: (progress: TaskProgress) => void): Promise<TaskResult> {
    const worker = this.#worker;
    if (this.#state !== 'running' || worker === undefined)
      return Promise.resolve(notNow(`the session is ${this.#state}`));
    if (this.#tasks.size >= limits.sessionTasks) return Promise.resolve(notNow('too many tasks wait already'));
    const id = ++this.#questionId;
    return new Promise((resolve, reject) => {
      this.#tasks.set(id, (event) => {
        if (event.kind === 'progress') return onProgress(event.progress);
        this.#tasks.delete(id);
        if (event.kind === 'result') resolve(event.result);
        else reject(errorOf(event.error));
      });
      worker.postMessage({ kind: 'task', id, task });
    });
  }

  /** Ends the worker. What it left in its dirty log, if it has one and could say so. */
  close(): Promise<LeftBehind | undefined> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #start(): void {
    this.#state = 'starting';
    this.#startedAt = this.#options.clock.now();
    const worker = this.#options.startWorker(this.#place?.port);
    this.#worker = worker;
    let error: ErrorRecord | undefined;
    worker.on('message', (report) => {
      if (report.kind === 'failed') error = report.error;
      this.#take(report);
    });
    worker.on('error', (cause) => {
      error = recordOf(cause);
    });
    worker.on('exit', (code) => this.#died(error ?? recordOf(new Error(`the worker ended with code ${code}`))));
  }

  #take(report: WorkerReport): void {
    switch (report.kind) {
      case 'ready':
        if (this.#state !== 'starting') return;
        this.#state = 'running';
        this.#place = report.place;
        if (this.#restarts > 0)
          this.#options.log.warn({ ...report.place, restarts: this.#restarts }, 'the session is back');
        this.#resolveReady(report.place);
        return;
      case 'stats':
        this.#questions.get(report.id)?.(report.stats);
        return;
      case 'log':
        this.#options.log[report.level](report.fields, report.message);
        return;
      case 'task':
        this.#tasks.get(report.id)?.(report.event);
        return;
      case 'closed':
        this.#left = report.left;
        // All is closed. What still keeps it, such as an attempt to reach an origin that is away, is not worth waiting for.
        void this.#worker?.terminate();
        return;
      case 'failed':
        // The exit that follows tells the rest.
        return;
    }
  }

  #died(error: ErrorRecord): void {
    this.#worker = undefined;
    for (const answer of [...this.#questions.values()]) answer(undefined);
    for (const tell of [...this.#tasks.values()])
      tell({ kind: 'result', result: notNow('the session’s worker ended') });
    if (this.#state === 'closing') {
      this.#ended();
      return;
    }
    this.#lastError = error;
    if (this.#place === undefined) {
      this.#state = 'ended';
      this.#rejectReady(errorOf(error));
      return;
    }
    if (this.#options.clock.now() - this.#startedAt > wellAfterMs) this.#delayMs = firstDelayMs;
    this.#restarts++;
    this.#options.log.error(
      { ...error, restartInMs: this.#delayMs, restarts: this.#restarts },
      'the session’s worker died',
    );
    this.#state = 'waiting';
    this.#timer = this.#options.clock.after(this.#delayMs, () => this.#start());
    this.#delayMs = Math.min(longestDelayMs, this.#delayMs * 2);
  }

  async #close(): Promise<LeftBehind | undefined> {
    const worker = this.#worker;
    this.#timer?.cancel();
    if (this.#place === undefined) {
      this.#rejectReady(
        new ViaductError('UNEXPECTED', { cause: 'The session was closed before it was ready.', remedy: 'Nothing.' }),
      );
    }
    if (worker !== undefined) {
      const opening = this.#state === 'starting';
      const limitMs = opening ? openingCloseLimitMs : closeLimitMs;
      this.#state = 'closing';
      const exited = new Promise<void>((resolve) => {
        this.#ended = resolve;
      });
      const timer = this.#options.clock.after(limitMs, () => {
        const log = this.#options.log;
        if (opening) log.info({}, 'the session is stopped before it was ready');
        else log.error({ limitMs }, 'the session’s worker did not end in time and is stopped');
        void worker.terminate();
      });
      worker.postMessage({ kind: 'close' });
      await exited;
      timer.cancel();
    }
    this.#state = 'ended';
    return this.#left;
  }
}

function notNow(problem: string): TaskResult {
  return { outcome: 'closed', problems: [problem] };
}
