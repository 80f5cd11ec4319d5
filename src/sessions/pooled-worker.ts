/**
 * One worker thread of the pool and the sessions in it. A thread that dies is started again, and those sessions that want to are opened
 * in the new one.
 *
 *   none ──first session──► up ──died, sessions left──► waiting (0.1 s, doubling to 10 s) ──► up
 *                           │ └──died, none left──► none          close ──► ended
 *                           └──told to end, still there after 10 s──► stuck ──died──► as above
 *
 * It is asked for a sign of life all the time: one that something blocks is ended. If it died twice in five minutes, half of its sessions go to
 * another thread, so that the one at fault is soon alone, and told apart. A thread in a call of the system that does not return cannot be
 * ended: its sessions are told so, and wait.
 *
 * It also counts who uses which clean cache through it: one attachment for each cache, made with the first session, given back when the
 * last has closed, or with the thread.
 *
 * Invariants: at most one thread at a time; after `close` none is started; an attachment is given back once, when nothing can use it.
 */
import type { Clock, Log, Timer } from '../base/mod.ts';
import type { CacheShare, CleanCache } from '../cache/mod.ts';
import { type ErrorRecord, recordOf } from './error-record.ts';
import type {
  CacheTicket,
  SessionOpening,
  SessionOrder,
  SessionReport,
  WorkerOrder,
  WorkerReport,
} from './messages.ts';
import { RestartDelay } from './restart-delay.ts';
import type { Load } from './thread-load.ts';

/** The part of node:worker_threads' Worker that is needed. */
export interface WorkerHandle {
  postMessage(order: WorkerOrder): void;
  on(event: 'message', listener: (report: WorkerReport) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'exit', listener: (code: number) => void): unknown;
  terminate(): Promise<number>;
}

export interface Death {
  /** No other session was in the thread. */
  readonly isAlone: boolean;
  /** Something in it was at fault; else it was ended for one that could not be closed. */
  readonly isFault: boolean;
}

/** A session, as its worker sees it. */
export interface Tenant {
  readonly cache: CleanCache | undefined;
  /** A thread is there: what it is to open. */
  opening(): SessionOpening;
  take(report: SessionReport): void;
  /** The thread ended. Whether to be opened in the next one. */
  died(error: ErrorRecord, about: Death): boolean;
  /** The thread should end and does not: nothing of it answers, until it has died. */
  stuck(error: ErrorRecord): void;
  /** To be opened by that one from now on. */
  moved(worker: PooledWorker): void;
}

export interface PooledWorkerOptions {
  startWorker(): WorkerHandle;
  readonly clock: Clock;
  readonly log: Log;
  /** It died and is started again, with so many sessions. */
  readonly onRestart?: ((error: ErrorRecord, sessions: number) => void) | undefined;
  /** Another one, for half of its sessions. Undefined: there are enough. */
  readonly another?: (() => PooledWorker | undefined) | undefined;
}

export interface PooledWorkerStatus {
  readonly sessions: number;
  readonly restarts: number;
  readonly lastError: ErrorRecord | undefined;
}

/** The worker's use of one cache. */
interface Attachment extends CacheTicket {
  readonly cache: CleanCache;
  readonly share: CacheShare;
  users: number;
  /** Somebody who could not be closed may still use it. */
  isStuck: boolean;
  /** It has been given back. */
  readonly over: PromiseWithResolvers<void>;
}

interface Seat {
  readonly tenant: Tenant;
  attachment: Attachment | undefined;
}

const pingLimitMs = 1_000;
/**
 * A thread that misses so many pings in a row is blocked. Ticks count, not the time between them: a process that was stopped or had no core
 * for a minute finds its threads alive.
 */
const watchMs = 10_000;
const missedPings = 3;
/** So often it is said again that a thread does not end. */
const stuckMs = 60_000;
const endLimitMs = 5_000;
/** A death that long ago is forgotten. */
export const deathMemoryMs = 5 * 60_000;

export class PooledWorker {
  readonly #options: PooledWorkerOptions;
  readonly #seats = new Map<number, Seat>();
  /** Of this thread; those that are being given back have no users. */
  readonly #attachments = new Set<Attachment>();
  readonly #pings = new Map<number, (isAnswered: boolean, load?: Load) => void>();
  readonly #delay = new RestartDelay();
  #worker: WorkerHandle | undefined;
  #timer: Timer | undefined;
  #watchdog: Timer | undefined;
  /** When it died by a fault. */
  #deaths: readonly number[] = [];
  #ids = 0;
  #restarts = 0;
  #lastError: ErrorRecord | undefined;
  /** Why this thread is being ended, if it is; a fault: something in it is to blame. */
  #verdict: { readonly error: ErrorRecord; readonly isFault: boolean } | undefined;
  /** Why nothing in this thread answers any more. */
  #stuck: ErrorRecord | undefined;
  #isClosed = false;
  #onEnd: () => void = () => {};

  constructor(options: PooledWorkerOptions) {
    this.#options = options;
  }

  status(): PooledWorkerStatus {
    return { sessions: this.#seats.size, restarts: this.#restarts, lastError: this.#lastError };
  }

  /** Nothing can be opened in it at present. */
  get isStuck(): boolean {
    return this.#stuck !== undefined;
  }

  /** Starts the thread before it is needed: its program takes longer to load than a session to open. */
  warm(): void {
    if (this.#worker === undefined && this.#timer === undefined && !this.#isClosed) this.#start();
  }

  /** Its program is loaded; or it does not answer, for whatever reason. */
  async loaded(): Promise<void> {
    await this.#answers();
  }

  /** How busy the thread is; undefined: there is none, or it does not answer. */
  async load(): Promise<Load | undefined> {
    return await this.#ask<Load>((_isAnswered, load) => load, true);
  }

  /** Has the session opened, now or when the thread is back. */
  add(number: number, tenant: Tenant): void {
    this.#seats.set(number, { tenant, attachment: undefined });
    if (this.#stuck !== undefined) tenant.stuck(this.#stuck);
    else if (this.#worker !== undefined) this.#open(number);
    else this.warm();
  }

  /** The session has closed, or was never opened. Resolves when its cache is not used through it any more. */
  remove(number: number, isClean = true): Promise<void> {
    const attachment = this.#seats.get(number)?.attachment;
    this.#seats.delete(number);
    if (this.#seats.size === 0) {
      // No thread is needed for nobody.
      this.#timer?.cancel();
      this.#timer = undefined;
    }
    if (attachment === undefined) return Promise.resolve();
    attachment.users--;
    if (!isClean) attachment.isStuck = true;
    if (attachment.users === 0 && !attachment.isStuck) this.#post({ kind: 'detach', id: attachment.id });
    else if (isClean) return Promise.resolve();
    return attachment.over.promise;
  }

  /** False: there is no thread now. */
  post(order: SessionOrder): boolean {
    return this.#post(order);
  }

  /**
   * The session does not end. True: the thread ends for it, since no other needs it, or it does not answer, or because it must
   * (`mustEnd`); the other sessions are opened in the next one.
   */
  async giveUp(number: number, mustEnd: boolean): Promise<boolean> {
    const hasOthers = [...this.#seats.keys()].some((other) => other !== number);
    if (hasOthers && !mustEnd && (await this.#answers())) return false;
    const error = {
      code: 'UNEXPECTED',
      cause: `The worker was ended, since session ${number} in it could not be closed.`,
      remedy: 'Its other sessions are opened again by themselves.',
    } as const;
    this.#end({ error, isFault: false });
    return true;
  }

  /** Ends the thread as it is: its sessions have been closed before, or are lost. One that does not end is not waited for long. */
  close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#watchdog?.cancel();
    const worker = this.#worker;
    if (worker === undefined) return Promise.resolve();
    const { clock, log } = this.#options;
    return new Promise((resolve) => {
      const timer = clock.after(endLimitMs, () => {
        log.error({ limitMs: endLimitMs }, 'a worker does not end; it is not waited for');
        resolve();
      });
      this.#onEnd = () => {
        timer.cancel();
        resolve();
      };
      void worker.terminate();
    });
  }

  #start(): void {
    this.#timer = undefined;
    this.#verdict = undefined;
    this.#delay.started(this.#options.clock.now());
    let worker: WorkerHandle;
    try {
      worker = this.#options.startWorker();
    } catch (error) {
      this.#died(recordOf(error));
      return;
    }
    this.#worker = worker;
    let error: ErrorRecord | undefined;
    worker.on('message', (report) => {
      if (report.kind === 'broken') error = report.error;
      else this.#take(report);
    });
    worker.on('error', (cause) => {
      error ??= recordOf(cause);
    });
    worker.on('exit', (code) => {
      this.#died(error ?? this.#verdict?.error ?? recordOf(new Error(`the worker ended with code ${code}`)));
    });
    for (const number of [...this.#seats.keys()]) this.#open(number);
  }

  #open(number: number): void {
    const seat = this.#seats.get(number);
    if (seat === undefined) return;
    if (this.#watchdog === undefined) this.#watch(0);
    const { tenant } = seat;
    try {
      seat.attachment = tenant.cache === undefined ? undefined : this.#attach(tenant.cache);
    } catch (error) {
      const { life } = tenant.opening();
      tenant.take({ kind: 'failed', session: number, life, error: recordOf(error) });
      tenant.take({ kind: 'closed', session: number, life, left: undefined, isClean: true });
      return;
    }
    const attachment = seat.attachment;
    const cache = attachment && { id: attachment.id, share: attachment.share };
    this.#post({ kind: 'open', session: number, ...tenant.opening(), cache });
  }

  #attach(cache: CleanCache): Attachment {
    for (const known of this.#attachments) {
      if (known.cache !== cache || (known.users === 0 && !known.isStuck)) continue;
      known.users++;
      return known;
    }
    const share = cache.share();
    const attachment: Attachment = {
      ...{ id: ++this.#ids, cache, share, users: 1, isStuck: false },
      over: Promise.withResolvers<void>(),
    };
    this.#attachments.add(attachment);
    return attachment;
  }

  #detached(attachment: Attachment, isClosed: boolean): void {
    this.#attachments.delete(attachment);
    // What was closed may be somebody else's share by now.
    if (!isClosed) attachment.cache.lost(attachment.share);
    attachment.over.resolve();
  }

  #take(report: Exclude<WorkerReport, { kind: 'broken' }>): void {
    switch (report.kind) {
      case 'detached':
        for (const attachment of this.#attachments)
          if (attachment.id === report.id) this.#detached(attachment, report.wasAttached);
        return;
      case 'pong':
        this.#pings.get(report.id)?.(true, report.load);
        return;
      case 'log':
        if (report.session === undefined) {
          this.#options.log[report.level](report.fields, report.message);
          return;
        }
    }
    if (report.session !== undefined) this.#seats.get(report.session)?.tenant.take(report);
  }

  async #answers(): Promise<boolean> {
    return (await this.#ask((isAnswered) => isAnswered, false)) ?? false;
  }

  #ask<Answer>(
    answer: (isAnswered: boolean, load: Load | undefined) => Answer | undefined,
    wantsLoad: boolean,
  ): Promise<Answer | undefined> {
    const id = ++this.#ids;
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(pingLimitMs, () => this.#pings.get(id)?.(false));
      this.#pings.set(id, (isAnswered, load) => {
        this.#pings.delete(id);
        timer.cancel();
        resolve(answer(isAnswered, load));
      });
      if (!this.#post({ kind: 'ping', id, ...(wantsLoad ? { wantsLoad } : {}) })) this.#pings.get(id)?.(false);
    });
  }

  /** `missed`: pings before this one that were not answered. */
  #watch(missed: number): void {
    const id = ++this.#ids;
    let isAlive = false;
    this.#pings.set(id, () => {
      isAlive = true;
      this.#pings.delete(id);
    });
    this.#post({ kind: 'ping', id });
    this.#watchdog = this.#options.clock.after(watchMs, () => {
      this.#pings.delete(id);
      this.#watchdog = undefined;
      // Nobody suffers from an empty thread.
      if (this.#seats.size === 0) return;
      if (isAlive) this.#watch(0);
      else if (missed + 1 < missedPings) this.#watch(missed + 1);
      else this.#endBlocked();
    });
  }

  #endBlocked(): void {
    const error = {
      code: 'UNEXPECTED',
      cause: `The worker has not answered for ${(missedPings * watchMs) / 1000} s: something in one of its sessions blocks it. It was ended.`,
      remedy: 'Its sessions are opened again by themselves. This is a bug in Viaduct; please report it with the log.',
    } as const;
    this.#end({ error, isFault: true });
  }

  #end(verdict: { readonly error: ErrorRecord; readonly isFault: boolean }): void {
    const worker = this.#worker;
    // One that is stuck has been told.
    if (worker === undefined || this.#stuck !== undefined) return;
    this.#verdict = verdict;
    this.#watchdog?.cancel();
    const toldAt = this.#options.clock.now();
    this.#watchdog = this.#options.clock.after(watchMs, () => this.#stillThere(toldAt));
    void worker.terminate();
  }

  /** Only a call of the system that does not return keeps a thread from its end. */
  #stillThere(toldAt: number): void {
    const { clock, log } = this.#options;
    const seconds = Math.round((clock.now() - toldAt) / 1000);
    const error = {
      code: 'UNEXPECTED',
      cause: `The worker was told to end ${seconds} s ago and is still there: something in it waits for this host’s kernel, and cannot be ended.`,
      remedy:
        'A disk or a file system of this host may hang: look into its log (`dmesg`). The sessions are opened again when the worker has ended; if it never does, end the daemon (kill -9) and start it again.',
    } as const;
    this.#lastError = error;
    if (this.#seats.size > 0) log.error({ ...error, sessions: this.#seats.size }, 'a worker does not end');
    if (this.#stuck === undefined) for (const { tenant } of [...this.#seats.values()]) tenant.stuck(error);
    this.#stuck = error;
    this.#watchdog = clock.after(stuckMs, () => this.#stillThere(toldAt));
  }

  #died(error: ErrorRecord): void {
    this.#worker = undefined;
    this.#stuck = undefined;
    this.#watchdog?.cancel();
    this.#watchdog = undefined;
    this.#lastError = error;
    const isFault = this.#verdict?.isFault ?? true;
    for (const attachment of [...this.#attachments]) this.#detached(attachment, false);
    for (const answer of [...this.#pings.values()]) answer(false);
    const isAlone = this.#seats.size === 1;
    for (const [number, seat] of [...this.#seats]) {
      seat.attachment = undefined;
      if (!seat.tenant.died(error, { isAlone, isFault })) this.#seats.delete(number);
    }
    this.#onEnd();
    if (this.#isClosed || this.#seats.size === 0) return;
    this.#options.onRestart?.(error, this.#seats.size);
    const now = this.#options.clock.now();
    this.#deaths = this.#deaths.filter((at) => now - at < deathMemoryMs);
    if (isFault) this.#deaths = [...this.#deaths, now];
    if (isFault && this.#deaths.length >= 2 && this.#seats.size > 1) this.#split();
    this.#startLater(error);
  }

  /** The half that came last goes; whoever is at fault is among fewer then, here or there. */
  #split(): void {
    const other = this.#options.another?.();
    if (other === undefined) return;
    const seats = [...this.#seats];
    for (const [number, seat] of seats.slice(Math.ceil(seats.length / 2))) {
      this.#seats.delete(number);
      other.#seats.set(number, { tenant: seat.tenant, attachment: undefined });
      seat.tenant.moved(other);
    }
    other.#deaths = this.#deaths;
    other.warm();
  }

  #startLater(error: ErrorRecord): void {
    const { clock, log } = this.#options;
    const delayMs = this.#delay.next(clock.now());
    this.#restarts++;
    const sessions = this.#seats.size;
    const fields = { ...error, restartInMs: delayMs, restarts: this.#restarts };
    if (sessions === 1) log.error(fields, 'the session’s worker died');
    else log.error({ ...fields, sessions }, 'the worker of several sessions died');
    this.#timer = clock.after(delayMs, () => this.#start());
  }

  #post(order: WorkerOrder): boolean {
    this.#worker?.postMessage(order);
    return this.#worker !== undefined;
  }
}
