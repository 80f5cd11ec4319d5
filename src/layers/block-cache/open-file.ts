/**
 * What the layer knows of one file that is being used: its record in the clean cache, what is under way for it, and our own
 * changes to it that are not answered yet.
 *
 * Invariants: the version moves on only while no change of ours is under way (until then, unknown attributes may be our own
 * doing); `flights` holds each block at most once; a file with flights or mutations is never evicted.
 *
 *     attributes seen    version's stamp, or of our lineage ──────────> same
 *                        unknown, changes of ours under way ──────────> unclear: use the data, keep nothing
 *                        unknown, older than what we have ────────────> stale
 *                        unknown ─────────────────────────────────────> changed: new version, nothing cached
 *
 * Under the promise of sole-writer.ts, unknown stamps are of our own doing: the version goes on under them.
 */

import { limits } from '../../base/mod.ts';
import type { CachedFile, CleanCache, FileCare } from '../../cache/mod.ts';
import {
  type Attributes,
  type Call,
  type FileHandle,
  type FileSettingsProvider,
  type FileStamp,
  isOlder,
  sameStamp,
  stampOfAttributes,
} from '../../vfs/mod.ts';
import type { BlockRun, BlockView, FilePolicy, PrefetchTarget } from '../read-ahead/mod.ts';
import { FetchTrouble } from './fetch-trouble.ts';
import type { Flight } from './flight.ts';
import { Lineage } from './lineage.ts';
import type { SoleWriter } from './sole-writer.ts';

/** What this layer needs of the clean cache. */
export type BlockStore = Pick<CleanCache, 'file' | 'find' | 'clear'>;
export type Verdict = 'same' | 'unclear' | 'stale' | 'changed';

/** A change of ours that is under way. */
export interface Mutation {
  readonly offset: number;
  readonly end: number;
}

/** Who sends prefetch requests for a file. */
export interface Ahead {
  mayPrefetch(file: OpenFile): boolean;
  makeReady(file: OpenFile): void;
  prefetch(file: OpenFile, run: BlockRun, done: (bytes: number, isFree: boolean) => void): boolean;
}

const blockBytes = limits.blockBytes;
const mostQuietHits = 4096;
/** What a cached file has if nothing is said. */
const ordinaryCare: FileCare = { priority: 'normal', isPinned: false };

export class OpenFile implements PrefetchTarget, BlockView {
  readonly handle: FileHandle;
  readonly key: string;
  readonly policy: FilePolicy;
  readonly flights = new Map<number, Flight>();
  readonly mutations = new Set<Mutation>();
  readonly lineage = new Lineage();
  readonly trouble = new FetchTrouble();
  cached: CachedFile | undefined;
  /** The last attributes that the version was found to stand for. */
  attributes: Attributes | undefined;
  /** Whoever read last with a grant: prefetch goes under this name. */
  reader: Call | undefined;
  /** Set by each use, cleared by the eviction's hand. */
  isUsed = true;
  /** Misses happened not long ago: the read-ahead policy wants to see every touch. */
  isWatched = false;
  /** Of the settings that hold for it. */
  generation = -1;
  readonly #cache: BlockStore;
  readonly #ahead: Ahead;
  readonly #sole: SoleWriter | undefined;
  #confirmedEpoch = 0;
  #stamp: FileStamp | undefined;
  #quietHits = 0;
  #care: FileCare = ordinaryCare;
  #waiting: (() => void)[] = [];

  constructor(
    handle: FileHandle,
    key: string,
    cache: BlockStore,
    policy: FilePolicy,
    ahead: Ahead,
    sole?: SoleWriter | undefined,
  ) {
    this.handle = handle;
    this.key = key;
    this.policy = policy;
    this.#cache = cache;
    this.#ahead = ahead;
    this.#sole = sole;
  }

  watch(): void {
    this.isWatched = true;
    this.#quietHits = 0;
  }

  /** A hit that made no wish: after many of them the file counts as fetched, and hits go their fastest way. */
  noteQuietHit(): void {
    if (++this.#quietHits >= mostQuietHits) this.isWatched = false;
  }

  /** The settings of files may have changed. */
  settle(settings: FileSettingsProvider): void {
    this.generation = settings.generation;
    const { readAheadBytes, priority, isPinned } = settings.of(this.handle);
    if (priority !== this.#care.priority || isPinned !== this.#care.isPinned) {
      this.#care = { priority, isPinned };
      this.cached?.setCare(this.#care);
    }
    // Hits make no wishes: after a change the policy looks at them again.
    if (this.policy.mostBytes !== readAheadBytes) this.watch();
    this.policy.mostBytes = readAheadBytes;
  }

  get view(): BlockView {
    return this;
  }
  get size(): number {
    return this.attributes?.size ?? 0;
  }
  get blockCount(): number {
    return Math.ceil(this.size / blockBytes);
  }
  get isReady(): boolean {
    return this.#ahead.mayPrefetch(this);
  }
  makeReady(): void {
    this.#ahead.makeReady(this);
  }
  get isBusy(): boolean {
    return this.flights.size > 0 || this.mutations.size > 0 || this.policy.wanted?.hasEnded === false;
  }

  known(block: number): boolean {
    if (this.flights.has(block)) return true;
    const offset = block * blockBytes;
    return this.cached?.has(offset, Math.min(blockBytes, this.size - offset)) ?? false;
  }

  start(run: BlockRun, done: (bytes: number, isFree: boolean) => void): boolean {
    return this.#ahead.prefetch(this, run, done);
  }

  /** Attributes from GETATTR, asked for by the read at hand: they decide what the cache may serve. */
  observe(attributes: Attributes, nowMs: number): Verdict {
    const { cached } = this;
    if (cached !== undefined && attributes === this.attributes && cached.live) return 'same';
    const stamp = stampOfAttributes(attributes);
    if (cached?.live === true) {
      if (cached.matches(stamp)) {
        this.#stands(attributes, stamp);
        return 'same';
      }
      if (this.lineage.knows(stamp, nowMs)) {
        if (this.mutations.size === 0) this.#followOwn(cached, stamp);
        return 'same';
      }
      if (this.isOurs && (this.mutations.size > 0 || this.#goOn(cached, stamp))) return 'same';
    }
    if (this.mutations.size > 0) return 'unclear';
    return this.#moveOn(attributes, stamp) ? 'changed' : 'same';
  }

  /** Attributes that came with data: whether the data are of the cached version. */
  judge(attributes: Attributes | undefined, nowMs: number): Verdict {
    if (attributes === undefined) return 'unclear';
    const stamp = stampOfAttributes(attributes);
    const { cached } = this;
    if (cached === undefined) return 'unclear';
    if (cached.live && (cached.matches(stamp) || this.lineage.knows(stamp, nowMs))) return 'same';
    // The end of a file of another size must not be taken for the end of this one.
    if (cached.live && this.isOurs && stamp.size === cached.size) return 'same';
    if (this.mutations.size > 0) return 'unclear';
    if (cached.live && this.isOurs) return 'stale';
    if (this.#stamp !== undefined && isOlder(stamp, this.currentStamp ?? this.#stamp)) return 'stale';
    this.#moveOn(attributes, stamp);
    return 'changed';
  }

  /** What the cached version stands for, if this is known here. */
  get currentStamp(): FileStamp | undefined {
    if (this.cached === undefined) return undefined;
    if (this.#stamp !== undefined && this.cached.matches(this.#stamp)) return this.#stamp;
    return this.lineage.current(this.cached);
  }

  /** Whether every stamp that the file may show came from our own changes to the cached version. */
  get isOurs(): boolean {
    return this.#sole?.holds(this.#confirmedEpoch) === true;
  }

  /**
   * The reply to a change of ours that does not say what was before. Replies overtake each other, so the latest change time
   * counts; of two changes within one tick of the origin's clock nothing is taken over here, but by `observe`, at rest.
   * True: the version stands for the state after the change or a later one.
   */
  changed(cached: CachedFile, after: FileStamp): boolean {
    const current = this.currentStamp;
    if (current === undefined || !this.isOurs) return false;
    if (isOlder(current, after)) return this.#restamp(cached, current, after);
    return isOlder(after, current) || sameStamp(after, current);
  }

  /** Everything kept is of no use any more; what is under way must not be joined. */
  forget(): void {
    this.cached?.forget();
    this.cached = undefined;
    this.attributes = undefined;
    this.#stamp = undefined;
    this.#confirmedEpoch = 0;
    this.lineage.clear();
    this.detach(0, Number.POSITIVE_INFINITY);
  }

  /** Readers that come now must not be answered by what was asked for before our write. */
  detach(offset: number, end: number): void {
    for (const [block, flight] of this.flights) {
      if (flight.offset >= end || flight.end <= offset) continue;
      flight.isDetached = true;
      this.flights.delete(block);
    }
  }

  beginMutation(offset: number, end: number): Mutation {
    const mutation: Mutation = { offset, end };
    this.mutations.add(mutation);
    return mutation;
  }

  endMutation(mutation: Mutation): void {
    this.mutations.delete(mutation);
    this.detach(mutation.offset, mutation.end);
    if (this.mutations.size === 0) this.lineage.quiet();
    this.wake();
  }

  /** Whoever waits for the end of a change looks again. */
  wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /** Resolves when the next change of ours is answered, or the layer is closed: what was unclear may be clear then. */
  nextMutationEnd(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** Servers whose wcc data are not atomic give hops that do not chain: the latest stamp of our own doing counts. */
  #followOwn(cached: CachedFile, stamp: FileStamp): void {
    const current = this.currentStamp;
    if (current !== undefined && !isOlder(stamp, current)) cached.restamp(current, stamp);
  }

  /** At rest: a stamp that nobody told us of. What is older came late. */
  #goOn(cached: CachedFile, stamp: FileStamp): boolean {
    const current = this.currentStamp;
    if (current === undefined) return false;
    return isOlder(stamp, current) || this.#restamp(cached, current, stamp);
  }

  /** Stamps in between may be missing, and with them sizes: what a change of size exposes or hides is given up. */
  #restamp(cached: CachedFile, from: FileStamp, to: FileStamp): boolean {
    const [less, more] = from.size < to.size ? [from.size, to.size] : [to.size, from.size];
    if (less !== more) cached.invalidate(less, more - less);
    if (!cached.restamp(from, to)) return false;
    this.#stamp = to;
    return true;
  }

  #stands(attributes: Attributes, stamp: FileStamp): void {
    this.attributes = attributes;
    this.#stamp = stamp;
    this.#confirmedEpoch = this.#sole?.epoch ?? 0;
  }

  /** True if there was another version before (and not only a record that the cache dropped). */
  #moveOn(attributes: Attributes, stamp: FileStamp): boolean {
    const isChange = this.#stamp !== undefined && !sameStamp(this.#stamp, stamp);
    this.cached = this.#cache.file(this.key, stamp);
    if (this.#care !== ordinaryCare) this.cached.setCare(this.#care);
    this.#stands(attributes, stamp);
    this.lineage.clear();
    return isChange;
  }
}
