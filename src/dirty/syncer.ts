/**
 * Group commit: all that wait for the disk at one moment share one datasync and, if one of them asked for it, one seal.
 *
 *     request ──► next group ──one microtask, or when the running one ends──► seal, datasync of what is unsynced ──► answered
 *
 * Invariant: a group is answered only if all records that were in the log when it began are stable.
 */
import type { Log } from '../base/mod.ts';
import type { Appender } from './appender.ts';
import type { Segments } from './segments.ts';

interface Group {
  seals: boolean;
  readonly done: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** An end of the log: what came before it. */
export interface LogMark {
  readonly lsn: number;
  /** Of the next record. */
  readonly address: number;
  /** No change before this address is needed any more. */
  readonly boundary: number;
}

export interface SyncerOptions {
  readonly appender: Appender;
  readonly segments: Segments;
  readonly log: Log;
  /** Seals the open epoch. */
  readonly seal: () => void;
  /** Where the log ends now. */
  readonly mark: () => LogMark;
  /** Everything up to the mark is stable. */
  readonly onStable: (mark: LogMark) => void;
  /** A datasync failed: puts what is not stable elsewhere and syncs that. Rejects if that fails too. */
  readonly rescue: () => Promise<void>;
}

export class Syncer {
  readonly #options: SyncerOptions;
  #next: Group | undefined;
  #isRunning = false;
  #isBroken = false;
  #running: Promise<void> = Promise.resolve();
  #alone: Promise<unknown> = Promise.resolve();
  syncs = 0;
  failures = 0;

  constructor(options: SyncerOptions) {
    this.#options = options;
  }

  request(seals: boolean): Promise<void> {
    if (this.#next === undefined) {
      this.#next = group();
      if (!this.#isRunning) queueMicrotask(() => this.#begin());
    }
    if (seals) this.#next.seals = true;
    return this.#next.done;
  }

  /** When no group runs. */
  async idle(): Promise<void> {
    while (this.#isRunning || this.#next !== undefined) await this.#running.catch(() => {});
  }

  #begin(): void {
    const now = this.#next;
    if (now === undefined || this.#isRunning) return;
    this.#next = undefined;
    this.#isRunning = true;
    this.#running = this.#run(now.seals).then(now.resolve, now.reject);
    void this.#running.then(() => {
      this.#isRunning = false;
      this.#begin();
    });
  }

  async #run(seals: boolean): Promise<void> {
    const { appender } = this.#options;
    if (seals) this.#options.seal();
    await appender.settled();
    await this.alone(() => this.#stabilize());
  }

  /** No datasync runs meanwhile, and nothing else that is done alone. */
  alone<T>(action: () => Promise<T>): Promise<T> {
    const done = this.#alone.then(action, action);
    this.#alone = done.catch(() => {});
    return done;
  }

  async #stabilize(): Promise<void> {
    const { appender, onStable } = this.#options;
    const mark = this.#options.mark();
    if (!this.#isBroken && appender.wantedLsn <= appender.syncedLsn && !this.#options.segments.namesChanged) return;
    // After a failure another datasync answers well without having written anything: only writing again helps.
    if (!this.#isBroken) {
      const failure = await this.#sync();
      if (failure === undefined) {
        onStable(mark);
        return;
      }
      this.failures++;
      this.#options.log.warn({ cause: String(failure) }, 'the disk of the dirty log failed a sync: writing it again');
    }
    this.#isBroken = true;
    await this.#options.rescue();
    this.#isBroken = false;
  }

  /** Something else saw a datasync fail, or could not read back what was written: no sync is believed before all that is written again. */
  doubt(): void {
    this.#isBroken = true;
  }

  /** As well as it can be done, without a record of it. */
  async syncWritten(): Promise<void> {
    await this.alone(() => this.#sync());
  }

  /** The failure, if there was one. */
  async #sync(): Promise<unknown> {
    const { segments } = this.#options;
    this.syncs++;
    const unsynced = segments.all().filter((segment) => segment.isUnsynced);
    const names = segments.namesChanged;
    for (const segment of unsynced) segment.isUnsynced = false;
    for (const segment of unsynced) segment.pin();
    const results = await Promise.allSettled(unsynced.map((segment) => segment.file.datasync()));
    for (const segment of unsynced) segment.unpin();
    let failure: unknown;
    for (const [index, result] of results.entries()) {
      if (result.status === 'fulfilled') continue;
      unsynced[index]!.isUnsynced = true;
      failure ??= result.reason;
    }
    try {
      if (names) await segments.syncNames();
    } catch (error) {
      failure ??= error;
    }
    return failure;
  }
}

function group(): Group {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // Whoever asked sees the rejection; a group that nobody waits for any more does no harm.
  promise.catch(() => {});
  return { seals: false, done: promise, resolve, reject };
}
