/**
 * The clean caches of this process: each directory is opened once, however many sessions use it.
 *
 *   acquire ──first──► opening ──► open (users n) ──last release──► closing ──► nothing, or opened anew for who waits
 *
 * Invariants: a directory is open at most once, under whatever name; what was opened for nobody who got ready, where nothing was before,
 * leaves nothing.
 */
import { realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { type Clock, formatSize, type Log, type Random, ViaductError } from '../base/mod.ts';
import { type CacheOwner, CleanCache } from '../cache/mod.ts';
import type { SessionPlan } from './plan.ts';

/** The quota is of the session. */
export type CacheRule = NonNullable<SessionPlan['cache']> & { readonly quotaBytes?: number | undefined };

export interface CacheUse {
  readonly cache: CleanCache;
  /** On whose account the user's blocks are kept, until it is released. */
  readonly owner: CacheOwner;
  /** Once, when nothing of the user can use it any more. Resolves when it is closed, if this was the last. */
  release(wasReady: boolean): Promise<void>;
}

interface Entry {
  readonly rule: CacheRule;
  readonly opening: Promise<CleanCache>;
  users: number;
  wasUsed: boolean;
  closing: Promise<void> | undefined;
}

export class SharedCaches {
  readonly #tools: { readonly clock: Clock; readonly log: Log; readonly random: Random };
  readonly #entries = new Map<string, Entry>();

  constructor(tools: { readonly clock: Clock; readonly log: Log; readonly random: Random }) {
    this.#tools = tools;
  }

  /** `user`: its name, one of a kind. Rejects as `CleanCache.open`, and with CONFIGURATION_INVALID if it is open with another size. */
  async acquire(rule: CacheRule, user: string): Promise<CacheUse> {
    const key = placeOf(resolve(rule.directory));
    for (let closing = this.#entries.get(key)?.closing; closing !== undefined; ) {
      await closing.catch(() => {});
      closing = this.#entries.get(key)?.closing;
    }
    const entry = this.#entries.get(key) ?? this.#open(key, rule);
    if (entry.rule.sizeBytes !== rule.sizeBytes) throw otherSize(rule, entry.rule.sizeBytes);
    entry.users++;
    const cache = await entry.opening;
    const owner = cache.owner({ name: user, quotaBytes: rule.quotaBytes });
    const release = (wasReady: boolean): Promise<void> => {
      owner.end();
      return this.#release(key, entry, wasReady);
    };
    return { cache, owner, release };
  }

  #open(key: string, rule: CacheRule): Entry {
    const opening = CleanCache.open({ ...rule, ...this.#tools });
    const entry: Entry = { rule, opening, users: 0, wasUsed: false, closing: undefined };
    this.#entries.set(key, entry);
    opening.catch(() => this.#entries.delete(key));
    return entry;
  }

  async #release(key: string, entry: Entry, wasReady: boolean): Promise<void> {
    entry.wasUsed ||= wasReady;
    entry.users--;
    if (entry.users > 0) return;
    entry.closing = this.#close(key, entry);
    await entry.closing;
  }

  async #close(key: string, entry: Entry): Promise<void> {
    try {
      const cache = await entry.opening;
      await cache.close({ unmake: !entry.wasUsed });
    } finally {
      this.#entries.delete(key);
    }
  }
}

/** The same for every name of a directory, whether it is there already or not. */
function placeOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(placeOf(parent), basename(path));
  }
}

function otherSize({ directory, sizeBytes }: CacheRule, openBytes: number): ViaductError {
  return new ViaductError('CONFIGURATION_INVALID', {
    cause: `the cache ${directory} is in use with a size of ${formatSize(openBytes)}, and this session wants ${formatSize(sizeBytes)}.`,
    remedy: 'Give every session of a cache the same size, or this one a cache directory of its own.',
  });
}
