/**
 * Records: a header of 96 bytes, a crc32 for each 4 KiB sector of the file that the payload touches, the payload; then to the next
 * multiple of 16.
 *
 *     [header 96][sum x n][payload ...][0..15 bytes]
 *
 * The header's checksum covers header and sums, seeded with the log and the place. A sum is of the payload's bytes in one sector of the
 * file (or of the payload, for types without an offset), so that one sector can be read and verified alone.
 */
import { crc32 } from 'node:zlib';
import { assert, limits } from '../base/mod.ts';
import { align, placeSeed } from './format.ts';

export const RecordType = {
  WRITE: 1,
  /** The file was made `sizeAfter` long. */
  SIZE: 2,
  DROP: 3,
  /** A file's number and key. */
  FILE: 4,
  NOTE: 5,
  /** The end of an epoch. */
  SEAL: 6,
  /** The origin has this epoch; nothing before the address in `offset` is needed. */
  DRAINED: 7,
  /** Only says what is stable. */
  MARK: 8,
  CLOSE: 9,
  /** Segments before this one and where their records end. */
  TABLE: 10,
  /** Counters and the verifier. */
  STATE: 11,
  /** The copies at the head of a segment are complete. */
  READY: 12,
  /** All changes before are void. */
  DISCARD: 13,
  /** A file's size, times and low water, carried forward by cleaning. */
  CARRY: 14,
  /** What lay before the address in `offset` was copied forward. */
  TRIM: 15,
} as const;
export type RecordCode = (typeof RecordType)[keyof typeof RecordType];

export const recordHeaderBytes = 96;
const sectorBytes = limits.sectorBytes;
const recordMagic = 0x524c_4456;
export const mostPayload = limits.transferBytes;
const mostSums = mostPayload / sectorBytes + 1;

/** SIZE: the file may have been longer before. */
export const flagCut = 1;
/** NOTE: forget it. */
export const flagForget = 1;

/** All fields of a header; kept only as long as it is looked at. */
export interface RecordHeader {
  type: number;
  flags: number;
  sums: number;
  payloadBytes: number;
  lsn: number;
  syncedLsn: number;
  epoch: number;
  file: number;
  writer: number;
  offset: number;
  sizeAfter: number;
  seconds: number;
  nanoseconds: number;
  wallMs: number;
}

export function sumsFor(offset: number, count: number): number {
  if (count === 0) return 0;
  return Math.floor((offset + count - 1) / sectorBytes) - Math.floor(offset / sectorBytes) + 1;
}

/** Bytes of header and sums. */
export function headBytes(sums: number): number {
  return recordHeaderBytes + 4 * sums;
}

/** Bytes of a whole record in the log. */
export function recordBytes(offset: number, payloadBytes: number): number {
  return align(headBytes(sumsFor(offset, payloadBytes)) + payloadBytes);
}

/** Where record headers are put together before they are written. */
export class RecordEncoder {
  readonly #seed: number;
  #buffer: Buffer;
  #view: DataView;
  #used = 0;

  constructor(seed: number, bytes = 128 * 1024) {
    this.#seed = seed;
    this.#buffer = Buffer.allocUnsafeSlow(bytes);
    this.#view = new DataView(this.#buffer.buffer);
  }

  reset(): void {
    this.#used = 0;
  }

  hasRoom(sums: number): boolean {
    return this.#used + alignmentSlack + headBytes(sums) <= this.#buffer.length;
  }

  /**
   * The head of a record, after `padding` zeros that end the record before it. `header.sums` must be right. The slice stays
   * as it is until `reset`.
   */
  encode(
    header: RecordHeader,
    data: readonly Uint8Array[],
    segment: number,
    position: number,
    padding: number,
  ): Uint8Array {
    const begin = this.#used;
    const at = begin + padding;
    const end = at + headBytes(header.sums);
    assert(end <= this.#buffer.length, 'a batch of headers fits the encoder');
    if (padding > 0) this.#buffer.fill(0, begin, at);
    const view = this.#view;
    view.setUint32(at, recordMagic, true);
    view.setUint32(at + 8, header.type | (header.flags << 8) | (header.sums << 16), true);
    view.setUint32(at + 12, header.payloadBytes, true);
    view.setFloat64(at + 16, header.lsn, true);
    view.setFloat64(at + 24, header.syncedLsn, true);
    view.setFloat64(at + 32, header.epoch, true);
    view.setUint32(at + 40, header.file, true);
    view.setUint32(at + 44, header.writer, true);
    view.setFloat64(at + 48, header.offset, true);
    view.setFloat64(at + 56, header.sizeAfter, true);
    view.setFloat64(at + 64, header.seconds, true);
    view.setFloat64(at + 72, header.wallMs, true);
    view.setUint32(at + 80, header.nanoseconds, true);
    view.setUint32(at + 84, 0, true);
    view.setFloat64(at + 88, 0, true);
    this.#sum(header, data, at + recordHeaderBytes);
    view.setUint32(at + 4, crc32(this.#buffer.subarray(at + 8, end), placeSeed(this.#seed, segment, position)), true);
    this.#used = end;
    return this.#buffer.subarray(begin, end);
  }

  /** One crc32 for each sector, however the payload is cut into slices. */
  #sum(header: RecordHeader, data: readonly Uint8Array[], at: number): void {
    const view = this.#view;
    if (header.sums === 1 && data.length === 1) {
      view.setUint32(at, crc32(data[0]!), true);
      return;
    }
    let sum = 0;
    let left = sectorBytes - ((header.type === RecordType.WRITE ? header.offset : 0) % sectorBytes);
    let place = at;
    for (const slice of data) {
      for (let from = 0; from < slice.length; ) {
        const count = Math.min(left, slice.length - from);
        sum = crc32(slice.subarray(from, from + count), sum);
        from += count;
        left -= count;
        if (left > 0) continue;
        view.setUint32(place, sum, true);
        place += 4;
        sum = 0;
        left = sectorBytes;
      }
    }
    if (place < at + 4 * header.sums) view.setUint32(place, sum, true);
  }
}

const alignmentSlack = 16;

/** Reads heads of records. One object, so that looking at a million of them makes no garbage. */
export class RecordDecoder implements RecordHeader {
  readonly #seed: number;
  type = 0;
  flags = 0;
  sums = 0;
  payloadBytes = 0;
  lsn = 0;
  syncedLsn = 0;
  epoch = 0;
  file = 0;
  writer = 0;
  offset = 0;
  sizeAfter = 0;
  seconds = 0;
  nanoseconds = 0;
  wallMs = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /**
   * The head at `at` of `bytes`, which lies at `position` of the segment. `bad`: there is none. A number: so many bytes from
   * `at` on are needed to tell.
   */
  decode(bytes: Uint8Array, at: number, segment: number, position: number): 'good' | 'bad' | number {
    if (at + recordHeaderBytes > bytes.length) return recordHeaderBytes;
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, bytes.length - at);
    if (view.getUint32(0, true) !== recordMagic) return 'bad';
    const sums = view.getUint16(10, true);
    if (sums > mostSums) return 'bad';
    const needed = headBytes(sums);
    if (at + needed > bytes.length) return needed;
    const sum = crc32(bytes.subarray(at + 8, at + needed), placeSeed(this.#seed, segment, position));
    if (sum !== view.getUint32(4, true)) return 'bad';
    this.type = view.getUint8(8);
    this.flags = view.getUint8(9);
    this.sums = sums;
    this.payloadBytes = view.getUint32(12, true);
    this.lsn = view.getFloat64(16, true);
    this.syncedLsn = view.getFloat64(24, true);
    this.epoch = view.getFloat64(32, true);
    this.file = view.getUint32(40, true);
    this.writer = view.getUint32(44, true);
    this.offset = view.getFloat64(48, true);
    this.sizeAfter = view.getFloat64(56, true);
    this.seconds = view.getFloat64(64, true);
    this.wallMs = view.getFloat64(72, true);
    this.nanoseconds = view.getUint32(80, true);
    const fits = this.payloadBytes <= mostPayload && sums === sumsFor(this.payloadOffset, this.payloadBytes);
    return fits ? 'good' : 'bad';
  }

  /** Where sectors are counted from: the file's offset, or 0 for types whose payload is not the file's. */
  get payloadOffset(): number {
    return this.type === RecordType.WRITE ? this.offset : 0;
  }

  get headBytes(): number {
    return headBytes(this.sums);
  }

  get recordBytes(): number {
    return align(this.headBytes + this.payloadBytes);
  }
}

/** The sum of sector `index` of the record whose head begins at `at`. */
export function sumAt(bytes: Uint8Array, at: number, index: number): number {
  const place = at + recordHeaderBytes + 4 * index;
  return (bytes[place]! | (bytes[place + 1]! << 8) | (bytes[place + 2]! << 16) | (bytes[place + 3]! << 24)) >>> 0;
}

/**
 * Whether payload bytes [from, to), which are whole sectors of the record, verify; `payload` holds them from `start` on. `head` holds the
 * record's head at `at`.
 */
export function verifies(
  header: RecordDecoder,
  head: Uint8Array,
  at: number,
  payload: Uint8Array,
  start: number,
  from: number,
  to: number,
): boolean {
  const shift = header.payloadOffset % sectorBytes;
  let index = Math.floor((shift + from) / sectorBytes);
  for (let position = from; position < to; index++) {
    const end = Math.min(to, (index + 1) * sectorBytes - shift);
    const place = start + position - from;
    if (crc32(payload.subarray(place, place + end - position)) !== sumAt(head, at, index)) return false;
    position = end;
  }
  return true;
}

/** The whole sectors of the record that hold payload bytes [from, to). */
export function sectorsAround(header: RecordDecoder, from: number, to: number): { from: number; to: number } {
  const shift = header.payloadOffset % sectorBytes;
  const first = Math.floor((shift + from) / sectorBytes) * sectorBytes - shift;
  const past = Math.ceil((shift + to) / sectorBytes) * sectorBytes - shift;
  return { from: Math.max(0, first), to: Math.min(header.payloadBytes, past) };
}
