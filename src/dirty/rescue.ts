/**
 * After a failed datasync: the kernel has written back what it could and forgot the rest, and no later sync will try again. So the records
 * after the last stable one are read once more, verified, and put into the head of a new segment, which is synced before it counts:
 *
 *     segment 7: [stable ......|not stable]    segment 8: [not stable]    ──►    7: [stable ......|   9: [head, moved records][...
 *
 * In between the old records stay where they are; recovery takes either the old or the new ones.
 */
import type { Appender } from './appender.ts';
import type { LogDirectory } from './contract.ts';
import { addressOf, firstPosition, positionOf, segmentOf } from './format.ts';
import { Item } from './item.ts';
import { damaged } from './plan.ts';
import { type RecordCode, type RecordDecoder, RecordType } from './record.ts';
import { SegmentScanner } from './scanner.ts';
import type { Segment, Segments } from './segments.ts';
import type { LogState } from './state.ts';
import type { LogMark } from './syncer.ts';

export interface RescueParts {
  readonly state: LogState;
  readonly segments: Segments;
  readonly appender: Appender;
  readonly directory: LogDirectory;
  readonly seed: number;
  /** Everything before this address is stable. */
  readonly stableAddress: number;
  readonly stableLsn: number;
  /** The disk is full: the new segment takes a spare's room. */
  readonly ofSpare?: boolean;
  /** A datasync of what is in the log failed: another one will not tell. */
  readonly onDoubt: () => void;
  /** Of the new segment: as small as can be. */
  readonly isSmall?: boolean;
}

interface Moved {
  readonly item: Item;
  readonly from: number;
}

/** Answers what is stable now. Rejects if the disk does not take the records either; then nothing has changed. */
export async function rescue(parts: RescueParts): Promise<LogMark> {
  const release = await parts.appender.hold();
  try {
    return await rescueHeld(parts);
  } finally {
    release();
  }
}

/** The same, into as small a segment as will do: who knows whether anything is going to be written. */
export function rescueSmall(parts: RescueParts): Promise<LogMark> {
  return rescue({ ...parts, isSmall: true });
}

/** Nothing waits: all that is left of the log is a head in a small segment. Undefined: something waits after all. Rejects as `rescue`. */
export async function moveOutOfAll(parts: RescueParts): Promise<LogMark | undefined> {
  const { state, segments, appender } = parts;
  const release = await appender.hold();
  try {
    const last = segments.all().at(-1);
    if (state.epochs.count > 0 || last === undefined) return undefined;
    const boundary = addressOf(last.number, last.end);
    // The head says so, and is stable before anything goes.
    state.boundary = Math.max(state.boundary, boundary);
    const mark = await rescueHeld({ ...parts, isSmall: true });
    state.loggedBoundary = Math.max(state.loggedBoundary, boundary);
    return { ...mark, boundary: state.loggedBoundary };
  } finally {
    release();
  }
}

/** Under a hold of the appender. */
export async function rescueHeld(parts: RescueParts): Promise<LogMark> {
  const { state, segments, appender, stableAddress, stableLsn } = parts;
  const first = segmentOf(stableAddress);
  const after = segments.all().filter(({ number }) => number >= first);
  const moved: Moved[] = [];
  for (const segment of after) await collect(parts, segment, moved);
  const ends = after.map(({ end, lastLsn }) => ({ end, lastLsn }));
  const restore = (): void => {
    for (const [index, segment] of after.entries()) Object.assign(segment, ends[index]);
  };
  for (const segment of after) {
    segment.end = segment.number === first ? positionOf(stableAddress) : firstPosition;
    segment.lastLsn = segment.number === first ? stableLsn : 0;
  }
  const gone = after.filter(({ number }) => number > first);
  for (const segment of gone) segments.leaveOut(segment);
  let made: Segment | undefined;
  try {
    made = await appender.makeSegment({
      recordsBytes: (parts.ofSpare ? 16 : 64) * 1024,
      limitBytes: Number.POSITIVE_INFINITY,
      moved: moved.map(({ item }) => item),
      async settle(segment) {
        await segment.file.datasync();
        await segments.syncNames();
      },
      ofSpare: parts.ofSpare === true,
      isSmall: parts.isSmall === true,
    });
    if (made === undefined) throw Object.assign(new Error('no room for another segment'), { code: 'ENOSPC' });
  } catch (error) {
    restore();
    for (const segment of gone) segments.takeBack(segment);
    throw error;
  }
  made.isUnsynced = false;
  for (const segment of segments.all()) segment.isUnsynced = false;
  readdress(state, moved, stableAddress);
  for (const segment of gone) await segments.removeLeftOut(segment);
  // While the log is still held: what is written from now on is not stable.
  return { lsn: made.lastLsn, address: addressOf(made.number, made.end), boundary: state.loggedBoundary };
}

/** The records of a segment after the stable ones that still mean something. */
async function collect({ state, seed, stableAddress }: RescueParts, segment: Segment, moved: Moved[]): Promise<void> {
  const from = segment.number === segmentOf(stableAddress) ? positionOf(stableAddress) : firstPosition;
  const scanner = new SegmentScanner(segment.file, segment.number, seed, from);
  while (scanner.after < segment.end) {
    if (!(await scanner.next(segment.end))) throw damaged(segment.number, scanner.position);
    const { header } = scanner;
    const address = addressOf(segment.number, scanner.position);
    if (!isWanted(state, header, address)) continue;
    const payload = header.payloadBytes === 0 ? undefined : await scanner.payload();
    if (payload === undefined && header.payloadBytes > 0) throw damaged(segment.number, scanner.position);
    moved.push({ item: copyOf(header, payload), from: address });
  }
}

/** What the head says anyway is left out, and so is what is void. */
export function isWanted(state: LogState, header: RecordDecoder, address: number): boolean {
  const { type } = header;
  if (type === RecordType.DROP) return true;
  const isChange = type === RecordType.WRITE || type === RecordType.SIZE || type === RecordType.CARRY;
  if (!isChange && type !== RecordType.SEAL) return false;
  // What a DROP voids comes along with it: an epoch is the same afterwards.
  return !state.isDrained(header.epoch) && address >= state.boundary;
}

function copyOf(header: RecordDecoder, payload: Uint8Array | undefined): Item {
  const item = new Item(header.type as RecordCode);
  item.flags = header.flags;
  item.sums = header.sums;
  item.payloadBytes = header.payloadBytes;
  item.epoch = header.epoch;
  item.file = header.file;
  item.writer = header.writer;
  item.offset = header.offset;
  item.sizeAfter = header.sizeAfter;
  item.seconds = header.seconds;
  item.nanoseconds = header.nanoseconds;
  item.wallMs = header.wallMs;
  if (payload !== undefined) item.data = [payload];
  return item;
}

/** What pointed at the old places points at the new ones. */
function readdress(state: LogState, moved: readonly Moved[], stableAddress: number): void {
  const begun = new Set<number>();
  for (const { item, from } of moved) {
    const file = state.files.get(item.file);
    if (item.type === RecordType.WRITE) {
      file?.tree.readdress(item.offset, item.offset + item.payloadBytes, from, item.address);
    } else if (item.type === RecordType.DROP && file !== undefined) {
      file.droppedAt = Math.max(file.droppedAt, item.address);
    }
    const epoch = item.epoch === 0 ? undefined : state.epochs.find(item.epoch);
    if (epoch === undefined) continue;
    if (epoch.start >= stableAddress && !begun.has(epoch.number)) epoch.start = item.address;
    begun.add(epoch.number);
    if (item.type === RecordType.SEAL) epoch.end = item.end;
  }
}
