/**
 * Learned prefetch: notes which blocks of large files are touched first, and in which order, and which are written; and has what was
 * noted in earlier runs, here or at the origin, fetched when such a file is used again. Above the block cache, so that it sees what
 * clients want and nothing else.
 *
 *     READ ──new block?──> Touches ──quiet, 10 minutes, every minute, end──> store      ──over, end──> published at the origin
 *       └──first of the file──> sets of the store and of `.viaduct` ──> WantedBlocks ──> block cache, below demand
 *
 * Invariants: a READ of a known block costs one look-up and a bit test for each of its blocks, no promise; a recording is bounded in
 * blocks and time, and all that is remembered in bytes; what another Viaduct asks for teaches nothing here (it learns for itself, from its own clients); whatever a set
 * says, what is fetched is bounded by half the cache; a set that is wrong costs bytes, never right answers.
 */
import { type Clock, type Eventual, isPromise, type Log, limits, type Timer } from '../base/mod.ts';
import { contentDirectory, mergeWorkingSets, type Purpose, sameVersion, type WorkingSet } from '../content/mod.ts';
import type * as vfs from '../vfs/mod.ts';
import { type Attributes, type FetchMode, FileType, ForwardingFilesystem, stampOfAttributes } from '../vfs/mod.ts';
import { cacheKeyOf } from './block-cache/open-files.ts';
import { BoundedMap } from './bounded-map.ts';
import { type BlockFetcher, type WorkingSetStore, writtenPurpose } from './working-sets/contract.ts';
import { FetchPlan } from './working-sets/fetch-plan.ts';
import { OriginSets } from './working-sets/origin-sets.ts';
import { Publications } from './working-sets/publications.ts';
import { TrackedFile } from './working-sets/tracked-file.ts';
import { isGone } from './write-back/conflict.ts';

export interface WorkingSetsOptions {
  readonly fetcher: BlockFetcher;
  readonly store: WorkingSetStore;
  readonly publisher: vfs.WorkingSetPublisher | undefined;
  readonly purpose: Purpose;
  /** What is fetched without being asked for: nothing; the working set; and then the rest of each file that somebody reads, or of those that are wanted so. */
  readonly mode: FetchMode;
  /** Of each file; default: `mode`, for all of them. */
  readonly settings?: vfs.FileSettingsProvider | undefined;
  /** Of the clean cache. */
  readonly cacheBytes: number;
  /** For all that is remembered of files; `limits.workingSetMemoryBytes` unless given. */
  readonly memoryBytes?: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Where files are that nobody looked up yet. */
  readonly names?: Iterable<readonly [vfs.Place, vfs.FileHandle]> | undefined;
}

export interface WorkingSetsReport {
  /** Files that are being recorded. */
  readonly recording: number;
  /** Files of which a working set was known when they were first used, and how many of those sets were of an older version. */
  readonly known: number;
  readonly knownOlder: number;
  /** Fetched because it was known to be wanted, and how much of it was touched since. */
  readonly fetchedBytes: number;
  readonly usedBytes: number;
  /** Still to be looked at, or on its way. */
  readonly leftBytes: number;
  readonly saved: number;
  readonly published: number;
  readonly notPublished: number;
  /** From the session's start until the latest request that a reader waited for; absent: none yet. */
  readonly lastDemandAfterMs?: number | undefined;
}

const recordMs = 10 * 60_000;
const quietMs = 2 * 60_000;
const saveMs = 60_000;
const lookMs = 10_000;
/** How long the end of a session waits for the origin to take what was learned. */
const publishMs = 2_000;
/** At a time, of reads and of writes. Each takes a megabyte if 8 GiB of it are touched. */
const mostRecordings = 64;
/** Files whose sets are looked for at a time before anybody reads them. */
const mostBackground = 8;

export class WorkingSets extends ForwardingFilesystem {
  readonly #options: WorkingSetsOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #files: BoundedMap<vfs.FileHandle, TrackedFile>;
  readonly #hidden = new Set<vfs.FileHandle>();
  /** With something that is not kept yet. */
  readonly #active = new Set<TrackedFile>();
  readonly #plan: FetchPlan;
  readonly #origin: OriginSets;
  readonly #publications: Publications;
  readonly #beganMs: number;
  readonly #counters = { known: 0, knownOlder: 0, usedBytes: 0, saved: 0 };
  #finding = 0;
  #timer: Timer | undefined;
  #hasEnded = false;

  constructor(next: vfs.Filesystem, options: WorkingSetsOptions) {
    super(next);
    this.#options = options;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#beganMs = options.clock.now();
    this.#files = new BoundedMap(limits.workingSetFiles, (handle, file) => {
      this.#finish(file);
      this.#plan.forget(handle);
    });
    this.#plan = new FetchPlan({ next, ...options });
    this.#publications = new Publications(options);
    this.#origin = new OriginSets({ next, ...options });
    for (const [place, handle] of options.names ?? []) this.#track(handle).place = place;
  }

  stats(): WorkingSetsReport {
    const { wantedBytes, lastDemandMs } = this.#options.fetcher.stats();
    return {
      recording: this.#recordings,
      ...this.#counters,
      ...this.#publications.counters,
      fetchedBytes: wantedBytes,
      // What is on its way is used already by whoever waits for it.
      usedBytes: Math.min(this.#counters.usedBytes, wantedBytes),
      leftBytes: this.#plan.leftBlocks * limits.blockBytes,
      lastDemandAfterMs: lastDemandMs === undefined ? undefined : Math.max(0, lastDemandMs - this.#beganMs),
    };
  }

  override lookup(call: vfs.Call, args: vfs.Place): Eventual<vfs.LookupReply> {
    const reply = this.next.lookup(call, args);
    if (isPromise(reply)) return reply.then((late) => this.#lookedUp(call, args, late));
    return this.#lookedUp(call, args, reply);
  }

  #lookedUp(call: vfs.Call, place: vfs.Place, reply: vfs.LookupReply): vfs.LookupReply {
    if (reply.status !== 0 || place.name === '.' || place.name === '..') return reply;
    if (place.name === contentDirectory) {
      if (this.#hidden.size >= limits.workingSetFiles) this.#hidden.clear();
      this.#hidden.add(reply.object);
    }
    if (reply.attributes === undefined || !isLarge(reply.attributes)) return reply;
    const file = this.#track(reply.object);
    file.place = place;
    // What lies in `.viaduct` is read by Viaducts, in an order that they make.
    if (this.#hidden.has(place.directory)) file.kind = 'other';
    else if (file.kind !== 'other') {
      file.learn(reply.attributes);
      const isWanted = this.#modeOf(file) !== 'on-demand' && call.isViaduct !== true;
      const isNew = !file.hasBegun && !file.hasLooked;
      if (isWanted && isNew && this.#finding < mostBackground) this.#find(call, file);
    }
    return reply;
  }

  override read(call: vfs.Call, args: vfs.ReadArguments): Eventual<vfs.ReadReply> {
    const file = this.#files.get(args.object);
    if (call.isViaduct === true || args.count === 0) return this.next.read(call, args);
    // Before the READ goes on: what is known to be wanted keeps guesses about the file quiet.
    if (file?.kind === 'large') {
      const { settings } = this.#options;
      if (settings !== undefined && file.generation !== settings.generation) this.#settle(file);
      this.#touch(file, call, args.offset, args.count);
    }
    const reply = this.next.read(call, args);
    if (file === undefined || file.kind === 'unknown') this.#meet(call, args, reply);
    return reply;
  }

  override write(call: vfs.Call, args: vfs.WriteArguments): Eventual<vfs.WriteReply> {
    const reply = this.next.write(call, args);
    const file = this.#files.get(args.object) ?? this.#track(args.object);
    if (file.kind === 'other' || args.count === 0 || args.offset >= limits.contentFileBytes) return reply;
    if (file.writes.count === 0 && this.#active.size - this.#recordings >= mostRecordings) return reply;
    if (file.writes.touch(args.offset, args.count) !== undefined) {
      file.call ??= ownCall(call);
      this.#activate(file);
    }
    return reply;
  }

  /** What is wanted of a file, for whoever wants more of it than was begun (`viaduct warm`). */
  async warm(
    call: vfs.Call,
    object: vfs.FileHandle,
    attributes: Attributes,
    isWhole: boolean,
  ): ReturnType<FetchPlan['warm']> {
    const file = this.#track(object);
    file.learn(attributes);
    const sets = [...this.#localSets(file), ...(await (this.#find(call, file) ?? []))];
    return this.#plan.warm(call, file, this.#ranked(file, sets), isWhole);
  }

  /** The meta-data of a file say that whoever uses it will want all of it. */
  wantWhole(object: vfs.FileHandle): void {
    const file = this.#track(object);
    if (file.isWantedWhole) return;
    file.isWantedWhole = true;
    if (file.hasBegun && file.call !== undefined && this.#isWantedWhole(file)) this.#plan.whole(file, file.call);
  }

  #isWantedWhole(file: TrackedFile): boolean {
    const mode = this.#modeOf(file);
    return !this.#hasEnded && (mode === 'whole' || (mode === 'auto' && file.isWantedWhole));
  }

  #modeOf({ handle }: TrackedFile): FetchMode {
    const { settings, mode } = this.#options;
    return settings === undefined ? mode : settings.of(handle).fetch;
  }

  #noteMode(file: TrackedFile): FetchMode {
    file.generation = this.#options.settings?.generation ?? 0;
    file.fetch = this.#modeOf(file);
    return file.fetch;
  }

  /** What is fetched of it may be something else now. */
  #settle(file: TrackedFile): void {
    const before = file.fetch;
    const mode = this.#noteMode(file);
    if (!file.hasBegun || file.call === undefined || mode === before) return;
    if (mode === 'on-demand') file.wanted?.giveUp();
    else if (before === 'on-demand') this.#begin(file, file.call);
    else if (this.#isWantedWhole(file)) this.#plan.whole(file, file.call);
  }

  /** The session ends: what was learned is kept, and published unless the origin is away. */
  async end(isAway: boolean): Promise<void> {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#timer?.cancel();
    const files = [...this.#files.entries()].map(([, file]) => file);
    for (const file of files) this.#save(file);
    let isLate = isAway;
    let patience: Timer | undefined;
    const late = new Promise<void>((resolve) => {
      patience = this.#clock.after(publishMs, resolve);
    });
    await Promise.race([this.#publications.rest(files, () => isLate), late]);
    isLate = true;
    patience?.cancel();
    this.#plan.close();
  }

  override async close(): Promise<void> {
    await this.end(true);
    await this.next.close();
  }

  /** The first READs of a file that nobody looked up: their replies say what it is. */
  #meet(call: vfs.Call, args: vfs.ReadArguments, reply: Eventual<vfs.ReadReply>): void {
    const file = this.#track(args.object);
    const learn = ({ attributes }: vfs.ReadReply): void => {
      if (attributes === undefined) return;
      file.learn(attributes);
      if (file.kind === 'large') this.#touch(file, call, args.offset, args.count);
    };
    if (isPromise(reply)) reply.then(learn, ignored);
    else learn(reply);
  }

  #touch(file: TrackedFile, call: vfs.Call, offset: number, count: number): void {
    if (offset >= limits.contentFileBytes) return;
    const used = file.reads.touch(offset, Math.min(count, limits.transferBytes), file.fetched);
    if (used === undefined) return;
    // The last block of a file is short.
    for (const block of used) this.#counters.usedBytes += file.bytesOf(block);
    file.touched = true;
    if (file.isOver || this.#hasEnded) return;
    file.lastTouchMs = this.#clock.now();
    if (file.hasBegun) return;
    const isFull = this.#recordings >= mostRecordings;
    file.hasBegun = true;
    file.firstTouchMs = file.lastTouchMs;
    file.call = ownCall(call);
    this.#begin(file, file.call);
    if (isFull) {
      file.stop();
      file.reads.end();
    } else this.#activate(file);
  }

  /** The first use: what is known of the file is fetched. */
  #begin(file: TrackedFile, call: vfs.Call): void {
    const local = this.#localSets(file);
    file.prior = local.find((set) => set.purpose === this.#options.purpose);
    if (this.#noteMode(file) === 'on-demand') return;
    const known = file.found ?? [];
    const finding = file.found === undefined ? this.#find(call, file) : undefined;
    const expect = finding === undefined ? undefined : this.#plan.expect(file);
    this.#fetch(file, call, [...local, ...known]);
    if (this.#isWantedWhole(file)) this.#plan.whole(file, call);
    file.forgetFound();
    void finding?.then((sets) => {
      this.#fetch(file, call, sets);
      file.forgetFound();
      expect?.();
    });
  }

  #fetch(file: TrackedFile, call: vfs.Call, sets: readonly WorkingSet[]): void {
    const ranked = this.#ranked(file, sets);
    if (this.#hasEnded) return;
    this.#plan.fetch(file, call, ranked);
    const [first] = ranked;
    if (first === undefined) return;
    const isOlder = !this.#isOfVersion(file, first);
    this.#counters.known++;
    if (isOlder) this.#counters.knownOlder++;
    const said = { file: file.place?.name, purpose: first.purpose, blocks: first.blocks.length, runs: first.runs };
    this.#log.info(
      said,
      isOlder
        ? 'a working set is known, of another version of the file: what of it still exists is fetched ahead'
        : 'a working set is known and is fetched ahead',
    );
  }

  /** What is for this version first; what was written in the last run after what was read, and no more of it. */
  #ranked(file: TrackedFile, sets: readonly WorkingSet[]): WorkingSet[] {
    const rank = (set: WorkingSet): number =>
      (set.purpose === writtenPurpose ? 2 : 0) + (this.#isOfVersion(file, set) ? 0 : 1);
    const sorted = sets.toSorted((a, b) => rank(a) - rank(b));
    const read = sorted.find((set) => set.purpose !== writtenPurpose)?.blocks.length ?? 0;
    return sorted.flatMap((set) => {
      if (set.purpose !== writtenPurpose) return [set];
      return read === 0 ? [] : [{ ...set, blocks: set.blocks.subarray(0, read) }];
    });
  }

  #isOfVersion({ attributes }: TrackedFile, { stamp }: WorkingSet): boolean {
    if (attributes === undefined) return false;
    return sameVersion(stamp, stampOfAttributes(attributes));
  }

  #localSets(file: TrackedFile): WorkingSet[] {
    const key = cacheKeyOf(this.identity, file.handle);
    const purposes = [this.#options.purpose, writtenPurpose];
    return purposes.map((purpose) => this.#options.store.load(key, purpose)).filter((set) => set !== undefined);
  }

  /** The origin's sets; looked for once a session. */
  #find(call: vfs.Call, file: TrackedFile): Promise<readonly WorkingSet[]> | undefined {
    const { place, attributes } = file;
    if (place === undefined || attributes === undefined) return file.finding;
    if (file.finding !== undefined) return file.finding;
    this.#finding++;
    const purposes = [this.#options.purpose, writtenPurpose];
    file.finding = this.#origin.find(ownCall(call), place, attributes, purposes);
    void file.finding.then((sets) => {
      file.found = sets;
      this.#finding--;
      if (sets.length > 0) this.#bound();
    });
    return file.finding;
  }

  get #recordings(): number {
    let count = 0;
    for (const file of this.#active) if (file.isRecording) count++;
    return count;
  }

  /** What is remembered of files together. Those that are being recorded go last, and are kept first. */
  #bound(): void {
    const { memoryBytes = limits.workingSetMemoryBytes } = this.#options;
    let bytes = 0;
    for (const [, file] of this.#files.entries()) bytes += file.keptBytes;
    for (const isLast of [false, true]) {
      for (const [, file] of this.#files.entries()) {
        if (bytes <= memoryBytes) return;
        if (file.isRecording !== isLast) continue;
        bytes -= file.keptBytes;
        this.#finish(file);
        file.letGo();
      }
    }
  }

  #track(handle: vfs.FileHandle): TrackedFile {
    let file = this.#files.get(handle);
    if (file === undefined) {
      file = new TrackedFile(handle);
      this.#files.set(handle, file);
    }
    file.touched = true;
    return file;
  }

  #activate(file: TrackedFile): void {
    this.#active.add(file);
    if (this.#hasEnded) return;
    this.#timer ??= this.#clock.after(lookMs, () => {
      this.#timer = undefined;
      this.#look();
    });
  }

  /** Now and then, while something is being recorded. */
  #look(): void {
    const now = this.#clock.now();
    for (const file of this.#active) {
      const isDue = now - file.firstTouchMs >= recordMs || now - file.lastTouchMs >= quietMs;
      if (file.isRecording && isDue) this.#finish(file);
      else if (now - file.savedMs >= saveMs) this.#save(file);
      const isKept = file.writes.count === file.savedWrites && !file.isRecording;
      if (isKept) this.#active.delete(file);
    }
    this.#bound();
    const [rest] = this.#active;
    if (rest !== undefined) this.#activate(rest);
  }

  /** The recording is over: kept, and told to the origin. What is written later is told at the end. */
  #finish(file: TrackedFile): void {
    this.#save(file);
    if (!file.isRecording) return;
    file.stop();
    void this.#publications.recorded(file);
  }

  #save(file: TrackedFile): void {
    file.savedMs = this.#clock.now();
    const isReadNew = file.hasBegun && file.reads.count > file.savedReads;
    if (!isReadNew && file.writes.count === file.savedWrites) return;
    this.#refresh(file);
    if (file.kind === 'unknown') return;
    const { purpose, store } = this.#options;
    const key = cacheKeyOf(this.identity, file.handle);
    const read = isReadNew ? file.learned(purpose) : undefined;
    const earlier = file.prior === undefined ? [] : [file.prior];
    const mostBlocks = limits.workingSetBlocks;
    if (read !== undefined) store.save(key, mergeWorkingSets([read, ...earlier], { mostBlocks }));
    // Only of the last run: what was written before that has been read since, or is of no use.
    const written = file.writes.count > file.savedWrites ? file.learned(writtenPurpose) : undefined;
    if (written !== undefined) store.save(key, written);
    if (read !== undefined || written !== undefined) this.#counters.saved++;
    file.savedReads = file.reads.count;
    file.savedWrites = file.writes.count;
  }

  /** The version that the file is of by now, if that is known without waiting; else for the next time. */
  #refresh(file: TrackedFile): void {
    if (file.call === undefined) return;
    const got = this.next.getattr(file.call, { object: file.handle });
    const learn = (reply: vfs.GetattrReply): void => {
      if (reply.status === 0) file.learn(reply.attributes);
      // Short-lived files are gone before anybody asks.
      else if (isGone(reply.status)) {
        file.kind = 'other';
        this.#plan.forget(file.handle);
      }
    };
    if (isPromise(got)) got.then(learn, ignored);
    else learn(got);
  }
}

function isLarge({ type, size }: Attributes): boolean {
  return type === FileType.REGULAR && size >= limits.contentSmallestBytes;
}

/** On nobody's behalf, in a reader's name. */
function ownCall({ credential }: vfs.Call): vfs.Call {
  return { credential, peer: 'working-sets', priority: 'prefetch' };
}

/** Whoever reads is told. */
function ignored(): void {}
