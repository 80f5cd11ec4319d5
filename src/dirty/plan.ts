/**
 * What one sealed epoch does to the files, coalesced: its records are read again from the log, the newest of each place wins.
 *
 * The plan keeps the segments of its records open until it is released.
 */
import { ViaductError } from '../base/mod.ts';
import type { EpochNumber, EpochPlan, FileNumber, FilePlan, LogTime, PlannedExtent, View } from './contract.ts';
import { ExtentTree } from './extent-tree.ts';
import { notKept } from './failures.ts';
import { addressOf, firstPosition, positionOf, segmentName, segmentOf } from './format.ts';
import type { LogReader } from './reader.ts';
import { flagCut, type RecordDecoder, RecordType } from './record.ts';
import { SegmentScanner } from './scanner.ts';
import type { Segment, Segments } from './segments.ts';

class FileWork {
  readonly tree = new ExtentTree();
  /** Writers of the records, by address, as long as there is more than one. */
  readonly writers = new ExtentTree();
  cutTo: number | undefined;
  sizeAfter = 0;
  time: LogTime = { seconds: 0, nanoseconds: 0 };
  writer = 0;
}

export interface PlanRange {
  readonly epoch: EpochNumber;
  readonly start: number;
  readonly end: number;
  /** What lies there was stable, so that not to find it is damage. */
  readonly isStable: (address: number) => boolean;
  /** Records of the file before this address are void. */
  readonly voidBefore: (file: FileNumber) => number;
}

export class Plan implements EpochPlan {
  readonly epoch: EpochNumber;
  bytes = 0;
  files: readonly FilePlan[] = [];
  readonly #work = new Map<FileNumber, FileWork>();
  readonly #reader: LogReader;
  readonly #pinned = new Map<number, Segment>();
  #isReleased = false;

  constructor(epoch: EpochNumber, reader: LogReader) {
    this.epoch = epoch;
    this.#reader = reader;
  }

  /** Rejects with LOG_DAMAGED if a record's head does not verify that was stable; with LOG_FAILED if a failed sync has lost it. */
  async scan(range: PlanRange, segments: Segments, seed: number): Promise<void> {
    const first = segmentOf(range.start);
    const last = segmentOf(range.end);
    const inRange = segments.all().filter(({ number }) => number >= first && number <= last);
    for (const segment of inRange) {
      segment.pin();
      this.#pinned.set(segment.number, segment);
    }
    // A failed sync meanwhile moves records away and shortens segments: what was written here can still be read.
    const ends = inRange.map((segment) => (segment.number === last ? positionOf(range.end) : segment.end));
    for (const [index, segment] of inRange.entries()) {
      const from = segment.number === first ? positionOf(range.start) : firstPosition;
      const to = ends[index]!;
      const scanner = new SegmentScanner(segment.file, segment.number, seed, from);
      while (scanner.after < to) {
        if (!(await scanner.next(to))) throw missing(range, segment.number, scanner.position);
        this.#apply(range, scanner.header, addressOf(segment.number, scanner.position));
      }
    }
    this.#finish();
  }

  #apply(range: PlanRange, header: RecordDecoder, address: number): void {
    if (header.epoch !== range.epoch) return;
    const { type } = header;
    if (type !== RecordType.WRITE && type !== RecordType.SIZE && type !== RecordType.CARRY) return;
    if (address < range.voidBefore(header.file)) return;
    let work = this.#work.get(header.file);
    if (work === undefined) {
      work = new FileWork();
      this.#work.set(header.file, work);
    }
    work.sizeAfter = header.sizeAfter;
    work.time = { seconds: header.seconds, nanoseconds: header.nanoseconds };
    work.writer = header.writer;
    if (type === RecordType.WRITE) {
      work.tree.set(header.offset, header.payloadBytes, address);
      work.writers.set(header.offset, header.payloadBytes, header.writer);
      return;
    }
    const cutTo = type === RecordType.CARRY ? header.offset : header.flags & flagCut ? header.sizeAfter : -1;
    if (cutTo < 0) return;
    work.cutTo = Math.min(work.cutTo ?? cutTo, cutTo);
    if (type === RecordType.CARRY) return;
    work.tree.clear(cutTo, Number.POSITIVE_INFINITY);
    work.writers.clear(cutTo, Number.POSITIVE_INFINITY);
  }

  #finish(): void {
    const files: FilePlan[] = [];
    for (const [file, work] of this.#work) {
      this.bytes += work.tree.bytes;
      const { cutTo, sizeAfter, time, writer } = work;
      files.push({ file, cutTo, extents: joined(work.writers), sizeAfter, time, writer });
      work.writers.clear(0, Number.POSITIVE_INFINITY);
    }
    this.files = files;
  }

  treeOf(file: FileNumber): ExtentTree | undefined {
    return this.#work.get(file)?.tree;
  }

  segment(address: number): Segment | undefined {
    return this.#pinned.get(segmentOf(address));
  }

  read(file: FileNumber, offset: number, count: number): View {
    const tree = this.#work.get(file)?.tree ?? new ExtentTree();
    return this.#reader.view(tree, offset, count, Number.POSITIVE_INFINITY, (address) => this.segment(address));
  }

  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    for (const segment of this.#pinned.values()) segment.unpin();
    this.#pinned.clear();
    this.#work.clear();
  }
}

/** Neighbours of one writer are one extent. */
function joined(writers: ExtentTree): PlannedExtent[] {
  const extents: { offset: number; count: number; writer: number }[] = [];
  writers.walk(0, Number.POSITIVE_INFINITY, (offset, count, writer) => {
    const last = extents[extents.length - 1];
    if (last !== undefined && last.writer === writer && last.offset + last.count === offset) last.count += count;
    else extents.push({ offset, count, writer });
  });
  return extents;
}

function missing({ isStable }: PlanRange, segment: number, position: number): ViaductError {
  if (isStable(addressOf(segment, position))) return damaged(segment, position);
  return notKept(`records in ${segmentName(segment)} at byte ${position} do not read back`);
}

export function damaged(segment: number, position: number): ViaductError {
  return new ViaductError('LOG_DAMAGED', {
    cause: `stable records of the dirty log do not verify (${segmentName(segment)} at byte ${position}); nothing was changed`,
    remedy: 'check the disk; `viaduct log salvage` saves what verifies',
  });
}
