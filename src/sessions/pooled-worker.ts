/**
 * One worker thread of the pool and the sessions in it. A thread that dies is started again, and those sessions that want to are opened
 * in the new one.
 *
 *   none ──first session──► up ──died, sessions left──► waiting (0.1 s, doubling to 10 s) ──► up
 *                           └────died, none left──► none          close ──► ended
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

/** The part of node:worker_threads' Worker that is needed. */
export interface WorkerHandle {
  postMessage(order: WorkerOrder): void;
  on(event: 'message', listener: (report: WorkerReport) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'exit', listener: (code: number) => void): unknown;
  terminate(): Promise<number>;
}

/** A session, as its worker sees it. */
export interface Tenant {
  readonly cache: CleanCache | undefined;
  /** A thread is there: what it is to open. */
  opening(): SessionOpening;
  take(report: SessionReport): void;
  /** The thread ended; `isAlone`: no other session was in it. Whether to be opened in the next one. */
  died(error: ErrorRecord, isAlone: boolean): boolean;
}

export interface PooledWorkerOptions {
  startWorker(): WorkerHandle;
  readonly clock: Clock;
  readonly log: Log;
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

export class PooledWorker {
  readonly #options: PooledWorkerOptions;
  readonly #seats = new Map<number, Seat>();
  /** Of this thread; those that are being given back have no users. */
  readonly #attachments = new Set<Attachment>();
  readonly #pings = new Map<number, (isAnswered: boolean) => void>();
  readonly #delay = new RestartDelay();
  #worker: WorkerHandle | undefined;
  #timer: Timer | undefined;
  #ids = 0;
  #restarts = 0;
  #lastError: ErrorRecord | undefined;
  /** Why this thread is being ended, if it is. */
  #verdict: ErrorRecord | undefined;
  #isClosed = false;
  #onEnd: () => void = () => {};

  constructor(options: PooledWorkerOptions) {
    this.#options = options;
  }

  status(): PooledWorkerStatus {
    return { sessions: this.#seats.size, restarts: this.#restarts, lastError: this.#lastError };
  }

  /** Starts the thread before it is needed: its program takes longer to load than a session to open. */
  warm(): void {
    if (this.#worker === undefined && this.#timer === undefined && !this.#isClosed) this.#start();
  }

  /** Has the session opened, now or when the thread is back. */
  add(number: number, tenant: Tenant): void {
    this.#seats.set(number, { tenant, attachment: undefined });
    if (this.#worker !== undefined) this.#open(number);
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
    this.#verdict = {
      code: 'UNEXPECTED',
      cause: `The worker was ended, since session ${number} in it could not be closed.`,
      remedy: 'Its other sessions are opened again by themselves.',
    };
    void this.#worker?.terminate();
    return true;
  }

  /** Ends the thread as it is: its sessions have been closed before, or are lost. */
  close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    const worker = this.#worker;
    if (worker === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onEnd = resolve;
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
      this.#died(error ?? this.#verdict ?? recordOf(new Error(`the worker ended with code ${code}`)));
    });
    for (const number of [...this.#seats.keys()]) this.#open(number);
  }

  #open(number: number): void {
    const seat = this.#seats.get(number);
    if (seat === undefined) return;
    const { tenant } = seat;
    try {
      seat.attachment = tenant.cache === undefined ? undefined : this.#attach(tenant.cache);
    } catch (error) {
      tenant.opening();
      tenant.take({ kind: 'failed', session: number, error: recordOf(error) });
      tenant.take({ kind: 'closed', session: number, left: undefined, isClean: true });
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
        this.#pings.get(report.id)?.(true);
        return;
      case 'log':
        if (report.session === undefined) {
          this.#options.log[report.level](report.fields, report.message);
          return;
        }
    }
    if (report.session !== undefined) this.#seats.get(report.session)?.tenant.take(report);
  }

  #answers(): Promise<boolean> {
    const id = ++this.#ids;
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(pingLimitMs, () => this.#pings.get(id)?.(false));
      this.#pings.set(id, (isAnswered) => {
        this.#pings.delete(id);
        timer.cancel();
        resolve(isAnswered);
      });
      if (!this.#post({ kind: 'ping', id })) this.#pings.get(id)?.(false);
    });
  }

  #died(error: ErrorRecord): void {
    this.#worker = undefined;
    this.#lastError = error;
    for (const attachment of [...this.#attachments]) this.#detached(attachment, false);
    for (const answer of [...this.#pings.values()]) answer(false);
    const isAlone = this.#seats.size === 1;
    for (const [number, seat] of [...this.#seats]) {
      seat.attachment = undefined;
      if (!seat.tenant.died(error, isAlone)) this.#seats.delete(number);
    }
    this.#onEnd();
    if (this.#isClosed || this.#seats.size === 0) return;
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
