/**
 * The head of a segment: its header, and copies of all that the records of older segments said and that is not a change. With it, older
 * segments are needed for their changes only.
 *
 * Invariant: a segment whose READY record is not there was never used.
 */
import { limits } from '../base/mod.ts';
import { addressOf, align, encodeSegment, firstPosition, type SegmentHeader } from './format.ts';
import { Item } from './item.ts';
import { fileItem, noteItem, stateItem, type TableEntry, tableItems } from './payloads.ts';
import { headBytes, RecordEncoder, RecordType } from './record.ts';
import type { Segment } from './segments.ts';
import type { LogState } from './state.ts';

/** What all segments that this process makes have in common. */
export interface SegmentFacts {
  readonly uuid: Uint8Array;
  readonly seed: number;
  readonly identity: string;
  readonly bootId: string;
  readonly wallTimeMs: () => number;
}

export function snapshotItems(state: LogState, table: readonly TableEntry[], moved: readonly Item[]): Item[] {
  const items = tableItems(table);
  items.push(stateItem(state.fields));
  // The longest known of the clean ones are forgotten first; their numbers are never used for others.
  let tooMany = state.files.count - state.files.dirtyCount - limits.dirtyLogFiles;
  for (const file of state.files.all()) {
    if (!file.isDirty && tooMany-- > 0) file.recorded = false;
    if (!file.recorded && !file.isDirty) continue;
    items.push(fileItem(file.number, file.key));
  }
  for (const [key, value] of state.notes) items.push(noteItem(key, value));
  items.push(...moved, new Item(RecordType.READY));
  return items;
}

export function snapshotBytes(items: readonly Item[]): number {
  let bytes = firstPosition;
  for (const item of items) bytes += item.logBytes;
  return bytes;
}

/** All bytes of a segment's head, to be written at 0. Sets the segment's `end`; gives the items their LSNs from `lsn` on. */
export function headSlices(
  parts: SegmentFacts & {
    readonly segment: Segment;
    readonly items: readonly Item[];
    readonly lsn: number;
    readonly syncedLsn: number;
    readonly state: LogState;
  },
): Uint8Array[] {
  const { segment, items, state } = parts;
  const header: SegmentHeader = {
    uuid: parts.uuid,
    number: segment.number,
    firstLsn: parts.lsn,
    bytes: segment.file.size,
    boundary: state.boundary,
    syncedLsn: parts.syncedLsn,
    createdMs: parts.wallTimeMs(),
    verifier: state.verifier,
    bootId: parts.bootId,
    identity: parts.identity,
  };
  const encoded = encodeSegment(header);
  const headsBytes = items.reduce((sum, item) => sum + headBytes(item.sums) + 16, 64);
  const encoder = new RecordEncoder(parts.seed, headsBytes);
  const slices: Uint8Array[] = [encoded, encoded];
  let end = firstPosition;
  for (const [index, item] of items.entries()) {
    const position = align(end);
    item.lsn = parts.lsn + index;
    item.syncedLsn = parts.syncedLsn;
    if (item.wallMs === 0) item.wallMs = header.createdMs;
    item.address = addressOf(segment.number, position);
    slices.push(encoder.encode(item, item.data, segment.number, position, position - end), ...item.data);
    end = position + headBytes(item.sums) + item.payloadBytes;
    item.end = addressOf(segment.number, align(end));
  }
  segment.end = align(end);
  return slices;
}

/** A new verifier is as good as random bytes: clients only compare it. */
export function verifierFrom(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
