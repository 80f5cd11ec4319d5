/**
 * The segment files: which there are, how they are made within the limit and the disk's room, and when they go.
 *
 *     make ──► current ──full, or a write failed──► kept ──nothing of it is needed, durably──► removed ──no reader left──► closed
 */
import { assert, type Log, systemCode } from '../base/mod.ts';
import type { LogDirectory, LogFile } from './contract.ts';
import { align, firstPosition, positionOf, segmentName, segmentOf } from './format.ts';
import type { TableEntry } from './payloads.ts';

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
  /** Readers that need the file open. */
  #pins = 0;

  constructor(number: number, file: LogFile) {
    this.number = number;
    this.file = file;
  }

  /** The part that changes may not use: seals, notes and trimming need no new room then. */
  get reservedBytes(): number {
    return align(Math.floor(this.file.size / 8));
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
  readonly #largest: number;
  readonly #smallest: number;
  current: Segment | undefined;
  nextNumber = 1;
  bytes = 0;
  /** Names were made or removed since the last sync of the directory. */
  namesChanged = false;

  constructor(options: SegmentsOptions) {
    this.#options = options;
    this.#smallest = Math.min(smallest, options.segmentBytes ?? smallest);
    const wanted = options.segmentBytes ?? align(Math.floor(options.limitBytes / 8));
    this.#largest = Math.max(this.#smallest, Math.min(largest, wanted));
  }

  get count(): number {
    return this.#kept.size;
  }

  get largestBytes(): number {
    return this.#largest;
  }

  all(): Segment[] {
    return [...this.#kept.values()];
  }

  get(number: number): Segment | undefined {
    return this.#kept.get(number);
  }

  at(address: number): Segment | undefined {
    return this.#kept.get(segmentOf(address));
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
   * otherwise. It is not one of the segments before `add`.
   */
  async make(needed: number, limitBytes: number): Promise<Segment | undefined> {
    const least = align(needed);
    let bytes = Math.max(least, this.#largest);
    const floor = Math.max(least, this.#smallest);
    while (bytes > floor && this.bytes + bytes > limitBytes) bytes = Math.max(floor, align(Math.floor(bytes / 2)));
    if (this.bytes + bytes > limitBytes) return undefined;
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

  /** Removes a file that never became one of the segments. True: it will not come back. */
  async unmake(segment: Segment): Promise<boolean> {
    const { directory } = this.#options;
    try {
      await segment.file.close();
      await directory.remove(segmentName(segment.number));
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
    this.namesChanged = true;
    try {
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
  }

  /** Undoes `leaveOut`, in ascending order. */
  takeBack(segment: Segment): void {
    this.#kept.set(segment.number, segment);
  }

  async removeLeftOut(segment: Segment): Promise<void> {
    this.#kept.set(segment.number, segment);
    await this.remove(segment);
  }

  #isBefore(segment: Segment, boundary: number): boolean {
    if (segment === this.current) return false;
    const last = segmentOf(boundary);
    return segment.number < last || (segment.number === last && segment.end <= positionOf(boundary));
  }

  async close(): Promise<void> {
    assert(
      this.all().every((segment) => !segment.isRemoved),
      'kept segments are there',
    );
    for (const segment of this.#kept.values()) await segment.file.close();
    this.#kept.clear();
  }
}

export function isFull(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'ENOSPC' || code === 'EDQUOT';
}
