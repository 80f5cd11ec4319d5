/**
 * Puts records into the log, in batches: all that was asked for in one turn of the event loop, or while a write was in flight.
 *
 *     write, resize ──► changes ─┐
 *     seal, note, ... ► control ─┴─► batch ──one write──► applied to the state, answered
 *                                      │ does not fit                │ the disk refused
 *                                      └──► a new segment ◄──────────┘ (the same records again)
 *                                             │ no room
 *                                             └──► starved: changes wait (in order), pressure is told; control may exceed the limit
 *
 * Invariants: one write in flight; records are applied in the order of their addresses; a record that was encoded keeps its epoch
 * whatever happens to its segment; what was written to a segment whose write failed is past that segment's end in every later table.
 */
import { assert, type Clock, type Log, sleep, systemCode, ViaductError } from '../base/mod.ts';
import type { Appended } from './contract.ts';
import { addressOf, align } from './format.ts';
import type { Item } from './item.ts';
import { fileItem } from './payloads.ts';
import { flagCut, headBytes, RecordEncoder, RecordType } from './record.ts';
import { isFull, type Segment, type Segments } from './segments.ts';
import { headSlices, type SegmentFacts, snapshotBytes, snapshotItems } from './snapshot.ts';
import type { LogState } from './state.ts';

/** Of one batch: bounds what a failed write has to do again, and how long a synchronous one takes. */
const batchBytes = 4 * 1024 * 1024;
const retryMs = 1_000;

export interface AppenderOptions {
  readonly state: LogState;
  readonly segments: Segments;
  readonly facts: SegmentFacts;
  readonly limitBytes: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly firstLsn: number;
  /** No room for changes. True: something was done about it, or will be; false: nothing in the log can go. */
  readonly onStarved: () => boolean;
}

interface Batch {
  readonly segment: Segment;
  readonly position: number;
  readonly items: Item[];
  readonly slices: Uint8Array[];
  end: number;
}

export class Appender {
  readonly #options: AppenderOptions;
  readonly #encoder: RecordEncoder;
  readonly #control: Item[] = [];
  readonly #changes: Item[] = [];
  /** Encoded before, in a write that failed. */
  #again: Item[] = [];
  #isBusy = false;
  #isScheduled = false;
  #isStarved = false;
  #holds = 0;
  #failure: unknown;
  #nextLsn: number;
  #idleWaiters: (() => void)[] = [];
  /** The last record that is in the log. */
  appliedLsn: number;
  /** The last one that somebody may want to be stable. */
  wantedLsn: number;
  /** Everything up to it is stable. */
  syncedLsn: number;
  appendedBytes = 0;

  constructor(options: AppenderOptions) {
    this.#options = options;
    this.#encoder = new RecordEncoder(options.facts.seed);
    this.#nextLsn = options.firstLsn;
    this.appliedLsn = options.firstLsn - 1;
    this.wantedLsn = this.appliedLsn;
    this.syncedLsn = this.appliedLsn;
  }

  get waitingCount(): number {
    return this.#changes.length;
  }

  get isStarved(): boolean {
    return this.#isStarved;
  }

  /** A change of a file: waits for room, after those that came before it. */
  change(item: Item): Promise<Appended> {
    return new Promise((resolve, reject) => {
      item.resolve = resolve;
      item.reject = reject;
      this.#changes.push(item);
      this.#schedule();
    });
  }

  /** Seals, notes and the like: never wait for room within the limit. */
  control(item: Item): void {
    this.#control.push(item);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isBusy) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.flush();
    });
  }

  /** Resolves when what control was given before is in the log, and no write is in flight. */
  settled(): Promise<void> | undefined {
    this.flush();
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (!this.#isBusy && this.#control.length === 0 && this.#again.length === 0) return undefined;
    return new Promise<void>((resolve) => this.#idleWaiters.push(resolve)).then(() => this.settled());
  }

  /** Nothing is written until the answer is called: for what rewrites the log's end. */
  async hold(): Promise<() => void> {
    this.#holds++;
    while (this.#isBusy) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
    return () => {
      this.#holds--;
      this.flush();
    };
  }

  /** There may be room now. */
  roomMade(): void {
    this.#isStarved = false;
    this.flush();
  }

  flush(): void {
    while (!this.#isBusy && this.#holds === 0 && this.#failure === undefined && this.#hasWork()) {
      const batch = this.#fill();
      if (batch === undefined) {
        this.#isBusy = true;
        void this.#grow();
        return;
      }
      let written: void | Promise<void>;
      try {
        written = batch.segment.file.write(batch.position, batch.slices);
      } catch (error) {
        this.#failed(batch, error);
        continue;
      }
      if (written instanceof Promise) {
        this.#isBusy = true;
        written.then(
          () => this.#release(() => this.#complete(batch)),
          (error) => this.#release(() => this.#failed(batch, error)),
        );
        return;
      }
      this.#complete(batch);
    }
    if (!this.#isBusy) this.#wakeIdle();
  }

  #release(action: () => void): void {
    action();
    this.#isBusy = false;
    this.flush();
    if (!this.#isBusy) this.#wakeIdle();
  }

  #wakeIdle(): void {
    if (this.#idleWaiters.length === 0) return;
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const waiter of waiters) waiter();
  }

  #hasWork(): boolean {
    if (this.#again.length > 0 || this.#control.length > 0) return true;
    return this.#changes.length > 0 && !this.#isStarved;
  }

  /** As much as fits the current segment; undefined if the next record needs another one. */
  #fill(): Batch | undefined {
    const segment = this.#options.segments.current;
    if (segment === undefined) return undefined;
    this.#encoder.reset();
    const batch: Batch = { segment, position: segment.end, items: [], slices: [], end: segment.end };
    const whole = segment.file.size;
    const forChanges = whole - segment.reservedBytes;
    this.#take(batch, this.#again, whole);
    if (this.#again.length === 0) this.#take(batch, this.#control, whole);
    const isBehind = this.#again.length > 0 || this.#control.length > 0;
    if (!isBehind && !this.#isStarved) this.#take(batch, this.#changes, forChanges);
    return batch.items.length === 0 ? undefined : batch;
  }

  #take(batch: Batch, queue: Item[], limit: number): void {
    let taken = 0;
    while (taken < queue.length && batch.end - batch.position < batchBytes) {
      const item = queue[taken]!;
      const file = item.isChange ? this.#options.state.files.get(item.file) : undefined;
      const named = file !== undefined && !file.recorded ? fileItem(file.number, file.key) : undefined;
      const needed = bytesOf(item) + (named === undefined ? 0 : bytesOf(named));
      if (batch.end + needed > limit || !this.#encoder.hasRoom(item.sums + 32)) break;
      if (named !== undefined && file !== undefined) {
        file.recorded = true;
        this.#encode(batch, named);
      }
      this.#encode(batch, item);
      taken++;
    }
    if (taken > 0) queue.splice(0, taken);
  }

  #encode(batch: Batch, item: Item): void {
    const { state } = this.#options;
    const position = align(batch.end);
    item.address = addressOf(batch.segment.number, position);
    const isFirstTime = item.lsn === 0;
    // An LSN whose write failed may be on the disk: it is never used again.
    item.lsn = this.#nextLsn++;
    if (isFirstTime) {
      if (item.isChange) {
        const file = state.files.get(item.file);
        assert(file !== undefined, 'a file is named before it is changed');
        item.epoch = state.epochs.open(item.wallMs, item.address).number;
        const isCut = file.encodedSize === undefined || item.sizeAfter < file.encodedSize;
        if (item.type === RecordType.SIZE && isCut) item.flags |= flagCut;
        file.encodedSize = item.sizeAfter;
      } else if (item.type === RecordType.CARRY) {
        item.epoch = state.epochs.open(item.wallMs, item.address).number;
      }
    }
    // The last one that was drained frees everything up to what comes after it.
    if (item.type === RecordType.DRAINED && item.epoch === state.epochs.drainedUpTo) {
      item.offset = state.epochs.first?.start ?? item.address;
    }
    item.syncedLsn = this.syncedLsn;
    const padding = position - batch.end;
    batch.slices.push(this.#encoder.encode(item, item.data, batch.segment.number, position, padding));
    for (const slice of item.data) if (slice.length > 0) batch.slices.push(slice);
    batch.end = position + headBytes(item.sums) + item.payloadBytes;
    item.end = addressOf(batch.segment.number, align(batch.end));
    batch.items.push(item);
  }

  #complete({ segment, items, position, end }: Batch): void {
    const { state } = this.#options;
    segment.end = align(end);
    segment.isUnsynced = true;
    this.appendedBytes += end - position;
    for (const item of items) {
      state.apply(item, item.address, item.end);
      this.appliedLsn = item.lsn;
      if (item.type !== RecordType.MARK) this.wantedLsn = item.lsn;
    }
    segment.lastLsn = this.appliedLsn;
    for (const item of items) item.resolve?.('appended');
  }

  /** Whatever of the batch is there lies past the segment's end, and never before one. */
  #failed(batch: Batch, error: unknown): void {
    const { log, segments } = this.#options;
    log.warn(
      { cause: String(error), records: batch.items.length },
      'a write to the dirty log failed: trying another segment',
    );
    this.#again = batch.items.concat(this.#again);
    if (segments.current === batch.segment) segments.current = undefined;
  }

  /** Makes the next segment the current one, or says that there is no room. */
  async #grow(): Promise<void> {
    const { segments, log, clock } = this.#options;
    try {
      const first = this.#again[0] ?? this.#control[0] ?? this.#changes[0]!;
      const isExempt = this.#again.length > 0 || this.#control.length > 0;
      const limit = isExempt ? Number.POSITIVE_INFINITY : this.#options.limitBytes;
      const segment = await this.makeSegment(bytesOf(first) + 1024, limit);
      if (segment === undefined) this.#starve(isExempt);
      else this.#isStarved = false;
    } catch (error) {
      log.error({ cause: String(error), code: systemCode(error) }, 'no new segment of the dirty log can be made');
      if (this.#again.length > 0 && segments.current === undefined) this.#refuse(error);
      else this.#isStarved = true;
      clock.after(retryMs, () => this.roomMade());
      if (this.#control.length > 0) {
        await sleep(clock, retryMs);
      }
    }
    this.#release(() => {});
  }

  /** Changes wait from now on; control that found no room anywhere tries again after a while. */
  #starve(isExempt: boolean): void {
    const { clock, onStarved } = this.#options;
    this.#isStarved = true;
    if (!isExempt && !onStarved()) {
      for (const item of this.#changes.splice(0)) item.resolve?.('no-room');
      this.#isStarved = false;
      return;
    }
    if (isExempt) this.#holds++;
    clock.after(retryMs, () => {
      if (isExempt) this.#holds--;
      this.roomMade();
    });
  }

  /** A write that had begun can be repeated nowhere. */
  #refuse(from: unknown): void {
    const error = new ViaductError('LOG_FAILED', {
      cause: `the disk of the dirty log refuses writes: ${String(from)}`,
      remedy: 'check the disk of --dirty-log; what was accepted before is kept',
      from,
    });
    for (const item of this.#again.splice(0)) item.reject?.(error);
    for (const item of this.#changes.splice(0)) item.reject?.(error);
  }

  /** A new current segment with copies of what later records need at its head; undefined: no room. */
  async makeSegment(recordsBytes: number, limitBytes: number): Promise<Segment | undefined> {
    const { segments, state, facts } = this.#options;
    const items = snapshotItems(state, segments.table());
    const needed = Math.ceil(((snapshotBytes(items) + recordsBytes) * 8) / 7) + 64;
    const segment = await segments.make(needed, limitBytes);
    if (segment === undefined) return undefined;
    try {
      const slices = headSlices({ ...facts, segment, items, lsn: this.#nextLsn, syncedLsn: this.syncedLsn, state });
      this.#nextLsn += items.length;
      await segment.file.write(0, slices);
    } catch (error) {
      await segments.unmake(segment);
      if (isFull(error)) return undefined;
      throw error;
    }
    this.adopt(segment, items);
    return segment;
  }

  /** The head of the segment is written. */
  adopt(segment: Segment, items: readonly Item[]): void {
    const { segments } = this.#options;
    const last = items[items.length - 1]!;
    segment.lastLsn = last.lsn;
    this.appliedLsn = last.lsn;
    this.wantedLsn = last.lsn;
    segments.add(segment);
    segments.current = segment;
  }

  /** Everything that waits is rejected. */
  close(error: unknown): void {
    this.#failure = error;
    for (const item of [...this.#again.splice(0), ...this.#changes.splice(0)]) item.reject?.(error);
    this.#wakeIdle();
  }
}

function bytesOf(item: Item): number {
  return align(headBytes(item.sums) + item.payloadBytes);
}
