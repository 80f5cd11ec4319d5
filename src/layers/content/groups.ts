/**
 * Groups of packs: fetched once however many wait for them, those that lie together in one READ, decompressed in the thread pool,
 * and kept for a while, since the blocks beside will want their other chunks.
 *
 * Invariants: a group is asked for once at a time; decoded groups are bounded by bytes, the longest unused goes; whatever a pack
 * holds or lacks, the answer is bytes of the right length or nothing, and whoever wanted them goes to the file itself.
 *
 *     groups wanted in one turn ──sorted, adjacent ones merged──> READ(s) of the pack ──> decode ──> all who wait
 */
import { type Clock, limits } from '../../base/mod.ts';
import { ContentError, decodeGroup, type GroupPlace } from '../../content/mod.ts';
import { type Call, type Filesystem, Status, Urgency } from '../../vfs/mod.ts';
import type { Described } from './described.ts';
import { readRange } from './origin-read.ts';
import type { Pack } from './pack.ts';
import type { ContentStatistics } from './statistics.ts';

/** After a failure of the origin that says nothing about the pack. */
const restMs = 5_000;

export interface GroupsOptions {
  readonly next: Filesystem;
  readonly clock: Clock;
  readonly statistics: ContentStatistics;
  readonly onDamage: (file: Described, what: string) => void;
  readonly mostBytes?: number | undefined;
  /** Default: in the thread pool. */
  readonly decode?: typeof decodeGroup | undefined;
}

interface Wish {
  readonly file: Described;
  readonly pack: Pack;
  readonly call: Call;
  readonly place: GroupPlace;
  readonly urgency: Urgency;
  readonly resolve: (bytes: Uint8Array | undefined) => void;
}

interface Coming {
  readonly bytes: Promise<Uint8Array | undefined>;
  readonly urgency: Urgency;
}

export class Groups {
  readonly #options: GroupsOptions;
  readonly #mostBytes: number;
  readonly #decodeGroup: typeof decodeGroup;
  /** Decoded, the longest unused first. */
  readonly #kept = new Map<string, Uint8Array>();
  readonly #coming = new Map<string, Coming>();
  #bytes = 0;
  #wishes: Wish[] = [];

  constructor(options: GroupsOptions) {
    this.#options = options;
    this.#mostBytes = options.mostBytes ?? limits.contentGroupsBytes;
    this.#decodeGroup = options.decode ?? decodeGroup;
  }

  /** Whether asking the origin for it makes sense. */
  isUsable(pack: Pack, call: Call, place: GroupPlace): boolean {
    if (pack.isGone || place.offset + place.count > pack.end) return false;
    if (pack.badGroups.has(place.group) || pack.refused.has(call.credential.key)) return false;
    return this.#options.clock.now() >= pack.restUntilMs;
  }

  /** If it is there. */
  get(pack: Pack, group: number): Uint8Array | undefined {
    const name = nameOf(pack, group);
    const bytes = this.#kept.get(name);
    if (bytes === undefined) return undefined;
    this.#kept.delete(name);
    this.#kept.set(name, bytes);
    return bytes;
  }

  /** If it is under way. It is as urgent as the most urgent who waits for it. */
  coming(pack: Pack, group: number, call: Call): Promise<Uint8Array | undefined> | undefined {
    const coming = this.#coming.get(nameOf(pack, group));
    if (coming !== undefined) follow(call, coming.urgency);
    return coming?.bytes;
  }

  /** Undefined: it cannot be had. Never rejects. */
  fetch(file: Described, pack: Pack, call: Call, place: GroupPlace): Promise<Uint8Array | undefined> {
    const name = nameOf(pack, place.group);
    const urgency = new Urgency();
    follow(call, urgency);
    const coming = new Promise<Uint8Array | undefined>((resolve) => {
      if (this.#wishes.length === 0) queueMicrotask(() => this.#send());
      this.#wishes.push({ file, pack, call, place, urgency, resolve });
    });
    this.#coming.set(name, { bytes: coming, urgency });
    void coming.then((bytes) => {
      this.#coming.delete(name);
      if (bytes !== undefined) this.#keep(name, bytes);
    });
    return coming;
  }

  /** A chunk of it was not what its digest says. */
  spoil(file: Described, pack: Pack, group: number): void {
    const name = nameOf(pack, group);
    this.#bytes -= this.#kept.get(name)?.length ?? 0;
    this.#kept.delete(name);
    pack.badGroups.add(group);
    this.#options.onDamage(file, `group ${group} of the pack has another chunk than its digest says`);
  }

  forget(): void {
    this.#kept.clear();
    this.#bytes = 0;
  }

  #keep(name: string, bytes: Uint8Array): void {
    this.#bytes += bytes.length - (this.#kept.get(name)?.length ?? 0);
    this.#kept.set(name, bytes);
    for (const [oldest, its] of this.#kept) {
      if (this.#bytes <= this.#mostBytes) return;
      this.#kept.delete(oldest);
      this.#bytes -= its.length;
    }
  }

  #send(): void {
    const wishes = this.#wishes;
    this.#wishes = [];
    for (const run of runsOf(wishes)) void this.#read(run);
  }

  async #read(run: readonly Wish[]): Promise<void> {
    const { pack, call } = run[0]!;
    const { next, statistics } = this.#options;
    const begin = run[0]!.place.offset;
    const last = run.at(-1)!.place;
    const count = last.offset + last.count - begin;
    const urgency = new Urgency();
    for (const wish of run) wish.urgency.raises(urgency);
    const got = await readRange(next, { ...call, peer: 'content', urgency }, pack.handle, begin, count).catch(
      () => undefined,
    );
    if (got?.status !== 0) {
      this.#noteFailure(run, got?.status);
      for (const wish of run) wish.resolve(undefined);
      return;
    }
    statistics.packBytes += count;
    for (const wish of run) {
      const at = wish.place.offset - begin;
      void this.#decode(wish, got.bytes.subarray(at, at + wish.place.count));
    }
  }

  async #decode({ file, pack, place, resolve }: Wish, bytes: Uint8Array): Promise<void> {
    try {
      resolve(await this.#decodeGroup(place, bytes));
    } catch (error) {
      if (!pack.badGroups.has(place.group)) {
        pack.badGroups.add(place.group);
        const why = error instanceof ContentError ? error.message : 'a group of the pack did not decode';
        this.#options.onDamage(file, why);
      }
      resolve(undefined);
    }
  }

  #noteFailure(run: readonly Wish[], status: number | 'end' | undefined): void {
    const { file, pack, call } = run[0]!;
    if (status === 'end') {
      // It is shorter than it said; where exactly is not worth finding out.
      pack.end = Math.min(pack.end, run[0]!.place.offset);
      this.#options.onDamage(file, 'the pack is cut short');
    } else if (status === Status.STALE || status === Status.BADHANDLE || status === Status.NOENT) pack.isGone = true;
    else if (status === Status.ACCES || status === Status.PERM) pack.refused.add(call.credential.key);
    else pack.restUntilMs = this.#options.clock.now() + restMs;
  }
}

function follow(call: Call, urgency: Urgency): void {
  if (call.priority === 'demand') urgency.raise();
  else call.urgency?.raises(urgency);
}

/** Groups that lie together in one pack, wanted by the same caller; each run is one READ. */
function runsOf(wishes: readonly Wish[]): Wish[][] {
  const runs: Wish[][] = [];
  for (const wish of wishes.toSorted((a, b) => a.place.offset - b.place.offset)) {
    const fits = (run: Wish[]): boolean => {
      const { place, pack, call } = run.at(-1)!;
      if (pack !== wish.pack || place.offset + place.count !== wish.place.offset) return false;
      if (call.priority !== wish.call.priority || call.credential.key !== wish.call.credential.key) return false;
      return wish.place.offset + wish.place.count - run[0]!.place.offset <= limits.contentReadBytes;
    };
    // Of one reader, as a rule: the last run is the right one.
    const run = runs.findLast(fits);
    if (run === undefined) runs.push([wish]);
    else run.push(wish);
  }
  return runs;
}

function nameOf(pack: Pack, group: number): string {
  return `${group} ${pack.handle}`;
}
