/**
 * Looking at a log that is not open, and saving what can be saved of a damaged one. Nothing is written to the log, no lock is taken, no
 * damage stops it: records are taken as they are found, in the order of the segments.
 */
import { type Clock, silentLog, systemCode, type ViaductError } from '../base/mod.ts';
import { skipZeros } from './claims.ts';
import type { LogDirectory, LogFile } from './contract.ts';
import { ExtentTree } from './extent-tree.ts';
import {
  addressOf,
  alignment,
  decodeSegment,
  firstPosition,
  headerBytes,
  logSeed,
  segmentName,
  segmentNumber,
  segmentOf,
} from './format.ts';
import { decodeNote, decodeState } from './payloads.ts';
import { LogReader } from './reader.ts';
import { flagForget, type RecordDecoder, RecordType } from './record.ts';
import { SegmentScanner } from './scanner.ts';
import { Segment } from './segments.ts';
import { LogState } from './state.ts';
import { withoutReadErrors } from './unreadable.ts';
import { verdict } from './verdict.ts';

export interface InspectedFile {
  readonly number: number;
  /** One character a byte. */
  readonly key: string;
  readonly size: number;
  readonly mtimeSeconds: number;
  readonly dirtyBytes: number;
  readonly extents: number;
  readonly firstEpoch: number;
  readonly lastEpoch: number;
}

export interface InspectedSegment {
  readonly name: string;
  readonly bytes: number;
  /** Undefined: neither copy of its header is whole. */
  readonly createdMs: number | undefined;
  readonly records: number;
  /** Where records end; more may follow damage. */
  readonly usedBytes: number;
}

/** A place whose bytes do not verify. Of a log that is not damaged as a whole: a torn end, or nothing that is needed. */
export interface InspectedDamage {
  readonly segment: string;
  readonly position: number;
  readonly what: 'header' | 'record' | 'payload';
}

export interface InspectedLog {
  readonly identity: string | undefined;
  readonly bootId: string | undefined;
  readonly cleanlyClosed: boolean;
  readonly segments: readonly InspectedSegment[];
  readonly files: readonly InspectedFile[];
  readonly epochs: readonly { readonly number: number; readonly sealed: boolean; readonly payloadBytes: number }[];
  readonly notes: ReadonlyMap<string, Uint8Array>;
  readonly damage: readonly InspectedDamage[];
  /** Records that were stable do not verify: why a start would refuse the log. What they held is not counted above. */
  readonly damaged: string | undefined;
}

export interface SalvagedRange {
  readonly file: InspectedFile;
  readonly offset: number;
  readonly data: Uint8Array;
}

const zeros = Buffer.alloc(64 * 1024);

interface Found {
  readonly log: InspectedLog;
  readonly state: LogState;
  readonly seed: number;
  readonly segments: Map<number, Segment>;
}

/** Undefined: there is no log here. Rejects with LOG_VERSION, or with LOG_DAMAGED if nothing of it can be understood. */
export async function inspectLog(directory: LogDirectory): Promise<InspectedLog | undefined> {
  const found = await find(directory);
  if (found !== undefined) await closeAll(found.segments);
  return found?.log;
}

/**
 * Hands out all data that are newest for their place and verify, file by file, ascending; `take` may take its time. Answers the ranges
 * that did not verify.
 */
export async function salvageLog(
  directory: LogDirectory,
  clock: Clock,
  take: (range: SalvagedRange, notes: ReadonlyMap<string, Uint8Array>) => Promise<void> | void,
): Promise<
  | { readonly log: InspectedLog; readonly lost: { readonly file: InspectedFile; offset: number; count: number }[] }
  | undefined
> {
  const found = await find(directory);
  if (found === undefined) return undefined;
  const { log, state, seed, segments } = found;
  const reader = new LogReader({
    seed,
    segment: (at) => segments.get(segmentOf(at)),
    log: silentLog,
    clock,
  });
  const lost: { readonly file: InspectedFile; offset: number; count: number }[] = [];
  try {
    for (const file of log.files) {
      const extents: [number, number, number][] = [];
      state.files.get(file.number)!.tree.walk(0, Number.POSITIVE_INFINITY, (...extent) => extents.push(extent));
      for (const [offset, count, address] of extents) {
        await salvageExtent(reader, file, offset, count, address, take, log.notes, lost);
      }
    }
  } finally {
    await closeAll(segments);
  }
  return { log, lost };
}

/** Sector by sector where the whole does not verify. */
async function salvageExtent(
  reader: LogReader,
  file: InspectedFile,
  offset: number,
  count: number,
  address: number,
  take: (range: SalvagedRange, notes: ReadonlyMap<string, Uint8Array>) => Promise<void> | void,
  notes: ReadonlyMap<string, Uint8Array>,
  lost: { readonly file: InspectedFile; offset: number; count: number }[],
): Promise<void> {
  const whole = await bytesOf(reader, offset, count, address);
  if (whole !== undefined) return void (await take({ file, offset, data: whole }, notes));
  for (let at = offset; at < offset + count; ) {
    const end = Math.min(offset + count, (Math.floor(at / headerBytes) + 1) * headerBytes);
    const part = await bytesOf(reader, at, end - at, address);
    if (part === undefined) lost.push({ file, offset: at, count: end - at });
    else await take({ file, offset: at, data: part }, notes);
    at = end;
  }
}

async function bytesOf(
  reader: LogReader,
  offset: number,
  count: number,
  address: number,
): Promise<Uint8Array | undefined> {
  const tree = new ExtentTree();
  tree.set(offset, count, address);
  const slices = await reader.view(tree, offset, count, Number.POSITIVE_INFINITY).pieces[0]?.data;
  return slices?.length === 1 ? slices[0] : undefined;
}

async function find(directory: LogDirectory): Promise<Found | undefined> {
  const damaged = await verdict(directory);
  const found = await open(directory, damaged);
  if (found === undefined && damaged !== undefined) throw damaged;
  return found;
}

async function open(directory: LogDirectory, damaged: ViaductError | undefined): Promise<Found | undefined> {
  const numbers = (await directory.list()).map(segmentNumber).filter((number) => number !== undefined);
  numbers.sort((a, b) => a - b);
  const segments = new Map<number, Segment>();
  try {
    for (const number of numbers) {
      const file = await openIfThere(directory, segmentName(number));
      if (file !== undefined) segments.set(number, new Segment(number, file));
    }
    const found = await look(segments, damaged?.message);
    if (found === undefined) await closeAll(segments);
    return found;
  } catch (error) {
    await closeAll(segments);
    throw error;
  }
}

/** A session that runs removes what it has drained. */
async function openIfThere(directory: LogDirectory, name: string): Promise<LogFile | undefined> {
  try {
    return withoutReadErrors(await directory.open(name));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function look(segments: Map<number, Segment>, damaged: string | undefined): Promise<Found | undefined> {
  const headers = new Map<number, ReturnType<typeof decodeSegment>>();
  for (const [number, { file }] of segments) headers.set(number, decodeSegment(await file.read(0, firstPosition)));
  const good = [...headers.values()].filter((one) => one.kind === 'good').map((one) => one.header);
  const newest = good[good.length - 1];
  if (newest === undefined) return undefined;
  const state = new LogState();
  const seed = logSeed(newest.uuid);
  const damage: InspectedDamage[] = [];
  const shown: InspectedSegment[] = [];
  const closed = { lastType: 0 };
  for (const [number, segment] of segments) {
    const header = headers.get(number);
    if (header?.kind !== 'good') damage.push({ segment: segmentName(number), position: 0, what: 'header' });
    const { records, usedBytes } = await walk(segment, seed, state, damage, closed);
    const createdMs = header?.kind === 'good' ? header.header.createdMs : undefined;
    shown.push({ name: segmentName(number), bytes: segment.file.size, createdMs, records, usedBytes });
  }
  const log: InspectedLog = {
    ...{ identity: newest.identity, bootId: newest.bootId, cleanlyClosed: closed.lastType === RecordType.CLOSE },
    ...{ segments: shown, files: filesOf(state), notes: state.notes, damage, damaged },
    epochs: state.epochs.all().map(({ number, sealedMs, payloadBytes }) => ({
      ...{ number, sealed: sealedMs !== undefined, payloadBytes },
    })),
  };
  return { log, state, seed, segments };
}

/** Applies all records that are whole, stepping over what is not. */
async function walk(
  segment: Segment,
  seed: number,
  state: LogState,
  damage: InspectedDamage[],
  closed: { lastType: number },
): Promise<{ records: number; usedBytes: number }> {
  const { file, number } = segment;
  let records = 0;
  let usedBytes = firstPosition;
  let isDamaged = false;
  let position = firstPosition;
  const scanner = new SegmentScanner(file, number, seed, position);
  while (position < file.size) {
    if (!(await scanner.head(position, file.size))) {
      const written = skipZeros(file, position);
      if (written > position) {
        position = written;
        continue;
      }
      const rest = (await scanner.bytes(position, zeros.length, file.size)).subarray(0, zeros.length);
      if (!isDamaged && !zeros.subarray(0, rest.length).equals(rest)) {
        damage.push({ segment: segmentName(number), position, what: 'record' });
        isDamaged = true;
      }
      position += nextMagic(rest);
      continue;
    }
    isDamaged = false;
    scanner.position = position;
    const { header } = scanner;
    await applyFound(scanner, header, state, addressOf(number, position), () =>
      damage.push({ segment: segmentName(number), position, what: 'payload' }),
    );
    closed.lastType = header.type;
    records++;
    position += header.recordBytes;
    usedBytes = position;
  }
  return { records, usedBytes };
}

/** Bytes to step over: to where a record may begin. */
function nextMagic(bytes: Uint8Array): number {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = view.indexOf('VDLR', alignment, 'latin1'); at >= 0; at = view.indexOf('VDLR', at + 1, 'latin1')) {
    if (at % alignment === 0) return at;
  }
  return Math.max(alignment, Math.floor((bytes.length - alignment) / alignment) * alignment);
}

async function applyFound(
  scanner: SegmentScanner,
  header: RecordDecoder,
  state: LogState,
  address: number,
  damaged: () => void,
): Promise<void> {
  const end = address + header.recordBytes / alignment;
  const payload = header.payloadBytes > 0 ? await scanner.payload() : new Uint8Array(0);
  if (payload === undefined) damaged();
  if (header.type === RecordType.NOTE && payload !== undefined) {
    const { key, value } = decodeNote(payload);
    if (header.flags & flagForget) state.notes.delete(key);
    else state.notes.set(key, value);
  } else if (header.type === RecordType.STATE) {
    if (payload !== undefined) state.verifier = decodeState(payload).verifier;
  } else if (header.type === RecordType.WRITE || header.type === RecordType.SIZE) {
    // Its name may be in a damaged place: then it has none.
    if (state.files.get(header.file) === undefined) state.files.add(header.file, '');
    state.apply(header, address, end);
  } else if (payload !== undefined) {
    state.recover(header, payload);
    state.apply(header, address, end);
  }
}

function filesOf(state: LogState): InspectedFile[] {
  const files: InspectedFile[] = [];
  for (const file of state.files.allDirty()) {
    const known = file.state!;
    files.push({
      ...{ number: file.number, key: file.key, size: known.size, mtimeSeconds: known.time.seconds },
      ...{ dirtyBytes: known.dirtyBytes, extents: file.tree.extents },
      ...{ firstEpoch: known.firstEpoch, lastEpoch: known.lastEpoch },
    });
  }
  return files;
}

async function closeAll(segments: Map<number, Segment>): Promise<void> {
  for (const { file } of segments.values()) {
    await file.close().catch((error) => {
      if (systemCode(error) !== 'EBADF') throw error;
    });
  }
}
