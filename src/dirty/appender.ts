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
import { assert, type Clock, type Log, systemCode, type Timer, ViaductError } from '../base/mod.ts';
import { type Batch, Encoding } from './batch.ts';
import type { Appended } from './contract.ts';
import { align } from './format.ts';
import type { Item } from './item.ts';
import { RecordType } from './record.ts';
import { isFull, type Segment, type Segments } from './segments.ts';
import { headSlices, type SegmentFacts, snapshotBytes, snapshotItems } from './snapshot.ts';
import type { LogState } from './state.ts';

/** Room that others make on the disk tells nobody: it is looked for again after so long. */
const retryMs = 1_000;
/** Segments that no sync has covered: more wait for one. Bounds what has to be written again after a failed sync or a kill. */
const mostUnsynced = 4;

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
  /** Another segment was begun: the one before is full. */
  readonly onSegment: () => void;
  /** Not even control has room: the disk is full. */
  readonly onStuck: () => void;
}

export interface Making {
  /** Room for records behind the head. */
  readonly recordsBytes: number;
  /** Of the log; infinite for control. */
  readonly limitBytes: number;
  /** Records of a void part of the log: part of the head, so that all of them are there or none. */
  readonly moved?: readonly Item[];
  /** Comes before the segment counts. */
  readonly settle?: (segment: Segment) => Promise<void>;
  /** The disk is full: a spare's room is taken. */
  readonly ofSpare?: boolean;
  /** Who knows whether anything will be written: no more room than must be. */
  readonly isSmall?: boolean;
}

export class Appender {
  readonly #options: AppenderOptions;
  readonly #encoding: Encoding;
  readonly #control: Item[] = [];
  #lastControl: Item | undefined;
  readonly #changes: Item[] = [];
  /** Encoded before, in a write that failed. */
  #again: Item[] = [];
  #isBusy = false;
  #isScheduled = false;
  /** Changes wait for room. */
  #isStarved = false;
  /** So does control: not even the disk has room. */
  #isStuck = false;
  /** Not for room, but for a sync. */
  #waitsForSync = false;
  #retry: Timer | undefined;
  #isHeld = false;
  #holdWaiters: (() => void)[] = [];
  #failure: unknown;
  #quietWaiters: (() => void)[] = [];
  #settledWaiters: PromiseWithResolvers<void>[] = [];
  /** The last record that is in the log. */
  appliedLsn: number;
  /** The last one that somebody may want to be stable. */
  wantedLsn: number;
  /** Everything up to it is stable. */
  syncedLsn: number;
  appendedBytes = 0;

  constructor(options: AppenderOptions) {
    this.#options = options;
    this.#encoding = new Encoding(options.state, options.facts.seed, options.firstLsn);
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
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      item.resolve = resolve;
      item.reject = reject;
      this.#changes.push(item);
      this.#schedule();
    });
  }

  /** Seals, notes and the like: never wait for room within the limit. */
  control(item: Item): void {
    if (this.#failure !== undefined) return;
    this.#control.push(item);
    this.#lastControl = item;
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

  /** Resolves when all control is in the log and no write is in flight; rejects with LOG_FAILED. */
  settled(): Promise<void> | undefined {
    this.flush();
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#isSettled) return undefined;
    const waiter = Promise.withResolvers<void>();
    this.#settledWaiters.push(waiter);
    return waiter.promise;
  }

  /** Resolves when the control of so far has been written, changes or not. Undefined: it has. */
  written(): Promise<void> | undefined {
    const last = this.#lastControl;
    this.flush();
    if (last === undefined || last.isInLog) return undefined;
    // A log that has failed takes no more: nothing will be drained that the note could speak of.
    if (this.#failure !== undefined) return undefined;
    return new Promise((resolve) => {
      const before = last.resolve;
      const beforeReject = last.reject;
      last.reject = (error) => {
        beforeReject?.(error);
        resolve();
      };
      last.resolve = (appended) => {
        before?.(appended);
        resolve();
      };
    });
  }

  get #isSettled(): boolean {
    return !this.#isBusy && this.#control.length === 0 && this.#again.length === 0;
  }

  /** Nothing of what waits is written until the answer is called: for what rewrites parts of the log, one at a time. */
  async hold(): Promise<() => void> {
    while (this.#isHeld) await new Promise<void>((resolve) => this.#holdWaiters.push(resolve));
    this.#isHeld = true;
    while (this.#isBusy) await new Promise<void>((resolve) => this.#quietWaiters.push(resolve));
    return () => {
      this.#isHeld = false;
      this.#holdWaiters.shift()?.();
      this.flush();
    };
  }

  /** Under a hold: these records, and nothing between them. Rejects if the disk fails or has no room. */
  async append(items: Item[]): Promise<void> {
    assert(this.#isHeld, 'the log is held');
    while (items.length > 0) {
      const batch = this.#begin();
      if (batch !== undefined) this.#take(batch, items, batch.segment.file.size);
      if (batch !== undefined && batch.items.length > 0) {
        await this.#writeHeld(batch);
        this.#complete(batch);
      } else if (
        (await this.makeSegment({ recordsBytes: items[0]!.logBytes + 1024, limitBytes: Number.POSITIVE_INFINITY })) ===
        undefined
      ) {
        throw Object.assign(new Error('no room for another segment'), { code: 'ENOSPC' });
      }
    }
  }

  async #writeHeld({ segment, position, slices }: Batch): Promise<void> {
    try {
      await segment.file.write(position, slices);
    } catch (error) {
      // Its LSNs are not used again: what comes next begins another segment.
      if (this.#options.segments.current === segment) this.#options.segments.current = undefined;
      throw error;
    }
  }

  /** There may be room now. */
  roomMade(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
    this.#isStarved = false;
    this.#isStuck = false;
    this.#waitsForSync = false;
    this.flush();
  }

  /** What was written is stable. That alone makes no room: looking for some each time would cost the disk more than the records do. */
  synced(): void {
    if (this.#waitsForSync) this.roomMade();
  }

  #retryLater(): void {
    this.#retry ??= this.#options.clock.after(retryMs, () => this.roomMade());
  }

  flush(): void {
    while (!this.#isBusy && !this.#isHeld && this.#failure === undefined && this.#hasWork()) {
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
    if (!this.#isBusy) this.#wake();
  }

  #release(action: () => void): void {
    action();
    this.#isBusy = false;
    this.flush();
  }

  #wake(): void {
    if (this.#quietWaiters.length > 0) for (const waiter of this.#quietWaiters.splice(0)) waiter();
    if (this.#settledWaiters.length === 0 || !this.#isSettled) return;
    for (const waiter of this.#settledWaiters.splice(0)) waiter.resolve();
  }

  #hasWork(): boolean {
    if (this.#isStuck) return false;
    if (this.#again.length > 0 || this.#control.length > 0) return true;
    return this.#changes.length > 0 && !this.#isStarved;
  }

  /** As much as fits the current segment; undefined if the next record needs another one. */
  #fill(): Batch | undefined {
    const batch = this.#begin();
    if (batch === undefined) return undefined;
    const { segment } = batch;
    const whole = segment.file.size;
    const forChanges = whole - segment.reservedBytes;
    this.#take(batch, this.#again, whole);
    if (this.#again.length === 0) this.#take(batch, this.#control, whole);
    const isBehind = this.#again.length > 0 || this.#control.length > 0;
    if (!isBehind && !this.#isStarved) this.#take(batch, this.#changes, forChanges);
    return batch.items.length === 0 ? undefined : batch;
  }

  #begin(): Batch | undefined {
    const { current } = this.#options.segments;
    return current === undefined ? undefined : this.#encoding.begin(current);
  }

  #take(batch: Batch, queue: Item[], limit: number): void {
    this.#encoding.take(batch, queue, limit, { syncedLsn: this.syncedLsn, isHeld: this.#isHeld });
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
    for (const item of items) {
      item.isInLog = true;
      item.resolve?.('appended');
    }
  }

  /** Whatever of the batch is there lies past the segment's end, and never before one. */
  #failed(batch: Batch, error: unknown): void {
    const { log, segments } = this.#options;
    if (this.#failure !== undefined) {
      // Closed meanwhile: nothing is tried again.
      for (const item of batch.items) item.reject?.(this.#failure);
      return;
    }
    log.warn(
      { cause: String(error), records: batch.items.length },
      'a write to the dirty log failed: trying another segment',
    );
    this.#again = batch.items.concat(this.#again);
    if (segments.current === batch.segment) segments.current = undefined;
  }

  /** Makes the next segment the current one, or says that there is no room. */
  async #grow(): Promise<void> {
    const { segments, log, limitBytes, onSegment } = this.#options;
    const first = this.#again[0] ?? this.#control[0] ?? this.#changes[0]!;
    const isExempt = this.#again.length > 0 || this.#control.length > 0;
    if (!isExempt && segments.all().filter((segment) => segment.isUnsynced).length >= mostUnsynced) {
      this.#isStarved = true;
      this.#waitsForSync = true;
      onSegment();
      this.#retryLater();
      this.#release(() => {});
      return;
    }
    try {
      const segment = await this.makeSegment({
        recordsBytes: first.logBytes + 1024,
        limitBytes: isExempt ? Number.POSITIVE_INFINITY : limitBytes,
      });
      if (segment === undefined) this.#starve(isExempt);
      else onSegment();
    } catch (error) {
      log.error({ cause: String(error), code: systemCode(error) }, 'no new segment of the dirty log can be made');
      this.refuse(error);
      this.#isStuck = true;
      this.#retryLater();
    }
    this.#release(() => {});
  }

  /** Changes wait from now on. Control that finds no room even beyond the limit tries again after a while. */
  #starve(isExempt: boolean): void {
    this.#isStarved = true;
    if (isExempt) {
      this.#isStuck = true;
      this.#options.onStuck();
    }
    const isHopeful = this.#options.onStarved();
    if (!isHopeful) {
      for (const item of this.#takeChanges()) item.resolve?.('no-room');
      this.#isStarved = false;
    }
    if (isHopeful || isExempt) this.#retryLater();
  }

  /** All that wait, in order: they will not be in the log. */
  #takeChanges(): Item[] {
    const begun = this.#again.filter((item) => item.isChange);
    this.#again = this.#again.filter((item) => !item.isChange);
    for (const item of begun) {
      const file = this.#options.state.files.get(item.file);
      // Its size counts no more when the next SIZE is judged.
      if (file !== undefined) file.encodedSize = file.isDirty ? file.size : undefined;
    }
    return begun.concat(this.#changes.splice(0));
  }

  /** The disk fails: what was not answered is refused; control is kept, and tried again. */
  refuse(from: unknown): void {
    const error = new ViaductError('LOG_FAILED', {
      cause: `the disk of the dirty log refuses writes: ${String(from)}`,
      remedy: 'check the disk of --dirty-log; what was accepted before is kept',
      from,
    });
    for (const item of this.#takeChanges()) item.reject?.(error);
    for (const waiter of this.#settledWaiters.splice(0)) waiter.reject(error);
  }

  /** A new current segment with copies of what later records need at its head; undefined: no room. */
  async makeSegment({
    recordsBytes,
    limitBytes,
    moved,
    settle,
    ofSpare,
    isSmall,
  }: Making): Promise<Segment | undefined> {
    const { segments, state, facts } = this.#options;
    this.#forgetFiles(moved ?? []);
    const items = snapshotItems(state, segments.table(), moved ?? []);
    const headBytes = snapshotBytes(items);
    if (moved === undefined) segments.headIs(headBytes);
    const needed = Math.ceil(((headBytes + recordsBytes) * 8) / 7) + 64;
    const segment = ofSpare
      ? await segments.makeOfSpare(headBytes + recordsBytes)
      : await segments.make(needed, limitBytes, isSmall);
    if (segment === undefined) return undefined;
    const firstLsn = this.#encoding.nextLsn;
    try {
      const slices = headSlices({ ...facts, segment, items, lsn: firstLsn, syncedLsn: this.syncedLsn, state });
      this.#encoding.nextLsn += items.length;
      await segment.file.write(0, slices);
      await settle?.(segment);
    } catch (error) {
      // A head that may come back after a crash would be taken for the end of the log: then nothing may be written to older segments.
      if (await segments.unmake(segment)) this.#encoding.nextLsn = firstLsn;
      else segments.current = undefined;
      if (isFull(error)) return undefined;
      throw error;
    }
    segment.lastLsn = items[items.length - 1]!.lsn;
    this.appliedLsn = segment.lastLsn;
    this.wantedLsn = segment.lastLsn;
    segments.add(segment);
    segments.current = segment;
    return segment;
  }

  /** The head of a segment names those that are left: here those go that nobody uses. */
  #forgetFiles(moved: readonly Item[]): void {
    const { files, boundary } = this.#options.state;
    const named = new Set<number>();
    for (const items of [this.#again, this.#control, this.#changes, moved])
      for (const item of items) if (item.file !== 0) named.add(item.file);
    files.forgetReleased(boundary, (number) => named.has(number));
  }

  /** Everything that waits is rejected, and all that comes. */
  close(error: unknown): void {
    this.#failure = error;
    this.#retry?.cancel();
    const waiting = [...this.#again.splice(0), ...this.#control.splice(0), ...this.#changes.splice(0)];
    for (const item of waiting) item.reject?.(error);
    for (const waiter of this.#settledWaiters.splice(0)) waiter.reject(error);
    this.#wake();
  }
}
