/**
 * What the log's records amount to, in memory: files, notes, epochs. Records are applied in the order of the log, by the appender when they
 * are in it and by recovery when it finds them, so that both come to the same.
 */
import type { EpochNumber } from './contract.ts';
import { type Epoch, Epochs } from './epochs.ts';
import type { ExtentTree } from './extent-tree.ts';
import { type DirtyFile, DirtyFileTable } from './files.ts';
import { decodeNote, decodeState, type StateFields } from './payloads.ts';
import { flagCut, flagForget, type RecordHeader, RecordType } from './record.ts';

export class LogState {
  readonly files = new DirtyFileTable();
  readonly notes = new Map<string, Uint8Array>();
  readonly epochs = new Epochs();
  /** No change before this address is needed. */
  boundary = 0;
  /** The same as records that are in the log say it: without them, recovery looks for what lies before. */
  loggedBoundary = 0;
  verifier = '';
  dirtyBytes = 0;

  /** A change, or what ends or voids changes. `end` is the address of the next record. */
  apply(record: RecordHeader, address: number, end: number): void {
    if (record.type === RecordType.WRITE || record.type === RecordType.SIZE) this.#change(record, address, end);
    else if (record.type === RecordType.CARRY) this.#carry(record, address);
    else if (record.type === RecordType.SEAL) this.#seal(record, end);
    else if (record.type === RecordType.DROP) this.drop(record.file, address);
    else if (record.type === RecordType.DISCARD) {
      this.discard(end);
      this.#logged(end);
    } else if (record.type === RecordType.DRAINED || record.type === RecordType.TRIM) {
      this.#logged(record.offset);
    }
  }

  /** Recovery only: these take effect at once when they are asked for. */
  recover(record: RecordHeader, payload: Uint8Array): void {
    if (record.type === RecordType.FILE) {
      const file = this.files.add(record.file, Buffer.from(payload).toString('latin1'));
      file.recorded = true;
      // Nobody has asked for it yet in this life.
      file.isReleased = true;
    } else if (record.type === RecordType.NOTE) {
      const { key, value } = decodeNote(payload);
      if (record.flags & flagForget) this.notes.delete(key);
      else this.notes.set(key, value);
    } else if (record.type === RecordType.STATE) {
      this.restore(decodeState(payload));
    } else if (record.type === RecordType.DRAINED) {
      while (this.epochs.first !== undefined && this.epochs.first.number <= record.epoch) {
        this.drained(this.epochs.first, record.offset, undefined);
      }
      this.epochs.drainedUpTo = Math.max(this.epochs.drainedUpTo, record.epoch);
      this.#logged(record.offset);
    } else if (record.type === RecordType.TRIM) {
      this.#logged(record.offset);
    }
  }

  #logged(boundary: number): void {
    this.boundary = Math.max(this.boundary, boundary);
    this.loggedBoundary = Math.max(this.loggedBoundary, boundary);
  }

  restore(fields: StateFields): void {
    this.files.nextNumber = Math.max(this.files.nextNumber, fields.nextFile);
    this.epochs.nextNumber = Math.max(this.epochs.nextNumber, fields.nextEpoch);
    this.epochs.drainedUpTo = Math.max(this.epochs.drainedUpTo, fields.drainedUpTo);
    this.#logged(fields.boundary);
    this.verifier = fields.verifier;
  }

  get fields(): StateFields {
    return {
      nextFile: this.files.nextNumber,
      nextEpoch: this.epochs.nextNumber,
      drainedUpTo: this.epochs.drainedUpTo,
      boundary: this.boundary,
      verifier: this.verifier,
    };
  }

  /** The oldest epoch is at the origin; its last record is before `boundary`. */
  drained(epoch: Epoch, boundary: number, extents: ((file: number) => ExtentTree | undefined) | undefined): void {
    this.epochs.shift();
    this.boundary = Math.max(this.boundary, boundary);
    for (const number of epoch.files) {
      const file = this.files.dirty(number);
      if (file === undefined) continue;
      const before = file.tree.bytes;
      file.drained(epoch.number, boundary, extents?.(number));
      this.#settle(file, before);
    }
  }

  drop(number: number, address: number): void {
    const file = this.files.get(number);
    if (file === undefined) return;
    const before = file.tree.bytes;
    file.droppedAt = Math.max(file.droppedAt, address);
    file.clear();
    this.#settle(file, before);
  }

  discard(end: number): void {
    for (const file of [...this.files.allDirty()]) {
      this.drop(file.number, end);
      file.encodedSize = undefined;
    }
    const last = this.epochs.last;
    if (last !== undefined) this.epochs.drainedUpTo = Math.max(this.epochs.drainedUpTo, last.number);
    this.epochs.clear();
    this.boundary = Math.max(this.boundary, end);
  }

  #change(record: RecordHeader, address: number, end: number): void {
    const file = this.files.get(record.file);
    if (file === undefined || address < this.boundary || record.epoch <= this.epochs.drainedUpTo) return;
    const epoch = this.epochs.at(record.epoch, record.wallMs, address);
    epoch.logBytes += (end - address) * 16;
    epoch.payloadBytes += record.payloadBytes;
    const before = file.tree.bytes;
    if (record.type === RecordType.WRITE) {
      file.tree.set(record.offset, record.payloadBytes, address);
      this.#mark(file, epoch, record, record.offset, Number.POSITIVE_INFINITY);
    } else if (record.flags & flagCut) {
      file.tree.clear(record.sizeAfter, Number.POSITIVE_INFINITY);
      this.#mark(file, epoch, record, record.sizeAfter, record.sizeAfter);
    } else {
      this.#mark(file, epoch, record, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
    }
    this.#settle(file, before);
  }

  #mark(file: DirtyFile, epoch: Epoch, record: RecordHeader, lowest: number, cutTo: number): void {
    if (file.mark(epoch.number, record.wallMs, lowest, cutTo)) epoch.files.push(file.number);
    file.size = record.sizeAfter;
    file.time = { seconds: record.seconds, nanoseconds: record.nanoseconds };
    file.writer = record.writer;
  }

  /** `offset` is the low water, or -1. */
  #carry(record: RecordHeader, address: number): void {
    const file = this.files.get(record.file);
    if (file === undefined || address < this.boundary) return;
    const epoch = this.epochs.at(record.epoch, record.wallMs, address);
    this.#mark(file, epoch, record, 0, record.offset < 0 ? Number.POSITIVE_INFINITY : record.offset);
    this.#settle(file, file.tree.bytes);
  }

  #seal(record: RecordHeader, end: number): void {
    const epoch = this.epochs.find(record.epoch);
    if (epoch === undefined) return;
    epoch.sealedMs = record.wallMs;
    epoch.end = end;
  }

  #settle(file: DirtyFile, bytesBefore: number): void {
    this.dirtyBytes += file.tree.bytes - bytesBefore;
    this.files.settle(file);
  }

  /** When the oldest epoch that waits began. */
  oldestMs(): number | undefined {
    return this.files.dirtyCount === 0 ? undefined : this.epochs.first?.firstMs;
  }

  isDrained(epoch: EpochNumber): boolean {
    return epoch <= this.epochs.drainedUpTo;
  }
}
