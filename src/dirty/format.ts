/**
 * Segment headers, and where things lie (docs/cache-format.md, "The dirty log").
 *
 *     segment-NNNNNNNNNN:  [header 4096][header again][TABLE STATE FILE.. NOTE.. READY][records ...][reserved, zeros]
 *
 * An address names a place of the log: segment number * 2^26 + position / 16. Addresses ascend in the order of appending.
 */
import { crc32 } from 'node:zlib';
import { assert } from '../base/mod.ts';

export const formatVersion = 1;
export const headerBytes = 4096;
/** Where the records of a segment begin. */
export const firstPosition = 2 * headerBytes;
export const alignment = 16;
export const identityBytes = 1024;
const bootIdBytes = 128;
/** Positions of one segment, in units of `alignment`: at most 1 GiB. */
const addressUnits = 2 ** 26;
export const mostSegmentBytes = addressUnits * alignment;

const magic = Buffer.from('viaduct-dirty\r\n\0', 'latin1');
const namePattern = /^segment-(\d{10})$/;
const sparePattern = /^spare-(\d{1,10})$/;

export interface SegmentHeader {
  readonly uuid: Uint8Array;
  readonly number: number;
  /** Of the first record here. */
  readonly firstLsn: number;
  readonly bytes: number;
  /** No change before this address is needed. */
  readonly boundary: number;
  /** Everything up to this LSN was stable when the segment was made. */
  readonly syncedLsn: number;
  readonly createdMs: number;
  readonly verifier: string;
  readonly bootId: string;
  readonly identity: string;
}

export type DecodedSegment =
  | { readonly kind: 'good'; readonly header: SegmentHeader }
  | { readonly kind: 'other-version'; readonly version: number }
  | { readonly kind: 'bad' };

export function segmentName(number: number): string {
  return `segment-${String(number).padStart(10, '0')}`;
}

export function segmentNumber(name: string): number | undefined {
  const match = namePattern.exec(name);
  return match === null ? undefined : Number(match[1]);
}

/** Of a file that keeps room (reserve.ts). */
export function spareName(number: number): string {
  return `spare-${number}`;
}

export function spareNumber(name: string): number | undefined {
  const match = sparePattern.exec(name);
  return match === null ? undefined : Number(match[1]);
}

export function addressOf(segment: number, position: number): number {
  return segment * addressUnits + position / alignment;
}

export function segmentOf(address: number): number {
  return Math.floor(address / addressUnits);
}

export function positionOf(address: number): number {
  return (address % addressUnits) * alignment;
}

export function align(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

/** What all checksums of record headers of one log have in common. */
export function logSeed(uuid: Uint8Array): number {
  return crc32(uuid);
}

/** Binds a record's header to its log and its place: bytes that were meant for elsewhere do not verify. */
export function placeSeed(seed: number, segment: number, position: number): number {
  let h = Math.imul(seed ^ segment, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13) ^ position, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

export function encodeSegment(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  const identity = Buffer.from(header.identity, 'utf8');
  const boot = Buffer.from(header.bootId, 'latin1').subarray(0, bootIdBytes);
  assert(identity.length <= identityBytes, 'an identity fits its field');
  magic.copy(bytes, 0);
  bytes.writeUInt32LE(formatVersion, 16);
  bytes.set(header.uuid, 24);
  bytes.writeDoubleLE(header.number, 40);
  bytes.writeDoubleLE(header.firstLsn, 48);
  bytes.writeDoubleLE(header.bytes, 56);
  bytes.writeDoubleLE(header.boundary, 64);
  bytes.writeDoubleLE(header.syncedLsn, 72);
  bytes.writeDoubleLE(header.createdMs, 80);
  bytes.write(header.verifier, 88, 8, 'latin1');
  bytes.writeUInt32LE(boot.length, 96);
  bytes.set(boot, 100);
  bytes.writeUInt32LE(identity.length, 240);
  bytes.set(identity, 244);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, headerBytes - 4)), headerBytes - 4);
  return bytes;
}

/** Either of the two copies at the beginning of a segment. */
export function decodeSegment(bytes: Uint8Array): DecodedSegment {
  let other: DecodedSegment = { kind: 'bad' };
  for (let at = 0; at + headerBytes <= bytes.length && at < firstPosition; at += headerBytes) {
    const decoded = decodeCopy(Buffer.from(bytes.buffer, bytes.byteOffset + at, headerBytes));
    if (decoded.kind === 'good') return decoded;
    if (decoded.kind === 'other-version') other = decoded;
  }
  return other;
}

function decodeCopy(bytes: Buffer): DecodedSegment {
  if (magic.compare(bytes, 0, magic.length) !== 0) return { kind: 'bad' };
  if (crc32(bytes.subarray(0, headerBytes - 4)) !== bytes.readUInt32LE(headerBytes - 4)) return { kind: 'bad' };
  const version = bytes.readUInt32LE(16);
  if (version !== formatVersion) return { kind: 'other-version', version };
  const bootLength = bytes.readUInt32LE(96);
  const identityLength = bytes.readUInt32LE(240);
  if (bootLength > bootIdBytes || identityLength > identityBytes) return { kind: 'bad' };
  return {
    kind: 'good',
    header: {
      uuid: Uint8Array.from(bytes.subarray(24, 40)),
      number: bytes.readDoubleLE(40),
      firstLsn: bytes.readDoubleLE(48),
      bytes: bytes.readDoubleLE(56),
      boundary: bytes.readDoubleLE(64),
      syncedLsn: bytes.readDoubleLE(72),
      createdMs: bytes.readDoubleLE(80),
      verifier: bytes.toString('latin1', 88, 96),
      bootId: bytes.toString('latin1', 100, 100 + bootLength),
      identity: bytes.toString('utf8', 244, 244 + identityLength),
    },
  };
}
