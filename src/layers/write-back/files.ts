/**
 * The files that are or were dirty. A record says what must outlive the process (noted in the log); beside it stands what
 * only the running layer needs.
 *
 *     unknown --first change--> dirty --drained--> clean, still presented by the record --forgotten--> unknown
 *                                 ^----next change----'
 *
 * Invariants: a dirty file has a record; a record is noted before the change that needs it; clean records are bounded, the
 * one that was settled longest ago goes first (each new segment of the log begins with a copy of all notes).
 */
import { limits } from '../../base/mod.ts';
import type { DirtyLogFace, FileNumber } from '../../dirty/mod.ts';
import type { Attributes, Credential, FileHandle, Time, WccAttributes } from '../../vfs/mod.ts';
import type { DirtyFiles, FileRecord } from './contract.ts';
import { decodeRecord, emptyRecord, encodeRecord, fileNotes, type RecordFields } from './file-record.ts';
import { epochStart, latest } from './times.ts';
import { Writers } from './writers.ts';

export interface DirtyFile {
  record: FileRecord;
  /** Size and times as of the last change, answered or not: what the next change begins from. Undefined before the first one. */
  shown: WccAttributes | undefined;
  /** The next change is dated after this. */
  lastTime: Time;
  /** What the origin showed last. */
  seen: Attributes | undefined;
  /** Changes handed to the log and not answered yet. */
  appending: number;
  /** Operations under way that may take its last name. */
  removals: number;
  /** Counts changes of the size. */
  resizes: number;
  /** The table's tick when the origin last showed what our write-back made: replies to older calls prove nothing. */
  settledTick: number;
  /** Monotonic. */
  settledMs: number;
}

export class DirtyFileTable implements DirtyFiles {
  readonly #log: DirtyLogFace;
  readonly #writers: Writers;
  readonly #maximum: number;
  /** In the order in which they were opened or settled. */
  readonly #files = new Map<FileHandle, DirtyFile>();
  readonly #byNumber = new Map<FileNumber, DirtyFile>();
  #isClosed = false;
  /** Moves on whenever a file is settled. */
  tick = 0;

  constructor(log: DirtyLogFace, maximum: number = limits.writeBackRecords) {
    this.#log = log;
    this.#maximum = maximum;
    this.#writers = new Writers(log);
    for (const [key, note] of [...log.notes(fileNotes)]) {
      const handle = key.slice(fileNotes.length);
      this.#add(decodeRecord(log.file(handle), handle, note));
    }
    for (const number of log.dirtyFiles()) {
      const handle = log.keyOf(number);
      if (handle !== undefined && !this.#files.has(handle)) this.#add(emptyRecord(log.file(handle), handle));
    }
    for (const file of this.#files.values()) this.reload(file);
  }

  get size(): number {
    return this.#files.size;
  }

  find(handle: FileHandle): DirtyFile | undefined {
    return this.#files.get(handle);
  }

  /** Made if need be. */
  opened(handle: FileHandle): DirtyFile {
    return this.#files.get(handle) ?? this.#add(emptyRecord(this.#log.file(handle), handle));
  }

  isDirty(file: DirtyFile): boolean {
    return this.#log.state(file.record.number) !== undefined;
  }

  /** Whether changes of the file are in the log or on their way into it. */
  isBusy(file: DirtyFile): boolean {
    return file.appending > 0 || this.isDirty(file);
  }

  /** Makes what is shown of a file of what the log has. */
  reload(file: DirtyFile): void {
    const { number, presented } = file.record;
    const state = this.#log.state(number);
    if (state === undefined) file.shown = presented;
    // A note that is younger than the last change knows times that the change does not (SETATTR).
    else if (presented !== undefined && latest(presented.ctime, state.time) === presented.ctime) {
      file.shown = { size: state.size, mtime: presented.mtime, ctime: presented.ctime };
    } else file.shown = { size: state.size, mtime: state.time, ctime: state.time };
    if (file.shown !== undefined) file.lastTime = latest(file.lastTime, file.shown.ctime);
  }

  /** What the origin shows now is our own doing. */
  settled(file: DirtyFile, base: WccAttributes): void {
    file.settledTick = ++this.tick;
    this.update(file.record.handle, { base, presented: file.shown ?? base });
    this.#files.delete(file.record.handle);
    this.#files.set(file.record.handle, file);
    this.#shrink();
  }

  get(handle: FileHandle): FileRecord | undefined {
    return this.#files.get(handle)?.record;
  }

  byNumber(number: FileNumber): FileRecord | undefined {
    return this.#byNumber.get(number)?.record;
  }

  open(handle: FileHandle): FileRecord {
    return this.opened(handle).record;
  }

  update(handle: FileHandle, fields: Partial<RecordFields>): FileRecord {
    const file = this.opened(handle);
    file.record = { ...file.record, ...fields };
    if (!this.#isClosed) this.#log.note(fileNotes + handle, encodeRecord(file.record));
    return file.record;
  }

  forget(handle: FileHandle): void {
    const file = this.#files.get(handle);
    if (file === undefined) return;
    this.#files.delete(handle);
    this.#byNumber.delete(file.record.number);
    if (this.#isClosed) return;
    this.#log.note(fileNotes + handle, undefined);
    this.#log.release(file.record.number);
  }

  /** Nothing is noted any more: the log is about to be closed. */
  close(): void {
    this.#isClosed = true;
  }

  *all(): Iterable<FileRecord> {
    for (const file of this.#files.values()) yield file.record;
  }

  writer(who: Credential): number {
    return this.#writers.numberOf(who);
  }

  credentialOf(writer: number): Credential | undefined {
    return this.#writers.credentialOf(writer);
  }

  #add(record: FileRecord): DirtyFile {
    const file: DirtyFile = {
      record,
      shown: undefined,
      lastTime: epochStart,
      seen: undefined,
      appending: 0,
      removals: 0,
      resizes: 0,
      settledTick: 0,
      settledMs: Number.NEGATIVE_INFINITY,
    };
    this.#files.set(record.handle, file);
    this.#byNumber.set(record.number, file);
    return file;
  }

  #shrink(): void {
    let surplus = this.#files.size - this.#maximum;
    if (surplus <= 0) return;
    for (const [handle, file] of this.#files) {
      if (surplus-- <= 0) return;
      const { conflict, times, intent } = file.record;
      const isNeeded = conflict !== undefined || times !== undefined || intent !== undefined;
      if (!isNeeded && !this.isBusy(file)) this.forget(handle);
    }
  }
}
