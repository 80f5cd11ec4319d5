/**
 * Which sectors hold data: one kind for each page, and a bitmap of 512 bytes for each page that has both. A sparse file of
 * terabytes costs what its data cost; zeros and data of whole pages are passed over at once.
 *
 *   kinds     0 all zero | 1 all data | 2 mixed       one byte a page
 *   bitmaps   of the mixed pages, in order; sector n of the page is bit n % 8 of byte n / 8, set for data
 */
import { ContentError, pageSectors } from './contract.ts';

export const pageMapBytes = pageSectors / 8;
export const pageKind = { zero: 0, data: 1, mixed: 2 } as const;
const firstMixed = 2;

export class SectorMap {
  readonly sectorCount: number;
  readonly pageCount: number;
  readonly dataSectorCount: number;
  /** 0 and 1 as `pageKind`; from 2 on the number of the bitmap plus 2. */
  readonly #places: Uint32Array;
  readonly #bitmaps: Uint8Array;
  /** Data sectors of each page. */
  readonly #data: Uint16Array;

  constructor(sectorCount: number, kinds: Uint8Array, bitmaps: Uint8Array) {
    this.sectorCount = sectorCount;
    this.pageCount = kinds.length;
    this.#places = new Uint32Array(kinds.length);
    this.#bitmaps = bitmaps;
    this.#data = new Uint16Array(kinds.length);
    let mixed = 0;
    let data = 0;
    for (let page = 0; page < kinds.length; page++) {
      const kind = kinds[page]!;
      if (kind > pageKind.mixed) throw new ContentError('the zero map is damaged');
      this.#places[page] = kind === pageKind.mixed ? firstMixed + mixed++ : kind;
      if (kind === pageKind.mixed && mixed * pageMapBytes > bitmaps.length) {
        throw new ContentError('the zero map is cut short');
      }
      this.#data[page] = this.#count(page);
      data += this.#data[page]!;
    }
    if (mixed * pageMapBytes !== bitmaps.length || this.#hasDataBehindEnd()) {
      throw new ContentError('the zero map is damaged');
    }
    this.dataSectorCount = data;
  }

  dataIn(page: number): number {
    return this.#data[page]!;
  }

  isZero(sector: number): boolean {
    const place = this.#places[sector >>> 12];
    if (place === undefined || place === pageKind.zero) return true;
    if (place === pageKind.data) return false;
    const inPage = sector & (pageSectors - 1);
    return ((this.#bitmaps[(place - firstMixed) * pageMapBytes + (inPage >>> 3)]! >>> (inPage & 7)) & 1) === 0;
  }

  nextData(sector: number): number {
    return this.#next(sector, pageKind.data, 0);
  }

  nextZero(sector: number): number {
    return this.#next(sector, pageKind.zero, 0xff);
  }

  /** Whole pages of `wanted` end the search, whole pages of the other kind are skipped; in bitmaps, bits that differ from `fill` do. */
  #next(from: number, wanted: number, fill: number): number {
    let sector = from;
    while (sector < this.sectorCount) {
      const place = this.#places[sector >>> 12]!;
      if (place === wanted) return sector;
      const pageEnd = (sector & ~(pageSectors - 1)) + pageSectors;
      if (place >= firstMixed) {
        const found = this.#nextInBitmap((place - firstMixed) * pageMapBytes, sector & (pageSectors - 1), fill);
        if (found < pageSectors) return Math.min(pageEnd - pageSectors + found, this.sectorCount);
      }
      sector = pageEnd;
    }
    return this.sectorCount;
  }

  #nextInBitmap(start: number, from: number, fill: number): number {
    let at = from >>> 3;
    let bits = (this.#bitmaps[start + at]! ^ fill) & (0xff << (from & 7)) & 0xff;
    while (bits === 0) {
      if (++at === pageMapBytes) return pageSectors;
      bits = this.#bitmaps[start + at]! ^ fill;
    }
    return at * 8 + 31 - Math.clz32(bits & -bits);
  }

  #count(page: number): number {
    const place = this.#places[page]!;
    if (place === pageKind.zero) return 0;
    if (place === pageKind.data) return Math.min(pageSectors, this.sectorCount - page * pageSectors);
    const offset = (place - firstMixed) * pageMapBytes;
    return countBits(this.#bitmaps, offset, offset + pageMapBytes);
  }

  #hasDataBehindEnd(): boolean {
    const last = this.pageCount - 1;
    const inLast = this.sectorCount - last * pageSectors;
    const place = this.#places[last];
    if (place === undefined || place < firstMixed || inLast === pageSectors) return false;
    return this.#nextInBitmap((place - firstMixed) * pageMapBytes, inLast, 0) < pageSectors;
  }
}

export function countBits(bytes: Uint8Array, from: number, to: number): number {
  let count = 0;
  for (let at = from; at < to; at++) {
    let bits = bytes[at]!;
    bits -= (bits >>> 1) & 0x55;
    bits = (bits & 0x33) + ((bits >>> 2) & 0x33);
    count += (bits + (bits >>> 4)) & 0x0f;
  }
  return count;
}
