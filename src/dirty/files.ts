/**
 * What the log knows of each file: its number and key, its newest extents, its size and times, the epochs that changed it.
 *
 * Invariants: a file is dirty exactly while `marks` is not empty; then size and time are those of its last change. Marks and cuts are
 * in the order of their epochs, one a file and epoch. No question costs more for more epochs. A file is forgotten only when nobody uses its
 * number, and no record that still counts speaks of it.
 */
import type { DirtyState, EpochNumber, FileNumber, LogTime } from './contract.ts';
import { ExtentTree } from './extent-tree.ts';

/** One epoch that changed the file. */
interface Mark {
  readonly epoch: EpochNumber;
  readonly firstMs: number;
  /** The lowest byte that it changed. */
  lowest: number;
  /** The file's size before it; undefined if nothing of the file was dirty then: what is below knows. */
  readonly sizeBefore: number | undefined;
}

/** An epoch that made the file shorter than all after it did. */
interface Cut {
  readonly epoch: EpochNumber;
  readonly to: number;
}

export class DirtyFile {
  readonly number: FileNumber;
  key: string;
  /** A FILE record for it is in the log. */
  recorded = false;
  readonly tree = new ExtentTree();
  size = 0;
  time: LogTime = { seconds: 0, nanoseconds: 0 };
  writer = 0;
  /** Records of it before this address are void. */
  droppedAt = 0;
  /** Size after the last record that was encoded, undefined while unknown: tells whether a SIZE cuts. */
  encodedSize: number | undefined;
  /** Nobody uses its number, but the log itself. */
  isReleased = false;
  #marks: Mark[] = [];
  #head = 0;
  /** Ascending in both: the first one counts, the next one when its epoch is drained. */
  #cuts: Cut[] = [];

  constructor(number: FileNumber, key: string) {
    this.number = number;
    this.key = key;
  }

  get isDirty(): boolean {
    return this.#head < this.#marks.length;
  }

  /** The shortest that the file was made since the base; Infinity if it was never cut. */
  get lowWater(): number {
    return this.#cuts[0]?.to ?? Number.POSITIVE_INFINITY;
  }

  get state(): DirtyState | undefined {
    const first = this.#marks[this.#head];
    if (first === undefined) return undefined;
    return {
      size: this.size,
      time: this.time,
      dirtyBytes: this.tree.bytes,
      lowWater: this.lowWater,
      oldestMs: first.firstMs,
      firstEpoch: first.epoch,
      lastEpoch: this.#marks[this.#marks.length - 1]!.epoch,
    };
  }

  get oldestMs(): number | undefined {
    return this.#marks[this.#head]?.firstMs;
  }

  get firstEpoch(): EpochNumber | undefined {
    return this.#marks[this.#head]?.epoch;
  }

  /** The epoch changed bytes from `lowest` on; before the file's size is moved on. True if it had not changed the file before. */
  mark(epoch: EpochNumber, firstMs: number, lowest: number, cutTo: number): boolean {
    const last = this.isDirty ? this.#marks[this.#marks.length - 1]! : undefined;
    if (cutTo !== Number.POSITIVE_INFINITY) this.#cut(epoch, cutTo);
    if (last?.epoch === epoch) {
      last.lowest = Math.min(last.lowest, lowest);
      return false;
    }
    this.#marks.push({ epoch, firstMs, lowest, sizeBefore: last === undefined ? undefined : this.size });
    return true;
  }

  #cut(epoch: EpochNumber, to: number): void {
    let last = this.#cuts.at(-1);
    if (last?.epoch === epoch && last.to <= to) return;
    for (; last !== undefined && last.to >= to; last = this.#cuts.at(-1)) this.#cuts.pop();
    this.#cuts.push({ epoch, to });
  }

  /** The origin has all epochs up to this one, whose last record is before `boundary`. */
  drained(epoch: EpochNumber, boundary: number, extents: ExtentTree | undefined): void {
    while (this.isDirty && this.#marks[this.#head]!.epoch <= epoch) this.#head++;
    while (this.#cuts.length > 0 && this.#cuts[0]!.epoch <= epoch) this.#cuts.shift();
    if (!this.isDirty) {
      this.clear();
      this.encodedSize = undefined;
      return;
    }
    if (this.#head > 32 && this.#head * 2 > this.#marks.length) {
      this.#marks.splice(0, this.#head);
      this.#head = 0;
    }
    if (extents === undefined) this.tree.sweep(boundary);
    else extents.walk(0, Number.POSITIVE_INFINITY, (from, count) => this.tree.clear(from, from + count, boundary));
  }

  /** Nothing of the file is dirty any more. */
  clear(): void {
    this.#marks = [];
    this.#head = 0;
    this.#cuts = [];
    this.tree.clear(0, Number.POSITIVE_INFINITY);
  }

  /** Whether the epoch changed bytes that were there before it. `sizeBelow`: how long the file was when it became dirty. */
  overwritesIn(epoch: EpochNumber, sizeBelow: () => number): boolean {
    for (let index = this.#marks.length - 1; index >= this.#head; index--) {
      const mark = this.#marks[index]!;
      if (mark.epoch < epoch) return false;
      if (mark.epoch === epoch) return mark.lowest < (mark.sizeBefore ?? sizeBelow());
    }
    return false;
  }
}

export class DirtyFileTable {
  readonly #byKey = new Map<string, DirtyFile>();
  readonly #byNumber = new Map<FileNumber, DirtyFile>();
  readonly #dirty = new Map<FileNumber, DirtyFile>();
  nextNumber = 1;

  named(key: string): DirtyFile {
    const file = this.#byKey.get(key) ?? this.add(this.nextNumber, key);
    file.isReleased = false;
    return file;
  }

  release(number: FileNumber): void {
    const file = this.#byNumber.get(number);
    if (file !== undefined) file.isReleased = true;
  }

  /** Those that are released and clean go, unless `isNamed`: records on their way into the log name them. What was dropped counts until `boundary`. */
  forgetReleased(boundary: number, isNamed: (number: FileNumber) => boolean): void {
    for (const file of this.#byNumber.values()) {
      if (!file.isReleased || file.isDirty || file.droppedAt > boundary || isNamed(file.number)) continue;
      this.#byNumber.delete(file.number);
      if (this.#byKey.get(file.key) === file) this.#byKey.delete(file.key);
    }
  }

  add(number: FileNumber, key: string): DirtyFile {
    const known = this.#byNumber.get(number);
    if (known !== undefined) {
      // Salvage meets changes of files whose name comes later.
      if (known.key === '' && key !== '') {
        known.key = key;
        this.#byKey.set(key, known);
      }
      return known;
    }
    const file = new DirtyFile(number, key);
    this.#byKey.set(key, file);
    this.#byNumber.set(number, file);
    this.nextNumber = Math.max(this.nextNumber, number + 1);
    return file;
  }

  get(number: FileNumber): DirtyFile | undefined {
    return this.#byNumber.get(number);
  }

  /** Undefined: nothing of it is dirty. */
  dirty(number: FileNumber): DirtyFile | undefined {
    return this.#dirty.get(number);
  }

  /** Looks again whether it is dirty. */
  settle(file: DirtyFile): void {
    if (file.isDirty) this.#dirty.set(file.number, file);
    else this.#dirty.delete(file.number);
  }

  allDirty(): IterableIterator<DirtyFile> {
    return this.#dirty.values();
  }

  get dirtyCount(): number {
    return this.#dirty.size;
  }

  get count(): number {
    return this.#byNumber.size;
  }

  all(): IterableIterator<DirtyFile> {
    return this.#byNumber.values();
  }
}
