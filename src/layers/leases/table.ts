/**
 * Which leases are held, and whether a call may change an object.
 *
 *     token   leases   object lies in           changes?
 *     none    none     -                        yes, at once
 *     T       one: T   -                        yes, at once
 *     T       many     a tree leased to T       yes
 *     none    some     no leased tree           yes
 *     T       some     no leased tree           if T is the token of some lease that is held: its holder is alive
 *     any     some     another's tree           no
 *     T       none     -                        no: it is of a former holder
 *
 * Where an object lies is remembered for a second at most, and forgotten with each rename and link. If it cannot be told, it
 * counts as leased to whoever has a token.
 */
import { type Clock, type Log, limits, ViaductError } from '../../base/mod.ts';
import type { FileHandle, LeaseRecord, LeaseStore, LeaseToken, TreeLocator } from '../../vfs/mod.ts';

export interface LeaseTableOptions {
  readonly store: LeaseStore;
  /** Without it only the whole export can be leased. */
  readonly locator: TreeLocator | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** A leased tree by its handle; `''`: none. */
type Whereabouts = FileHandle | '' | 'unknown';

const placesMs = 1_000;
/** Another process that serves the same directory may give the first lease: then it is noticed so late at most. */
const idleLookMs = 100;

export class LeaseTable {
  readonly #options: LeaseTableOptions;
  #held: readonly LeaseRecord[] = [];
  #version: number;
  #lookedMs = 0;
  readonly #places = new Map<FileHandle, Whereabouts>();
  #placesFromMs = 0;
  #failing = false;

  constructor(options: LeaseTableOptions) {
    this.#options = options;
    this.#version = options.store.version();
    this.#held = options.store.held();
  }

  held(): readonly LeaseRecord[] {
    return this.#held;
  }

  /** The store's version that `held()` is of. */
  version(): number {
    return this.#version;
  }

  /** Reads the store again. Throws LEASE_STORE_FAILED. */
  reload(): void {
    const { store } = this.#options;
    this.#version = store.version();
    this.#held = store.held();
    this.#places.clear();
  }

  admits(object: FileHandle, token: LeaseToken | undefined): boolean {
    this.#look();
    const held = this.#held;
    if (held.length === 0) return token === undefined;
    if (held.length === 1 && held[0]!.token === token) return true;
    const place = this.#placeOf(object);
    if (place === 'unknown') return this.#isCurrent(token);
    if (place === '') return token === undefined || this.#isCurrent(token);
    for (const lease of held) if (lease.tree === place) return lease.token === token;
    return false;
  }

  /** Names have changed: what lay where may lie elsewhere. */
  forgetPlaces(): void {
    if (this.#places.size > 0) this.#places.clear();
  }

  /** Leases of that tree, of trees around it and of trees in it. */
  touching(tree: FileHandle): LeaseRecord[] {
    return this.#held.filter((lease) => this.#overlap(lease.tree, tree));
  }

  #overlap(a: FileHandle, b: FileHandle): boolean {
    const { locator } = this.#options;
    if (a === b || locator === undefined) return true;
    return locator.isWithin(a, b) !== false || locator.isWithin(b, a) !== false;
  }

  #isCurrent(token: LeaseToken | undefined): boolean {
    return token !== undefined && this.#held.some((lease) => lease.token === token);
  }

  #placeOf(object: FileHandle): Whereabouts {
    const now = this.#options.clock.now();
    if (now - this.#placesFromMs >= placesMs || this.#places.size >= limits.leasePlaces) {
      this.#places.clear();
      this.#placesFromMs = now;
    }
    let place = this.#places.get(object);
    if (place === undefined) {
      place = this.#locate(object);
      this.#places.set(object, place);
    }
    return place;
  }

  #locate(object: FileHandle): Whereabouts {
    const { locator } = this.#options;
    let unknown = false;
    for (const { tree } of this.#held) {
      const within = locator === undefined ? true : locator.isWithin(object, tree);
      if (within === true) return tree;
      if (within === 'unknown') unknown = true;
    }
    return unknown ? 'unknown' : '';
  }

  /** Whether another process changed the leases: asked each time while there are any, else now and then. */
  #look(): void {
    const now = this.#options.clock.now();
    if (this.#held.length === 0 && now - this.#lookedMs < idleLookMs) return;
    this.#lookedMs = now;
    try {
      if (this.#options.store.version() !== this.#version) this.reload();
      this.#failing = false;
    } catch (error) {
      if (!(error instanceof ViaductError)) throw error;
      // What was known last goes on: to refuse all would stop the holder, to admit all would let anybody in.
      if (!this.#failing)
        this.#options.log.error({ error: error.message }, 'the leases cannot be read; those known stay');
      this.#failing = true;
    }
  }
}
