/**
 * Answers a READ of a file with meta-data from what needs the fewest bytes of the link.
 *
 *     each sector   zero ──> the shared zeros
 *                   described ──> chunk on this host? ──no──> its group of the pack ──no──> plain
 *                   changed by us since, page not here, anything damaged ──> plain: a READ of the file itself
 *
 * Invariants: described bytes are of the version that the meta-data stands for, so the reply shows attributes only if they, and those
 * of every plain READ in it, are of that version or of our own changes to other places of it; else there is no answer from here, and
 * the origin gives it alone. No byte is taken without its digest. What is lent is released once.
 */
import { limits } from '../../base/mod.ts';
import type { CacheHit } from '../../cache/mod.ts';
import { digestOf, type GroupPlace, type HintIndex, type MetaPage, pageSectors } from '../../content/mod.ts';
import {
  type Attributes,
  type Call,
  type Filesystem,
  type ReadArguments,
  type ReadReply,
  stampOfAttributes,
} from '../../vfs/mod.ts';
import type { Described } from './described.ts';
import type { Groups } from './groups.ts';
import type { LocalChunks, Wanted } from './local-chunks.ts';
import type { Pages } from './pages.ts';
import { Pieces } from './pieces.ts';
import { PlainRanges } from './plain-ranges.ts';
import type { ContentStatistics } from './statistics.ts';
import { zeroSlices } from './zeros.ts';

const { sectorBytes } = limits;
/** A demand read below this does not wait for a page: it would pay two round trips instead of one. */
const patientBytes = 256 * 1024;
/** Fewer wanted bytes than this part of a group's stored bytes are fetched as they are. */
const worthwhileShare = 8;

export interface ComposerOptions {
  readonly next: Filesystem;
  readonly pages: Pages;
  readonly groups: Groups;
  readonly local: LocalChunks;
  readonly hints: HintIndex;
  readonly statistics: ContentStatistics;
  /** A cache near by has the packs whole: parts of the file itself would cross the long link beside them. */
  readonly isPackNear?: (() => boolean) | undefined;
}

/** What the link had to do with an answer. */
interface LinkUse {
  /** What crosses it for this answer. */
  bytes: number;
  isUsed: boolean;
  isShared: boolean;
}

export class Composer {
  readonly #options: ComposerOptions;

  constructor(options: ComposerOptions) {
    this.#options = options;
  }

  /** If all of it is zero. `attributes` fit the content; the range lies within their size. */
  zeros(file: Described, args: ReadArguments, attributes: Attributes, end: number): ReadReply | undefined {
    const lastSector = Math.ceil(end / sectorBytes);
    if (file.content.nextOther(Math.floor(args.offset / sectorBytes), lastSector) < lastSector) return undefined;
    const count = end - args.offset;
    this.#options.statistics.zeroBytes += count;
    const eof = end >= attributes.size;
    return { status: 0, attributes, data: zeroSlices(count), count, eof, link: 'unused' };
  }

  /** Undefined: only the origin can answer. */
  async compose(file: Described, call: Call, args: ReadArguments, end: number): Promise<ReadReply | undefined> {
    const lent: CacheHit[] = [];
    const plain = new PlainRanges(this.#options.next, call, args.object);
    const release = (): void => {
      for (const hit of lent) hit.release();
      plain.release();
    };
    let reply: Answer | undefined;
    try {
      reply = await this.#compose(file, call, args, end, lent, plain);
    } finally {
      if (reply === undefined) release();
    }
    return reply === undefined ? undefined : { ...reply, release };
  }

  async #compose(
    file: Described,
    call: Call,
    args: ReadArguments,
    end: number,
    lent: CacheHit[],
    plain: PlainRanges,
  ): Promise<Answer | undefined> {
    const { content } = file;
    const { coverCount } = content;
    const pieces = new Pieces(args.offset, end);
    const link: LinkUse = { bytes: 0, isUsed: false, isShared: false };
    const wanted = await this.#plan(file, call, pieces, link);
    lent.push(...(await this.#options.local.find(wanted)));
    for (const one of wanted) if (one.bytes !== undefined) pieces.put(one.sector, one.bytes);
    const localCount = wanted.filter((one) => one.bytes !== undefined).length;
    if (localCount < wanted.length) await file.packComing;
    const groups = this.#fromPack(file, call, wanted, link);
    // What no group will bring is on its way at the same time.
    const isComing = new Set([...groups.values()].flat().map((one) => one.sector));
    plain.read(pieces.missing((sector) => !isComing.has(sector)));
    await this.#awaitGroups(file, groups, pieces);
    plain.read(pieces.missing((sector) => isComing.has(sector)));
    const parts = await plain.settled();
    if (parts.length > 0) link.isUsed = true;
    for (const part of parts) link.bytes += part.linkBytes;
    if (plain.isIncomplete) return undefined;
    for (const { attributes } of parts) {
      if (attributes === undefined || !content.holdsFor(stampOfAttributes(attributes))) return undefined;
    }
    const attributes = await this.#confirm(file, call, args, pieces, coverCount, end);
    if (attributes === undefined) return undefined;
    this.#count(pieces, localCount, wanted, parts);
    this.#teach(file, wanted);
    const eof = end >= attributes.size;
    const use = link.isUsed ? undefined : link.isShared ? 'shared' : 'unused';
    return {
      status: 0,
      attributes,
      data: pieces.assemble(parts),
      count: end - args.offset,
      eof,
      link: use,
      linkBytes: link.bytes,
    };
  }

  /** Zeros into their pieces; the described sectors, with their digests. */
  async #plan(file: Described, call: Call, pieces: Pieces, link: LinkUse): Promise<Wanted[]> {
    const { content } = file;
    const wanted: Wanted[] = [];
    const isPatient = call.priority === 'prefetch' || pieces.byteCount >= patientBytes;
    for (let sector = pieces.firstSector; sector < pieces.endSector; ) {
      const other = content.nextOther(sector, pieces.endSector);
      for (; sector < other; sector++) pieces.putZero(sector);
      const zero = content.nextZero(sector, pieces.endSector);
      let page: MetaPage | undefined;
      for (; sector < zero; sector++) {
        if (!content.isDescribed(sector)) continue;
        const number = Math.floor(sector / pageSectors);
        if (page?.page !== number) page = await this.#page(file, call, number, isPatient, link);
        const chunk = page?.chunkOf(sector);
        if (page === undefined || chunk === undefined) continue;
        wanted.push({ sector, digest: page.digestOf(sector), chunk, bytes: undefined });
      }
    }
    return wanted;
  }

  async #page(
    file: Described,
    call: Call,
    page: number,
    isPatient: boolean,
    link: LinkUse,
  ): Promise<MetaPage | undefined> {
    const { pages } = this.#options;
    const kept = pages.get(file, page);
    if (kept !== undefined) {
      if (isPatient) pages.loadAhead(file, call, page);
      return kept;
    }
    const loading = pages.load(file, call, page);
    if (!isPatient) return undefined;
    link.isShared = true;
    return loading;
  }

  /** Asks for the groups that are worth it: the sectors that each will bring, by what it is awaited by. */
  #fromPack(file: Described, call: Call, wanted: readonly Wanted[], link: LinkUse): Map<Coming, Wanted[]> {
    const { pack, content } = file;
    const byGroup = new Map<Coming, Wanted[]>();
    if (pack === undefined) return byGroup;
    const { groups } = this.#options;
    const places = new Map<number, { readonly place: GroupPlace; readonly sectors: Wanted[] }>();
    for (const one of wanted) {
      if (one.bytes !== undefined) continue;
      const place = content.head.groupOf(one.chunk);
      const known = places.get(place.group);
      if (known === undefined) places.set(place.group, { place, sectors: [one] });
      else known.sectors.push(one);
    }
    for (const { place, sectors } of places.values()) {
      const kept = groups.get(pack, place.group);
      let bytes: Coming['bytes'] | undefined = kept ?? groups.coming(pack, place.group, call);
      if (kept === undefined && bytes !== undefined) link.isShared = true;
      if (bytes === undefined) {
        const isNear = this.#options.isPackNear?.() === true;
        const isWorthwhile = isNear || sectors.length * sectorBytes * worthwhileShare >= place.count;
        if (!isWorthwhile || !groups.isUsable(pack, call, place)) continue;
        bytes = groups.fetch(file, pack, call, place);
        link.isUsed = true;
        link.bytes += place.count;
      }
      byGroup.set({ place, bytes }, sectors);
    }
    return byGroup;
  }

  async #awaitGroups(file: Described, groups: ReadonlyMap<Coming, Wanted[]>, pieces: Pieces): Promise<void> {
    for (const [{ place, bytes: coming }, sectors] of groups) {
      const bytes = await coming;
      if (bytes === undefined) continue;
      for (const one of sectors) {
        const at = (one.chunk - place.firstChunk) * sectorBytes;
        const chunk = bytes.subarray(at, at + sectorBytes);
        if (Buffer.compare(digestOf(chunk), one.digest) !== 0) {
          if (file.pack !== undefined) this.#options.groups.spoil(file, file.pack, place.group);
          break;
        }
        one.bytes = chunk;
        pieces.put(one.sector, chunk);
      }
    }
  }

  /** The attributes to show: asked for after the last byte came, and of a state in which every byte here is right. */
  async #confirm(
    file: Described,
    call: Call,
    args: ReadArguments,
    pieces: Pieces,
    coverCount: number,
    end: number,
  ): Promise<Attributes | undefined> {
    const { content } = file;
    const got = await this.#options.next.getattr(call, { object: args.object });
    if (got.status !== 0 || got.attributes.size < end) return undefined;
    if (!content.holdsFor(stampOfAttributes(got.attributes))) return undefined;
    if (content.coverCount !== coverCount && !pieces.everyPut((sector) => content.isDescribed(sector)))
      return undefined;
    return got.attributes;
  }

  #count(pieces: Pieces, local: number, wanted: readonly Wanted[], parts: readonly { readonly count: number }[]): void {
    const { statistics } = this.#options;
    const found = wanted.filter((one) => one.bytes !== undefined).length;
    statistics.zeroBytes += pieces.zeroCount * sectorBytes;
    statistics.dedupeBytes += local * sectorBytes;
    statistics.packChunkBytes += (found - local) * sectorBytes;
    for (const { count } of parts) statistics.plainBytes += count;
  }

  /** Whoever reads through the cache will have them there. */
  #teach(file: Described, wanted: readonly Wanted[]): void {
    const { hints } = this.#options;
    for (const { digest, sector } of wanted) hints.add(digest, file.content.key, sector);
  }
}

type Answer = Extract<ReadReply, { status: 0 }>;

interface Coming {
  readonly place: GroupPlace;
  readonly bytes: Uint8Array | Promise<Uint8Array | undefined>;
}
