/**
 * What all threads of the process share: tags and file records exactly as they stand in the index file, and beside them what only
 * a running process needs. Nothing is touched before it is used, so an empty cache of any size costs no memory.
 *
 *   tags      setCount x 320 words   slot[16] version[16] block[16] valid[16 x u16] checksum[16][16] crc pad[7]
 *   records   recordCount x 32 words
 *   runtime   busy, verified (u16 a frame), generation (u32 a frame), referenced (u8 a frame), locks, write guards, counters;
 *             owners: accounts (a row each), frameAccount (u16 a frame), recordPin (u16 a record)
 *   own       one for each attachment: its part of busy and of the guards in flight, to be given back if its thread ends in the middle
 *
 * Invariants: version 0 is no version; a frame whose version is 0 is free; valid and busy bits of a sector are never both set;
 * generation moves before any byte of the frame can change; what
 * is own is counted in what is shared: added there first and here second, taken from here first and there second.
 */
import type { CacheShare } from './contract.ts';
import { type Geometry, recordWords, setWords, ways } from './geometry.ts';

/** Offsets in words inside a set's tags. */
export const tagWord = { slot: 0, version: 16, block: 32, valid: 48, checksum: 56, crc: 312 } as const;

/** Offsets in words inside a file record. */
export const recordWord = {
  ...{ key: 0, version: 4, nonce: 5, flags: 6, stamp: 7, boot: 17, lastUse: 19, origin: 20, crc: 31 },
} as const;
export const stampWords = 10;
export const recordFlag = { used: 1, written: 2 } as const;

/** Words of `control`. */
export const controlWord = {
  indexMutex: 0,
  framesUsed: 1,
  sectorsValid: 2,
  filesUsed: 3,
  persistent: 4,
  open: 5,
  framesPinned: 6,
  pinHand: 7,
  accountLock: 8,
} as const;
const controlWords = 16;

export const attachments = 256;
/** Counters of writes under way; a power of two. Collisions only make a fill or two be refused. */
export const guardCount = 1 << 18;
export const fileGuardCount = 1 << 12;
export const counterCount = 16;

/** Owners that a cache knows at a time, two numbers of them reserved; a power of two, 12 bits of a frame's word. */
export const accountCount = 4096;
/** Offsets in words inside an owner's row; a quota of 0 is none. */
export const accountWord = { isUsed: 0, name: 1, quota: 3, frames: 4, hand: 5, evictions: 6 } as const;
export const accountWords = 8;
export const accountCounterCount = 4;
/** Of a frame's word: a pin keeps it. */
export const framePin = 0x8000;

export interface CacheMemory {
  readonly geometry: Geometry;
  readonly uuid: Uint32Array;
  readonly boot: Uint32Array;
  readonly tags: Uint32Array;
  /** The same memory as `tags`: the valid bits of (set, way) are at (set * setWords + tagWord.valid) * 2 + way. */
  readonly tagHalves: Uint16Array;
  readonly records: Uint32Array;
  readonly setLocks: Int32Array;
  readonly recordLocks: Int32Array;
  readonly busy: Uint16Array;
  readonly verified: Uint16Array;
  readonly generation: Uint32Array;
  readonly referenced: Uint8Array;
  readonly hands: Uint8Array;
  /** Whose the block is, and whether it is pinned (accounts.ts). */
  readonly frameAccount: Uint16Array;
  /** Which owner pinned the file, 0: none. */
  readonly recordPin: Uint16Array;
  readonly accounts: Int32Array;
  readonly accountCounters: Float64Array;
  /** Version of the record for which its mark is known to be on the disk. */
  readonly markedVersion: Uint32Array;
  /** 0: as in the index file; 1: changed; 2: on its way there. */
  readonly dirtySets: Uint8Array;
  readonly dirtyRecords: Uint8Array;
  readonly guardSequence: Uint32Array;
  readonly guardInFlight: Int32Array;
  /** Changed by its thread only, until that has ended. */
  readonly own: OwnMemory;
  readonly control: Int32Array;
  readonly attached: Int32Array;
  readonly counters: Float64Array;
  readonly share: Readonly<Record<string, SharedArrayBuffer>>;
}

/** What one attachment has under way. */
export interface OwnMemory {
  readonly busy: Uint16Array;
  readonly guardInFlight: Uint16Array;
}

/** What `createMemory` will ask for. All of it is used only by a cache that is full. */
export function memoryBytes(geometry: Geometry): number {
  const bytes = { ...partBytes(geometry), ...ownBytes(geometry) };
  return Object.values(bytes).reduce((sum, one) => sum + one, 0);
}

function partBytes(geometry: Geometry): Record<string, number> {
  return {
    identity: 256,
    tags: geometry.setCount * setWords * 4,
    records: geometry.recordCount * recordWords * 4,
    setLocks: geometry.setCount * 4,
    recordLocks: geometry.recordSets * 4,
    busy: geometry.frameCount * 2,
    verified: geometry.frameCount * 2,
    generation: geometry.frameCount * 4,
    referenced: geometry.frameCount,
    hands: geometry.setCount,
    frameAccount: geometry.frameCount * 2,
    recordPin: geometry.recordCount * 2,
    accounts: accountCount * accountWords * 4,
    accountCounters: accountCount * accountCounterCount * 8,
    markedVersion: geometry.recordCount * 4,
    dirtySets: geometry.setCount,
    dirtyRecords: geometry.recordCount,
    guardSequence: (guardCount + fileGuardCount) * 4,
    guardInFlight: (guardCount + fileGuardCount) * 4,
    control: controlWords * 4,
    attached: attachments * 4,
    counters: attachments * counterCount * 8,
  };
}

function ownBytes(geometry: Geometry): Record<string, number> {
  return { ownBusy: geometry.frameCount * 2, ownGuards: (guardCount + fileGuardCount) * 2 };
}

function allocate(parts: Record<string, number>): Record<string, SharedArrayBuffer> {
  return Object.fromEntries(Object.entries(parts).map(([name, size]) => [name, new SharedArrayBuffer(size)]));
}

/** The uuid is set later, by `identify`. Throws a RangeError if there is not so much memory. */
export function createMemory(geometry: Geometry, boot: Uint32Array): CacheMemory {
  const share = { ...allocate(partBytes(geometry)), ...allocate(ownBytes(geometry)) };
  const identity = new Float64Array(share.identity!);
  identity[0] = geometry.sizeBytes;
  const memory = viewMemory(share, geometry);
  memory.boot.set(boot.subarray(0, 2));
  return memory;
}

export function identify(memory: CacheMemory, uuid: Uint8Array): void {
  new Uint8Array(memory.share.identity!, 16, 16).set(uuid.subarray(0, 16));
}

/** The same memory for another attachment. */
export function shareMemory({ share, geometry }: CacheMemory): CacheShare['memory'] {
  return { ...share, ...allocate(ownBytes(geometry)) };
}

export function viewOwn(share: CacheShare['memory']): OwnMemory {
  return { busy: new Uint16Array(share.ownBusy!), guardInFlight: new Uint16Array(share.ownGuards!) };
}

export function viewMemory(share: CacheShare['memory'], geometry: Geometry): CacheMemory {
  const of = (name: string): SharedArrayBuffer => share[name]!;
  return {
    geometry,
    share,
    uuid: new Uint32Array(of('identity'), 16, 4),
    boot: new Uint32Array(of('identity'), 32, 2),
    tags: new Uint32Array(of('tags')),
    tagHalves: new Uint16Array(of('tags')),
    records: new Uint32Array(of('records')),
    setLocks: new Int32Array(of('setLocks')),
    recordLocks: new Int32Array(of('recordLocks')),
    busy: new Uint16Array(of('busy')),
    verified: new Uint16Array(of('verified')),
    generation: new Uint32Array(of('generation')),
    referenced: new Uint8Array(of('referenced')),
    hands: new Uint8Array(of('hands')),
    frameAccount: new Uint16Array(of('frameAccount')),
    recordPin: new Uint16Array(of('recordPin')),
    accounts: new Int32Array(of('accounts')),
    accountCounters: new Float64Array(of('accountCounters')),
    markedVersion: new Uint32Array(of('markedVersion')),
    dirtySets: new Uint8Array(of('dirtySets')),
    dirtyRecords: new Uint8Array(of('dirtyRecords')),
    guardSequence: new Uint32Array(of('guardSequence')),
    guardInFlight: new Int32Array(of('guardInFlight')),
    own: viewOwn(share),
    control: new Int32Array(of('control')),
    attached: new Int32Array(of('attached')),
    counters: new Float64Array(of('counters')),
  };
}

export function sharedSizeBytes(share: CacheShare['memory']): number {
  return new Float64Array(share.identity!)[0]!;
}

export function validIndex(set: number, way: number): number {
  return (set * setWords + tagWord.valid) * 2 + way;
}

export function checksumIndex(set: number, way: number): number {
  return set * setWords + tagWord.checksum + way * ways;
}

export function bitCount(mask: number): number {
  let bits = mask - ((mask >>> 1) & 0x5555);
  bits = (bits & 0x3333) + ((bits >>> 2) & 0x3333);
  bits = (bits + (bits >>> 4)) & 0x0f0f;
  return (bits + (bits >>> 8)) & 0x1f;
}
