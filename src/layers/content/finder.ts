/**
 * Finds a file's meta-data by its name, and reads and checks the head: three round trips, or four for a very large file.
 *
 *     round 1   LOOKUP .viaduct (known for most files: remembered by directory, also that there is none)
 *     round 2   LOOKUP NAME.meta, LOOKUP NAME.pack      (in round 1, by WALK, if the server offers it: one less)
 *     round 3   READ the head (as much as it will probably be), READ the pack's header, ACCESS of the meta-data
 *     round 4   READ the rest of the head
 *
 * Invariants: nothing is believed that trust.ts does not allow; whatever comes back, the answer is a description that fits the file's
 * attributes of now, or none; it never rejects for what the origin says.
 */
import { type Clock, type Eventual, isPromise, type Log, limits } from '../../base/mod.ts';
import {
  ContentError,
  contentDirectory,
  decodeHead,
  decodePackHeader,
  headBytes,
  type MetaHead,
  metaHeaderBytes,
  metaName,
  packHeaderBytes,
  packName,
  sameVersion,
} from '../../content/mod.ts';
import {
  Access,
  type Attributes,
  type Call,
  type FileHandle,
  type Filesystem,
  FileType,
  type LookupReply,
  type Name,
  type PathWalker,
  type Place,
  stampOfAttributes,
} from '../../vfs/mod.ts';
import type { BlockStore } from '../block-cache/open-file.ts';
import { cacheKeyOf } from '../block-cache/open-files.ts';
import { BoundedMap } from '../bounded-map.ts';
import type { Described } from './described.ts';
import { FileContent } from './file-content.ts';
import { MetaFile } from './meta-file.ts';
import { readRange } from './origin-read.ts';
import { Pack } from './pack.ts';
import type { Rounds } from './rounds.ts';
import type { ContentStatistics } from './statistics.ts';
import { isTrustedDirectory, isTrustedFile } from './trust.ts';

export interface FinderOptions {
  readonly next: Filesystem;
  /** The origin, if it can look up several names in one round trip. */
  readonly walker?: PathWalker | undefined;
  readonly store: BlockStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly statistics: ContentStatistics;
}

interface FoundFile {
  readonly object: FileHandle;
  readonly attributes: Attributes;
}

/** `bytes`: the meta-data file as far as it was read, from its beginning. Pages may be in it. */
export interface Found {
  readonly described: Described;
  readonly bytes: Uint8Array;
}

interface FoundPack {
  readonly pack: Pack;
  readonly id: Uint8Array;
}

interface HeadRead {
  readonly head: MetaHead;
  readonly bytes: Uint8Array;
}

/** What WALK found in a `.viaduct`. */
interface Walked {
  readonly directory: FileHandle;
  readonly files: ReadonlyMap<Name, FoundFile>;
}

interface KnownDirectory {
  touched: boolean;
  readonly hidden: FoundFile | undefined;
  readonly untilMs: number;
}

/** How long a directory is believed to have no `.viaduct`, or the same. */
const directoryMs = 60_000;
const mostDirectories = 4096;
/** A head is small beside the pages: this part of the file, and within these bounds. */
const headShare = 16;
const leastGuess = 64 * 1024;
const mostGuess = 512 * 1024;

export class Finder {
  readonly #options: FinderOptions;
  readonly #directories = new BoundedMap<FileHandle, KnownDirectory>(mostDirectories);
  readonly #hidden = new Set<FileHandle>();

  constructor(options: FinderOptions) {
    this.#options = options;
  }

  /** Whether it is one of the directories that hold meta-data. */
  isHidden(directory: FileHandle): boolean {
    return this.#hidden.has(directory);
  }

  noteHidden(directory: FileHandle): void {
    if (this.#hidden.size >= mostDirectories) this.#hidden.clear();
    this.#hidden.add(directory);
  }

  forget(): void {
    this.#directories.clear();
    this.#hidden.clear();
  }

  async find(call: Call, place: Place, file: FileHandle, rounds: Rounds): Promise<Found | undefined> {
    const { next, statistics } = this.#options;
    const meta = metaName(place.name);
    const pack = packName(place.name);
    if (meta === undefined) return undefined;
    // Remembered by the caches below, as a rule. The name may mean another file by now.
    const asked = [next.lookup(call, place), next.getattr(call, { object: file })] as const;
    const [there, got] = await Promise.all(asked);
    if (asked.some(isPromise)) rounds.next();
    if (there.status !== 0 || there.object !== file || got.status !== 0) return undefined;
    const isKnown = this.#known(place.directory) !== undefined;
    const asking = isKnown ? undefined : next.lookup(call, { directory: place.directory, name: contentDirectory });
    const names = pack === undefined ? [meta] : [meta, pack];
    // What the layers below remember needs no round trip.
    const walking = isPromise(asking) ? this.#walk(call, place.directory, names) : undefined;
    const hidden = await this.#hiddenIn(call, place.directory, got.attributes, asking);
    const walked = await walking;
    rounds.next();
    if (hidden === undefined) return undefined;
    const directory = hidden.object;
    // The layers below are to know the names for an outage, so they are looked up in any case; what was walked to need not wait for that.
    const find = (name: Name): Promise<FoundFile | undefined> => {
      const found = this.#lookup(call, { directory, name });
      const known = walked?.directory === directory ? walked.files.get(name) : undefined;
      if (known === undefined) return found;
      found.catch(() => {});
      return Promise.resolve(known);
    };
    const packFound = pack === undefined ? undefined : this.#findPack(call, find(pack));
    const metaFound = await find(meta);
    if (walked?.files.has(meta) !== true) rounds.next();
    if (metaFound === undefined) {
      statistics.absent++;
      return undefined;
    }
    if (!isTrustedFile(metaFound.attributes, got.attributes)) {
      statistics.distrusted++;
      const why = 'the meta-data of a file belongs to somebody else, or more may write to it: it is not used';
      this.#options.log.warn({ file: place.name }, why);
      return undefined;
    }
    return this.#read(call, place, file, metaFound, packFound, rounds);
  }

  async #read(
    call: Call,
    place: Place,
    file: FileHandle,
    metaFound: FoundFile,
    packFound: Promise<FoundPack | undefined> | undefined,
    rounds: Rounds,
  ): Promise<Found | undefined> {
    const { next, statistics, log } = this.#options;
    const key = cacheKeyOf(next.identity, metaFound.object);
    const meta = new MetaFile(key, metaFound.object, metaFound.attributes, this.#options);
    const [read] = await Promise.all([
      this.#readHead(call, meta, rounds),
      // A grant is what makes files in use outlive a restart in an outage (keepsakes.ts).
      next.access(call, { object: metaFound.object, access: Access.READ }),
    ]);
    if (read instanceof ContentError) {
      statistics.damaged++;
      meta.forget();
      log.warn({ file: place.name, error: read.message }, 'the meta-data of a file is damaged and is not used');
      return undefined;
    }
    const now = await next.getattr(call, { object: file });
    if (read === undefined || now.status !== 0 || now.attributes.type !== FileType.REGULAR) return undefined;
    const { head, bytes } = read;
    const stamp = stampOfAttributes(now.attributes);
    if (!sameVersion(stamp, head.stamp)) {
      statistics.stale++;
      return undefined;
    }
    const content = new FileContent(cacheKeyOf(next.identity, file), head, stamp);
    const described: Described = {
      ...{ handle: file, name: place.name, content, meta },
      ...{ pack: undefined, packComing: undefined, badPages: new Set(), isReported: false },
    };
    described.packComing = packFound?.then((found) => {
      described.packComing = undefined;
      const isIts = head.packId !== undefined && found !== undefined && Buffer.compare(head.packId, found.id) === 0;
      if (isIts) described.pack = found.pack;
    });
    return { described, bytes };
  }

  async #readHead(call: Call, meta: MetaFile, rounds: Rounds): Promise<HeadRead | ContentError | undefined> {
    try {
      if (meta.size < metaHeaderBytes) throw new ContentError('meta: the file is cut short');
      const guess = Math.min(meta.size, Math.max(leastGuess, Math.min(meta.size / headShare, mostGuess)));
      let bytes = await meta.read(call, 0, Math.floor(guess));
      if (bytes === undefined) return undefined;
      const wanted = headBytes(bytes.subarray(0, metaHeaderBytes));
      if (wanted > meta.size || wanted > limits.contentHeadBytes) throw new ContentError('meta: the file is cut short');
      if (wanted > bytes.length) {
        rounds.next();
        const rest = await meta.read(call, bytes.length, wanted - bytes.length);
        if (rest === undefined) return undefined;
        bytes = Buffer.concat([bytes, rest]);
      }
      const head = decodeHead(bytes);
      if (head.metaBytes !== meta.size) throw new ContentError('meta: the file has another length than it says');
      return { head, bytes };
    } catch (error) {
      if (error instanceof ContentError) return error;
      throw error;
    }
  }

  /** Never rejects. */
  async #findPack(call: Call, finding: Promise<FoundFile | undefined>): Promise<FoundPack | undefined> {
    try {
      const found = await finding;
      if (found?.attributes.type !== FileType.REGULAR) return undefined;
      const header = await readRange(this.#options.next, call, found.object, 0, packHeaderBytes);
      if (header.status !== 0) return undefined;
      return { pack: new Pack(found.object, found.attributes.size), id: decodePackHeader(header.bytes) };
    } catch (error) {
      if (error instanceof ContentError) this.#options.statistics.damaged++;
      return undefined;
    }
  }

  /** Names in the `.viaduct` of a directory. Never rejects; undefined: nobody can tell so quickly. */
  async #walk(call: Call, directory: FileHandle, names: readonly Name[]): Promise<Walked | undefined> {
    const { walker } = this.#options;
    if (walker?.canWalk() !== true) return undefined;
    try {
      const asked = names.map((name) => walker.walk(call, { directory, names: [contentDirectory, name] }));
      const files = new Map<Name, FoundFile>();
      let hidden: FileHandle | undefined;
      for (const [i, { status, steps }] of (await Promise.all(asked)).entries()) {
        const found = steps[1];
        if (status !== 0 || found?.attributes === undefined) continue;
        hidden ??= steps[0]!.object;
        if (hidden !== steps[0]!.object) return undefined;
        files.set(names[i]!, { object: found.object, attributes: found.attributes });
      }
      return hidden === undefined ? undefined : { directory: hidden, files };
    } catch {
      // The session ends: the look-ups say so.
      return undefined;
    }
  }

  #known(directory: FileHandle): KnownDirectory | undefined {
    const known = this.#directories.get(directory);
    return known === undefined || known.untilMs <= this.#options.clock.now() ? undefined : known;
  }

  /** `asking`: the look-up of `.viaduct`, unless the directory is known. */
  async #hiddenIn(
    call: Call,
    directory: FileHandle,
    file: Attributes,
    asking: Eventual<LookupReply> | undefined,
  ): Promise<FoundFile | undefined> {
    const { next, clock, statistics } = this.#options;
    const asked = next.getattr(call, { object: directory });
    // What fails before it is awaited, as all does when the session is closed, must not be left without a hearer.
    if (isPromise(asked)) asked.catch(() => {});
    let known = asking === undefined ? this.#directories.get(directory) : undefined;
    if (known === undefined) {
      const name = contentDirectory;
      const hidden = await this.#found(call, await (asking ?? next.lookup(call, { directory, name })));
      known = { touched: true, hidden, untilMs: clock.now() + directoryMs };
      this.#directories.set(directory, known);
      if (hidden !== undefined) this.noteHidden(hidden.object);
    }
    known.touched = true;
    if (known.hidden === undefined) return undefined;
    const around = await asked;
    if (around.status === 0 && isTrustedDirectory(known.hidden.attributes, around.attributes, file))
      return known.hidden;
    statistics.distrusted++;
    return undefined;
  }

  async #lookup(call: Call, place: Place): Promise<FoundFile | undefined> {
    return this.#found(call, await this.#options.next.lookup(call, place));
  }

  async #found(call: Call, found: LookupReply): Promise<FoundFile | undefined> {
    if (found.status !== 0) return undefined;
    if (found.attributes !== undefined) return { object: found.object, attributes: found.attributes };
    const got = await this.#options.next.getattr(call, { object: found.object });
    return got.status === 0 ? { object: found.object, attributes: got.attributes } : undefined;
  }
}
