/**
 * A meta-data file made of all that is known: head first, then the pages. Chunk numbers are squeezed once and kept until their
 * page is yielded (at most 4 bytes a data sector); digests are yielded where they lie.
 */
import { crc32 } from 'node:zlib';
import { assert, limits } from '../base/mod.ts';
import { ContentError, type ContentTable, digestBytes, pageSectors } from './contract.ts';
import { encodeGroups, packHeaderBytes } from './group-table.ts';
import {
  encodeMetaHeader,
  headMemoryBytes,
  type MetaHeader,
  metaHeaderBytes,
  packIdBytes,
  pageCountOf,
  sectorCountOf,
} from './meta-format.ts';
import { toPlanes } from './planes.ts';
import { countBits, pageKind, pageMapBytes } from './sector-map.ts';
import { squeeze } from './squeeze.ts';

/** The file's parts, in order. ContentError: the file is too large for meta-data (limits.contentFileBytes, contentHeadBytes). */
export function encodeMeta(table: ContentTable): Iterable<Uint8Array> {
  const sectorCount = sectorCountOf(table.stamp.size);
  if (table.stamp.size > limits.contentFileBytes) throw new ContentError('the file is too large for meta-data');
  assert(table.dataMap.length >= Math.ceil(sectorCount / 8), 'the data map is too short');
  const map = encodeMap(table.dataMap, sectorCount);
  const data = map.pageData.reduce((sum, count) => sum + count, 0);
  assert(countBits(table.dataMap, 0, table.dataMap.length) === data, 'the data map goes beyond the file');
  assert(
    table.chunks.length === data && table.digests.length === data * digestBytes,
    'a chunk and a digest a data sector',
  );
  const pages = encodePages(table, map.pageData);
  const groups =
    table.pack === undefined ? new Uint8Array(0) : encodeGroups(table.pack.groupBytes, table.pack.groupChunks);
  const sections = [map.kinds, map.bitmaps, encodeDirectory(pages), groups].map(squeeze);
  const head = metaHeaderBytes + sections.reduce((sum, section) => sum + section.length, 0);
  const header: MetaHeader = {
    ...packFields(table),
    stamp: table.stamp,
    dataSectorCount: data,
    mixedPageCount: map.bitmaps.length / pageMapBytes,
    isWantedWhole: table.isWantedWhole === true,
    headBytes: head,
    metaBytes: head + pages.reduce((sum, page) => sum + page.count, 0),
    sections: sections.map((section) => ({ count: section.length, checksum: crc32(section) })),
  };
  if (headMemoryBytes(header) > limits.contentHeadBytes) throw new ContentError('the file is too large for meta-data');
  return parts([encodeMetaHeader(header), ...sections], pages);
}

interface EncodedPage {
  readonly numbers: Uint8Array;
  readonly digests: Uint8Array;
  readonly count: number;
  readonly checksum: number;
}

function* parts(head: readonly Uint8Array[], pages: readonly EncodedPage[]): Iterable<Uint8Array> {
  yield* head;
  for (const page of pages) {
    yield page.numbers;
    yield page.digests;
  }
}

interface EncodedMap {
  readonly kinds: Uint8Array;
  readonly bitmaps: Uint8Array;
  /** Data sectors of each page. */
  readonly pageData: Uint16Array;
}

function encodeMap(dataMap: Uint8Array, sectorCount: number): EncodedMap {
  const pageCount = Math.ceil(sectorCount / pageSectors);
  const kinds = new Uint8Array(pageCount);
  const pageData = new Uint16Array(pageCount);
  const bitmaps: Uint8Array[] = [];
  for (let page = 0; page < pageCount; page++) {
    const sectors = Math.min(pageSectors, sectorCount - page * pageSectors);
    const offset = page * pageMapBytes;
    const end = offset + Math.ceil(sectors / 8);
    const data = countBits(dataMap, offset, end);
    assert(data <= sectors, 'the data map goes beyond the file');
    pageData[page] = data;
    kinds[page] = data === 0 ? pageKind.zero : data === sectors ? pageKind.data : pageKind.mixed;
    if (kinds[page] !== pageKind.mixed) continue;
    const bitmap = new Uint8Array(pageMapBytes);
    bitmap.set(dataMap.subarray(offset, end));
    bitmaps.push(bitmap);
  }
  return { kinds, bitmaps: Buffer.concat(bitmaps), pageData };
}

/** Of pages that have data. */
function encodePages(table: ContentTable, pageData: Uint16Array): EncodedPage[] {
  const pages: EncodedPage[] = [];
  let first = 0;
  for (const data of pageData) {
    if (data === 0) continue;
    const numbers = squeeze(toPlanes(table.chunks.subarray(first, first + data)));
    const digests = table.digests.subarray(first * digestBytes, (first + data) * digestBytes);
    const checksum = crc32(digests, crc32(numbers));
    pages.push({ numbers, digests, count: numbers.length + digests.length, checksum });
    first += data;
  }
  return pages;
}

/** Stored bytes of all pages that have data, then their checksums. */
function encodeDirectory(pages: readonly EncodedPage[]): Uint8Array {
  const bytes = Buffer.alloc(8 * pages.length);
  for (const [index, page] of pages.entries()) {
    bytes.writeUInt32LE(page.count, 4 * index);
    bytes.writeUInt32LE(page.checksum, 4 * (pages.length + index));
  }
  return bytes;
}

function packFields(table: ContentTable): Pick<MetaHeader, 'packId' | 'packBytes' | 'chunkCount' | 'groupCount'> {
  let most = 0;
  for (const chunk of table.chunks) if (chunk >= most) most = chunk + 1;
  assert(pageCountOf(table.stamp.size) > 0 || most === 0, 'chunks of an empty file');
  if (table.pack === undefined) return { packId: undefined, packBytes: 0, chunkCount: most, groupCount: 0 };
  const { id, groupBytes, groupChunks } = table.pack;
  assert(id.length === packIdBytes, 'a pack id has 16 bytes');
  const chunkCount = groupChunks.reduce((sum, count) => sum + count, 0);
  assert(most === chunkCount, `chunks up to ${most}, and ${chunkCount} in the pack`);
  const packBytes = groupBytes.reduce((sum, count) => sum + count, packHeaderBytes);
  return { packId: id, packBytes, chunkCount, groupCount: groupBytes.length };
}
