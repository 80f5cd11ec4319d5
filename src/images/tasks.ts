/**
 * The work that is worth a thread: reading a page of the image, compressing groups, checking groups. A task and its result are plain
 * data; descriptors are the process's, so every thread may read by them.
 *
 *     scan    a page of the file  ──► which sectors are data, and their digests
 *     pack    sectors of groups   ──► the groups as the pack stores them, if the sectors still are what their digests say
 *     check   places of groups    ──► which of them do not hold what their digests say
 */
import {
  ContentError,
  chunkBytes,
  decodeGroup,
  digestBytes,
  digestOf,
  encodeGroupNow,
  type GroupPlace,
  groupChunks,
  isZero,
  pageSectors,
} from '../content/mod.ts';
import { errno, seekData, seekHole } from '../native/mod.ts';
import { readFully } from './fully.ts';

export const pageBytes = pageSectors * chunkBytes;
export const pageMapBytes = pageSectors / 8;
/** What is read at a time: enough for a disk, little enough for a processor's cache to still have it when it is hashed. */
const readBytes = 1024 * 1024;
/** Zeros are looked for in larger pieces first. */
const pieceBytes = 64 * 1024;

export interface ScanTask {
  readonly kind: 'scan';
  readonly fd: number;
  readonly page: number;
  readonly size: number;
  /** Also what the file system says is a hole. */
  readonly withHoles: boolean;
}

export interface ScanResult {
  readonly dataCount: number;
  /** One bit a sector, set for data: 512 bytes. */
  readonly map: Uint8Array<ArrayBuffer>;
  /** 16 bytes for each data sector. */
  readonly digests: Uint8Array<ArrayBuffer>;
  /** The file ended before `size`. */
  readonly isShort: boolean;
}

export interface PackTask {
  readonly kind: 'pack';
  readonly fd: number;
  readonly size: number;
  readonly level: number | undefined;
  /** Where each chunk is in the file, in the order of the pack. */
  readonly sectors: Uint32Array;
  readonly digests: Uint8Array;
  /** Chunks of each group. */
  readonly groups: Uint8Array;
}

export interface PackResult {
  /** The groups back to back. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly groupBytes: Uint32Array<ArrayBuffer>;
  /** A sector was not what its digest says: the file was changed. */
  readonly isChanged: boolean;
}

export interface CheckTask {
  readonly kind: 'check';
  /** Of the pack. */
  readonly fd: number;
  readonly places: readonly GroupPlace[];
  /** Of their chunks. */
  readonly digests: Uint8Array;
}

export interface CheckResult {
  /** Numbers of groups. */
  readonly damaged: readonly number[];
}

export type Task = ScanTask | PackTask | CheckTask;
export type ResultOf<T extends Task> = T extends ScanTask ? ScanResult : T extends PackTask ? PackResult : CheckResult;
export type Result = ScanResult | PackResult | CheckResult;

/** Of one thread: its buffers. */
export class TaskRunner {
  readonly #read = Buffer.allocUnsafeSlow(readBytes);
  readonly #digests = new Uint8Array(pageSectors * digestBytes);
  readonly #group = Buffer.allocUnsafeSlow(groupChunks * chunkBytes);
  /** Groups of one task as they are stored; it grows to the largest. */
  #stored = Buffer.alloc(0);

  async run(task: Task): Promise<Result> {
    switch (task.kind) {
      case 'scan':
        return this.#scan(task);
      case 'pack':
        return this.#pack(task);
      case 'check':
        return await this.#check(task);
    }
  }

  #scan({ fd, page, size, withHoles }: ScanTask): ScanResult {
    const map = new Uint8Array(pageMapBytes);
    const start = page * pageBytes;
    const end = Math.min(start + pageBytes, size);
    let dataCount = 0;
    let at = start;
    let isShort = false;
    while (at < end && !isShort) {
      const [from, to] = withHoles ? [at, end] : nextExtent(fd, at, end);
      for (at = from; at < to && !isShort; ) {
        const wanted = Math.min(readBytes, to - at);
        isShort = readFully(fd, this.#read, wanted, at) < wanted;
        if (isShort) break;
        dataCount = this.#describe(this.#read.subarray(0, wanted), (at - start) / chunkBytes, map, dataCount);
        at += wanted;
      }
    }
    return { dataCount, map, digests: this.#digests.slice(0, dataCount * digestBytes), isShort };
  }

  /** Sets the bits of data sectors from `sector` on, and adds their digests behind the `dataCount` that are there. */
  #describe(bytes: Buffer, sector: number, map: Uint8Array, dataCount: number): number {
    let count = dataCount;
    for (let piece = 0; piece < bytes.length; piece += pieceBytes) {
      const pieceEnd = Math.min(piece + pieceBytes, bytes.length);
      if (isZero(bytes.subarray(piece, pieceEnd))) continue;
      for (let at = piece; at < pieceEnd; at += chunkBytes) {
        const chunk = bytes.subarray(at, Math.min(at + chunkBytes, pieceEnd));
        if (isZero(chunk)) continue;
        const number = sector + at / chunkBytes;
        map[number >>> 3]! |= 1 << (number & 7);
        this.#digests.set(digestOf(chunk), digestBytes * count++);
      }
    }
    return count;
  }

  #pack({ fd, size, level, sectors, digests, groups }: PackTask): PackResult {
    if (this.#stored.length < sectors.length * chunkBytes) {
      this.#stored = Buffer.allocUnsafeSlow(sectors.length * chunkBytes);
    }
    const bytes = this.#stored;
    const groupBytes = new Uint32Array(groups.length);
    let chunk = 0;
    let used = 0;
    for (const [index, count] of groups.entries()) {
      const plain = this.#group.subarray(0, count * chunkBytes);
      const isSame =
        readSectors(fd, size, sectors.subarray(chunk, chunk + count), plain) && hasDigests(plain, digests, chunk);
      if (!isSame) return { bytes: new Uint8Array(0), groupBytes, isChanged: true };
      const stored = encodeGroupNow(plain, level);
      bytes.set(stored, used);
      groupBytes[index] = stored.length;
      used += stored.length;
      chunk += count;
    }
    // A copy of its own: it is given away.
    return { bytes: new Uint8Array(bytes.subarray(0, used)), groupBytes, isChanged: false };
  }

  async #check({ fd, places, digests }: CheckTask): Promise<CheckResult> {
    const damaged: number[] = [];
    let chunk = 0;
    for (const place of places) {
      const stored = this.#read.subarray(0, place.count);
      const isWhole = readFully(fd, stored, place.count, place.offset) === place.count;
      const plain = isWhole ? await decoded(place, stored) : undefined;
      if (plain === undefined || !hasDigests(plain, digests, chunk)) damaged.push(place.group);
      chunk += place.chunkCount;
    }
    return { damaged };
  }
}

/** The next bytes that are not a hole, in whole sectors; `[end, end]` if there are none. */
function nextExtent(fd: number, at: number, end: number): [number, number] {
  const data = seekData(fd, at);
  if (data === -errno.ENXIO || data >= end) return [end, end];
  // A file system that knows no holes has data everywhere.
  if (data < 0) return [at, end];
  const from = Math.max(at, data - (data % chunkBytes));
  const hole = seekHole(fd, data);
  return [from, hole < 0 || hole >= end ? end : Math.min(end, Math.ceil(hole / chunkBytes) * chunkBytes)];
}

/** Neighbours are read together. False: the file ends before. */
function readSectors(fd: number, size: number, sectors: Uint32Array, target: Buffer): boolean {
  for (let first = 0; first < sectors.length; ) {
    let end = first + 1;
    while (end < sectors.length && sectors[end] === sectors[end - 1]! + 1) end++;
    const position = sectors[first]! * chunkBytes;
    const wanted = Math.min((end - first) * chunkBytes, size - position);
    const part = target.subarray(first * chunkBytes, end * chunkBytes);
    if (readFully(fd, part, wanted, position) < wanted) return false;
    part.fill(0, wanted);
    first = end;
  }
  return true;
}

/** Whether chunks back to back have the digests from number `first` on. */
function hasDigests(plain: Uint8Array, digests: Uint8Array, first: number): boolean {
  for (let at = 0; at < plain.length; at += chunkBytes) {
    const place = digestBytes * (first + at / chunkBytes);
    const expected = digests.subarray(place, place + digestBytes);
    if (Buffer.compare(digestOf(plain.subarray(at, at + chunkBytes)), expected) !== 0) return false;
  }
  return true;
}

async function decoded(place: GroupPlace, stored: Uint8Array): Promise<Uint8Array | undefined> {
  try {
    return await decodeGroup(place, stored);
  } catch (error) {
    if (error instanceof ContentError) return undefined;
    throw error;
  }
}
