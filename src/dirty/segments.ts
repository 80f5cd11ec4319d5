/**
 * The segment files: which there are, how they are made within the limit and the disk's room, and when they go.
 *
 *     make ──► current ──full, or a write failed──► kept ──nothing of it is needed, durably──► removed ──no reader left──► closed
 *
 * A full disk has room for control still (reserve.ts): `makeOfSpare`.
 */
import { assert, type Log, systemCode } from '../base/mod.ts';
import type { LogDirectory, LogFile } from './contract.ts';
import { align, firstPosition, mostSegmentBytes, positionOf, segmentName, segmentOf } from './format.ts';
import type { TableEntry } from './payloads.ts';
import { Reserve } from './reserve.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const largest = 64 * MiB;
const smallest = 2 * MiB;

export class Segment {
  readonly number: number;
  readonly file: LogFile;
  /** Where the next record goes; of a kept one, where its records end. */
  end = firstPosition;
  lastLsn = 0;
  /** Holds bytes that no datasync has covered. */
  isUnsynced = true;
  isRemoved = false;
  /** Made of a spare, on a full disk: not for changes. */
  isSpare = false;
  /** Readers that need the file open. */
  #pins = 0;

  constructor(number: number, file: LogFile) {
    this.number = number;
    this.file = file;
  }

  /** The part that changes may not use: seals, notes and trimming need no new room then. */
  get reservedBytes(): number {
    return this.isSpare ? this.file.size : align(Math.floor(this.file.size / 8));
  }

  get isPinned(): boolean {
    return this.#pins > 0;
  }

  pin(): void {
    this.#pins++;
  }

  unpin(): void {
    this.#pins--;
    if (this.isRemoved && this.#pins === 0) this.#close();
  }

  removed(): void {
    this.isRemoved = true;
    if (this.#pins === 0) this.#close();
  }

  #close(): void {
    // Nothing depends on it: the name is gone, and all that was in it.
    this.file.close().catch(() => {});
  }
}

export interface SegmentsOptions {
  readonly directory: LogDirectory;
  readonly limitBytes: number;
  /** The largest segment; tests use small ones. */
  readonly segmentBytes: number | undefined;
  readonly log: Log;
}

export class Segments {
  readonly #options: SegmentsOptions;
  readonly #kept = new Map<number, Segment>();
  readonly #leftOut = new Map<number, Segment>();
  readonly #largest: number;
  readonly #smallest: number;
  readonly #reserve: Reserve;
  current: Segment | undefined;
  nextNumber = 1;
  bytes = 0;
  /** Names were made since the last sync of the directory. One that was removed may come back: no head's table has it. */
  namesChanged = false;

  constructor(options: SegmentsOptions) {
    this.#options = options;
    this.#smallest = Math.min(smallest, options.segmentBytes ?? smallest);
    const wanted = options.segmentBytes ?? align(Math.floor(options.limitBytes / 8));
    this.#largest = Math.max(this.#smallest, Math.min(largest, wanted));
    this.#reserve = new Reserve(options.directory, align(this.#smallest / 2));
  }

  /** What records fill of the segments. */
  get recordBytes(): number {
    return this.all().reduce((sum, { end }) => sum + end, 0);
  }

  /** Bytes of the files that keep room. */
  get reserveBytes(): number {
    return this.#reserve.bytes;
  }

  findReserve(): Promise<void> {
    return this.#reserve.find();
  }

  /** Makes the reserve whole. False: the disk has no room for it. */
  async fillReserve(): Promise<boolean> {
    try {
      if (!this.#reserve.isComplete) this.namesChanged = true;
      await this.#reserve.fill();
      return true;
    } catch (error) {
      if (isFull(error)) return false;
      throw error;
    }
  }

  /** All names that were made so far survive a power loss after it. */
  async syncNames(): Promise<void> {
    this.namesChanged = false;
    try {
      await this.#options.directory.sync();
    } catch (error) {
      this.namesChanged = true;
      throw error;
    }
  }

  /** A head is this long now: the reserve has room for one. */
  headIs(bytes: number): void {
    const step = align(this.#smallest / 2);
    this.#reserve.wantedBytes = Math.ceil((bytes + step / 2) / step) * step;
  }

  get count(): number {
    return this.#kept.size;
  }

  get largestBytes(): number {
    return this.#largest;
  }

  get smallestBytes(): number {
    return this.#smallest;
  }

  all(): Segment[] {
    return [...this.#kept.values()];
  }

  get(number: number): Segment | undefined {
    return this.#kept.get(number);
  }

  /** Where readers find it: what was left out holds its records until they have moved. */
  at(address: number): Segment | undefined {
    const number = segmentOf(address);
    return this.#kept.get(number) ?? this.#leftOut.get(number);
  }

  /** In ascending order only. */
  add(segment: Segment): void {
    this.#kept.set(segment.number, segment);
    this.bytes += segment.file.size;
    this.nextNumber = Math.max(this.nextNumber, segment.number + 1);
  }

  /** Of all segments, for the head of the next one. */
  table(): TableEntry[] {
    return this.all().map(({ number, end, lastLsn }) => ({ number, end, lastLsn }));
  }

  /**
   * A new file with room for at least `needed` bytes; undefined: neither the limit nor the disk has it. Rejects if the disk fails
   * otherwise. It is not one of the segments before `add`. Without a limit it is for control, which needs no reserve either.
   * `isSmall`: no larger than it must be.
   */
  async make(needed: number, limitBytes: number, isSmall = false): Promise<Segment | undefined> {
    const isForChanges = Number.isFinite(limitBytes);
    // Never more than a quarter: a small log with many files goes on.
    const reserved = isForChanges ? Math.min(this.#reserve.bytes, limitBytes / 4) : 0;
    const left = limitBytes - reserved - this.bytes;
    const least = align(needed);
    let bytes = Math.max(least, isSmall ? this.#smallest : this.#largest);
    // With very many files the head is long: most of a segment is still for changes.
    if (isForChanges && this.#options.segmentBytes === undefined)
      bytes = Math.max(bytes, align(Math.min(8 * least, limitBytes / 8, 4 * largest)));
    if (least > mostSegmentBytes) return undefined;
    const floor = Math.max(least, this.#smallest);
    while (bytes > floor && bytes > left) bytes = Math.max(floor, align(Math.floor(bytes / 2)));
    if (bytes > left) return undefined;
    // What is accepted without it could not be drained once the disk is full.
    if (isForChanges && !(await this.fillReserve())) return undefined;
    for (;;) {
      const number = this.nextNumber++;
      try {
        const file = await this.#options.directory.create(segmentName(number), bytes);
        this.namesChanged = true;
        return new Segment(number, file);
      } catch (error) {
        if (!isFull(error)) throw error;
        if (bytes <= floor) return undefined;
        bytes = Math.max(floor, align(Math.floor(bytes / 2)));
      }
    }
  }

  /** The same of the reserve; undefined: no spare is large enough. */
  async makeOfSpare(needed: number): Promise<Segment | undefined> {
    const number = this.nextNumber++;
    const file = await this.#reserve.take(number, needed);
    if (file === undefined) return undefined;
    this.namesChanged = true;
    const segment = new Segment(number, file);
    segment.isSpare = true;
    return segment;
  }

  /** The newest ones that would fit into a spare: what is needed of them can move on into one. */
  smallOnes(): Segment[] {
    const all = this.all();
    let first = all.length;
    while (first > 0 && all[first - 1]!.file.size <= this.#reserve.largestBytes) first--;
    return all.slice(first);
  }

  /** Removes a file that never became one of the segments. True: it will not come back. */
  async unmake(segment: Segment): Promise<boolean> {
    const { directory } = this.#options;
    try {
      if (segment.isSpare) {
        await this.#reserve.giveBack(segment.number, segment.file).catch((error: unknown) => {
          // It belongs to nobody now; the next opening finds it by its name.
          segment.removed();
          throw error;
        });
      } else {
        await segment.file.close();
        await directory.remove(segmentName(segment.number));
      }
      await directory.sync();
      return true;
    } catch {
      this.namesChanged = true;
      return false;
    }
  }

  /** Whether a segment before the current one ends before `boundary`. */
  hasBefore(boundary: number): boolean {
    for (const segment of this.#kept.values()) if (this.#isBefore(segment, boundary)) return true;
    return false;
  }

  /** Removes the segments that end before `boundary`: nothing of them is needed, and that is durable. */
  async removeBefore(boundary: number): Promise<number> {
    const gone = this.all().filter((segment) => this.#isBefore(segment, boundary));
    for (const segment of gone) await this.remove(segment);
    return gone.length;
  }

  async remove(segment: Segment): Promise<void> {
    if (!this.#kept.delete(segment.number)) return;
    this.bytes -= segment.file.size;
    try {
      if (this.#reserve.wants(segment.file.size) && !segment.isPinned) {
        await this.#reserve.giveBack(segment.number, segment.file);
        this.namesChanged = true;
        return;
      }
      await this.#options.directory.remove(segmentName(segment.number));
    } catch (error) {
      const fields = { segment: segmentName(segment.number), cause: String(error) };
      this.#options.log.warn(fields, 'a segment of the dirty log that is not needed any more could not be removed');
    }
    segment.removed();
  }

  /** It does not count any more, and is not removed yet. */
  leaveOut(segment: Segment): void {
    this.#kept.delete(segment.number);
    this.#leftOut.set(segment.number, segment);
  }

  /** Undoes `leaveOut`, in ascending order. */
  takeBack(segment: Segment): void {
    this.#leftOut.delete(segment.number);
    this.#kept.set(segment.number, segment);
  }

  async removeLeftOut(segment: Segment): Promise<void> {
    this.#leftOut.delete(segment.number);
    this.#kept.set(segment.number, segment);
    await this.remove(segment);
  }

  async removeAllLeftOut(): Promise<void> {
    for (const segment of [...this.#leftOut.values()]) await this.removeLeftOut(segment);
  }

  #isBefore(segment: Segment, boundary: number): boolean {
    if (segment === this.current) return false;
    const last = segmentOf(boundary);
    return segment.number < last || (segment.number === last && segment.end <= positionOf(boundary));
  }

  /** Of a log that was never begun: no file stays. */
  async abandon(): Promise<void> {
    const { directory } = this.#options;
    const names = this.all().map(({ number }) => segmentName(number));
    names.push(...this.#reserve.names);
    await this.close();
    for (const name of names) await directory.remove(name);
  }

  async close(): Promise<void> {
    assert(
      this.all().every((segment) => !segment.isRemoved),
      'kept segments are there',
    );
    for (const segment of [...this.#kept.values(), ...this.#leftOut.values()]) await segment.file.close();
    this.#kept.clear();
    this.#leftOut.clear();
    await this.#reserve.close();
  }
}

export function isFull(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'ENOSPC' || code === 'EDQUOT';
}
