/**
 * The clean caches of a worker: each is attached once, however many sessions use it.
 *
 *   ticket ──first session with it──► attached ──told to──► detached
 *
 * The main thread counts the sessions, and says `detach` when the last of them has closed (pooled-worker.ts). The clock and the log are
 * the worker's: what the cache does by itself is no session's doing.
 */
import type { Clock, Log, Random } from '../base/mod.ts';
import { type CacheOwner, CleanCache } from '../cache/mod.ts';
import type { CacheTicket } from './messages.ts';
import { SharedHints } from './shared-hints.ts';

interface Attached {
  readonly cache: CleanCache;
  readonly hints: SharedHints;
}

/** As one session has it. */
export interface AttachedCache extends Attached {
  /** On whose account its blocks are kept; the main thread began it and will end it. */
  readonly owner: CacheOwner;
}

export interface AttachedCachesOptions {
  /** False: other workers use the same directories. */
  readonly isAlone: boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
}

export class AttachedCaches {
  readonly #options: AttachedCachesOptions;
  readonly #attached = new Map<number, Attached>();

  constructor(options: AttachedCachesOptions) {
    this.#options = options;
  }

  /** `user`: as the main thread calls it. Throws if its files cannot be opened. */
  use(ticket: CacheTicket, user: string): AttachedCache {
    const attached = this.#attach(ticket);
    return { ...attached, owner: attached.cache.owner({ name: user }) };
  }

  #attach({ id, share }: CacheTicket): Attached {
    const known = this.#attached.get(id);
    if (known !== undefined) return known;
    const { clock, log, random, isAlone } = this.#options;
    const cache = CleanCache.attach(share, { clock, log, random });
    const { sizeBytes: cacheBytes } = cache.stat();
    const { directory } = share;
    const hints = new SharedHints({ directory, cacheBytes, isOnlyWriter: isAlone, clock, log });
    const attached = { cache, hints };
    this.#attached.set(id, attached);
    return attached;
  }

  /** False: it was not attached. */
  async detach(id: number): Promise<boolean> {
    const attached = this.#attached.get(id);
    if (attached === undefined) return false;
    this.#attached.delete(id);
    attached.hints.close();
    await attached.cache.close();
    return true;
  }
}
