/**
 * Content: READs of files that have meta-data at the origin are answered from zeros, from chunks that are on this host already, and
 * from compressed groups of the pack; only the rest is read from the file itself. Below the block cache, which keeps what comes.
 *
 *     LOOKUP of a large file ──in the background──> Finder: .viaduct/NAME.meta ──> Described ──> Contents ──> zero-aware cache
 *     READ ──described──> Composer ──> zeros | LocalChunks | Groups of the pack | plain
 *          └─not (yet)──> the origin
 *     WRITE, SETATTR ──> range covered, the description follows the file to its new stamp
 *
 * Invariants: a file without meta-data costs a READ one look-up in a map; a directory without `.viaduct` costs one LOOKUP a minute;
 * a first read waits for at most three round trips of meta-data; what is composed goes only to a caller whom the origin grants READ;
 * whatever is wrong with meta-data and packs costs time only; files changed by others are not described any more.
 */
import { type Clock, chain, type Eventual, isPromise, type Log, limits } from '../base/mod.ts';
import { contentDirectory, type decodeGroup, type HintIndex } from '../content/mod.ts';
import type * as vfs from '../vfs/mod.ts';
import {
  Access,
  type Attributes,
  type FileHandle,
  type Filesystem,
  FileType,
  ForwardingFilesystem,
  isOlder,
  type Place,
  stampOf,
  stampOfAttributes,
  type WccData,
} from '../vfs/mod.ts';
import type { BlockStore } from './block-cache/open-file.ts';
import { BoundedMap } from './bounded-map.ts';
import { Composer } from './content/composer.ts';
import { Contents } from './content/contents.ts';
import type { Described } from './content/described.ts';
import { Finder } from './content/finder.ts';
import { Groups } from './content/groups.ts';
import { LocalChunks } from './content/local-chunks.ts';
import { Pages } from './content/pages.ts';
import { Rounds } from './content/rounds.ts';
import { type ContentStatistics, newStatistics } from './content/statistics.ts';
import { ZeroAwareStore } from './content/zero-aware.ts';

export interface ContentOptions {
  /** The clean cache itself: where chunks of this host lie, and where meta-data is kept. */
  readonly store: BlockStore;
  readonly hints: HintIndex;
  readonly clock: Clock;
  readonly log: Log;
  /** The origin, if it can look up several names in one round trip. */
  readonly walker?: vfs.PathWalker | undefined;
  /** Where files are that nobody looked up yet: hints, perhaps of an earlier life. */
  readonly names?: Iterable<readonly [Place, FileHandle]> | undefined;
  /** Whether the origin is a proxy, whose cache has the packs that others behind it read. */
  readonly isPackNear?: (() => boolean) | undefined;
  /** Told of files whose meta-data say that whoever uses them will want all of them. */
  readonly onWantedWhole?: ((file: FileHandle) => void) | undefined;
  /** How groups of packs are decompressed. Default: in the thread pool. */
  readonly decode?: typeof decodeGroup | undefined;
}

export interface ContentReport extends ContentStatistics {
  /** Files described now, and the memory that this takes. */
  readonly files: number;
  readonly memoryBytes: number;
}

/** A file that may have meta-data. */
interface Candidate {
  touched: boolean;
  place: Place;
  described: Described | undefined;
  /** While it is looked for. */
  rounds: Rounds | undefined;
  /** It was looked for; not again before. */
  restUntilMs: number;
}

/** Round trips of meta-data that a first read waits for. */
const mostRounds = 3;
/** Files that are looked for at a time before anybody reads them. */
const mostBackground = 8;
const restMs = 30_000;
const nowhere = Number.POSITIVE_INFINITY;

export class Content extends ForwardingFilesystem {
  /** For the block cache above: it knows the zeros. */
  readonly blocks: BlockStore;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #statistics = newStatistics();
  readonly #candidates = new BoundedMap<FileHandle, Candidate>(limits.contentFiles);
  readonly #contents: Contents;
  readonly #pages: Pages;
  readonly #groups: Groups;
  readonly #finder: Finder;
  readonly #composer: Composer;
  /** Directories in which Viaducts in front of this one look for meta-data. */
  readonly #composedAhead = new BoundedMap<FileHandle, { touched: boolean }>(limits.contentFiles);
  /** Changes of ours that are under way, by file. */
  readonly #changing = new Map<FileHandle, number>();
  readonly #onWantedWhole: ((file: FileHandle) => void) | undefined;
  #looking = 0;
  #isClosed = false;

  constructor(next: Filesystem, options: ContentOptions) {
    super(next);
    const { store, hints, clock, log } = options;
    const statistics = this.#statistics;
    const onDamage = (file: Described, what: string): void => this.#noteDamage(file, what);
    this.#clock = clock;
    this.#log = log;
    this.#onWantedWhole = options.onWantedWhole;
    this.#contents = new Contents(statistics);
    this.blocks = new ZeroAwareStore(store, this.#contents);
    this.#pages = new Pages({ store, hints, statistics, onDamage });
    this.#groups = new Groups({ next, clock, statistics, onDamage, decode: options.decode });
    this.#finder = new Finder({ next, walker: options.walker, store, clock, log, statistics });
    const local = new LocalChunks({ store, hints, statistics });
    const { isPackNear } = options;
    this.#composer = new Composer({
      ...{ next, pages: this.#pages, groups: this.#groups, local, hints, statistics, isPackNear },
    });
    for (const [place, handle] of options.names ?? []) this.#note(place, handle);
  }

  stats(): ContentReport {
    const memoryBytes = this.#contents.memoryBytes + this.#pages.memoryBytes;
    return { ...this.#statistics, files: this.#contents.count, memoryBytes };
  }

  /** Moves when the hint index was told something. */
  get taughtCount(): number {
    const { dedupeBytes, packChunkBytes, plainBytes, heads } = this.#statistics;
    return dedupeBytes + packChunkBytes + plainBytes + heads;
  }

  override lookup(call: vfs.Call, args: Place): Eventual<vfs.LookupReply> {
    const reply = this.next.lookup(call, args);
    if (isPromise(reply)) return reply.then((late) => this.#lookedUp(call, args, late));
    return this.#lookedUp(call, args, reply);
  }

  #lookedUp(call: vfs.Call, args: Place, reply: vfs.LookupReply): vfs.LookupReply {
    if (reply.status !== 0) return reply;
    // Asked for by a Viaduct in front of this one.
    if (args.name === contentDirectory) {
      this.#finder.noteHidden(reply.object);
      if (call.isViaduct === true) this.#composedAhead.set(args.directory, { touched: true });
    }
    if (!isCandidate(reply.attributes) || this.#finder.isHidden(args.directory)) return reply;
    const file = this.#note(args, reply.object);
    // What many files were looked up for, nobody knows; those that are read will be found then.
    // A Viaduct asks for the meta-data itself if it has a use for it: that is seen by the time that it reads.
    if (this.#looking < mostBackground && call.isViaduct !== true) this.#look(call, reply.object, file);
    return reply;
  }

  override readdirplus(call: vfs.Call, args: vfs.ReaddirArguments): Eventual<vfs.ReaddirReply<vfs.DirectoryEntryPlus>> {
    return chain(this.next.readdirplus(call, args), (reply) => {
      if (reply.status !== 0 || this.#finder.isHidden(args.directory)) return reply;
      for (const { object, attributes, name } of reply.entries) {
        if (object !== undefined && isCandidate(attributes)) this.#note({ directory: args.directory, name }, object);
      }
      return reply;
    });
  }

  override read(call: vfs.Call, args: vfs.ReadArguments): Eventual<vfs.ReadReply> {
    const file = this.#candidates.get(args.object);
    if (file === undefined) return this.next.read(call, args);
    file.touched = true;
    if (file.described !== undefined) return this.#described(call, args, file, file.described);
    if (this.#isComposedAhead(call, file)) return this.next.read(call, args);
    const isFirst = file.restUntilMs === 0;
    this.#look(call, args.object, file);
    if (file.rounds === undefined || !isFirst) return this.next.read(call, args);
    const most = call.priority === 'prefetch' ? nowhere : mostRounds;
    return file.rounds.wait(most).then(() => {
      if (file.described === undefined) return this.next.read(call, args);
      return this.#described(call, args, file, file.described);
    });
  }

  /**
   * A Viaduct in front of this one puts the file together itself, of meta-data and packs that it reads as files, and this is what they had not;
   * found here as well, they would cross twice.
   */
  #isComposedAhead({ isViaduct, priority }: vfs.Call, { place }: Candidate): boolean {
    if (isViaduct !== true && priority !== 'prefetch') return false;
    const looked = this.#composedAhead.get(place.directory);
    if (looked !== undefined) looked.touched = true;
    return looked !== undefined;
  }

  #described(call: vfs.Call, args: vfs.ReadArguments, file: Candidate, its: Described): Eventual<vfs.ReadReply> {
    if (!this.#contents.has(its)) {
      // Dropped for others. Looked for again at once: it was there.
      file.described = undefined;
      file.restUntilMs = 0;
      return this.read(call, args);
    }
    return chain(this.next.access(call, { object: args.object, access: Access.READ }), (grant) => {
      if (grant.status !== 0 || (grant.access & Access.READ) === 0) return this.next.read(call, args);
      return chain(this.next.getattr(call, { object: args.object }), (got) => {
        if (got.status !== 0 || !this.#fits(file, its, got.attributes)) return this.next.read(call, args);
        return this.#answer(call, args, file, its, got.attributes);
      });
    });
  }

  #answer(
    call: vfs.Call,
    args: vfs.ReadArguments,
    file: Candidate,
    its: Described,
    attributes: Attributes,
  ): Eventual<vfs.ReadReply> {
    const end = Math.min(args.offset + Math.min(args.count, limits.transferBytes), attributes.size);
    if (end <= args.offset) return this.next.read(call, args);
    const zeros = this.#composer.zeros(its, args, attributes, end);
    if (zeros !== undefined) return zeros;
    return this.#composer.compose(its, call, args, end).then((reply) => {
      if (its.pack?.isGone === true) this.#drop(file, its);
      return reply ?? this.next.read(call, args);
    });
  }

  /** Whether the description holds for what the origin shows. If somebody else changed the file, it is given up. */
  #fits(file: Candidate, its: Described, attributes: Attributes): boolean {
    const stamp = stampOfAttributes(attributes);
    if (its.content.holdsFor(stamp)) return true;
    const isUnclear = this.#changing.has(its.handle) || isOlder(stamp, its.content.stamp);
    if (!isUnclear) {
      this.#statistics.stale++;
      this.#drop(file, its);
    }
    return false;
  }

  override write(call: vfs.Call, args: vfs.WriteArguments): Eventual<vfs.WriteReply> {
    const { offset, count } = args;
    return this.#change(args.object, offset, offset + count, () => this.next.write(call, args));
  }

  override setattr(call: vfs.Call, args: vfs.SetattrArguments): Eventual<vfs.WccReply> {
    const { size } = args.set;
    return this.#change(args.object, size ?? nowhere, nowhere, () => this.next.setattr(call, args));
  }

  override commit(call: vfs.Call, args: vfs.CommitArguments): Eventual<vfs.CommitReply> {
    return this.#change(args.object, nowhere, nowhere, () => this.next.commit(call, args));
  }

  /** An unchecked CREATE may have emptied a file that was there (RFC 1813 3.3.8). */
  override create(call: vfs.Call, args: vfs.CreateArguments): Eventual<vfs.CreateReply> {
    return chain(this.next.create(call, args), (reply) => {
      if (reply.status !== 0 || reply.object === undefined) return reply;
      const file = this.#candidates.get(reply.object);
      if (file?.described !== undefined) this.#drop(file, file.described);
      return reply;
    });
  }

  /** What is known of contents is forgotten; names of files stay known. */
  invalidate(): void {
    this.#contents.clear();
    this.#pages.forget();
    this.#groups.forget();
    this.#finder.forget();
    for (const [, file] of this.#candidates.entries()) {
      file.described = undefined;
      file.restUntilMs = 0;
    }
  }

  override close(): Promise<void> {
    this.#isClosed = true;
    return this.next.close();
  }

  #change<Reply extends { readonly status: number; readonly wcc: WccData }>(
    object: FileHandle,
    offset: number,
    end: number,
    proceed: () => Eventual<Reply>,
  ): Eventual<Reply> {
    this.#changing.set(object, (this.#changing.get(object) ?? 0) + 1);
    const content = this.#candidates.get(object)?.described?.content;
    if (offset < end) content?.cover(offset, end);
    const done = (): void => {
      const others = this.#changing.get(object)! - 1;
      if (others > 0) this.#changing.set(object, others);
      else {
        this.#changing.delete(object);
        content?.quiet();
      }
    };
    const learn = (reply: Reply): Reply => {
      const { before, after } = reply.wcc;
      if (before !== undefined && after !== undefined) {
        content?.hop(stampOf(before, after.fileid), stampOfAttributes(after));
      }
      done();
      return reply;
    };
    const reply = proceed();
    if (!isPromise(reply)) return learn(reply);
    return reply.then(learn, (error: unknown) => {
      done();
      throw error;
    });
  }

  #note(place: Place, handle: FileHandle): Candidate {
    const known = this.#candidates.get(handle);
    if (known !== undefined) {
      if (known.place.directory !== place.directory || known.place.name !== place.name) known.place = place;
      return known;
    }
    const file: Candidate = { touched: true, place, described: undefined, rounds: undefined, restUntilMs: 0 };
    this.#candidates.set(handle, file);
    return file;
  }

  /** Looks for the meta-data, unless this is being done or was done lately. */
  #look(call: vfs.Call, handle: FileHandle, file: Candidate): void {
    if (file.described !== undefined || file.rounds !== undefined || this.#isClosed) return;
    if (this.#clock.now() < file.restUntilMs || this.#changing.has(handle)) return;
    file.rounds = new Rounds();
    void this.#find(call, handle, file, file.rounds);
  }

  async #find(call: vfs.Call, handle: FileHandle, file: Candidate, rounds: Rounds): Promise<void> {
    const own: vfs.Call = { credential: call.credential, peer: 'content', priority: call.priority };
    this.#looking++;
    try {
      const found = await this.#finder.find(own, file.place, handle, rounds);
      // A change of ours that is under way now was not covered.
      if (found !== undefined && !this.#changing.has(handle) && !this.#isClosed) {
        this.#statistics.heads++;
        file.described = found.described;
        this.#contents.add(found.described);
        this.#pages.takeFrom(found.described, found.bytes);
        if (found.described.content.head.isWantedWhole) this.#onWantedWhole?.(handle);
      }
    } catch (error) {
      // The session ends, or the origin's answer was none: reads find out for themselves.
      this.#log.debug({ file: file.place.name, error }, 'the meta-data of a file could not be looked for');
    } finally {
      this.#looking--;
      file.restUntilMs = this.#clock.now() + restMs;
      file.rounds = undefined;
      rounds.end();
    }
  }

  #drop(file: Candidate, its: Described): void {
    this.#contents.delete(its);
    if (file.described === its) file.described = undefined;
    file.restUntilMs = this.#clock.now() + restMs;
  }

  #noteDamage(file: Described, what: string): void {
    this.#statistics.damaged++;
    if (file.isReported) return;
    file.isReported = true;
    this.#log.warn(
      { file: file.name, what },
      'the meta-data or the pack of a file is damaged: its data are read plainly',
    );
  }
}

function isCandidate(attributes: Attributes | undefined): boolean {
  return attributes?.type === FileType.REGULAR && attributes.size >= limits.contentSmallestBytes;
}
