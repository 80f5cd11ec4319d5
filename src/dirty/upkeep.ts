/**
 * What a log does by itself: it keeps what was answered, and finds room for what waits.
 *
 *     a sync went well ──► MARK, what is not needed any more is trimmed ──► changes that wait go on
 *     a sync failed    ──► what is not stable is written again elsewhere (rescue.ts); not even that: the verifier changes
 *     no room          ──► trim, or move out of what is drained, or clean (cleaner.ts), or press for a drain
 *     a full disk      ──► control goes on in a spare's room (full-disk.ts)
 *
 * Invariant: what moves records (rescue, moving out, taking a spare) is done alone: no datasync runs meanwhile.
 */
import { ViaductError } from '../base/mod.ts';
import { Appender } from './appender.ts';
import { cleanOldest } from './cleaner.ts';
import type { DirtyLogOptions } from './contract.ts';
import { noRoom, notKept } from './failures.ts';
import { addressOf } from './format.ts';
import { freeing, goOnWithoutRoom, moveIntoSpare } from './full-disk.ts';
import { controlItem } from './item.ts';
import type { OpenedLog } from './opening.ts';
import { stateItem } from './payloads.ts';
import { RecordType } from './record.ts';
import { moveOutOfAll, type RescueParts, rescue, rescueSmall } from './rescue.ts';
import { isFull, type Segments } from './segments.ts';
import { type SegmentFacts, verifierFrom } from './snapshot.ts';
import type { LogState } from './state.ts';
import { type LogMark, Syncer } from './syncer.ts';

export class Upkeep {
  readonly appender: Appender;
  readonly syncer: Syncer;
  readonly #options: DirtyLogOptions;
  readonly #state: LogState;
  readonly #segments: Segments;
  readonly #facts: SegmentFacts;
  /** While what is not stable is being moved; never rejects. */
  #moving: Promise<unknown> | undefined;
  #isClosing = false;
  #isCleaning = false;
  #isUsingSpare = false;
  #trims = 0;
  /** The segments that go meanwhile; never rejects. */
  #trimming: Promise<unknown> = Promise.resolve();
  /** While the log moves out of segments that are drained; and the epoch that must have come since, for another time. */
  #isMovingOut = false;
  #movedOutBefore = 0;
  /** Everything before this address is stable. */
  #stableAddress = 0;

  /** `seal`: closes the open epoch, for a sync that ends one. */
  constructor(options: DirtyLogOptions, opened: OpenedLog, seal: () => void) {
    const { state, segments, facts } = opened;
    const { clock, log } = options;
    this.#options = options;
    this.#state = state;
    this.#segments = segments;
    this.#facts = facts;
    this.appender = new Appender({
      ...{ state, segments, facts, clock, log, firstLsn: opened.nextLsn },
      // Cleaning needs a place to copy to.
      limitBytes: options.limitBytes - (options.keeps ? segments.largestBytes : 0),
      onStarved: () => this.#makeRoom(),
      // Bounds what a failed sync has to write again.
      onSegment: () => this.syncInBackground(),
      onStuck: () => this.#useSpare(),
    });
    this.syncer = new Syncer({
      ...{ appender: this.appender, segments, log },
      seal,
      mark: () => this.#mark(),
      onStable: (mark) => this.#stable(mark),
      rescue: () => this.#rescue(),
    });
  }

  /**
   * A new segment, small until something comes: old ones are never written again. What was found after the last stable record goes into it: a sync that failed before may
   * have left that in the page cache only, where another sync does not see it.
   */
  async begin(opened: OpenedLog): Promise<void> {
    const segments = this.#segments;
    this.appender.syncedLsn = opened.stableLsn;
    this.#stableAddress = opened.stableAddress;
    if (!opened.recovery.found && !(await segments.fillReserve())) throw noRoom();
    try {
      this.#stable(await this.#anew(rescueSmall));
    } catch (error) {
      if (!isFull(error) || !opened.recovery.found) throw error;
      await this.#beginWithoutRoom(opened);
    }
    await opened.removeVoid();
    // Its head says what they said.
    await segments.removeAllLeftOut();
    await segments.fillReserve();
    if (segments.namesChanged) await this.syncer.request(false);
  }

  /** Until a spare holds what is in doubt, nothing that is there is removed or written to, unless there is no other way. */
  async #beginWithoutRoom(opened: OpenedLog): Promise<void> {
    try {
      this.#stable(await this.#anew(moveIntoSpare));
    } catch (error) {
      if (!isFull(error)) throw error;
      await opened.removeVoid();
      this.#stable(await this.#anewSomehow());
    }
  }

  /** Pending while records are being moved; undefined: they are where the state says. */
  get moving(): Promise<unknown> | undefined {
    return this.#moving;
  }

  /** Nothing is begun any more that the log does by itself. */
  closing(): void {
    this.#isClosing = true;
  }

  /** When no sync runs and no segment is being removed: what comes to the directory later may meet the log's next process. */
  async idle(): Promise<void> {
    await this.syncer.idle();
    await this.#trimming;
  }

  /** All is stable, and the log is about to be closed: if nothing waits in it, it takes no more room than an empty one. */
  async giveRoomBack(): Promise<void> {
    if (this.#segments.bytes <= this.#segments.smallestBytes) return;
    try {
      await this.syncer.alone(async () => {
        const mark = await this.#anew<LogMark | undefined>(moveOutOfAll);
        if (mark !== undefined) this.#stable(mark);
      });
    } catch (error) {
      this.#options.log.warn({ cause: String(error) }, 'the dirty log is empty, and keeps its room nevertheless');
    }
  }

  syncInBackground(): void {
    this.syncer.request(false).catch(() => {
      // Whoever waits for stability is told; the log says so as well.
    });
  }

  /** Whether a datasync has covered what lies there. */
  isStable(address: number): boolean {
    return address < this.#stableAddress;
  }

  /** What is not stable could not be read back: it is written again, or found to be lost, before anybody is told that it is stable. */
  doubt(): void {
    this.syncer.doubt();
    if (!this.#isClosing) this.syncInBackground();
  }

  /** Moves what is not stable into a new segment, and makes that stable. */
  #anew<Mark extends LogMark | undefined = LogMark>(
    how: (parts: RescueParts) => Promise<Mark | LogMark> = rescue,
  ): Promise<Mark | LogMark> {
    const moved = how({
      ...{ state: this.#state, segments: this.#segments, appender: this.appender, seed: this.#facts.seed },
      ...{
        directory: this.#options.directory,
        stableAddress: this.#stableAddress,
        stableLsn: this.appender.syncedLsn,
        onDoubt: () => this.syncer.doubt(),
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
    void this.syncer
      .alone(async () => {
        const { current } = this.#segments;
        this.#stable(await this.#anewSomehow());
        if (this.#segments.current === current) throw noRoom();
      })
      .then(
        () => this.appender.roomMade(),
        (error) => {
          this.#options.log.error(
            { cause: String(error) },
            'the disk of the dirty log is full: no record can be written',
          );
          // Else it is tried again after a while.
          if (this.#isClosing) this.appender.refuse(error);
        },
      )
      .then(() => {
        this.#isUsingSpare = false;
      });
  }

  #mark(): LogMark {
    const { current } = this.#segments;
    const address = current === undefined ? this.#stableAddress : addressOf(current.number, current.end);
    return { lsn: this.appender.appliedLsn, address, boundary: this.#state.loggedBoundary };
  }

  #stable({ lsn, address, boundary }: LogMark): void {
    const appender = this.appender;
    appender.syncedLsn = Math.max(appender.syncedLsn, lsn);
    this.#stableAddress = Math.max(this.#stableAddress, address);
    if (!this.#isClosing) appender.control(controlItem(RecordType.MARK, this.#options.clock.wallTimeMs()));
    if (this.#segments.hasBefore(boundary)) this.#trimming = Promise.all([this.#trimming, this.#trim(boundary)]);
    else appender.synced();
  }

  async #trim(boundary: number): Promise<void> {
    this.#trims++;
    await this.#segments.removeBefore(boundary);
    // What the drain has freed is for the reserve first.
    await this.#segments.fillReserve().catch(() => false);
    this.#trims--;
    this.appender.roomMade();
  }

  /** Changes wait for room. False: nothing can go. */
  #makeRoom(): boolean {
    const { epochs, boundary } = this.#state;
    const goes = this.#segments.hasBefore(boundary);
    if (goes) this.syncInBackground();
    if (goes || this.#trims > 0) return true;
    if (epochs.count === 0) return this.#moveOut();
    if (this.#options.keeps && epochs.newestSealed() === 0) return this.#clean();
    return this.#options.onPressure?.() !== false;
  }

  /** All is drained, and what remains of the log holds the room that changes wait for. False: that would free nothing. */
  #moveOut(): boolean {
    if (this.#isMovingOut) return true;
    const { epochs } = this.#state;
    if (epochs.nextNumber === this.#movedOutBefore || this.#isClosing) return false;
    this.#isMovingOut = true;
    this.#movedOutBefore = epochs.nextNumber;
    void this.syncer
      .alone(async () => {
        this.#stable(await this.#anew(goOnWithoutRoom));
        const trim = freeing(this.#state, this.#segments.current, this.#options.clock.wallTimeMs());
        if (trim !== undefined && !this.#isClosing) this.appender.control(trim);
      })
      .then(() => this.syncer.request(false))
      .catch((error) => this.#options.log.warn({ cause: String(error) }, 'the room of what is drained is not free yet'))
      .then(() => {
        this.#isMovingOut = false;
        if (this.appender.isStarved) this.appender.roomMade();
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
      ...{ state: this.#state, segments: this.#segments, appender: this.appender, seed: this.#facts.seed },
      wallTimeMs: () => clock.wallTimeMs(),
      sync: () => this.syncer.request(false),
    };
    void cleanOldest(parts)
      .catch((error) => log.error({ cause: String(error) }, 'the dirty log could not be cleaned'))
      .then(() => {
        this.#isCleaning = false;
        this.appender.roomMade();
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
      this.appender.control(stateItem(this.#state.fields));
      const failed = notKept(from);
      if (from instanceof ViaductError && from.code === 'LOG_DAMAGED') {
        // The log has a hole: nothing that comes after it counts. Whatever lies there tells the next opening.
        this.appender.flush();
        this.appender.close(failed);
        this.#options.log.error(
          { cause: String(from) },
          'changes are lost: the dirty log takes no more until it is opened again',
        );
      }
      throw failed;
    }
  }
}
