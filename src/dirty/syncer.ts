/**
 * Group commit: all that wait for the disk at one moment share one datasync and, if one of them asked for it, one seal.
 *
 *     request ──► next group ──one microtask, or when the running one ends──► seal, datasync of what is unsynced ──► answered
 *
 * Invariant: a group is answered only if all records that were in the log when it began are stable.
 */
import { type Log, ViaductError } from '../base/mod.ts';
import type { Appender } from './appender.ts';
import type { LogDirectory } from './contract.ts';
import type { Segments } from './segments.ts';

interface Group {
  seals: boolean;
  readonly done: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface SyncerOptions {
  readonly appender: Appender;
  readonly segments: Segments;
  readonly directory: LogDirectory;
  readonly log: Log;
  /** Seals the open epoch. */
  readonly seal: () => void;
  /** Everything up to this LSN is stable. */
  readonly onStable: (lsn: number, boundary: number) => void;
  /** No change before this address is needed any more, by what is in the log. */
  readonly boundary: () => number;
  /** A datasync failed: puts what is not stable elsewhere and syncs that. Rejects if that fails too. */
  readonly rescue: () => Promise<void>;
}

export class Syncer {
  readonly #options: SyncerOptions;
  #next: Group | undefined;
  #isRunning = false;
  #running: Promise<void> = Promise.resolve();
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
    const { appender, onStable } = this.#options;
    if (seals) this.#options.seal();
    await appender.settled();
    const lsn = appender.appliedLsn;
    const boundary = this.#options.boundary();
    if (appender.wantedLsn <= appender.syncedLsn && !this.#options.segments.namesChanged) return;
    try {
      await this.#sync();
    } catch (error) {
      this.failures++;
      this.#options.log.warn({ cause: String(error) }, 'the disk of the dirty log failed a sync: writing it again');
      try {
        await this.#options.rescue();
      } catch (from) {
        throw failed(from);
      }
      return;
    }
    onStable(lsn, boundary);
  }

  async #sync(): Promise<void> {
    const { segments, directory } = this.#options;
    this.syncs++;
    const unsynced = segments.all().filter((segment) => segment.isUnsynced);
    const names = segments.namesChanged;
    segments.namesChanged = false;
    for (const segment of unsynced) segment.isUnsynced = false;
    const results = await Promise.allSettled(unsynced.map((segment) => segment.file.datasync()));
    let failure: unknown;
    for (const [index, result] of results.entries()) {
      if (result.status === 'fulfilled') continue;
      unsynced[index]!.isUnsynced = true;
      failure ??= result.reason;
    }
    try {
      if (names) await directory.sync();
    } catch (error) {
      segments.namesChanged = true;
      failure ??= error;
    }
    if (failure !== undefined) throw failure;
  }
}

function group(): Group {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // Whoever asked sees the rejection; a group that nobody waits for any more does no harm.
  promise.catch(() => {});
  return { seals: false, done: promise, resolve, reject };
}

export function failed(from: unknown): ViaductError {
  return new ViaductError('LOG_FAILED', {
    cause: `the disk of the dirty log does not keep what is written to it: ${String(from)}`,
    remedy: 'check the disk of --dirty-log; clients are told that their data are not stable',
    from,
  });
}
