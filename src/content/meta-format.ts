/**
 * The header of a meta-data file (docs/content-format.md):
 *
 *     0 magic[16]   16 version u32   20 flags u32 (1 pack, 2 wanted whole)   24 stamp[40]   64 packId[16]   80 packBytes u64
 *    88 dataSectorCount u32   92 chunkCount u32   96 groupCount u32   100 mixedPageCount u32   104 headBytes u32   108 zero u32
 *   112 metaBytes u64   120 sections, 4 times { stored bytes u32, crc32 of them u32 }   152 zero   4092 crc32 of what is before
 *
 * The sections follow in this order: page kinds, bitmaps, page directory, table of groups.
 */
import { limits } from '../base/mod.ts';
import type { FileStamp } from '../vfs/mod.ts';
import { ContentError, chunkBytes, digestBytes, pageSectors } from './contract.ts';
import { groupMemoryBytes } from './group-table.ts';
import { HeaderFormat, readSize, readStamp, writeSize, writeStamp } from './header.ts';
import { pageMapBytes } from './sector-map.ts';

const format = new HeaderFormat('meta', 1, 4096);
export const metaHeaderBytes = format.bytes;
export const packIdBytes = 16;
const sectionCount = 4;
/** Bytes of the page directory for each page that has data: stored bytes u32, crc32 u32. */
export const directoryEntryBytes = 8;
/** In memory for each page: its place in the map, its data sectors, offset, checksum. */
const pageMemoryBytes = 18;
const flagPack = 1;
const flagWhole = 2;

export interface Section {
  readonly count: number;
  readonly checksum: number;
}

export interface MetaHeader {
  readonly stamp: FileStamp;
  readonly packId: Uint8Array | undefined;
  readonly packBytes: number;
  readonly dataSectorCount: number;
  readonly chunkCount: number;
  readonly groupCount: number;
  readonly mixedPageCount: number;
  readonly isWantedWhole: boolean;
  readonly headBytes: number;
  readonly metaBytes: number;
  readonly sections: readonly Section[];
}

export function sectorCountOf(size: number): number {
  return Math.ceil(size / chunkBytes);
}

export function pageCountOf(size: number): number {
  return Math.ceil(sectorCountOf(size) / pageSectors);
}

/** Of a decoded head. Also the bound of what is allocated while it is decoded. */
export function headMemoryBytes(
  header: Omit<MetaHeader, 'sections' | 'headBytes' | 'metaBytes' | 'isWantedWhole'>,
): number {
  const pages = pageCountOf(header.stamp.size) * (pageMemoryBytes + directoryEntryBytes + 1);
  return pages + header.mixedPageCount * pageMapBytes + header.groupCount * groupMemoryBytes;
}

export function encodeMetaHeader(header: MetaHeader): Buffer {
  const bytes = format.create();
  const flags = (header.packId === undefined ? 0 : flagPack) | (header.isWantedWhole ? flagWhole : 0);
  bytes.writeUInt32LE(flags, 20);
  writeStamp(bytes, header.stamp, 24);
  if (header.packId !== undefined) bytes.set(header.packId, 64);
  writeSize(bytes, header.packBytes, 80);
  bytes.writeUInt32LE(header.dataSectorCount, 88);
  bytes.writeUInt32LE(header.chunkCount, 92);
  bytes.writeUInt32LE(header.groupCount, 96);
  bytes.writeUInt32LE(header.mixedPageCount, 100);
  bytes.writeUInt32LE(header.headBytes, 104);
  writeSize(bytes, header.metaBytes, 112);
  for (const [index, section] of header.sections.entries()) {
    bytes.writeUInt32LE(section.count, 120 + 8 * index);
    bytes.writeUInt32LE(section.checksum, 124 + 8 * index);
  }
  return format.seal(bytes);
}

/** Counts are such that a head of them is of bounded size; whether they agree with the sections is for the sections to say. */
export function decodeMetaHeader(bytes: Uint8Array): MetaHeader {
  const header = format.open(bytes);
  const flags = header.readUInt32LE(20);
  const hasPack = (flags & flagPack) !== 0;
  const sections: Section[] = [];
  for (let at = 120; at < 120 + 8 * sectionCount; at += 8) {
    sections.push({ count: header.readUInt32LE(at), checksum: header.readUInt32LE(at + 4) });
  }
  const decoded: MetaHeader = {
    stamp: readStamp(header, 24),
    packId: hasPack ? Uint8Array.from(header.subarray(64, 64 + packIdBytes)) : undefined,
    packBytes: readSize(header, 80),
    dataSectorCount: header.readUInt32LE(88),
    chunkCount: header.readUInt32LE(92),
    groupCount: header.readUInt32LE(96),
    mixedPageCount: header.readUInt32LE(100),
    isWantedWhole: (flags & flagWhole) !== 0,
    headBytes: header.readUInt32LE(104),
    metaBytes: readSize(header, 112),
    sections,
  };
  check(decoded);
  return decoded;
}

function check(header: MetaHeader): void {
  const { stamp, dataSectorCount, chunkCount, groupCount, mixedPageCount } = header;
  if (stamp.size > limits.contentFileBytes) throw new ContentError('meta: the file is too large');
  if (dataSectorCount > sectorCountOf(stamp.size)) throw new ContentError('meta: more data than sectors');
  if (chunkCount > dataSectorCount || groupCount > chunkCount) throw new ContentError('meta: more chunks than data');
  if (chunkCount === 0 && dataSectorCount !== 0) throw new ContentError('meta: data without chunks');
  if (mixedPageCount > pageCountOf(stamp.size)) throw new ContentError('meta: more bitmaps than pages');
  if (header.packId === undefined && (groupCount !== 0 || header.packBytes !== 0)) {
    throw new ContentError('meta: groups without a pack');
  }
  if (headMemoryBytes(header) > limits.contentHeadBytes) throw new ContentError('meta: the head is too large');
  let headBytes = metaHeaderBytes;
  for (const section of header.sections) headBytes += section.count;
  if (header.headBytes !== headBytes || headBytes > metaHeaderBytes + limits.contentHeadBytes) {
    throw new ContentError('meta: the head has another size');
  }
  const pages = header.metaBytes - headBytes;
  if (pages < dataSectorCount * digestBytes || pages > dataSectorCount * (digestBytes + 4)) {
    throw new ContentError('meta: the file has another size');
  }
}
