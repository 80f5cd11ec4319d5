/**
 * The dirty log (contract.ts): puts its parts together.
 *
 *     write, resize, note, seal, drop ──► Appender ──► Segments on the disk
 *     stabilize, sync ─────────────────► Syncer          │
 *     read ◄── LogReader ◄── LogState (files, epochs) ◄──┘ applied in the order of the log
 *     plan ◄── Plan: an epoch's records, read again
 */
import { assert, type Eventual, limits, ViaductError } from '../base/mod.ts';
import { Appender } from './appender.ts';
import { cleanOldest } from './cleaner.ts';
import type {
  Appended,
  Change,
  DirtyLogFace,
  DirtyLogOptions,
  DirtyLogStats,
  DirtyState,
  EpochInfo,
  EpochNumber,
  EpochPlan,
  FileNumber,
  Recovery,
  View,
  WriteChange,
} from './contract.ts';
import { closedError, explained, noRoom, notKept } from './failures.ts';
import { addressOf } from './format.ts';
import { freeing, goOnWithoutRoom } from './full-disk.ts';
import { changeItem, Item, writeItem } from './item.ts';
import { type OpenedLog, openLog } from './opening.ts';
import { Overwrites } from './overwrites.ts';
import { checkKey, noteItem, stateItem } from './payloads.ts';
import { Plan } from './plan.ts';
import { LogReader } from './reader.ts';
import { mostPayload, RecordType } from './record.ts';
import { rescue } from './rescue.ts';
import { isFull, type Segments } from './segments.ts';
import { type SegmentFacts, verifierFrom } from './snapshot.ts';
import type { LogState } from './state.ts';
import { type LogMark, Syncer } from './syncer.ts';

export class DirtyLog implements DirtyLogFace {
  readonly recovery: Recovery;
  readonly #options: DirtyLogOptions;
  readonly #state: LogState;
  readonly #segments: Segments;
  readonly #facts: SegmentFacts;
  readonly #appender: Appender;
  readonly #syncer: Syncer;
  readonly #reader: LogReader;
  readonly #overwrites: Overwrites;
  #plan: Plan | undefined;
  /** While what is not stable is being moved; never rejects. */
  #moving: Promise<unknown> | undefined;
  #isClosed = false;
  #isCleaning = false;
  #isUsingSpare = false;
  #trims = 0;
  /** While the log moves out of segments that are drained; and the epoch that must have come since, for another time. */
  #isMovingOut = false;
  #movedOutBefore = 0;
  /** Everything before this address is stable. */
  #stableAddress = 0;

  /** Rejects with LOG_FOREIGN, LOG_VERSION, LOG_DAMAGED, LOG_FAILED or DISK_FULL; then nothing was changed. */
  static async open(options: DirtyLogOptions): Promise<DirtyLog> {
    const isRoomy = options.limitBytes >= limits.dirtyLogBytes || options.segmentBytes !== undefined;
    assert(isRoomy, 'a dirty log has room for a few segments');
    const opened = await openLog(options).catch((error) => {
      throw explained(error);
    });
    const log = new DirtyLog(options, opened);
    try {
      await log.#begin(opened);
    } catch (error) {
      if (!opened.recovery.found) await log.#segments.abandon().catch(() => {});
      else await log.#segments.close().catch(() => {});
      throw explained(error);
    }
    return log;
  }

  private constructor(options: DirtyLogOptions, opened: OpenedLog) {
    const { state, segments, facts } = opened;
    const { clock, log, directory } = options;
    this.#options = options;
    this.recovery = opened.recovery;
    this.#state = state;
    this.#overwrites = new Overwrites(state);
    this.#segments = segments;
    this.#facts = facts;
    this.#appender = new Appender({
      ...{ state, segments, facts, clock, log, firstLsn: opened.nextLsn },
      // Cleaning needs a place to copy to.
      limitBytes: options.limitBytes - (options.keeps ? segments.largestBytes : 0),
      onStarved: () => this.#makeRoom(),
      // Bounds what a failed sync has to write again.
      onSegment: () => this.#syncInBackground(),
      onStuck: () => this.#useSpare(),
    });
    this.#syncer = new Syncer({
      ...{ appender: this.#appender, segments, directory, log },
      seal: () => this.#sealForSync(),
      mark: () => this.#mark(),
      onStable: (mark) => this.#stable(mark),
      rescue: () => this.#rescue(),
    });
    this.#reader = new LogReader({ seed: facts.seed, segment: (address) => segments.at(address), log, clock });
  }

  /**
   * A new segment: old ones are never written again. What was found after the last stable record goes into it: a sync that failed before may
   * have left that in the page cache only, where another sync does not see it.
   */
  async #begin(opened: OpenedLog): Promise<void> {
    const segments = this.#segments;
    this.#appender.syncedLsn = opened.stableLsn;
    this.#stableAddress = opened.stableAddress;
    if (!opened.recovery.found && !(await segments.fillReserve())) throw noRoom();
    try {
      this.#stable(await this.#anew());
    } catch (error) {
      if (!isFull(error) || !opened.recovery.found) throw error;
      await opened.removeVoid();
      this.#stable(await this.#anewSomehow());
    }
    await opened.removeVoid();
    await segments.fillReserve();
    await this.#syncer.request(false);
  }

  /** Moves what is not stable into a new segment, and makes that stable. */
  #anew(how: typeof rescue = rescue): Promise<LogMark> {
    const moved = how({
      ...{ state: this.#state, segments: this.#segments, appender: this.#appender, seed: this.#facts.seed },
      ...{
        directory: this.#options.directory,
        stableAddress: this.#stableAddress,
        stableLsn: this.#appender.syncedLsn,
      },
    });
    const moving = moved.catch(() => {});
    this.#moving = moving;
    void moving.then(() => {
      if (this.#moving === moving) this.#moving = undefined;
    });
    return moved;
  }

  /** The same, with a spare's room if the disk is full. */
  async #anewSomehow(): Promise<LogMark> {
    try {
      return await this.#anew();
    } catch (error) {
      if (!isFull(error)) throw error;
      return await this.#anew(goOnWithoutRoom);
    }
  }

  /** The disk has no room for control. */
  #useSpare(): void {
    if (this.#isUsingSpare) return;
    this.#isUsingSpare = true;
    void this.#syncer
      .alone(async () => {
        const { current } = this.#segments;
        this.#stable(await this.#anewSomehow());
        if (this.#segments.current === current) throw noRoom();
      })
      .then(
        () => this.#appender.roomMade(),
        (error) => {
          this.#options.log.error(
            { cause: String(error) },
            'the disk of the dirty log is full: no record can be written',
          );
          // Else it is tried again after a while.
          if (this.#isClosed) this.#appender.refuse(error);
        },
      )
      .then(() => {
        this.#isUsingSpare = false;
      });
  }

  get verifier(): string {
    return this.#state.verifier;
  }

  file(key: string): FileNumber {
    checkKey(key);
    return this.#state.files.named(key).number;
  }

  keyOf(file: FileNumber): string | undefined {
    return this.#state.files.get(file)?.key;
  }

  note(key: string, value: Uint8Array | undefined): void {
    this.#assertOpen();
    const item = noteItem(key, value);
    if (value === undefined) {
      if (!this.#state.notes.delete(key)) return;
    } else {
      this.#state.notes.set(key, Uint8Array.from(value));
    }
    item.wallMs = this.#options.clock.wallTimeMs();
    this.#appender.control(item);
  }

  noted(key: string): Uint8Array | undefined {
    return this.#state.notes.get(key);
  }

  *notes(prefix: string): Iterable<readonly [string, Uint8Array]> {
    for (const entry of this.#state.notes) if (entry[0].startsWith(prefix)) yield entry;
  }

  write(change: WriteChange): Eventual<Appended> {
    this.#assertOpen();
    assert(change.count <= mostPayload, 'a write is not longer than a transfer');
    return this.#appender.change(writeItem(change, this.#options.clock.wallTimeMs()));
  }

  resize(change: Change): Eventual<Appended> {
    this.#assertOpen();
    return this.#appender.change(changeItem(RecordType.SIZE, change, this.#options.clock.wallTimeMs()));
  }

  drop(file: FileNumber): void {
    this.#assertOpen();
    const known = this.#state.files.get(file);
    if (known === undefined) return;
    this.#state.drop(file, 0);
    known.encodedSize = undefined;
    const item = this.#control(RecordType.DROP);
    item.file = file;
    this.#appender.control(item);
  }

  state(file: FileNumber): DirtyState | undefined {
    return this.#state.files.dirty(file)?.state;
  }

  *dirtyFiles(): Iterable<FileNumber> {
    for (const file of this.#state.files.allDirty()) yield file.number;
  }

  read(number: FileNumber, offset: number, count: number): View {
    const file = this.#state.files.dirty(number);
    if (file === undefined) return { pieces: [{ kind: 'base', offset, count }], release() {} };
    return this.#reader.view(file.tree, offset, count, file.lowWater);
  }

  stabilize(): Promise<void> {
    this.#assertOpen();
    return this.#syncer.request(true);
  }

  sync(): Promise<void> {
    this.#assertOpen();
    return this.#syncer.request(false);
  }

  written(): Eventual<void> {
    this.#assertOpen();
    return this.#appender.written();
  }

  seal(): EpochNumber {
    this.#assertOpen();
    return this.#seal();
  }

  #seal(): EpochNumber {
    const { epochs } = this.#state;
    const last = epochs.last;
    if (last !== undefined && last.sealedMs === undefined) {
      const item = this.#control(RecordType.SEAL);
      item.epoch = last.number;
      last.sealedMs = item.wallMs;
      this.#appender.control(item);
    }
    return epochs.newestSealed();
  }

  #syncInBackground(): void {
    this.#syncer.request(false).catch(() => {
      // Whoever waits for stability is told; the log says so as well.
    });
  }

  /** Of a log that is never written back, only a commit of the whole makes epochs. */
  #sealForSync(): void {
    // Also for who asked before the log was closed: the syncs of `close` come later.
    if (!this.#options.keeps) this.#seal();
  }

  epochs(): readonly EpochInfo[] {
    return this.#state.epochs.all();
  }

  async plan(number: EpochNumber): Promise<EpochPlan> {
    await this.#appender.settled();
    // While records are being moved, the epoch is neither where it was nor where it will be.
    while (this.#moving !== undefined) await this.#moving;
    const epoch = this.#state.epochs.first;
    assert(epoch?.number === number && epoch.end !== undefined, 'the oldest sealed epoch is planned');
    const plan = new Plan(number, this.#reader);
    const range = {
      ...{ epoch: number, start: epoch.start, end: epoch.end },
      voidBefore: (file: FileNumber) => this.#state.files.get(file)?.droppedAt ?? 0,
    };
    try {
      await plan.scan(range, this.#segments, this.#facts.seed);
    } catch (error) {
      plan.release();
      throw error;
    }
    this.#plan = plan;
    return plan;
  }

  drained(number: EpochNumber): void {
    this.#assertOpen();
    const epoch = this.#state.epochs.first;
    assert(epoch?.number === number && epoch.end !== undefined, 'the oldest sealed epoch is drained');
    const plan = this.#plan;
    assert(plan?.epoch === number, 'what was never planned was never sent');
    this.#state.drained(epoch, epoch.end, (file) => plan.treeOf(file));
    this.#plan = undefined;
    const item = this.#control(RecordType.DRAINED);
    item.epoch = number;
    item.offset = epoch.end;
    this.#appender.control(item);
    if (this.#segments.hasBefore(epoch.end)) this.#syncInBackground();
    // Who waits while nothing is left to drain would wait for nobody.
    else if (this.#state.epochs.count === 0 && this.#appender.isStarved) this.#appender.roomMade();
  }

  overwritesAfter(number: FileNumber | undefined, existedBefore: (other: FileNumber) => number): boolean {
    return this.#overwrites.after(number, existedBefore);
  }

  async discard(): Promise<void> {
    this.#assertOpen();
    this.#appender.control(this.#control(RecordType.DISCARD));
    await this.#syncer.request(false);
  }

  stats(): DirtyLogStats {
    const { epochs, files, dirtyBytes } = this.#state;
    return {
      logBytes: this.#segments.bytes,
      limitBytes: this.#options.limitBytes,
      dirtyBytes,
      dirtyFiles: files.dirtyCount,
      segments: this.#segments.count,
      epochs: epochs.count,
      oldestMs: this.#state.oldestMs(),
      appendedBytes: this.#appender.appendedBytes,
      syncs: this.#syncer.syncs,
      failedSyncs: this.#syncer.failures,
      waitingWriters: this.#appender.waitingCount,
      damagedReads: this.#reader.damagedReads,
    };
  }

  async close(): Promise<void> {
    this.#assertOpen();
    this.#isClosed = true;
    try {
      await this.#syncer.request(false);
      this.#appender.control(this.#control(RecordType.CLOSE));
      await this.#syncer.request(false);
    } catch (error) {
      // What is in the log is stable at least.
      await this.#syncer.syncWritten();
      throw explained(error);
    } finally {
      this.#appender.close(closedError());
      await this.#syncer.idle();
      await this.#segments.close();
      await this.#options.directory.close();
    }
  }

  #control(type: Item['type']): Item {
    const item = new Item(type);
    item.wallMs = this.#options.clock.wallTimeMs();
    return item;
  }

  #assertOpen(): void {
    assert(!this.#isClosed, 'a closed log is not used');
  }

  #mark(): LogMark {
    const { current } = this.#segments;
    const address = current === undefined ? this.#stableAddress : addressOf(current.number, current.end);
    return { lsn: this.#appender.appliedLsn, address, boundary: this.#state.loggedBoundary };
  }

  #stable({ lsn, address, boundary }: LogMark): void {
    const appender = this.#appender;
    appender.syncedLsn = Math.max(appender.syncedLsn, lsn);
    this.#stableAddress = Math.max(this.#stableAddress, address);
    if (!this.#isClosed) appender.control(this.#control(RecordType.MARK));
    if (this.#segments.hasBefore(boundary)) void this.#trim(boundary);
    else appender.synced();
  }

  async #trim(boundary: number): Promise<void> {
    this.#trims++;
    await this.#segments.removeBefore(boundary);
    // What the drain has freed is for the reserve first.
    await this.#segments.fillReserve().catch(() => false);
    this.#trims--;
    this.#appender.roomMade();
  }

  /** Changes wait for room. False: nothing can go. */
  #makeRoom(): boolean {
    const { epochs, boundary } = this.#state;
    const goes = this.#segments.hasBefore(boundary);
    if (goes) this.#syncInBackground();
    if (goes || this.#trims > 0) return true;
    if (epochs.count === 0) return this.#moveOut();
    if (this.#options.keeps && epochs.newestSealed() === 0) return this.#clean();
    return this.#options.onPressure?.() !== false;
  }

  /** All is drained, and what remains of the log holds the room that changes wait for. False: that would free nothing. */
  #moveOut(): boolean {
    if (this.#isMovingOut) return true;
    const { epochs } = this.#state;
    if (epochs.nextNumber === this.#movedOutBefore || this.#isClosed) return false;
    this.#isMovingOut = true;
    this.#movedOutBefore = epochs.nextNumber;
    void this.#syncer
      .alone(async () => {
        this.#stable(await this.#anew(goOnWithoutRoom));
        const trim = freeing(this.#state, this.#segments.current, this.#options.clock.wallTimeMs());
        if (trim !== undefined && !this.#isClosed) this.#appender.control(trim);
      })
      .then(() => this.#syncer.request(false))
      .catch((error) => this.#options.log.warn({ cause: String(error) }, 'the room of what is drained is not free yet'))
      .then(() => {
        this.#isMovingOut = false;
        if (this.#appender.isStarved) this.#appender.roomMade();
      });
    return true;
  }

  /** Frees the oldest segment of a log that is never written back. False: what lives fills it. */
  #clean(): boolean {
    if (this.#isCleaning) return true;
    const { limitBytes, clock, log } = this.#options;
    const room = limitBytes - 4 * this.#segments.largestBytes;
    if (this.#state.dirtyBytes * 1.05 > room || this.#segments.count < 2) return false;
    this.#isCleaning = true;
    const parts = {
      ...{ state: this.#state, segments: this.#segments, appender: this.#appender, seed: this.#facts.seed },
      wallTimeMs: () => clock.wallTimeMs(),
      sync: () => this.#syncer.request(false),
    };
    void cleanOldest(parts)
      .catch((error) => log.error({ cause: String(error) }, 'the dirty log could not be cleaned'))
      .then(() => {
        this.#isCleaning = false;
        this.#appender.roomMade();
      });
    return true;
  }

  /** A datasync failed: what was answered since the last good one may be lost, unless it can be written once more. */
  async #rescue(): Promise<void> {
    const { random } = this.#options;
    try {
      this.#stable(await this.#anewSomehow());
    } catch (from) {
      this.#state.verifier = verifierFrom(random.bytes(new Uint8Array(8)));
      this.#appender.control(stateItem(this.#state.fields));
      const failed = notKept(from);
      if (from instanceof ViaductError && from.code === 'LOG_DAMAGED') {
        // The log has a hole: nothing that comes after it counts. Whatever lies there tells the next opening.
        this.#appender.flush();
        this.#appender.close(failed);
        this.#options.log.error(
          { cause: String(from) },
          'changes are lost: the dirty log takes no more until it is opened again',
        );
      }
      throw failed;
    }
  }
}
