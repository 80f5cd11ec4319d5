/**
 * What is known of one file's bytes from its meta-data, and for which state of the file it holds: the zero map for the cache above
 * (zero-aware.ts), and the rest for the layer (../content.ts).
 *
 * The meta-data is of one version. Our own changes move the file on, under our own eyes: what they touched is no longer described,
 * all else is. A stamp that no chain of our own changes leads to is somebody else's doing: then nothing here holds.
 *
 *     head's stamp ──own change: range covered, wcc hop──> stamp ──> ...        foreign change: no hop leads there
 *
 * Invariants: a range is covered before the change leaves for the origin and never described again; `stamp` only moves along hops
 * that began where it stood; all lists are bounded.
 */
import type { MetaHead } from '../../content/mod.ts';
import { type FileStamp, sameStamp } from '../../vfs/mod.ts';

const sectorBytes = 4096;
const mostHops = 256;
const mostPast = 64;

export class FileContent {
  /** What the clean cache knows the file by. */
  readonly key: string;
  readonly head: MetaHead;
  /** Moves with each range that is covered. */
  coverCount = 0;
  #stamp: FileStamp;
  /** Stamps that it stood for before. */
  readonly #past: FileStamp[] = [];
  #hops: { readonly from: FileStamp; readonly to: FileStamp }[] = [];
  /** One bit a sector: changed by us. */
  #covered: Uint8Array | undefined;

  /** `stamp`: the head's, with the file number that our origin shows. */
  constructor(key: string, head: MetaHead, stamp: FileStamp) {
    this.key = key;
    this.head = head;
    this.#stamp = stamp;
  }

  get stamp(): FileStamp {
    return this.#stamp;
  }
  get memoryBytes(): number {
    return this.head.memoryBytes + (this.#covered?.length ?? 0) + 1024;
  }

  /** Whether what is described is so in a file that shows this stamp. */
  holdsFor(stamp: FileStamp): boolean {
    return sameStamp(stamp, this.#stamp) || this.#past.some((past) => sameStamp(past, stamp));
  }

  isDescribed(sector: number): boolean {
    return sector < this.head.sectorCount && !this.#isCovered(sector);
  }

  /** The first zero sector of [sector, end), or `end`. */
  nextZero(sector: number, end: number): number {
    const last = Math.min(end, this.head.sectorCount);
    for (let at = sector; at < last; at++) {
      at = this.head.nextZero(at);
      if (at >= last) break;
      if (!this.#isCovered(at)) return at;
    }
    return end;
  }

  /** The first sector of [sector, end) that is not known to be zero, or `end`. */
  nextOther(sector: number, end: number): number {
    if (sector >= this.head.sectorCount) return sector;
    const data = Math.min(this.head.nextData(sector), end, this.head.sectorCount);
    if (this.#covered === undefined) return data;
    for (let at = sector; at < data; at++) if (this.#isCovered(at)) return at;
    return data;
  }

  /** A change of ours to [offset, end) is about to leave: it is not described any more. */
  cover(offset: number, end: number): void {
    const last = Math.min(Math.ceil(end / sectorBytes), this.head.sectorCount);
    const first = Math.floor(offset / sectorBytes);
    if (first >= last) return;
    this.coverCount++;
    this.#covered ??= new Uint8Array(Math.ceil(this.head.sectorCount / 8));
    for (let at = first; at < last; ) {
      if ((at & 7) === 0 && at + 8 <= last) {
        this.#covered[at >>> 3] = 0xff;
        at += 8;
      } else {
        this.#covered[at >>> 3]! |= 1 << (at & 7);
        at++;
      }
    }
  }

  /** A change of ours, whose range was covered, moved the file from one stamp to the other. In any order. */
  hop(from: FileStamp, to: FileStamp): void {
    if (sameStamp(from, to) || this.holdsFor(to)) return;
    this.#hops.push({ from, to });
    if (this.#hops.length > mostHops) this.#hops.shift();
    for (let next = 0; next >= 0; ) {
      next = this.#hops.findIndex((hop) => sameStamp(hop.from, this.#stamp));
      if (next < 0) break;
      const [hop] = this.#hops.splice(next, 1);
      this.#past.push(this.#stamp);
      if (this.#past.length > mostPast) this.#past.shift();
      this.#stamp = hop!.to;
    }
  }

  /** None of our changes is under way: hops that do not connect show somebody else's change. */
  quiet(): void {
    this.#hops = [];
  }

  #isCovered(sector: number): boolean {
    return this.#covered !== undefined && (this.#covered[sector >>> 3]! & (1 << (sector & 7))) !== 0;
  }
}
