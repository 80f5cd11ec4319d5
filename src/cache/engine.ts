/** One thread's parts of the cache, wired together, and what they count as under way (so that `close` can wait for it). */
import type { Clock, Log, Random } from '../base/mod.ts';
import { Accounts, type Holder, nobodysHolder } from './accounts.ts';
import { Banks } from './banks.ts';
import type { CacheDisk } from './contract.ts';
import { Counters } from './counters.ts';
import { bankOf, frameBytes, framePosition, recordWays, sectorBytes, sectorsPerFrame } from './geometry.ts';
import { hashWords, type VersionSeed, versionSeed } from './hash.ts';
import { IndexWriter } from './index-writer.ts';
import type { CacheMemory } from './memory.ts';
import { ReadBuffers } from './read-buffers.ts';
import { type FoundRecord, type RecordKey, Records } from './records.ts';
import { SpinLocks } from './spin-lock.ts';
import { type Owner, Tags } from './tags.ts';
import { WriteGuard } from './write-guard.ts';

export interface EngineParts {
  readonly memory: CacheMemory;
  readonly attachment: number;
  readonly directory: string;
  readonly indexDescriptor: number;
  readonly disk: CacheDisk;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
}

/** A version of a file with what is computed from it once. */
export interface Version {
  readonly owner: Owner;
  readonly seed: VersionSeed;
  /** Where block 0 would go, not reduced. */
  readonly placeHash: number;
  /** Whose it is for who has this object. */
  holder: Holder;
}

export class Engine {
  readonly parts: EngineParts;
  readonly memory: CacheMemory;
  readonly accounts: Accounts;
  readonly tags: Tags;
  readonly records: Records;
  readonly banks: Banks;
  readonly buffers = new ReadBuffers();
  readonly counters: Counters;
  readonly index: IndexWriter;
  private underWay = 0;
  private idle: (() => void) | undefined;

  constructor(parts: EngineParts) {
    const { memory, attachment } = parts;
    this.parts = parts;
    this.memory = memory;
    const setLocks = new SpinLocks(memory.setLocks, attachment);
    const recordLocks = new SpinLocks(memory.recordLocks, attachment);
    this.counters = new Counters(memory, attachment);
    this.index = new IndexWriter({
      ...parts,
      ...{ setLocks, recordLocks, descriptor: parts.indexDescriptor, counters: this.counters },
    });
    this.accounts = new Accounts(memory, attachment);
    this.tags = new Tags(memory, setLocks, this.accounts);
    this.records = new Records(memory, recordLocks, parts, (slot) => this.index.noteRecord(slot));
    this.banks = new Banks(parts.directory, memory.geometry);
  }

  version(key: RecordKey, found: FoundRecord, holder = nobodysHolder): Version {
    return {
      owner: { slot: found.slot, version: found.version },
      seed: versionSeed(this.memory.uuid, key.words, found.version, found.nonce),
      placeHash: placeHash(this.memory, key),
      holder,
    };
  }

  hit(holder: Holder, count: number): void {
    this.counters.hit(count);
    this.accounts.hit(holder.number, count);
  }

  miss(holder: Holder): void {
    this.counters.add('misses');
    this.accounts.miss(holder.number);
  }

  guard(key: RecordKey): WriteGuard {
    return new WriteGuard(this.memory, hashWords(0x4755_4152, key.words));
  }

  setOf(version: Version, block: number): number {
    return (version.placeHash + block) % this.memory.geometry.setCount;
  }

  bankOf(set: number): number {
    return bankOf(this.memory.geometry, set);
  }

  position(set: number, way: number): number {
    return framePosition(this.memory.geometry, set, way);
  }

  /**
   * Drops the sectors that the range touches, up to `size`. Sets that the index file may still show in an older state are
   * put into the next flush as well. True if there is anything to flush.
   */
  dropRange(version: Version, offset: number, count: number, size: number): boolean {
    const end = Math.min(offset + count, Math.ceil(size / sectorBytes) * sectorBytes);
    let any = false;
    for (let block = Math.floor(offset / frameBytes); block * frameBytes < end; block++) {
      const set = this.setOf(version, block);
      if (this.tags.drop(set, version.owner, block, sectorMask(block, offset, end))) {
        this.index.noteSet(set);
        any = true;
      } else if (this.index.adoptSet(set)) any = true;
    }
    return any;
  }

  /** Records of the key's set that the index file may show in an older state go into the next flush. */
  adoptRecords(key: RecordKey): boolean {
    let any = false;
    for (let slot = key.set * recordWays; slot < (key.set + 1) * recordWays; slot++) {
      if (this.index.adoptRecord(slot)) any = true;
    }
    return any;
  }

  /** For as long as `work` runs, `close` waits. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.underWay++;
    try {
      return await work;
    } finally {
      this.underWay--;
      if (this.underWay === 0) this.idle?.();
    }
  }

  quiet(): Promise<void> {
    if (this.underWay === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.idle = resolve;
    });
  }
}

export function placeHash(memory: CacheMemory, key: RecordKey): number {
  return hashWords(hashWords(0x504c_4143, memory.uuid), key.words);
}

/** The sectors of a block that [offset, end) touches. */
export function sectorMask(block: number, offset: number, end: number): number {
  const start = block * frameBytes;
  const first = Math.max(0, Math.floor((offset - start) / sectorBytes));
  const last = Math.min(sectorsPerFrame, Math.ceil((end - start) / sectorBytes));
  return first >= last ? 0 : (0xffff >>> (sectorsPerFrame - (last - first))) << first;
}
