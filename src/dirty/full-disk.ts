/**
 * Going on while the disk has no room: what is not stable is written again where it is, and the next segment, for control only, takes the
 * room of a spare (reserve.ts). What is needed of small segments moves on into its head, so that their room keeps the next spare:
 *
 *     7: [stable ...|not stable]  spare-1  spare-2    ──►    7: [stable ................]  8: [head, control  spare-2
 *     7: [stable ..............]  8: [head, control.  spare-2    ──►    7: [stable ......]  9: [head, what 8 had, control  spare-3
 *
 * Once all epochs are drained, nothing of any segment is needed but its room: the log moves on into a spare as well, and says that it begins there.
 *
 * Writing the same bytes to the same place tears nothing: a sector shows what it should, or what a crash would have left there anyway.
 */
import { addressOf, firstPosition, positionOf, segmentOf } from './format.ts';
import { Item } from './item.ts';
import { damaged } from './plan.ts';
import { RecordType } from './record.ts';
import { isWanted, type RescueParts, rescueHeld } from './rescue.ts';
import { SegmentScanner } from './scanner.ts';
import { isFull, type Segment, type Segments } from './segments.ts';
import type { LogState } from './state.ts';
import type { LogMark } from './syncer.ts';

const windowBytes = 1024 * 1024;

/** Answers what is stable now. Rejects with ENOSPC if there is no spare either, or as the disk does. */
export async function goOnWithoutRoom(parts: RescueParts): Promise<LogMark> {
  const { segments, appender } = parts;
  const release = await appender.hold();
  try {
    const mark = await renew(parts);
    appender.syncedLsn = Math.max(appender.syncedLsn, mark.lsn);
    const beforeSmall = beforeSmallOnes(segments);
    const tries = [
      { ...mark, ofSpare: false },
      { ...mark, ofSpare: true },
    ];
    if (beforeSmall !== undefined) tries.splice(1, 0, { ...mark, ...beforeSmall, ofSpare: true });
    for (const { address, lsn, ofSpare } of tries) {
      try {
        return await rescueHeld({ ...parts, stableAddress: address, stableLsn: lsn, ofSpare });
      } catch (error) {
        if (!isFull(error)) throw error;
      }
    }
    // All is stable. Without a segment to go on in, that is not enough.
    if (segments.current === undefined) throw Object.assign(new Error('no spare is left'), { code: 'ENOSPC' });
    return mark;
  } finally {
    release();
  }
}

/**
 * Into a spare without touching anything that is there: what is not stable, and what small segments hold. Rejects with ENOSPC if that does
 * not fit into one, or as the disk does; then nothing has changed.
 */
export async function moveIntoSpare(parts: RescueParts): Promise<LogMark> {
  const release = await parts.appender.hold();
  try {
    const small = beforeSmallOnes(parts.segments);
    const { stableAddress, stableLsn } = parts;
    const stable = { stableAddress, stableLsn };
    const isSmallFirst = small !== undefined && small.address < stableAddress;
    const from = isSmallFirst ? { stableAddress: small.address, stableLsn: small.lsn } : stable;
    return await rescueHeld({ ...parts, ...from, ofSpare: true });
  } finally {
    release();
  }
}

/** Where the segments end before those whose room a spare can take over; undefined: there are none of these. */
function beforeSmallOnes(segments: Segments): { readonly address: number; readonly lsn: number } | undefined {
  const small = segments.smallOnes();
  const [first] = small;
  if (first === undefined) return undefined;
  const before = segments.all().at(-small.length - 1);
  if (before === undefined) return { address: addressOf(first.number - 1, firstPosition), lsn: 0 };
  return { address: addressOf(before.number, before.end), lsn: before.lastLsn };
}

/** All is drained: the record that frees what lies before the segment that is written to now. Undefined: something waits after all. */
export function freeing(state: LogState, current: Segment | undefined, wallMs: number): Item | undefined {
  if (state.epochs.count > 0 || current === undefined) return undefined;
  const trim = new Item(RecordType.TRIM);
  trim.offset = addressOf(current.number, firstPosition);
  trim.wallMs = wallMs;
  return trim;
}

/** Writes all that is not known to be stable once more, in its place: a sync that failed before may have forgotten it. */
async function renew(parts: RescueParts): Promise<LogMark> {
  const { state, segments, directory, stableAddress } = parts;
  const all = segments.all();
  const after = all.filter(({ number }) => number >= segmentOf(stableAddress));
  const fromOf = ({ number }: Segment): number =>
    number === segmentOf(stableAddress) ? positionOf(stableAddress) : firstPosition;
  for (const segment of after) await verify(parts, segment, fromOf(segment));
  for (const segment of after) {
    const { file, end } = segment;
    // Its head is in doubt as well.
    const from = fromOf(segment) === firstPosition ? 0 : fromOf(segment);
    for (let at = from; at < end; at += windowBytes) {
      const bytes = await file.read(at, Math.min(windowBytes, end - at));
      await file.write(at, [bytes]);
    }
  }
  // All of them: one that still ran would meet what is written after the failure of another.
  const results = await Promise.allSettled(after.map(({ file }) => file.datasync()));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) {
    parts.onDoubt();
    throw failed.reason;
  }
  await directory.sync();
  for (const segment of after) segment.isUnsynced = false;
  const last = all[all.length - 1];
  if (last === undefined) return { lsn: 0, address: stableAddress, boundary: state.loggedBoundary };
  return { lsn: last.lastLsn, address: addressOf(last.number, last.end), boundary: state.loggedBoundary };
}

async function verify({ state, seed }: RescueParts, segment: Segment, from: number): Promise<void> {
  const scanner = new SegmentScanner(segment.file, segment.number, seed, from);
  while (scanner.after < segment.end) {
    if (!(await scanner.next(segment.end))) throw damaged(segment.number, scanner.position);
    const { header, position } = scanner;
    if (header.payloadBytes === 0 || !isWanted(state, header, addressOf(segment.number, position))) continue;
    if ((await scanner.payload()) === undefined) throw damaged(segment.number, position);
  }
}
