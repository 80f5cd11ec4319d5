/** The head of a meta-data file, decoded and kept in typed arrays: about 130 bytes for each MiB of a file that is all data. */
import { crc32 } from 'node:zlib';
import { assert } from '../base/mod.ts';
import type { FileStamp } from '../vfs/mod.ts';
import { ContentError, digestBytes, type GroupPlace, type MetaHead, type PagePlace } from './contract.ts';
import { GroupTable, groupEntryBytes } from './group-table.ts';
import {
  decodeMetaHeader,
  directoryEntryBytes,
  encodeMetaHeader,
  headMemoryBytes,
  type MetaHeader,
  metaHeaderBytes,
  pageCountOf,
  sectorCountOf,
} from './meta-format.ts';
import { pageMapBytes, SectorMap } from './sector-map.ts';
import { unsqueeze } from './squeeze.ts';

/** How much of a meta-data file is its head; from its first 4096 bytes. */
export function headBytes(first: Uint8Array): number {
  return decodeMetaHeader(first).headBytes;
}

/**
 * The first 4096 bytes of a meta-data file for the same bytes under another stamp: after a copy, chmod or touch nothing else of it
 * changes. The size must be the same.
 */
export function withStamp(first: Uint8Array, stamp: FileStamp): Uint8Array {
  const header = decodeMetaHeader(first);
  assert(header.stamp.size === stamp.size, 'the same bytes have the same size');
  return encodeMetaHeader({ ...header, stamp });
}

/** `bytes`: the first `headBytes` of the file; more may follow. Nothing of them is kept. */
export function decodeHead(bytes: Uint8Array): MetaHead {
  const header = decodeMetaHeader(bytes);
  if (bytes.length < header.headBytes) throw new ContentError('meta: the head is cut short');
  return new Head(header, bytes);
}

class Head implements MetaHead {
  readonly stamp: FileStamp;
  readonly packId: Uint8Array | undefined;
  readonly packBytes: number;
  readonly sectorCount: number;
  readonly dataSectorCount: number;
  readonly chunkCount: number;
  readonly groupCount: number;
  readonly pageCount: number;
  readonly isWantedWhole: boolean;
  readonly metaBytes: number;
  readonly memoryBytes: number;
  readonly #map: SectorMap;
  readonly #groups: GroupTable;
  /** Offset in the meta-data file; one more, its end. */
  readonly #pageOffsets: Float64Array;
  readonly #pageChecksums: Uint32Array;

  constructor(header: MetaHeader, bytes: Uint8Array) {
    this.stamp = header.stamp;
    this.packId = header.packId;
    this.packBytes = header.packBytes;
    this.sectorCount = sectorCountOf(header.stamp.size);
    this.dataSectorCount = header.dataSectorCount;
    this.chunkCount = header.chunkCount;
    this.groupCount = header.groupCount;
    this.pageCount = pageCountOf(header.stamp.size);
    this.isWantedWhole = header.isWantedWhole;
    this.metaBytes = header.metaBytes;
    this.memoryBytes = headMemoryBytes(header);
    const sections = sectionsOf(header, bytes);
    const kinds = unsqueeze(sections[0]!, this.pageCount, 'meta: page kinds');
    // A copy where the section is stored as it is: the head does not hold on to the bytes that it came in.
    const bitmaps = owned(unsqueeze(sections[1]!, header.mixedPageCount * pageMapBytes, 'meta: zero map'), bytes);
    this.#map = new SectorMap(this.sectorCount, kinds, bitmaps);
    if (this.#map.dataSectorCount !== this.dataSectorCount) throw new ContentError('meta: the zero map is damaged');
    this.#pageOffsets = new Float64Array(this.pageCount + 1);
    this.#pageChecksums = new Uint32Array(this.pageCount);
    this.#placePages(header, sections[2]!);
    this.#groups = new GroupTable(
      unsqueeze(sections[3]!, this.groupCount * groupEntryBytes, 'meta: groups'),
      this.groupCount,
    );
    this.#checkGroups();
  }

  isZero(sector: number): boolean {
    return this.#map.isZero(sector);
  }

  nextData(sector: number): number {
    return this.#map.nextData(sector);
  }

  nextZero(sector: number): number {
    return this.#map.nextZero(sector);
  }

  page(page: number): PagePlace {
    assert(page >= 0 && page < this.pageCount, `no page ${page}`);
    const offset = this.#pageOffsets[page]!;
    return { offset, count: this.#pageOffsets[page + 1]! - offset, checksum: this.#pageChecksums[page]! };
  }

  groupOf(chunk: number): GroupPlace {
    assert(this.groupCount > 0 && chunk >= 0 && chunk < this.chunkCount, `no group of chunk ${chunk}`);
    return this.#groups.at(this.#groups.find(chunk));
  }

  groupAt(group: number): GroupPlace {
    assert(group >= 0 && group < this.groupCount, `no group ${group}`);
    return this.#groups.at(group);
  }

  #placePages(header: MetaHeader, stored: Uint8Array): void {
    let dataPages = 0;
    for (let page = 0; page < this.pageCount; page++) if (this.#map.dataIn(page) > 0) dataPages++;
    const decoded = unsqueeze(stored, dataPages * directoryEntryBytes, 'meta: page directory');
    const directory = new DataView(decoded.buffer, decoded.byteOffset, decoded.length);
    let offset = header.headBytes;
    let entry = 0;
    for (let page = 0; page < this.pageCount; page++) {
      this.#pageOffsets[page] = offset;
      const data = this.#map.dataIn(page);
      if (data === 0) continue;
      const count = directory.getUint32(4 * entry, true);
      if (count < data * digestBytes || count > data * (digestBytes + 4)) {
        throw new ContentError('meta: the page directory is damaged');
      }
      this.#pageChecksums[page] = directory.getUint32(4 * (dataPages + entry), true);
      offset += count;
      entry++;
    }
    this.#pageOffsets[this.pageCount] = offset;
    if (offset !== this.metaBytes) throw new ContentError('meta: the page directory is damaged');
  }

  #checkGroups(): void {
    if (this.packId === undefined) return;
    if (this.#groups.chunkCount !== this.chunkCount || this.#groups.packBytes !== this.packBytes) {
      throw new ContentError('meta: the table of groups is damaged');
    }
  }
}

function sectionsOf(header: MetaHeader, bytes: Uint8Array): Uint8Array[] {
  let offset = metaHeaderBytes;
  return header.sections.map((section) => {
    const stored = bytes.subarray(offset, (offset += section.count));
    if (crc32(stored) !== section.checksum) throw new ContentError('meta: the head is damaged');
    return stored;
  });
}

function owned(bytes: Uint8Array, lent: Uint8Array): Uint8Array {
  return bytes.buffer === lent.buffer ? Uint8Array.from(bytes) : bytes;
}
