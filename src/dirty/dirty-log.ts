/**
 * The dirty log (contract.ts): puts its parts together.
 *
 *     write, resize, note, seal, drop ──► Appender ──► Segments on the disk
 *     stabilize, sync ─────────────────► Syncer          │
 *     read ◄── LogReader ◄── LogState (files, epochs) ◄──┘ applied in the order of the log
 *     plan ◄── Plan: an epoch's records, read again
 *     Upkeep: what it does by itself for stability and room
 */
import { assert, type Eventual, limits, ViaductError } from '../base/mod.ts';
import type { Appender } from './appender.ts';
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
import { closedError, explained } from './failures.ts';
import { changeItem, controlItem, type Item, writeItem } from './item.ts';
import { type OpenedLog, openLog } from './opening.ts';
import { Overwrites } from './overwrites.ts';
import { checkKey, noteItem } from './payloads.ts';
import { Plan } from './plan.ts';
import { LogReader } from './reader.ts';
import { mostPayload, RecordType } from './record.ts';
import type { Segments } from './segments.ts';
import type { LogState } from './state.ts';
import type { Syncer } from './syncer.ts';
import { Upkeep } from './upkeep.ts';

export class DirtyLog implements DirtyLogFace {
  readonly recovery: Recovery;
  readonly #options: DirtyLogOptions;
  readonly #state: LogState;
  readonly #segments: Segments;
  readonly #seed: number;
  readonly #upkeep: Upkeep;
  readonly #appender: Appender;
  readonly #syncer: Syncer;
  readonly #reader: LogReader;
  readonly #overwrites: Overwrites;
  #plan: Plan | undefined;
  #isClosed = false;

  /** Rejects with LOG_FOREIGN, LOG_VERSION, LOG_DAMAGED, LOG_FAILED or DISK_FULL; then nothing was changed, and the directory is closed. */
  static async open(options: DirtyLogOptions): Promise<DirtyLog> {
    const isRoomy = options.limitBytes >= limits.dirtyLogBytes || options.segmentBytes !== undefined;
    assert(isRoomy, 'a dirty log has room for a few segments');
    try {
      const opened = await openLog(options);
      const log = new DirtyLog(options, opened);
      await log.#begin(opened);
      return log;
    } catch (error) {
      // Its lock would keep out the next who tries.
      await options.directory.close().catch(() => {});
      throw explained(error);
    }
  }

  async #begin(opened: OpenedLog): Promise<void> {
    try {
      await this.#upkeep.begin(opened);
    } catch (error) {
      if (!opened.recovery.found) await this.#segments.abandon().catch(() => {});
      else await this.#segments.close().catch(() => {});
      throw error;
    }
  }

  private constructor(options: DirtyLogOptions, opened: OpenedLog) {
    const { state, segments, facts } = opened;
    const { clock, log } = options;
    this.#options = options;
    this.recovery = opened.recovery;
    this.#state = state;
    this.#overwrites = new Overwrites(state);
    this.#segments = segments;
    this.#seed = facts.seed;
    this.#upkeep = new Upkeep(options, opened, () => this.#sealForSync());
    this.#appender = this.#upkeep.appender;
    this.#syncer = this.#upkeep.syncer;
    this.#reader = new LogReader({ seed: facts.seed, segment: (address) => segments.at(address), log, clock });
  }

  get verifier(): string {
    return this.#state.verifier;
  }

  file(key: string): FileNumber {
    checkKey(key);
    return this.#state.files.named(key).number;
  }

  release(file: FileNumber): void {
    this.#state.files.release(file);
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
    while (this.#upkeep.moving !== undefined) await this.#upkeep.moving;
    const epoch = this.#state.epochs.first;
    assert(epoch?.number === number && epoch.end !== undefined, 'the oldest sealed epoch is planned');
    const plan = new Plan(number, this.#reader);
    const range = {
      ...{ epoch: number, start: epoch.start, end: epoch.end },
      isStable: (address: number) => this.#upkeep.isStable(address),
      voidBefore: (file: FileNumber) => this.#state.files.get(file)?.droppedAt ?? 0,
    };
    try {
      await plan.scan(range, this.#segments, this.#seed);
    } catch (error) {
      plan.release();
      if (error instanceof ViaductError && error.code === 'LOG_FAILED') this.#upkeep.doubt();
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
    if (this.#segments.hasBefore(epoch.end)) this.#upkeep.syncInBackground();
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
      recordBytes: this.#segments.recordBytes,
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
    this.#upkeep.closing();
    try {
      await this.#syncer.request(false);
      await this.#upkeep.giveRoomBack();
      this.#appender.control(this.#control(RecordType.CLOSE));
      await this.#syncer.request(false);
    } catch (error) {
      // What is in the log is stable at least.
      await this.#syncer.syncWritten();
      throw explained(error);
    } finally {
      this.#appender.close(closedError());
      await this.#upkeep.idle();
      try {
        await this.#segments.close();
      } finally {
        await this.#options.directory.close();
      }
    }
  }

  #control(type: Item['type']): Item {
    return controlItem(type, this.#options.clock.wallTimeMs());
  }

  #assertOpen(): void {
    assert(!this.#isClosed, 'a closed log is not used');
  }
}
