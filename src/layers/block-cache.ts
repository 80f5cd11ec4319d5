/**
 * The block cache: READs are answered from the clean cache where they can be, and fetched in blocks, ahead of need, where
 * they can not. Writes go through to the origin and keep the cache right.
 *
 * Invariants: a hit is served only to a credential that the layers below grant READ, and only under attributes that they
 * answer for this very read; what the origin does not grant is the origin's to decide (owner override) and is not cached; the hot
 * path makes no promise.
 *
 *     READ ──access, getattr (answered from memory below)──> OpenFile ──> hit: slices of the cache
 *                                                               └─miss─> Reader ─> Fetcher (flights) ─> origin
 *     WRITE, SETATTR, COMMIT, CREATE ──> Mutations ─> origin, then the cache         Prefetcher ─> Fetcher
 *     want (working sets, whole files; working-sets.ts) ───────────────────────────────┘
 */
import { type Clock, chain, type Eventual, isPromise, type Log, limits } from '../base/mod.ts';
import type { CacheHit } from '../cache/mod.ts';
import type * as vfs from '../vfs/mod.ts';
import { Access, type Filesystem, FileType, ForwardingFilesystem, Status } from '../vfs/mod.ts';
import { Fetcher } from './block-cache/fetcher.ts';
import { Mutations } from './block-cache/mutations.ts';
import { type BlockStore, OpenFile } from './block-cache/open-file.ts';
import { OpenFiles } from './block-cache/open-files.ts';
import { Reader } from './block-cache/reader.ts';
import { SoleWriter } from './block-cache/sole-writer.ts';
import { type BlockCacheStatistics, newStatistics } from './block-cache/statistics.ts';
import {
  defaultReadAhead,
  FilePolicy,
  type LinkFigures,
  Prefetcher,
  type ReadAheadOptions,
  type WantedBlocks,
} from './read-ahead/mod.ts';

export interface BlockCacheOptions {
  readonly cache: BlockStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly readAhead?: ReadAheadOptions | undefined;
  /** Promises that nobody else changes the origin's files (block-cache/sole-writer.ts). */
  readonly soleWriter?: boolean | undefined;
  /** What the link to the origin was found to do, over lives of the session. */
  readonly link?: LinkMemory | undefined;
  /** Files remembered at a time. */
  readonly openFiles?: number | undefined;
  /** Of each file; default: what `readAhead` says, for all of them. */
  readonly settings?: vfs.FileSettingsProvider | undefined;
}

export interface LinkMemory {
  load(): LinkFigures | undefined;
  keep(figures: LinkFigures): void;
}

export interface BlockCacheReport extends BlockCacheStatistics {
  /** Part of `prefetchBytes`: known to be wanted. Whether they were used is counted where that is known (working-sets.ts). */
  readonly wantedBytes: number;
  /** Other prefetched bytes that nobody has read yet. */
  readonly prefetchUnusedBytes: number;
  readonly openFiles: number;
  readonly inFlightBytes: number;
  readonly link: { readonly bytesPerMs: number; readonly roundTripMs: number };
}

const blockBytes = limits.blockBytes;
const nowhere = Number.POSITIVE_INFINITY;
const keepLinkMs = 5 * 60_000;

export class BlockCache extends ForwardingFilesystem {
  readonly #cache: BlockStore;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #readAhead: ReadAheadOptions;
  readonly #settings: vfs.FileSettingsProvider | undefined;
  readonly #statistics = newStatistics();
  readonly #files: OpenFiles;
  readonly #prefetcher: Prefetcher;
  readonly #fetcher: Fetcher;
  readonly #reader: Reader;
  readonly #mutations: Mutations;
  readonly #sole: SoleWriter | undefined;
  readonly #link: LinkMemory | undefined;
  #keptLinkMs: number;
  #keptLinkRate: number | undefined;
  #verifier: vfs.Verifier | undefined;

  constructor(next: Filesystem, options: BlockCacheOptions) {
    super(next);
    const { clock } = options;
    const statistics = this.#statistics;
    this.#cache = options.cache;
    this.#clock = clock;
    this.#log = options.log;
    this.#readAhead = options.readAhead ?? defaultReadAhead;
    this.#settings = options.settings;
    this.#prefetcher = new Prefetcher(this.#readAhead, clock);
    this.#link = options.link;
    const known = this.#link?.load();
    if (known !== undefined) this.#prefetcher.link.remember(known, clock.now());
    this.#keptLinkMs = clock.now();
    this.#keptLinkRate = known?.bytesPerMs;
    this.#files = new OpenFiles(next.identity, (file) => this.#prefetcher.forget(file), options.openFiles);
    this.#fetcher = new Fetcher({ next, prefetcher: this.#prefetcher, clock, statistics, log: options.log });
    this.#reader = new Reader({ next, fetcher: this.#fetcher, clock, statistics });
    this.#mutations = new Mutations(clock);
    this.#sole = options.soleWriter === true ? new SoleWriter() : undefined;
  }

  stats(): BlockCacheReport {
    const { link, inFlightBytes, wantedBytes } = this.#prefetcher;
    const { prefetchBytes, prefetchUsedBytes } = this.#statistics;
    return {
      ...this.#statistics,
      wantedBytes,
      prefetchUnusedBytes: Math.max(0, prefetchBytes - wantedBytes - prefetchUsedBytes),
      openFiles: this.#files.count,
      inFlightBytes,
      link: { bytesPerMs: link.bytesPerMs, roundTripMs: link.roundTripMs },
    };
  }

  override read(call: vfs.Call, args: vfs.ReadArguments): Eventual<vfs.ReadReply> {
    const grant = this.next.access(call, { object: args.object, access: Access.READ });
    if (isPromise(grant)) {
      this.#hear(grant);
      return grant.then((granted) => this.#granted(call, args, granted));
    }
    return this.#granted(call, args, grant);
  }

  override lookup(call: vfs.Call, args: vfs.Place): Eventual<vfs.LookupReply> {
    const reply = this.next.lookup(call, args);
    if (isPromise(reply)) this.#hear(reply);
    return reply;
  }

  /** What is not answered from memory shows how far the origin is, before any data is read. Whoever waits for it waits no turn longer. */
  #hear(coming: Promise<{ readonly status: number }>): void {
    const beganMs = this.#clock.now();
    const heard = ({ status }: { readonly status: number }): void => {
      if (status === 0) this.#prefetcher.heard(this.#clock.now() - beganMs);
    };
    coming.then(heard, () => {});
    if (beganMs - this.#keptLinkMs >= keepLinkMs) this.#keepLink();
  }

  #keepLink(): void {
    this.#keptLinkMs = this.#clock.now();
    const { figures } = this.#prefetcher.link;
    // What was only remembered is not kept again, as if it were new.
    if (figures === undefined || figures.bytesPerMs === this.#keptLinkRate) return;
    this.#keptLinkRate = figures.bytesPerMs;
    this.#link?.keep(figures);
  }

  #granted(call: vfs.Call, args: vfs.ReadArguments, grant: vfs.AccessReply): Eventual<vfs.ReadReply> {
    if (grant.status !== 0 || (grant.access & Access.READ) === 0) return this.#pass(call, args);
    const got = this.next.getattr(call, { object: args.object });
    if (isPromise(got)) {
      this.#hear(got);
      return got.then((reply) => this.#confirmed(call, args, reply));
    }
    return this.#known(call, args, got);
  }

  /** The attributes had to be asked for: if they showed other permissions, the grant is gone from the cache below. */
  #confirmed(call: vfs.Call, args: vfs.ReadArguments, got: vfs.GetattrReply): Eventual<vfs.ReadReply> {
    return chain(this.next.access(call, { object: args.object, access: Access.READ }), (grant) => {
      const isGranted = grant.status === 0 && (grant.access & Access.READ) !== 0;
      return isGranted ? this.#known(call, args, got) : this.#pass(call, args);
    });
  }

  #known(call: vfs.Call, args: vfs.ReadArguments, got: vfs.GetattrReply): Eventual<vfs.ReadReply> {
    if (got.status !== 0) return { status: got.status };
    const { attributes } = got;
    if (attributes.type !== FileType.REGULAR) return this.#pass(call, args);
    const { offset } = args;
    const end = Math.min(offset + Math.min(args.count, limits.transferBytes), attributes.size);
    if (end <= offset) return { status: 0, attributes, data: [], count: 0, eof: offset >= attributes.size };
    const file = this.#files.get(args.object) ?? this.#open(args.object);
    file.isUsed = true;
    file.reader = call;
    const settings = this.#settings;
    if (settings !== undefined && file.generation !== settings.generation) file.settle(settings);
    const verdict = file.observe(attributes, this.#clock.now());
    if (verdict === 'unclear' || file.cached === undefined) return this.#pass(call, args);
    if (verdict === 'changed') this.#noteChange(args.object);
    const hit = file.cached.read(offset, end - offset);
    if (isPromise(hit)) {
      return hit.then((found) => this.#answer(file, call, args, attributes, end, found));
    }
    return this.#answer(file, call, args, attributes, end, hit);
  }

  #answer(
    file: OpenFile,
    call: vfs.Call,
    args: vfs.ReadArguments,
    attributes: vfs.Attributes,
    end: number,
    hit: CacheHit | undefined,
  ): Eventual<vfs.ReadReply> {
    const { offset } = args;
    const count = end - offset;
    if (hit === undefined) {
      this.#statistics.misses++;
      this.#statistics.missBytes += count;
      // A block that is under way is no miss to the policies: somebody saw this need coming.
      const isNew = !isUnderWay(file, offset, end);
      const reply = this.#reader.read(file, call, args, attributes, end);
      file.watch();
      this.#touch(file, call, offset, end, isNew);
      return reply;
    }
    this.#statistics.hits++;
    this.#statistics.hitBytes += count;
    if (file.isWatched) {
      this.#touch(file, call, offset, end, false);
      if (!file.policy.hasWishes) file.noteQuietHit();
    }
    return {
      status: 0,
      attributes,
      data: hit.slices,
      count,
      eof: end >= attributes.size,
      release: () => hit.release(),
    };
  }

  #touch(file: OpenFile, call: vfs.Call, offset: number, end: number, isMissed: boolean): void {
    const { policy } = file;
    // A Viaduct in front of this one knows its reader better: guesses here as well would cross for nobody.
    const isAhead = call.isViaduct === true;
    const used = isAhead ? policy.touchOnly(offset, end) : policy.touch(offset, end, isMissed);
    this.#statistics.prefetchUsedBytes += used * blockBytes;
    if (policy.hasWishes) this.#prefetcher.wake(file);
  }

  /**
   * Fetches blocks of a file ahead of need, below demand, on behalf of a caller who may read it; instead of what was wanted before.
   * Anything but 0: nothing is fetched.
   */
  want(call: vfs.Call, object: vfs.FileHandle, wanted: WantedBlocks): Eventual<vfs.Failure | 0> {
    return chain(this.next.access(call, { object, access: Access.READ }), (grant) => {
      if (grant.status !== 0) return grant.status;
      if ((grant.access & Access.READ) === 0) return Status.ACCES;
      return chain(this.next.getattr(call, { object }), (got) => {
        if (got.status !== 0) return got.status;
        if (got.attributes.type !== FileType.REGULAR) return Status.INVAL;
        const file = this.#files.get(object) ?? this.#open(object);
        // Of a file that is being changed it is not known yet what may be kept.
        if (file.observe(got.attributes, this.#clock.now()) === 'unclear') return Status.JUKEBOX;
        file.reader = call;
        file.isUsed = true;
        file.trouble.reset();
        this.#prefetcher.want(file, wanted);
        return 0;
      });
    });
  }

  #pass(call: vfs.Call, args: vfs.ReadArguments): Eventual<vfs.ReadReply> {
    this.#statistics.passed++;
    return this.next.read(call, args);
  }

  override write(call: vfs.Call, args: vfs.WriteArguments): Eventual<vfs.WriteReply> {
    if (this.#sole === undefined) return this.#write(call, args);
    return chain(this.#confirm(call, args.object), () =>
      chain(this.#write(call, args), (reply) => this.#checkVerifier(call, reply)),
    );
  }

  #write(call: vfs.Call, args: vfs.WriteArguments): Eventual<vfs.WriteReply> {
    const file = this.#files.get(args.object) ?? this.#open(args.object);
    return this.#mutations.write(file, args, () => this.next.write(call, args));
  }

  /** Only before the first write can be told whether what the cache has from an earlier run is still the origin's. */
  #confirm(call: vfs.Call, object: vfs.FileHandle): Eventual<void> {
    const file = this.#recorded(object);
    if (file?.cached === undefined || file.isOurs) return;
    return chain(this.next.getattr(call, { object }), (got) => {
      if (got.status === 0) this.#recorded(object)?.observe(got.attributes, this.#clock.now());
    });
  }

  /** What was written may be lost at the origin, and stamps would not show it. */
  #checkVerifier<Reply extends vfs.WriteReply | vfs.CommitReply>(call: vfs.Call, reply: Reply): Reply {
    // Whoever sends again by himself ends with what is cached here; and the verifier is another one, the origin's.
    if (reply.status !== 0 || call.resendsItself === true) return reply;
    if (this.#verifier !== undefined && reply.verifier !== this.#verifier) {
      for (const file of this.#files.values()) file.forget();
    }
    this.#verifier = reply.verifier;
    return reply;
  }

  override setattr(call: vfs.Call, args: vfs.SetattrArguments): Eventual<vfs.WccReply> {
    const { size } = args.set;
    // A change of size is noted even if nothing is cached: a READ that crosses it must not be kept.
    const file = this.#recorded(args.object) ?? (size === undefined ? undefined : this.#open(args.object));
    if (file === undefined) return this.next.setattr(call, args);
    // Growing exposes the rest of the last sector: it must read as zeros, so it is given up as well.
    const from = size === undefined ? nowhere : Math.min(size, file.cached?.size ?? size);
    return this.#mutations.change(file, from, () => this.next.setattr(call, args));
  }

  override commit(call: vfs.Call, args: vfs.CommitArguments): Eventual<vfs.CommitReply> {
    const file = this.#recorded(args.object);
    if (file === undefined) return this.next.commit(call, args);
    const reply = this.#mutations.change(file, nowhere, () => this.next.commit(call, args));
    if (this.#sole === undefined) return reply;
    return reply.then((late) => {
      if (late.status !== 0) file.forget();
      return this.#checkVerifier(call, late);
    });
  }

  /** An unchecked CREATE may have emptied a file that was there (RFC 1813 3.3.8). */
  override create(call: vfs.Call, args: vfs.CreateArguments): Eventual<vfs.CreateReply> {
    if (args.how.mode !== 'unchecked' || args.how.set.size === undefined) return this.next.create(call, args);
    this.#sole?.beginUnnamedChange();
    const created = this.next.create(call, args);
    const forget = (reply: vfs.CreateReply): vfs.CreateReply => {
      this.#sole?.endUnnamedChange();
      if (reply.status === 0 && reply.object !== undefined) this.#recorded(reply.object)?.forget();
      return reply;
    };
    return isPromise(created) ? created.then(forget) : forget(created);
  }

  /** Forgets everything that is cached, of files that were never looked at as well. Reads go on and ask the origin. */
  invalidate(): Promise<void> {
    for (const file of this.#files.values()) file.forget();
    return this.#cache.clear();
  }

  override async close(): Promise<void> {
    this.#prefetcher.close();
    this.#keepLink();
    const fills = this.#fetcher.close();
    // Fills that wait for the reply to a change of ours: with the origin away it never comes.
    for (const file of this.#files.values()) file.wake();
    await fills;
    await this.next.close();
  }

  #open(handle: vfs.FileHandle): OpenFile {
    const policy = new FilePolicy(this.#readAhead);
    const file = new OpenFile(handle, this.#files.keyOf(handle), this.#cache, policy, this.#fetcher, this.#sole);
    file.cached = this.#cache.find(file.key);
    if (this.#settings !== undefined) file.settle(this.#settings);
    this.#files.add(file);
    return file;
  }

  /** The file if it is in use or the cache has a record of it. */
  #recorded(handle: vfs.FileHandle): OpenFile | undefined {
    const file = this.#files.get(handle);
    if (file !== undefined) return file;
    return this.#cache.find(this.#files.keyOf(handle)) === undefined ? undefined : this.#open(handle);
  }

  #noteChange(handle: vfs.FileHandle): void {
    this.#statistics.foreignChanges++;
    this.#log.debug({ handle: Buffer.from(handle, 'latin1').toString('hex') }, 'file changed at the origin');
  }
}

function isUnderWay(file: OpenFile, offset: number, end: number): boolean {
  const last = Math.floor((end - 1) / blockBytes);
  for (let block = Math.floor(offset / blockBytes); block <= last; block++) {
    if (!file.flights.has(block)) return false;
  }
  return true;
}
