/** Payloads of the records that are not a file's bytes: FILE, NOTE, TABLE, STATE. */
import { assert } from '../base/mod.ts';
import { type Item, payloadItem } from './item.ts';
import { flagForget, mostPayload, RecordType } from './record.ts';

const keyBytes = 256;
const noteBytes = 4096;
const tableEntryBytes = 24;
const tableEntriesPerRecord = Math.floor(mostPayload / tableEntryBytes);
const stateBytes = 40;

/** A segment before this one: where its records end, and the last of them. */
export interface TableEntry {
  readonly number: number;
  readonly end: number;
  readonly lastLsn: number;
}

export interface StateFields {
  readonly nextFile: number;
  readonly nextEpoch: number;
  readonly drainedUpTo: number;
  readonly boundary: number;
  readonly verifier: string;
}

export function checkKey(key: string): void {
  assert(key.length > 0 && key.length <= keyBytes, 'keys have 1 to 256 bytes');
}

export function fileItem(number: number, key: string): Item {
  const item = payloadItem(RecordType.FILE, Buffer.from(key, 'latin1'));
  item.file = number;
  return item;
}

export function noteItem(key: string, value: Uint8Array | undefined): Item {
  checkKey(key);
  assert(value === undefined || value.length <= noteBytes, 'notes are at most 4,096 bytes');
  const head = Buffer.alloc(2 + key.length);
  head.writeUInt16LE(key.length, 0);
  head.write(key, 2, 'latin1');
  const item = payloadItem(RecordType.NOTE, value === undefined ? head : Buffer.concat([head, value]));
  if (value === undefined) item.flags = flagForget;
  return item;
}

export function decodeNote(payload: Uint8Array): { readonly key: string; readonly value: Uint8Array } {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const length = bytes.readUInt16LE(0);
  return { key: bytes.toString('latin1', 2, 2 + length), value: Uint8Array.from(bytes.subarray(2 + length)) };
}

export function tableItems(entries: readonly TableEntry[]): Item[] {
  const items: Item[] = [];
  for (let from = 0; from < entries.length; from += tableEntriesPerRecord) {
    const part = entries.slice(from, from + tableEntriesPerRecord);
    const payload = Buffer.alloc(part.length * tableEntryBytes);
    for (const [index, entry] of part.entries()) {
      payload.writeDoubleLE(entry.number, index * tableEntryBytes);
      payload.writeDoubleLE(entry.end, index * tableEntryBytes + 8);
      payload.writeDoubleLE(entry.lastLsn, index * tableEntryBytes + 16);
    }
    items.push(payloadItem(RecordType.TABLE, payload));
  }
  return items;
}

export function decodeTable(payload: Uint8Array): TableEntry[] {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const entries: TableEntry[] = [];
  for (let at = 0; at + tableEntryBytes <= bytes.length; at += tableEntryBytes) {
    entries.push({
      number: bytes.readDoubleLE(at),
      end: bytes.readDoubleLE(at + 8),
      lastLsn: bytes.readDoubleLE(at + 16),
    });
  }
  return entries;
}

export function stateItem(state: StateFields): Item {
  const payload = Buffer.alloc(stateBytes);
  payload.writeDoubleLE(state.nextFile, 0);
  payload.writeDoubleLE(state.nextEpoch, 8);
  payload.writeDoubleLE(state.drainedUpTo, 16);
  payload.writeDoubleLE(state.boundary, 24);
  payload.write(state.verifier, 32, 8, 'latin1');
  return payloadItem(RecordType.STATE, payload);
}

export function decodeState(payload: Uint8Array): StateFields {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  return {
    nextFile: bytes.readDoubleLE(0),
    nextEpoch: bytes.readDoubleLE(8),
    drainedUpTo: bytes.readDoubleLE(16),
    boundary: bytes.readDoubleLE(24),
    verifier: bytes.toString('latin1', 32, 40),
  };
}
