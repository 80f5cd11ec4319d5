/** The index file's fixed parts as bytes: header, file record, a set's tags. docs/cache-format.md is the description. */
import { crc32 } from 'node:zlib';
import {
  frameBytes,
  type Geometry,
  geometryFor,
  headerBytes,
  recordWords,
  sectorBytes,
  setWords,
  ways,
} from './geometry.ts';
import { recordWord, tagWord } from './memory.ts';

export const formatVersion = 2;
const magic = Buffer.from('viaduct-cache\r\n\0', 'latin1');

export interface Header {
  readonly version: number;
  readonly uuid: Uint8Array;
  readonly geometry: Geometry;
}

/**
 *   0 magic[16]  16 version u32  20 zero u32  24 uuid[16]  40 sizeBytes f64  48 frameBytes u32  52 sectorBytes u32
 *   56 ways u32  60 setCount u32  64 setsPerBank u32  68 bankCount u32  72 recordCount u32  76 crc32 of bytes 0..75
 */
export function encodeHeader(uuid: Uint8Array, geometry: Geometry): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  magic.copy(bytes);
  bytes.writeUInt32LE(formatVersion, 16);
  Buffer.from(uuid).copy(bytes, 24, 0, 16);
  bytes.writeDoubleLE(geometry.sizeBytes, 40);
  const numbers = [frameBytes, sectorBytes, ways, geometry.setCount, geometry.setsPerBank, geometry.bankCount];
  for (const [index, value] of [...numbers, geometry.recordCount].entries()) bytes.writeUInt32LE(value, 48 + 4 * index);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 76)), 76);
  return bytes;
}

export type DecodedHeader =
  | { readonly kind: 'good'; readonly header: Header }
  | { readonly kind: 'other-version'; readonly version: number }
  | { readonly kind: 'damaged' }
  | { readonly kind: 'foreign' };

export function decodeHeader(bytes: Buffer): DecodedHeader {
  if (bytes.length < 16 || !bytes.subarray(0, 16).equals(magic)) return { kind: 'foreign' };
  if (bytes.length < 80) return { kind: 'damaged' };
  if (crc32(bytes.subarray(0, 76)) !== bytes.readUInt32LE(76)) return { kind: 'damaged' };
  const version = bytes.readUInt32LE(16);
  if (version !== formatVersion) return { kind: 'other-version', version };
  const sizeBytes = bytes.readDoubleLE(40);
  const geometry = geometryFor(sizeBytes);
  // Whatever the rule for the geometry was when the cache was made, it must be today's, or nothing is where we look.
  if (!encodeHeader(bytes.subarray(24, 40), geometry).subarray(0, 80).equals(bytes.subarray(0, 80))) {
    return { kind: 'damaged' };
  }
  return { kind: 'good', header: { version, uuid: Uint8Array.from(bytes.subarray(24, 40)), geometry } };
}

/** Sums are bound to the cache and to the place, so that a region of another cache or place does not pass for this one. */
function regionSum(words: Uint32Array, count: number, uuid: Uint32Array, place: number, kind: number): number {
  const seed = crc32(Buffer.from(uuid.buffer, uuid.byteOffset, 16), (Math.imul(place, 2) + kind) >>> 0);
  return crc32(Buffer.from(words.buffer, words.byteOffset, count * 4), seed);
}

export function tagsSum(words: Uint32Array, uuid: Uint32Array, set: number): number {
  return regionSum(words, tagWord.crc, uuid, set, 0);
}

export function recordSum(words: Uint32Array, uuid: Uint32Array, slot: number): number {
  return regionSum(words, recordWord.crc, uuid, slot, 1);
}

/** Makes a copy of a set's tags ready for the disk. */
export function sealTags(words: Uint32Array, uuid: Uint32Array, set: number): void {
  words.fill(0, tagWord.crc, setWords);
  words[tagWord.crc] = tagsSum(words, uuid, set);
}

export function sealRecord(words: Uint32Array, uuid: Uint32Array, slot: number): void {
  words.fill(0, recordWord.origin + 1, recordWords);
  words[recordWord.crc] = recordSum(words, uuid, slot);
}

export type RegionState = 'empty' | 'good' | 'damaged';

export function tagsState(words: Uint32Array, uuid: Uint32Array, set: number): RegionState {
  if (words[tagWord.crc] === tagsSum(words, uuid, set)) return 'good';
  return isZero(words) ? 'empty' : 'damaged';
}

export function recordState(words: Uint32Array, uuid: Uint32Array, slot: number): RegionState {
  if (words[recordWord.crc] === 0 && isZero(words)) return 'empty';
  return words[recordWord.crc] === recordSum(words, uuid, slot) ? 'good' : 'damaged';
}

function isZero(words: Uint32Array): boolean {
  for (let index = 0; index < words.length; index++) if (words[index] !== 0) return false;
  return true;
}
