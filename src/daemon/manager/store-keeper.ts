/**
 * The store as the manager uses it: what must be written before anything happens is written or refused, and what has happened already
 * is written as soon as the store can.
 *
 *     must() ──fails──► the error, and nothing has changed
 *     later() ──fails──► waits, 1 s doubling to 30 s ──► written; the newest of a session alone counts
 *
 * Sessions go on meanwhile.
 */
import type { Clock, Log, Timer, ViaductError } from '../../base/mod.ts';
import type { SessionStore, StoredSession } from './session-store.ts';

const firstRetryMs = 1_000;
const longestRetryMs = 30_000;

export interface StoreKeeperOptions {
  readonly store: SessionStore;
  readonly clock: Clock;
  readonly log: Log;
}

export class StoreKeeper {
  readonly #options: StoreKeeperOptions;
  /** By id; undefined: the row is to be removed. */
  readonly #waiting = new Map<string, StoredSession | undefined>();
  #timer: Timer | undefined;
  #retryMs = firstRetryMs;
  #isClosed = false;

  constructor(options: StoreKeeperOptions) {
    this.#options = options;
  }

  /** Sessions whose row is not as it should be. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Throws if it cannot be written now. */
  must(session: StoredSession): void {
    // A removal that waits may have its name.
    const error = this.#flush();
    if (error !== undefined && !isOfRow(error)) throw error;
    this.#options.store.put(session);
    this.#waiting.delete(session.id);
  }

  later(session: StoredSession): void {
    this.#write(session.id, session);
  }

  remove(id: string): void {
    this.#write(id, undefined);
  }

  /** What waits is tried once more. */
  close(): void {
    this.#timer?.cancel();
    this.#retry();
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#options.store.close();
  }

  #write(id: string, session: StoredSession | undefined): void {
    try {
      this.#put(id, session);
    } catch (error) {
      this.#failed(error);
      this.#waiting.set(id, session);
    }
  }

  #put(id: string, session: StoredSession | undefined): void {
    const { store } = this.#options;
    if (session === undefined) store.remove(id);
    else store.put(session);
    this.#waiting.delete(id);
  }

  #failed(error: unknown): void {
    const { log, clock } = this.#options;
    if (this.#timer !== undefined || this.#isClosed) return;
    const { code, message, remedy } = error as ViaductError;
    log.error(
      { code, cause: message, remedy, retryInMs: this.#retryMs },
      'what the daemon knows of its sessions waits to be stored',
    );
    this.#timer = clock.after(this.#retryMs, () => this.#retry());
    this.#retryMs = Math.min(longestRetryMs, this.#retryMs * 2);
  }

  #retry(): void {
    this.#timer = undefined;
    if (this.#waiting.size === 0) return;
    const error = this.#flush();
    if (error !== undefined) {
      this.#failed(error);
      return;
    }
    this.#retryMs = firstRetryMs;
    this.#options.log.info({}, 'what the daemon knows of its sessions is stored again');
  }

  /** Removals first: their names are taken until then. What is wrong with one row keeps no other; what is wrong with the store ends it. */
  #flush(): unknown {
    const waiting = [...this.#waiting].sort(
      ([, one], [, other]) => Number(one !== undefined) - Number(other !== undefined),
    );
    let first: unknown;
    for (const [id, session] of waiting) {
      try {
        this.#put(id, session);
      } catch (error) {
        if (!isOfRow(error)) return error;
        first ??= error;
      }
    }
    return first;
  }
}

const sqliteConstraint = 19;

function isOfRow(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'errcode' in cause && (Number(cause.errcode) & 0xff) === sqliteConstraint;
}
