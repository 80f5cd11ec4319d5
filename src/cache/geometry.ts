/**
 * Where things lie: a pure function of the size that was asked for.
 *
 *   index file:  header | header again | stat | file records ... | tags: one region a set ...
 *   bank file:   way 0: [set 0][set 1]..[set n-1]  way 1: [set 0]..       (n = setsPerBank, one frame each)
 *
 * A block goes to set (hash of the file + block) mod setCount, so consecutive blocks go to consecutive sets, and where they
 * take the same way of the same bank they are neighbours on the disk and one system call reads them.
 * Invariant: index and all banks full, with the file system's own bookkeeping for them, are at most `sizeBytes`.
 */
import { assert, limits } from '../base/mod.ts';

export const ways = limits.cacheWays;
export const frameBytes = limits.blockBytes;
export const sectorBytes = limits.sectorBytes;
export const sectorsPerFrame = frameBytes / sectorBytes;

/** Words (u32) of a set's tags; docs/cache-format.md draws them. */
export const setWords = 320;
export const recordWords = 32;
export const recordWays = 8;
export const setBytes = setWords * 4;
export const recordBytes = recordWords * 4;

export const headerBytes = 4096;
export const statOffset = 2 * headerBytes;
export const recordsOffset = 16 * 1024;

const maximumBanks = 512;
/** Fewer and larger banks than this for small caches: contiguous runs end at a bank's edge. */
const wantedSetsPerBank = 64;
/** Directories, lock file, inode tables. */
const fixedBytes = 128 * 1024;
/** What a file system may charge for the extents of one frame: each of its 16 sectors an extent of 12 bytes. */
const extentBytesPerFrame = 256;
const framesPerRecord = 4;
const minimumRecords = 1024;
const maximumRecords = 262_144;

export interface Geometry {
  readonly sizeBytes: number;
  readonly setCount: number;
  readonly setsPerBank: number;
  readonly bankCount: number;
  readonly frameCount: number;
  readonly recordCount: number;
  readonly recordSets: number;
  readonly tagsOffset: number;
  readonly indexBytes: number;
  readonly bankBytes: number;
}

export function geometryFor(sizeBytes: number): Geometry {
  assert(sizeBytes >= limits.cacheBytes, 'the size of a cache is checked by the caller');
  const recordShare = (ways / framesPerRecord) * recordBytes;
  const perSet = ways * (frameBytes + extentBytesPerFrame) + setBytes + recordShare;
  const available = sizeBytes - fixedBytes - recordsOffset - minimumRecords * recordBytes;
  const wantedSets = Math.floor(available / perSet);
  const bankCount = Math.min(maximumBanks, Math.ceil(wantedSets / wantedSetsPerBank));
  const setsPerBank = Math.floor(wantedSets / bankCount);
  const setCount = setsPerBank * bankCount;
  const frameCount = setCount * ways;
  const wantedRecords = Math.max(minimumRecords, Math.min(maximumRecords, frameCount / framesPerRecord));
  const recordSets = Math.floor(wantedRecords / recordWays);
  const recordCount = recordSets * recordWays;
  const tagsOffset = recordsOffset + recordCount * recordBytes;
  const indexBytes = tagsOffset + setCount * setBytes;
  const geometry = {
    ...{ sizeBytes, setCount, setsPerBank, bankCount, frameCount, recordCount, recordSets },
    ...{ tagsOffset, indexBytes, bankBytes: setsPerBank * ways * frameBytes },
  };
  assert(setsPerBank > 0 && indexBytes + bankCount * geometry.bankBytes + fixedBytes <= sizeBytes, 'size limit');
  return geometry;
}

export function bankOf(geometry: Geometry, set: number): number {
  return Math.floor(set / geometry.setsPerBank);
}

/** Byte position of a frame in its bank. */
export function framePosition(geometry: Geometry, set: number, way: number): number {
  return (way * geometry.setsPerBank + (set % geometry.setsPerBank)) * frameBytes;
}

export function bankName(bank: number): string {
  return String(bank).padStart(3, '0');
}
