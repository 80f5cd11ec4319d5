/** A record on its way into the log: its header's fields, its payload, and whoever waits for it. */
import type { Appended, Change, FileNumber, WriteChange } from './contract.ts';
import { align } from './format.ts';
import { headBytes, type RecordCode, type RecordHeader, RecordType, sumsFor } from './record.ts';

export class Item implements RecordHeader {
  readonly type: RecordCode;
  flags = 0;
  sums = 0;
  payloadBytes = 0;
  lsn = 0;
  syncedLsn = 0;
  epoch = 0;
  file: FileNumber = 0;
  writer = 0;
  offset = 0;
  sizeAfter = 0;
  seconds = 0;
  nanoseconds = 0;
  wallMs = 0;
  data: readonly Uint8Array[] = [];
  /** Where it is in the log, and where the next record may begin; known when it was encoded. */
  address = 0;
  end = 0;
  /** It was written. */
  isInLog = false;
  resolve: ((appended: Appended) => void) | undefined;
  reject: ((error: unknown) => void) | undefined;

  constructor(type: RecordCode) {
    this.type = type;
  }

  /** Of the whole record. */
  get logBytes(): number {
    return align(headBytes(this.sums) + this.payloadBytes);
  }

  get isChange(): boolean {
    return this.type === RecordType.WRITE || this.type === RecordType.SIZE;
  }
}

/** Seals, marks and the like. */
export function controlItem(type: RecordCode, wallMs: number): Item {
  const item = new Item(type);
  item.wallMs = wallMs;
  return item;
}

export function changeItem(type: RecordCode, change: Change, wallMs: number): Item {
  const item = controlItem(type, wallMs);
  item.file = change.file;
  item.writer = change.writer;
  item.sizeAfter = change.sizeAfter;
  item.seconds = change.time.seconds;
  item.nanoseconds = change.time.nanoseconds;
  return item;
}

export function writeItem(change: WriteChange, wallMs: number): Item {
  const item = changeItem(RecordType.WRITE, change, wallMs);
  item.offset = change.offset;
  item.payloadBytes = change.count;
  item.sums = sumsFor(change.offset, change.count);
  item.data = change.data;
  return item;
}

/** A record whose payload is not a file's: a note, a table. */
export function payloadItem(type: RecordCode, payload: Uint8Array): Item {
  const item = new Item(type);
  item.payloadBytes = payload.length;
  item.sums = sumsFor(0, payload.length);
  item.data = payload.length === 0 ? [] : [payload];
  return item;
}
