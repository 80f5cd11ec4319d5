/**
 * A session as its worker's keeper sees it. A session whose worker dies is opened again in the next one, with the same plan on the same
 * port; its clients reconnect by themselves and find every handle valid.
 *
 * ```
 *   starting ──ready──► running ──worker died──► waiting (for the worker, or 0.1 s, doubling to 10 s) ──► starting
 *      │ failed, never ready before         │ close(), or an unexpected error in it    │ failed again: waiting
 *      ▼                                    ▼                                          ▼
 *    ended (`ready` rejects)            closing ──closed, or 10 s (0.3 s while starting, without a log)──► ended
 * ```
 *
 * While its worker is stuck (it should end and does not), the session waits; one that is to close is over then, and left behind.
 *
 * What cannot be closed in time ends with its worker if no other session is in that one, if it does not answer, or if it may hold a
 * dirty log, which somebody else must be able to open; else it is left behind.
 *
 * Invariants: in one worker at most once; what an earlier life of it says late is not heard; after `close` it is not opened again; `ready`,
 * `ended` and `released` settle once.
 */
import { limits, type Timer, ViaductError } from '../base/mod.ts';
import type { CleanCache } from '../cache/mod.ts';
import type { FileRuleSet } from '../vfs/mod.ts';
import { type ErrorRecord, errorOf, recordOf } from './error-record.ts';
import type { ListeningPlace, SessionOpening, SessionReport, WorkerStats } from './messages.ts';
import { type Death, deathMemoryMs, type PooledWorker, type Tenant } from './pooled-worker.ts';
import { RestartDelay } from './restart-delay.ts';
import {
  type EndOptions,
  mostDeaths,
  quarantined,
  type SupervisorOptions,
  type SupervisorState,
  type SupervisorStatus,
} from './supervision.ts';
import type { SessionTask, TaskEvent, TaskProgress, TaskResult } from './tasks.ts';
import type { LeftBehind } from './write-back-status.ts';
import { keepsLog } from './write-policy.ts';

const closeLimitMs = 10_000;
/**
 * What is still opening may wait for an origin that does not answer; it has nothing under way that is worth waiting for. Unless that is a
 * log's lock, which somebody else may want at once.
 */
const openingCloseLimitMs = 300;
const statsLimitMs = 1_000;
/** A worker that dies while a session starts in it may have died of another one: so often it is tried again. */
const lostStarts = 1;

export class Supervisor implements Tenant {
  readonly cache: CleanCache | undefined;
  readonly #options: SupervisorOptions;
  readonly #ready = Promise.withResolvers<ListeningPlace>();
  readonly #ended = Promise.withResolvers<ErrorRecord | undefined>();
  readonly #released = Promise.withResolvers<void>();
  readonly #delay = new RestartDelay();
  #state: SupervisorState = 'starting';
  /** How often it was opened. */
  #life = 0;
  #place: ListeningPlace | undefined;
  #restarts = 0;
  #lostStarts = 0;
  #lastError: ErrorRecord | undefined;
  /** What this life of it failed with. */
  #failure: ErrorRecord | undefined;
  /** What ended it, if that was not `close`. */
  #verdict: ErrorRecord | undefined;
  #isReleased = false;
  /** Its worker should end and does not. */
  #isStuck = false;
  /** In place of the plan's. */
  #files: FileRuleSet | undefined;
  #timer: Timer | undefined;
  #worker: PooledWorker;
  /** When its worker died with it. */
  #deaths: readonly number[] = [];
  readonly #questions = new Map<number, (stats: WorkerStats | undefined) => void>();
  readonly #tasks = new Map<number, (event: TaskEvent) => void>();
  #lastStats: WorkerStats | undefined;
  #questionId = 0;
  #closing: Promise<LeftBehind | undefined> | undefined;
  /** It was told to close before it was open. */
  #isOpeningEnded = false;
  #left: LeftBehind | undefined;
  /** The worker's use of its cache by a life of it that is over. */
  #removed: Promise<void> = Promise.resolve();

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.cache = options.cache;
    this.#worker = options.worker;
    // Whoever waits for `ready` sees the rejection; nobody has to.
    this.ready.catch(() => {});
    this.#enter();
  }

  /** Settles once: the session serves, or could not be started. */
  get ready(): Promise<ListeningPlace> {
    return this.#ready.promise;
  }

  /** What ended it; undefined: it was told to. */
  get ended(): Promise<ErrorRecord | undefined> {
    return this.#ended.promise;
  }

  /** Nothing of it uses its cache any more. */
  get released(): Promise<void> {
    return this.#released.promise;
  }

  /** The one that has it now. */
  get worker(): PooledWorker {
    return this.#worker;
  }

  get isReleased(): boolean {
    return this.#isReleased;
  }

  status(): SupervisorStatus {
    return { state: this.#state, place: this.#place, restarts: this.#restarts, lastError: this.#lastError };
  }

  /** The counters that were told last, by this or an earlier life of it. */
  get lastStats(): WorkerStats | undefined {
    return this.#lastStats;
  }

  /** Its counters, or undefined when it has none to give within a second (starting, dead, or stuck). */
  stats(): Promise<WorkerStats | undefined> {
    if (this.#state !== 'running') return Promise.resolve(undefined);
    const { number: session, clock } = this.#options;
    const worker = this.#worker;
    const id = ++this.#questionId;
    return new Promise((resolve) => {
      const timer = clock.after(statsLimitMs, () => this.#questions.get(id)?.(undefined));
      this.#questions.set(id, (stats) => {
        this.#questions.delete(id);
        timer.cancel();
        resolve(stats);
      });
      worker.post({ kind: 'stats', session, id });
    });
  }

  /** Has it done in the worker. Rejects with what is wrong with the task; a session that ends meanwhile has not done it. */
  run(task: SessionTask, onProgress: (progress: TaskProgress) => void): Promise<TaskResult> {
    if (this.#state !== 'running') return Promise.resolve(notNow(`the session is ${this.#state}`));
    if (this.#tasks.size >= limits.sessionTasks) return Promise.resolve(notNow('too many tasks wait already'));
    const { number: session } = this.#options;
    const worker = this.#worker;
    const id = ++this.#questionId;
    return new Promise((resolve, reject) => {
      this.#tasks.set(id, (event) => {
        if (event.kind === 'progress') return onProgress(event.progress);
        this.#tasks.delete(id);
        if (event.kind === 'result') resolve(event.result);
        else reject(errorOf(event.error));
      });
      worker.post({ kind: 'task', session, id, task });
    });
  }

  /** Settings by file from now on, after it was opened again too. */
  setFiles(files: FileRuleSet): void {
    this.#files = files;
    const isThere = this.#state === 'starting' || this.#state === 'running';
    if (isThere) this.#worker.post({ kind: 'rules', session: this.#options.number, files });
  }

  /** Ends it. What it left in its dirty log, if it has one and could say so. */
  close(options: EndOptions = {}): Promise<LeftBehind | undefined> {
    if (options.isLast === true && this.#isOpeningEnded && this.#state === 'closing')
      this.#limit(openingCloseLimitMs, true);
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  opening(): SessionOpening {
    this.#state = 'starting';
    this.#failure = undefined;
    this.#delay.started(this.#options.clock.now());
    this.#changed();
    const { plan } = this.#options;
    return {
      plan: this.#files === undefined ? plan : { ...plan, files: this.#files },
      life: ++this.#life,
      port: this.#place?.port ?? this.#options.port,
      hadLog: this.#options.hadLog === true || (this.#place !== undefined && keepsLog(plan.writes)),
      listener: this.#options.takeListener?.(),
    };
  }

  take(report: SessionReport): void {
    if (report.kind !== 'log' && (report.life !== this.#life || this.#isStuck)) return;
    switch (report.kind) {
      case 'ready':
        if (this.#state !== 'starting') return;
        this.#state = 'running';
        this.#place = report.place;
        if (this.#restarts > 0)
          this.#options.log.warn({ ...report.place, restarts: this.#restarts }, 'the session is back');
        this.#ready.resolve(report.place);
        this.#changed();
        return;
      case 'stats':
        this.#lastStats = report.stats;
        this.#questions.get(report.id)?.(report.stats);
        return;
      case 'log':
        this.#options.log[report.level](report.fields, report.message);
        return;
      case 'task':
        this.#tasks.get(report.id)?.(report.event);
        return;
      case 'failed':
        this.#failed(report.error);
        return;
      case 'closed':
        this.#left = report.left;
        this.#closed(report.isClean);
    }
  }

  moved(worker: PooledWorker): void {
    this.#worker = worker;
  }

  stuck(error: ErrorRecord): void {
    if (this.#state === 'ended') return;
    this.#timer?.cancel();
    this.#isStuck = true;
    this.#lastError = error;
    this.#silence('the session’s worker does not answer');
    if (this.#state === 'closing') {
      this.#leaveBehind();
      return;
    }
    this.#state = 'waiting';
    this.#changed();
  }

  died(error: ErrorRecord, { isAlone, isFault }: Death): boolean {
    this.#timer?.cancel();
    this.#isStuck = false;
    this.#silence('the session’s worker ended');
    if (this.#state === 'closing' || this.#state === 'ended') {
      this.#end();
      return false;
    }
    this.#lastError = error;
    const { clock, isQuarantined } = this.#options;
    this.#deaths = [...this.#deaths, clock.now()].filter((at) => clock.now() - at < deathMemoryMs);
    if (!isFault) this.#deaths = this.#deaths.slice(0, -1);
    if (isQuarantined === true && isAlone && this.#deaths.length >= mostDeaths) {
      this.#refuse(quarantined(error));
      this.#end();
      return false;
    }
    if (!this.#comesBack() && (isAlone || this.#lostStarts++ >= lostStarts)) {
      this.#refuse(error);
      this.#end();
      return false;
    }
    this.#restarts++;
    this.#state = 'waiting';
    this.#changed();
    return true;
  }

  #enter(): void {
    this.#timer = undefined;
    this.#worker.add(this.#options.number, this);
  }

  /** `closed` follows, when all of it that can be is. */
  #failed(error: ErrorRecord): void {
    this.#failure = error;
    if (this.#state !== 'starting' && this.#state !== 'running') return;
    this.#limit(closeLimitMs);
    if (this.#state === 'running') {
      const log = this.#options.log;
      log.error({ ...error }, 'the session ended by an error that nobody expected; what it wrote is kept');
      this.#silence('the session failed');
    } else if (this.#comesBack()) return;
    this.#refuse(error);
  }

  #closed(isClean: boolean): void {
    const { number, plan } = this.#options;
    const worker = this.#worker;
    this.#timer?.cancel();
    this.#silence('the session ended');
    if (this.#state === 'starting') {
      this.#removed = worker.remove(number, isClean);
      this.#againLater(this.#failure ?? recordOf(new Error('the session closed while it was opened')));
      return;
    }
    if (!isClean && keepsLog(plan.writes) && this.#state === 'closing') {
      // Its log may still be locked: that ends with the thread.
      void worker.giveUp(number, true);
      return;
    }
    this.#removed = worker.remove(number, isClean);
    // Its cache may take as long to be given back as the session itself.
    if (!isClean) this.#over();
    else if (this.#state === 'closing') this.#limit(closeLimitMs);
    void this.#removed.then(() => this.#end());
  }

  /** It could not be opened again: the reason may pass. */
  #againLater(failure: ErrorRecord): void {
    const { clock, log } = this.#options;
    const delayMs = this.#delay.next(clock.now());
    this.#lastError = failure;
    this.#restarts++;
    log.error({ ...failure, restartInMs: delayMs, restarts: this.#restarts }, 'the session could not be opened again');
    this.#state = 'waiting';
    this.#timer = clock.after(delayMs, () => this.#enter());
    this.#changed();
  }

  #comesBack(): boolean {
    return this.#place !== undefined || this.#options.isKept === true;
  }

  #changed(): void {
    this.#options.onChange?.();
  }

  /** It does not go on, and does not come back. */
  #refuse(error: ErrorRecord): void {
    this.#lastError = error;
    this.#verdict = error;
    this.#state = 'closing';
    this.#ready.reject(errorOf(error));
  }

  /** It is over for whoever waits; what of it is left behind in the worker may still hold its cache. */
  #over(): void {
    this.#timer?.cancel();
    this.#state = 'ended';
    this.#ended.resolve(this.#verdict);
  }

  #end(): void {
    this.#over();
    this.#isReleased = true;
    this.#released.resolve();
  }

  /** Nobody answers any more. */
  #silence(problem: string): void {
    for (const answer of [...this.#questions.values()]) answer(undefined);
    for (const tell of [...this.#tasks.values()]) tell({ kind: 'result', result: notNow(problem) });
  }

  /** `isQuick`: it was opening, and holds nothing that anybody wants. */
  #limit(limitMs: number, isQuick = false): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(limitMs, () => void this.#giveUp(limitMs, isQuick));
  }

  async #giveUp(limitMs: number, isQuick: boolean): Promise<void> {
    const { log, number, plan } = this.#options;
    const worker = this.#worker;
    if (isQuick) log.info({}, 'the session is stopped before it was ready');
    else log.error({ limitMs }, 'the session’s worker did not end in time and is stopped');
    // Who is to come back needs its place in the worker; who has a log, its lock.
    const mustEnd = this.#state === 'starting' || (!isQuick && keepsLog(plan.writes));
    if ((await worker.giveUp(number, mustEnd)) || this.#isReleased) return;
    this.#leaveBehind();
  }

  #leaveBehind(): void {
    this.#options.log.warn({}, 'what is left of the session stays in its worker');
    this.#over();
  }

  async #close({ isLast }: EndOptions): Promise<LeftBehind | undefined> {
    const { number, plan } = this.#options;
    const worker = this.#worker;
    if (this.#place === undefined && this.#state !== 'ended') {
      this.#ready.reject(
        new ViaductError('UNEXPECTED', { cause: 'The session was closed before it was ready.', remedy: 'Nothing.' }),
      );
    }
    const opening = this.#state === 'starting';
    if (opening || this.#state === 'running') {
      const isQuick = opening && (isLast === true || !keepsLog(plan.writes));
      this.#state = 'closing';
      this.#isOpeningEnded = opening;
      this.#limit(isQuick ? openingCloseLimitMs : closeLimitMs, isQuick);
      const how = isLast === true ? { isLast } : {};
      if (!worker.post({ kind: 'close', session: number, ...how })) await this.#leave();
    } else if (this.#isStuck && this.#state === 'waiting') this.#leaveBehind();
    else if (this.#state === 'waiting') await this.#leave();
    await this.ended;
    return this.#left;
  }

  /** It is in no thread. */
  async #leave(): Promise<void> {
    const { number } = this.#options;
    const worker = this.#worker;
    this.#timer?.cancel();
    this.#state = 'closing';
    await Promise.all([this.#removed, worker.remove(number)]);
    this.#end();
  }
}

function notNow(problem: string): TaskResult {
  return { outcome: 'closed', problems: [problem] };
}
