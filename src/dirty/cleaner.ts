/**
 * Makes room in a log that is never written back: what is still needed of the oldest segment is copied to the end of the log, then the
 * segment goes. Always the oldest: then no record that ends another one's life (a size, a drop) goes before that other one.
 *
 *     [1: dead live dead][2 ...][3 ...    ──copy──►    [1: dead live dead][2 ...][3 ... live TRIM    ──sync──►    [2 ...][3 ... live TRIM
 */
import type { Appender } from './appender.ts';
import { addressOf, firstPosition } from './format.ts';
import { Item } from './item.ts';
import { damaged } from './plan.ts';
import { type RecordDecoder, RecordType, sumsFor } from './record.ts';
import { SegmentScanner } from './scanner.ts';
import type { Segment, Segments } from './segments.ts';
import type { LogState } from './state.ts';

/** Copies are appended in pieces of about this many bytes, so that memory stays small. */
const pieceBytes = 4 * 1024 * 1024;

export interface CleanerParts {
  readonly state: LogState;
  readonly segments: Segments;
  readonly appender: Appender;
  readonly seed: number;
  readonly wallTimeMs: () => number;
  readonly sync: () => Promise<void>;
}

/** Frees the oldest segment. False: there is none that could go. */
export async function cleanOldest(parts: CleanerParts): Promise<boolean> {
  const { state, segments, appender, sync } = parts;
  const victim = segments.all()[0];
  const next = segments.all()[1];
  if (victim === undefined || next === undefined || victim === segments.current) return false;
  const release = await appender.hold();
  try {
    const files = await copyLive(parts, victim);
    const items: Item[] = [];
    for (const number of files) {
      const file = state.files.dirty(number);
      if (file === undefined) continue;
      const item = new Item(RecordType.CARRY);
      item.file = number;
      item.writer = file.writer;
      item.sizeAfter = file.size;
      item.offset = Number.isFinite(file.lowWater) ? file.lowWater : -1;
      item.seconds = file.time.seconds;
      item.nanoseconds = file.time.nanoseconds;
      item.wallMs = file.oldestMs ?? parts.wallTimeMs();
      items.push(item);
    }
    const trim = new Item(RecordType.TRIM);
    trim.offset = addressOf(next.number, firstPosition);
    trim.wallMs = parts.wallTimeMs();
    items.push(trim);
    await appender.append(items);
  } finally {
    release();
  }
  await sync();
  return true;
}

/** Files that the segment says anything of. */
async function copyLive({ state, appender, seed }: CleanerParts, victim: Segment): Promise<Set<number>> {
  const files = new Set<number>();
  const scanner = new SegmentScanner(victim.file, victim.number, seed, firstPosition);
  let items: Item[] = [];
  let bytes = 0;
  while (scanner.after < victim.end) {
    if (!(await scanner.next(victim.end))) throw damaged(victim.number, scanner.position);
    const { header } = scanner;
    const { type, file } = header;
    const isChange = type === RecordType.WRITE || type === RecordType.SIZE || type === RecordType.CARRY;
    if (!isChange || state.files.dirty(file) === undefined) continue;
    files.add(file);
    if (type !== RecordType.WRITE || !isLive(state, header, addressOf(victim.number, scanner.position))) continue;
    const payload = await scanner.payload();
    if (payload === undefined) throw damaged(victim.number, scanner.position);
    bytes += payload.length;
    items.push(...liveParts(state, header, addressOf(victim.number, scanner.position), payload));
    if (bytes < pieceBytes) continue;
    await appender.append(items);
    items = [];
    bytes = 0;
  }
  await appender.append(items);
  return files;
}

function isLive(state: LogState, header: RecordDecoder, address: number): boolean {
  let live = false;
  const tree = state.files.dirty(header.file)?.tree;
  tree?.walk(header.offset, header.offset + header.payloadBytes, (_offset, _count, at) => {
    if (at === address) live = true;
  });
  return live;
}

/** What of the record is newest for its place; size and times are those of now, which do not change by it. */
function liveParts(state: LogState, header: RecordDecoder, address: number, payload: Uint8Array): Item[] {
  const items: Item[] = [];
  const file = state.files.dirty(header.file);
  file?.tree.walk(header.offset, header.offset + header.payloadBytes, (offset, count, at) => {
    if (at !== address) return;
    const item = new Item(RecordType.WRITE);
    item.file = header.file;
    item.writer = header.writer;
    item.offset = offset;
    item.payloadBytes = count;
    item.sums = sumsFor(offset, count);
    item.sizeAfter = file.size;
    item.seconds = file.time.seconds;
    item.nanoseconds = file.time.nanoseconds;
    item.wallMs = header.wallMs;
    item.data = [payload.subarray(offset - header.offset, offset - header.offset + count)];
    items.push(item);
  });
  return items;
}
