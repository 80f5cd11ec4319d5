/**
 * Finds in a directory the longest prefix of the log that is whole.
 *
 *     1. survey: headers; every record of every segment from its first on, until one does not verify; what any record says is stable
 *     2. choice: the newest segment whose head is whole and whose table's segments are whole; its end is where the records end
 *     3. judgement: the prefix must reach what was said to be stable, else LOG_DAMAGED and nothing is changed
 *     4. replay: the head of the chosen segment, then the changes of all its segments in order
 */
import { type Log, ViaductError } from '../base/mod.ts';
import { holdsChanges, laterClaim } from './claims.ts';
import type { LogDirectory } from './contract.ts';
import {
  addressOf,
  decodeSegment,
  firstPosition,
  headerBytes,
  logSeed,
  positionOf,
  type SegmentHeader,
  segmentName,
  segmentNumber,
  segmentOf,
} from './format.ts';
import { decodeTable, type TableEntry } from './payloads.ts';
import { damaged } from './plan.ts';
import { RecordType } from './record.ts';
import { SegmentScanner } from './scanner.ts';
import { Segment } from './segments.ts';
import type { LogState } from './state.ts';

/** One segment file as it was found. */
export interface Surveyed {
  readonly segment: Segment;
  readonly header: SegmentHeader | undefined;
  /** Where its whole records end, and the last of them. */
  readonly end: number;
  readonly lastLsn: number;
  /** Its head is whole, to the READY record. */
  readonly isReady: boolean;
  readonly table: readonly TableEntry[];
  /** Where DRAINED or TRIM records say that the log begins. */
  readonly boundary: number;
  /** The highest LSN that any of its records, whole or not, says is stable; and where that is. */
  readonly claim: number;
  /** Bytes after `end` are not all zero. */
  readonly hasTail: boolean;
}

export interface Survey {
  readonly segments: Surveyed[];
  /** Of the newest segment that has a good one; undefined: no log is here. */
  readonly header: SegmentHeader | undefined;
  /** Data before this address were not looked at: some header says that they are not needed. */
  readonly boundary: number;
}

export interface Chosen {
  /** The last record that is known to be stable. */
  readonly claim: number;
  /** In order; the last one is the newest. */
  readonly kept: Surveyed[];
  readonly void: Surveyed[];
  readonly newest: Surveyed;
}

export async function survey(
  directory: Pick<LogDirectory, 'list' | 'open'>,
  identity: string | undefined,
): Promise<Survey> {
  const names = await directory.list();
  const numbers = names.map(segmentNumber).filter((number) => number !== undefined);
  numbers.sort((a, b) => a - b);
  const opened: { segment: Segment; header: SegmentHeader | undefined }[] = [];
  try {
    for (const number of numbers) {
      const segment = new Segment(number, await directory.open(segmentName(number)));
      opened.push({ segment, header: undefined });
      opened[opened.length - 1]!.header = await readHeader(segment, identity);
    }
    const header = opened.findLast((one) => one.header !== undefined)?.header;
    if (header === undefined) {
      await refuseHeadless(opened);
      for (const { segment } of opened) await segment.file.close();
      return { segments: [], header: undefined, boundary: 0 };
    }
    const boundary = Math.max(...opened.map((one) => one.header?.boundary ?? 0));
    const segments: Surveyed[] = [];
    for (const one of opened)
      segments.push(await surveySegment(one.segment, one.header, logSeed(header.uuid), boundary));
    return { segments, header, boundary };
  } catch (error) {
    for (const { segment } of opened) await segment.file.close().catch(() => {});
    throw error;
  }
}

async function readHeader(segment: Segment, identity: string | undefined): Promise<SegmentHeader | undefined> {
  const bytes = await segment.file.read(0, 2 * headerBytes);
  const decoded = decodeSegment(bytes);
  if (decoded.kind === 'other-version') {
    throw new ViaductError('LOG_VERSION', {
      cause: `the dirty log was made by another Viaduct (log format ${decoded.version})`,
      remedy: 'write it back with the Viaduct that made it; nothing was changed',
    });
  }
  if (decoded.kind === 'bad' || decoded.header.number !== segment.number) return undefined;
  if (identity !== undefined && decoded.header.identity !== identity) {
    throw new ViaductError('LOG_FOREIGN', {
      cause: `the dirty log belongs to ${decoded.header.identity}, not to ${identity}`,
      remedy: 'name another --dirty-log directory; nothing in this one was changed',
    });
  }
  return decoded.header;
}

/**
 * Files without any good header are of a first open that was cut off, or damage. The first open writes one file, in one go, and nothing
 * but the head before that is stable: any other record is proof of damage.
 */
async function refuseHeadless(opened: readonly { readonly segment: Segment }[]): Promise<void> {
  for (const { segment } of opened) {
    if (opened.length > 1 || (await holdsChanges(segment.file))) throw damaged(segment.number, 0);
  }
}

async function surveySegment(
  segment: Segment,
  header: SegmentHeader | undefined,
  seed: number,
  boundary: number,
): Promise<Surveyed> {
  const { file, number } = segment;
  const scanner = new SegmentScanner(file, number, seed, firstPosition);
  const found = { lastLsn: (header?.firstLsn ?? 1) - 1, claim: header?.syncedLsn ?? 0, isReady: false, boundary: 0 };
  const table: TableEntry[] = [];
  let end = header === undefined ? 0 : firstPosition;
  let last = 0;
  while (header !== undefined && (await scanner.next(file.size))) {
    const record = scanner.header;
    if (record.lsn !== found.lastLsn + 1) break;
    // Changes that are not needed any more need not be read.
    const isNeeded = record.type !== RecordType.WRITE || addressOf(number, scanner.position) >= boundary;
    const payload = isNeeded ? await scanner.payload() : undefined;
    if (isNeeded && payload === undefined) break;
    if (record.type === RecordType.TABLE) table.push(...decodeTable(payload!));
    if (record.type === RecordType.READY) found.isReady = true;
    if (record.type === RecordType.DRAINED || record.type === RecordType.TRIM || record.type === RecordType.DISCARD) {
      found.boundary = Math.max(
        found.boundary,
        record.type === RecordType.DISCARD ? addressOf(number, scanner.after) : record.offset,
      );
    }
    found.lastLsn = record.lsn;
    found.claim = Math.max(found.claim, record.syncedLsn);
    last = scanner.position;
    end = scanner.after;
  }
  // Without a good header it is not known that anything is there.
  const known = header === undefined ? [] : last === 0 ? [0] : [0, last];
  const later = await laterClaim(segment, seed, end === 0 ? firstPosition : end, known);
  return { segment, header, end, table, ...found, claim: Math.max(found.claim, later.claim), hasTail: later.hasTail };
}

/** Rejects with LOG_DAMAGED if what was stable is not all there. */
export async function choose(found: Survey): Promise<Chosen> {
  const chosen = chooseFrom(found.segments);
  const boundary = Math.max(chosen.newest.boundary, chosen.newest.header?.boundary ?? 0);
  if (boundary >= found.boundary) return chosen;
  // The header that said so is of a head that is not complete: then everything counts, and is looked at.
  const again: Surveyed[] = [];
  for (const { segment, header } of found.segments) {
    again.push(await surveySegment(segment, header, logSeed(found.header!.uuid), boundary));
  }
  return chooseFrom(again);
}

function chooseFrom(segments: readonly Surveyed[]): Chosen {
  const claim = Math.max(...segments.map((one) => one.claim));
  for (let index = segments.length - 1; index >= 0; index--) {
    const newest = segments[index]!;
    if (!newest.isReady) continue;
    const kept = withTable(segments, newest);
    if (kept === undefined) continue;
    if (newest.lastLsn < claim) throw damaged(newest.segment.number, newest.end);
    const isKept = new Set(kept);
    return { claim, kept, newest, void: segments.filter((one) => !isKept.has(one)) };
  }
  throw damaged(segments[0]!.segment.number, 0);
}

/** The segments of the table that are needed, then the newest itself; undefined if one is not whole. */
function withTable(segments: readonly Surveyed[], newest: Surveyed): Surveyed[] | undefined {
  const boundary = Math.max(newest.boundary, newest.header?.boundary ?? 0);
  const kept: Surveyed[] = [];
  for (const entry of newest.table) {
    const isNeeded = entry.number > segmentOf(boundary) || addressOf(entry.number, entry.end) > boundary;
    const one = segments.find(({ segment }) => segment.number === entry.number);
    if (!isNeeded) continue;
    if (one === undefined || one.end < entry.end) return undefined;
    one.segment.end = entry.end;
    one.segment.lastLsn = entry.lastLsn;
    kept.push(one);
  }
  newest.segment.end = newest.end;
  newest.segment.lastLsn = newest.lastLsn;
  kept.push(newest);
  return kept;
}

export interface Replayed {
  readonly records: number;
  readonly cleanlyClosed: boolean;
  /** Past the last record that is known to be stable. What comes after it may be in the page cache only, for good. */
  readonly stableAddress: number;
  /** Nothing in them waits: what else they say, the next head repeats. */
  readonly unneeded: readonly Segment[];
}

/** Standing records count as the newest head has them, changes as all segments have them (moved ones are in a head). */
export async function replay(chosen: Chosen, seed: number, state: LogState, log: Log): Promise<Replayed> {
  let records = 0;
  let last = 0;
  let stableAddress = 0;
  const needed = new Set<number>();
  await replaySegment(chosen.newest, seed, firstPosition, (record, _address, _end, payload) => {
    if (isStanding(record.type)) state.recover(record, payload);
    return record.type !== RecordType.READY;
  });
  for (const one of chosen.kept) {
    const isNewest = one === chosen.newest;
    let isHead = isNewest;
    const from = segmentOf(state.boundary) === one.segment.number ? positionOf(state.boundary) : firstPosition;
    await replaySegment(
      one,
      seed,
      isNewest ? firstPosition : Math.max(from, firstPosition),
      (record, address, end, payload) => {
        last = record.type;
        if (record.lsn <= chosen.claim) stableAddress = end;
        if (record.type === RecordType.READY) isHead = false;
        if (isOfEpochs(record.type)) needed.add(one.segment.number);
        if (!isStanding(record.type)) state.apply(record, address, end);
        else if (isNewest && !isHead) state.recover(record, payload);
        if (record.type === RecordType.WRITE || record.type === RecordType.SIZE) records++;
        return true;
      },
    );
  }
  for (const file of state.files.allDirty()) file.encodedSize = file.size;
  log.debug({ records }, 'the dirty log was read');
  const unneeded = chosen.kept
    .map(({ segment }) => segment)
    .filter(({ number }) => state.epochs.count === 0 || !needed.has(number));
  return { records, cleanlyClosed: last === RecordType.CLOSE, stableAddress, unneeded };
}

/** Without it, epochs that wait would not be what they are. */
function isOfEpochs(type: number): boolean {
  return (
    type === RecordType.WRITE ||
    type === RecordType.SIZE ||
    type === RecordType.CARRY ||
    type === RecordType.DROP ||
    type === RecordType.SEAL ||
    type === RecordType.DISCARD
  );
}

/** What the head of each segment repeats. */
function isStanding(type: number): boolean {
  return (
    type === RecordType.FILE ||
    type === RecordType.NOTE ||
    type === RecordType.STATE ||
    type === RecordType.DRAINED ||
    type === RecordType.TRIM
  );
}

type Visit = (record: SegmentScanner['header'], address: number, end: number, payload: Uint8Array) => boolean;
const nothing = new Uint8Array(0);

async function replaySegment(one: Surveyed, seed: number, from: number, visit: Visit): Promise<void> {
  const { number, file, end } = one.segment;
  const scanner = new SegmentScanner(file, number, seed, from);
  while (scanner.after < end) {
    if (!(await scanner.next(end))) throw damaged(number, scanner.position);
    const record = scanner.header;
    const needsPayload = isStanding(record.type) && record.payloadBytes > 0;
    const payload = needsPayload ? await scanner.payload() : nothing;
    if (payload === undefined) throw damaged(number, scanner.position);
    if (!visit(record, addressOf(number, scanner.position), addressOf(number, scanner.after), payload)) return;
  }
}
