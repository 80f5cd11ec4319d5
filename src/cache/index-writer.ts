/**
 * Changed tags and records on their way to the index file. Each thread notes what it changed and writes it a little later, all
 * together; what is written is the shared memory's state at that moment, and a mutex in shared memory keeps writers in line, so
 * that an older state never lands over a newer one.
 *
 *   note ──25 ms──► flush: mutex ─► tags, neighbours in one write ─► records ─► mutex free
 *   flushNow (before a write of ours leaves, on sync and close): the same at once
 *
 * Tags go before records. When the index cannot be written where it must be (an invalidation before a write of ours), it is cut
 * to nothing, which needs no room, and the cache goes on without persistence: better nothing than something wrong.
 */
import { ftruncateSync } from 'node:fs';
import { MessageChannel } from 'node:worker_threads';
import { type Clock, type Log, systemCode, type Timer } from '../base/mod.ts';
import type { CacheDisk } from './contract.ts';
import type { Counters } from './counters.ts';
import { writeAll } from './disk.ts';
import { recordBytes, recordsOffset, recordWays, recordWords, setBytes, setWords } from './geometry.ts';
import { sealRecord, sealTags } from './index-format.ts';
import { type CacheMemory, controlWord } from './memory.ts';
import type { SpinLocks } from './spin-lock.ts';

const delayMs = 25;
const retryMs = 2000;
const setsPerWrite = 256;
const writesAtOnce = 8;
const mutexPatienceMs = 30_000;

export interface IndexWriterParts {
  readonly memory: CacheMemory;
  readonly descriptor: number;
  readonly disk: CacheDisk;
  readonly clock: Clock;
  readonly log: Log;
  readonly setLocks: SpinLocks;
  readonly recordLocks: SpinLocks;
  readonly counters: Counters;
  readonly attachment: number;
}

export class IndexWriter {
  private readonly parts: IndexWriterParts;
  private sets = new Set<number>();
  private slots = new Set<number>();
  private timer: Timer | undefined;
  private running: Promise<boolean> | undefined;
  private next: Promise<boolean> | undefined;
  private complained = false;

  constructor(parts: IndexWriterParts) {
    this.parts = parts;
  }

  noteSet(set: number): void {
    this.sets.add(set);
    Atomics.store(this.parts.memory.dirtySets, set, 1);
    if (this.timer === undefined) this.schedule(delayMs);
  }

  noteRecord(slot: number): void {
    this.slots.add(slot);
    Atomics.store(this.parts.memory.dirtyRecords, slot, 1);
    if (this.timer === undefined) this.schedule(delayMs);
  }

  /** Whether the file may still hold an older state of the set, whoever changed it; if so it is in the next flush. */
  adoptSet(set: number): boolean {
    if (Atomics.load(this.parts.memory.dirtySets, set) === 0) return false;
    this.noteSet(set);
    return true;
  }

  adoptRecord(slot: number): boolean {
    if (Atomics.load(this.parts.memory.dirtyRecords, slot) === 0) return false;
    this.noteRecord(slot);
    return true;
  }

  /** All that the file may show in an older state, or in part, whoever noted it. */
  adoptAll(): void {
    const { dirtySets, dirtyRecords } = this.parts.memory;
    for (let set = 0; set < dirtySets.length; set++) this.adoptSet(set);
    for (let slot = 0; slot < dirtyRecords.length; slot++) this.adoptRecord(slot);
  }

  /** Everything noted until now is in the file when it resolves; false if that failed. */
  flushNow(): Promise<boolean> {
    if (this.running === undefined) return this.start();
    this.next ??= this.running.then(() => {
      this.next = undefined;
      return this.start();
    });
    return this.next;
  }

  /** `flushNow` where it must not fail: else the index is given up. */
  async flushSurely(): Promise<void> {
    if (!(await this.flushNow())) this.giveUp();
  }

  /** Flushes and waits for the disk; on failure the index is given up. */
  async flushDurably(): Promise<void> {
    await this.flushSurely();
    try {
      if (this.persistent) await this.parts.disk.datasync(this.parts.descriptor);
    } catch (error) {
      this.complain(error);
      this.giveUp();
    }
  }

  stop(): void {
    this.timer?.cancel();
    this.timer = undefined;
  }

  private get persistent(): boolean {
    return Atomics.load(this.parts.memory.control, controlWord.persistent) === 1;
  }

  private giveUp(): void {
    if (Atomics.exchange(this.parts.memory.control, controlWord.persistent, 0) === 0) return;
    ftruncateSync(this.parts.descriptor, 0);
    this.parts.log.error(
      {},
      'the cache index cannot be written: the cache goes on, but will be empty when it is opened next',
    );
  }

  private schedule(delay: number): void {
    this.timer = this.parts.clock.after(delay, () => {
      this.timer = undefined;
      void this.flushNow();
    });
  }

  private start(): Promise<boolean> {
    this.stop();
    this.running = this.flush().finally(() => {
      this.running = undefined;
    });
    return this.running;
  }

  private async flush(): Promise<boolean> {
    if (!this.persistent) {
      this.sets.clear();
      this.slots.clear();
      return true;
    }
    await this.acquireMutex();
    const sets = this.sets;
    const slots = this.slots;
    this.sets = new Set();
    this.slots = new Set();
    try {
      await this.writeSets(sets);
      await this.writeRecords(slots);
      this.complained = false;
      return true;
    } catch (error) {
      this.complain(error);
      for (const set of sets) this.sets.add(set);
      for (const slot of slots) this.slots.add(slot);
      if (this.timer === undefined) this.schedule(retryMs);
      return false;
    } finally {
      this.releaseMutex();
    }
  }

  private async writeSets(sets: Set<number>): Promise<void> {
    const { memory, setLocks } = this.parts;
    await this.writeRuns(sets, setBytes, memory.geometry.tagsOffset, memory.dirtySets, (set, words) => {
      setLocks.acquire(set);
      words.set(memory.tags.subarray(set * setWords, (set + 1) * setWords));
      setLocks.release(set);
      sealTags(words, memory.uuid, set);
    });
  }

  private async writeRecords(slots: Set<number>): Promise<void> {
    const { memory, recordLocks } = this.parts;
    await this.writeRuns(slots, recordBytes, recordsOffset, memory.dirtyRecords, (slot, words) => {
      const recordSet = Math.floor(slot / recordWays);
      recordLocks.acquire(recordSet);
      words.set(memory.records.subarray(slot * recordWords, (slot + 1) * recordWords));
      recordLocks.release(recordSet);
      sealRecord(words, memory.uuid, slot);
    });
  }

  private async writeRuns(
    items: Set<number>,
    itemBytes: number,
    base: number,
    dirty: Uint8Array,
    copy: (item: number, words: Uint32Array) => void,
  ): Promise<void> {
    const sorted = Uint32Array.from(items).sort();
    let writes: Promise<void>[] = [];
    for (let start = 0, end = 0; start < sorted.length; start = end) {
      for (end = start + 1; end < sorted.length && end - start < setsPerWrite; end++) {
        if (sorted[end] !== sorted[end - 1]! + 1) break;
      }
      writes.push(this.writeRun(sorted.subarray(start, end), itemBytes, base, dirty, copy));
      if (writes.length < writesAtOnce && end < sorted.length) continue;
      // All of them are over before an error goes up: none may land when the mutex is free.
      const failed = (await Promise.allSettled(writes)).find((result) => result.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      writes = [];
    }
  }

  private async writeRun(
    run: Uint32Array,
    itemBytes: number,
    base: number,
    dirty: Uint8Array,
    copy: (item: number, words: Uint32Array) => void,
  ): Promise<void> {
    const words = itemBytes / 4;
    const staging = new Uint32Array(run.length * words);
    for (const [index, item] of run.entries()) {
      Atomics.store(dirty, item, 2);
      copy(item, staging.subarray(index * words, (index + 1) * words));
    }
    const bytes = new Uint8Array(staging.buffer);
    await writeAll(this.parts.disk, this.parts.descriptor, [bytes], base + run[0]! * itemBytes);
    for (const item of run) Atomics.compareExchange(dirty, item, 2, 0);
  }

  private async acquireMutex(): Promise<void> {
    const { memory, attachment } = this.parts;
    const mine = attachment + 1;
    for (;;) {
      const holder = Atomics.compareExchange(memory.control, controlWord.indexMutex, 0, mine);
      if (holder === 0) return;
      const wait = Atomics.waitAsync(memory.control, controlWord.indexMutex, holder, mutexPatienceMs);
      if (!wait.async) continue;
      const outcome = await alive(wait.value);
      // Its holder was ended in the middle of a write: nobody else will free it.
      if (outcome === 'timed-out') {
        if (Atomics.compareExchange(memory.control, controlWord.indexMutex, holder, mine) === holder) return;
      }
    }
  }

  private releaseMutex(): void {
    freeIndexOf(this.parts.memory, this.parts.attachment);
  }

  private complain(error: unknown): void {
    this.parts.counters.add('diskErrors');
    if (this.complained) return;
    this.complained = true;
    this.parts.log.warn(
      { error: systemCode(error) ?? String(error) },
      'the cache index could not be written; tried again later',
    );
  }
}

/** A thread that is known to have ended, its writes with it, changes the index file no more: nobody has to wait for it. */
export function freeIndexOf({ control }: CacheMemory, attachment: number): void {
  Atomics.compareExchange(control, controlWord.indexMutex, attachment + 1, 0);
  Atomics.notify(control, controlWord.indexMutex);
}

/** `Atomics.waitAsync` alone does not keep a thread's event loop going; what waits for its turn must not be lost at the end. */
async function alive<T>(waiting: Promise<T>): Promise<T> {
  const { port1 } = new MessageChannel();
  port1.on('message', () => {});
  try {
    return await waiting;
  } finally {
    port1.close();
  }
}
