/**
 * File records: which version of a file the cache stands for, and by which attributes it is recognised.
 *
 * Set-associative by the key, eight to a set, least recently used goes. A version is two random words (`version`, never 0, and
 * `nonce`), drawn anew whenever the stamp differs or a slot changes hands; tags carry `version`, checksums are seeded with both.
 * Random and not counted, so that an index that went back to an older state cannot give a number out twice.
 *
 *   absent ──file()──► used ──beginWrite──► used + written (durable mark) ──clean close──► used
 *
 * Changes are made under the record set's lock.
 */
import { assert, type Clock, type Random } from '../base/mod.ts';
import { recordWays, recordWords } from './geometry.ts';
import { finish, hashWords, keyWords } from './hash.ts';
import { type CacheMemory, controlWord, recordFlag, recordWord, stampWords } from './memory.ts';
import { freeLocks, type SpinLocks } from './spin-lock.ts';
import { sizeFromWords } from './stamp.ts';
import type { Owner } from './tags.ts';

/** A file's key and the set of records that it belongs to. */
export interface RecordKey {
  readonly words: Uint32Array;
  readonly set: number;
}

export interface FoundRecord extends Owner {
  readonly nonce: number;
}

export class Records {
  private readonly memory: CacheMemory;
  private readonly locks: SpinLocks;
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly changed: (slot: number) => void;

  constructor(
    memory: CacheMemory,
    locks: SpinLocks,
    sources: { clock: Clock; random: Random },
    changed: (slot: number) => void,
  ) {
    this.memory = memory;
    this.locks = locks;
    this.clock = sources.clock;
    this.random = sources.random;
    this.changed = changed;
  }

  key(key: string): RecordKey {
    assert(key.length === 16, 'a key is 16 bytes');
    const words = keyWords(key);
    const set = finish(hashWords(hashWords(0, this.memory.uuid), words)) % this.memory.geometry.recordSets;
    return { words, set };
  }

  /** The record of the key under this stamp, made or moved to a new version as needed; an origin of 0 is not known. */
  obtain(key: RecordKey, stamp: Uint32Array, origin: number): FoundRecord {
    return this.locked(key, (first) => {
      let slot = this.slotOf(first, key);
      if (slot < 0) {
        slot = this.victim(first);
        this.memory.recordPin[slot] = 0;
        this.begin(slot, key, stamp, origin);
      } else if (!this.stampIs(slot, stamp)) {
        this.begin(slot, key, stamp, origin === 0 ? this.origin(slot) : origin);
      } else if (origin !== 0 && this.origin(slot) !== origin) {
        this.memory.records[slot * recordWords + recordWord.origin] = origin;
        this.changed(slot);
      }
      this.memory.records[slot * recordWords + recordWord.lastUse] = this.seconds();
      return this.at(slot);
    });
  }

  find(key: RecordKey): FoundRecord | undefined {
    return this.locked(key, (first) => {
      const slot = this.slotOf(first, key);
      return slot < 0 ? undefined : this.at(slot);
    });
  }

  isLive(owner: Owner): boolean {
    return Atomics.load(this.memory.records, owner.slot * recordWords + recordWord.version) === owner.version;
  }

  size(slot: number): number {
    return sizeFromWords(this.memory.records, slot * recordWords + recordWord.stamp);
  }

  matches(key: RecordKey, owner: Owner, stamp: Uint32Array): boolean {
    return this.locked(key, () => this.isLive(owner) && this.stampIs(owner.slot, stamp));
  }

  /** `to` takes the place of `from` if the version stands for that. */
  restamp(key: RecordKey, owner: Owner, from: Uint32Array, to: Uint32Array): boolean {
    return this.locked(key, () => {
      if (!this.isLive(owner) || !this.stampIs(owner.slot, from)) return false;
      this.memory.records.set(to, owner.slot * recordWords + recordWord.stamp);
      this.changed(owner.slot);
      return true;
    });
  }

  /** The version is dead; the slot is free. */
  forget(key: RecordKey, owner: Owner): void {
    this.locked(key, () => {
      if (this.isLive(owner)) this.clear(owner.slot);
    });
  }

  /** Every version is dead; with an origin, those of it and those of which it is not known. */
  forgetAll(origin?: number): void {
    const { records, geometry } = this.memory;
    const isMeant = (slot: number): boolean =>
      origin === undefined || this.origin(slot) === origin || this.origin(slot) === 0;
    for (let set = 0; set < geometry.recordSets; set++) {
      this.lockedSet(set, (first) => {
        for (let slot = first; slot < first + recordWays; slot++) {
          const isUsed = (records[slot * recordWords + recordWord.flags]! & recordFlag.used) !== 0;
          if (isUsed && isMeant(slot)) this.clear(slot);
        }
      });
    }
  }

  /**
   * The thread is known to have ended. If it held the lock of a set, some record there may be half of what it was to be, or gone without
   * the index file being told: all of the set are forgotten.
   */
  lost(attachment: number): void {
    const { recordLocks } = this.memory;
    for (const set of freeLocks(recordLocks, attachment)) {
      this.lockedSet(set, (first) => {
        for (let slot = first; slot < first + recordWays; slot++) this.clear(slot);
      });
    }
  }

  /** What an owner wants of the file; what others want stays. */
  pin(key: RecordKey, owner: Owner, number: number, isPinned: boolean): void {
    const { recordPin } = this.memory;
    this.locked(key, () => {
      if (!this.isLive(owner)) return;
      Atomics.compareExchange(recordPin, owner.slot, isPinned ? 0 : number, isPinned ? number : 0);
    });
  }

  /** Marks that this file is written by us; false if the version is not live or the mark is on the disk already. */
  mark(key: RecordKey, owner: Owner): boolean {
    return this.locked(key, () => {
      if (!this.isLive(owner) || this.memory.markedVersion[owner.slot] === owner.version) return false;
      const at = owner.slot * recordWords;
      this.memory.records[at + recordWord.flags]! |= recordFlag.written;
      this.memory.records.set(this.memory.boot, at + recordWord.boot);
      this.changed(owner.slot);
      return true;
    });
  }

  markIsDurable(owner: Owner): void {
    this.memory.markedVersion[owner.slot] = owner.version;
  }

  anyMarked(): boolean {
    return this.marked().length > 0;
  }

  /** At a clean close, when no write can come any more. */
  clearMarks(): void {
    for (const slot of this.marked()) {
      this.memory.records[slot * recordWords + recordWord.flags]! &= ~recordFlag.written;
      this.memory.markedVersion[slot] = 0;
      this.changed(slot);
    }
  }

  private marked(): number[] {
    const { records, geometry } = this.memory;
    const slots: number[] = [];
    for (let slot = 0; slot < geometry.recordCount; slot++) {
      if ((records[slot * recordWords + recordWord.flags]! & recordFlag.written) !== 0) slots.push(slot);
    }
    return slots;
  }

  private begin(slot: number, key: RecordKey, stamp: Uint32Array, origin: number): void {
    const { records, control } = this.memory;
    const at = slot * recordWords;
    if ((records[at + recordWord.flags]! & recordFlag.used) === 0) Atomics.add(control, controlWord.filesUsed, 1);
    const before = records[at + recordWord.version];
    let version = 0;
    while (version === 0 || version === before) version = this.random.uint32();
    // The version dies before anything else of the record changes, and lives when all of it is there.
    Atomics.store(records, at + recordWord.version, 0);
    records.fill(0, at, at + recordWords);
    records.set(key.words, at + recordWord.key);
    records[at + recordWord.nonce] = this.random.uint32();
    records[at + recordWord.flags] = recordFlag.used;
    records.set(stamp, at + recordWord.stamp);
    records[at + recordWord.origin] = origin;
    Atomics.store(records, at + recordWord.version, version);
    this.changed(slot);
  }

  private clear(slot: number): void {
    const { records, control } = this.memory;
    if ((records[slot * recordWords + recordWord.flags]! & recordFlag.used) !== 0) {
      Atomics.sub(control, controlWord.filesUsed, 1);
    }
    Atomics.store(records, slot * recordWords + recordWord.version, 0);
    records.fill(0, slot * recordWords, (slot + 1) * recordWords);
    this.memory.recordPin[slot] = 0;
    this.changed(slot);
  }

  private slotOf(first: number, key: RecordKey): number {
    const records = this.memory.records;
    const [a, b, c, d] = key.words;
    for (let slot = first; slot < first + recordWays; slot++) {
      const at = slot * recordWords;
      if (!this.isWhole(slot)) continue;
      if (records[at] === a && records[at + 1] === b && records[at + 2] === c && records[at + 3] === d) return slot;
    }
    return -1;
  }

  /** In use, and not one whose thread was ended while it made or ended the version: that has none, or every other such record had the same. */
  private isWhole(slot: number): boolean {
    const { records } = this.memory;
    const isUsed = (records[slot * recordWords + recordWord.flags]! & recordFlag.used) !== 0;
    return isUsed && records[slot * recordWords + recordWord.version] !== 0;
  }

  private victim(first: number): number {
    const records = this.memory.records;
    let oldest = first;
    for (let slot = first; slot < first + recordWays; slot++) {
      const at = slot * recordWords;
      if (!this.isWhole(slot)) return slot;
      if (records[at + recordWord.lastUse]! < records[oldest * recordWords + recordWord.lastUse]!) oldest = slot;
    }
    return oldest;
  }

  private origin(slot: number): number {
    return this.memory.records[slot * recordWords + recordWord.origin]!;
  }

  private stampIs(slot: number, stamp: Uint32Array): boolean {
    const at = slot * recordWords + recordWord.stamp;
    for (let word = 0; word < stampWords; word++) if (this.memory.records[at + word] !== stamp[word]) return false;
    return true;
  }

  private at(slot: number): FoundRecord {
    const at = slot * recordWords;
    const records = this.memory.records;
    return { slot, version: records[at + recordWord.version]!, nonce: records[at + recordWord.nonce]! };
  }

  private locked<T>(key: RecordKey, action: (first: number) => T): T {
    return this.lockedSet(key.set, action);
  }

  private lockedSet<T>(set: number, action: (first: number) => T): T {
    this.locks.acquire(set);
    try {
      return action(set * recordWays);
    } finally {
      this.locks.release(set);
    }
  }

  private seconds(): number {
    return Math.floor(this.clock.wallTimeMs() / 1000);
  }
}
