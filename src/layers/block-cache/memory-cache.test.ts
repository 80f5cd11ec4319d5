/**
 * The clean cache's contract in memory, for tests of the layer above: it forgets at random, answers late, refuses and fails as
 * the real one may, and counts what is lent.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, type Eventual, limits, type Random, seededRandom, sleep } from '../../base/mod.ts';
import type { ByteRange, CachedFile, CacheHit, FillTicket, PendingWrite } from '../../cache/mod.ts';
import { SimulatedClock } from '../../testing/mod.ts';
import { type FileStamp, sameStamp } from '../../vfs/mod.ts';

const sectorBytes = limits.sectorBytes;

export interface MemoryCacheOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Chance of each: 1 in n; 0 never. */
  readonly evictOneIn?: number;
  readonly lateOneIn?: number;
  readonly fillFails?: () => boolean;
}

export class MemoryCache {
  lent = 0;
  readonly files = new Map<string, MemoryCachedFile>();
  readonly options: MemoryCacheOptions;

  constructor(options: MemoryCacheOptions) {
    this.options = options;
  }

  file(key: string, stamp: FileStamp): CachedFile {
    const found = this.files.get(key);
    if (found?.matches(stamp) === true) return found;
    found?.forget();
    const file = new MemoryCachedFile(this, key, stamp);
    this.files.set(key, file);
    return file;
  }

  find(key: string): CachedFile | undefined {
    return this.files.get(key);
  }

  clear(): Promise<void> {
    for (const file of this.files.values()) file.forget();
    this.files.clear();
    return Promise.resolve();
  }

  chance(oneIn: number | undefined): boolean {
    return oneIn !== undefined && oneIn > 0 && this.options.random.uint32() % oneIn === 0;
  }
}

class MemoryCachedFile implements CachedFile {
  readonly key: string;
  live = true;
  readonly #cache: MemoryCache;
  #stamp: FileStamp;
  #hops: [FileStamp, FileStamp][] = [];
  readonly #sectors = new Map<number, Buffer>();
  #sequence = 0;
  readonly #writes = new Map<object, { offset: number; end: number; doneAt: number }>();
  readonly #done: { offset: number; end: number; doneAt: number }[] = [];

  constructor(cache: MemoryCache, key: string, stamp: FileStamp) {
    this.#cache = cache;
    this.key = key;
    this.#stamp = stamp;
  }

  get size(): number {
    return this.live ? this.#stamp.size : 0;
  }
  matches(stamp: FileStamp): boolean {
    return this.live && sameStamp(stamp, this.#stamp);
  }

  has(offset: number, count: number): boolean {
    if (!this.live || offset + count > this.size) return false;
    for (let at = sectorOf(offset); at * sectorBytes < offset + count; at++) if (!this.#sectors.has(at)) return false;
    return true;
  }

  missing(offset: number, count: number): ByteRange[] {
    const ranges: { offset: number; count: number }[] = [];
    const end = this.live ? Math.min(offset + count, this.size) : offset + count;
    for (let at = sectorOf(offset); at * sectorBytes < end; at++) {
      if (this.live && this.#sectors.has(at)) continue;
      const begin = at * sectorBytes;
      const bytes = Math.min(sectorBytes, end - begin);
      const last = ranges.at(-1);
      if (last !== undefined && last.offset + last.count === begin) last.count += bytes;
      else ranges.push({ offset: begin, count: bytes });
    }
    return ranges;
  }

  read(offset: number, count: number): Eventual<CacheHit | undefined> {
    if (this.#cache.chance(this.#cache.options.evictOneIn)) this.invalidate(offset, 1);
    if (!this.has(offset, count)) return undefined;
    const slices: Buffer[] = [];
    for (let at = sectorOf(offset); at * sectorBytes < offset + count; at++) {
      const begin = Math.max(offset - at * sectorBytes, 0);
      const end = Math.min(offset + count - at * sectorBytes, sectorBytes);
      slices.push(Buffer.from(this.#sectors.get(at)!.subarray(begin, end)));
    }
    this.#cache.lent++;
    let isReleased = false;
    const release = (): void => {
      assert.equal(isReleased, false, 'a hit is released once');
      isReleased = true;
      this.#cache.lent--;
      for (const slice of slices) slice.fill(0xee);
    };
    const hit = { slices, release };
    return this.#cache.chance(this.#cache.options.lateOneIn)
      ? sleep(this.#cache.options.clock, 2).then(() => hit)
      : hit;
  }

  ticket(offset: number, count: number): FillTicket {
    const good = ![...this.#writes.values()].some((write) => write.offset < offset + count && write.end > offset);
    return { offset, count, good, sequence: this.#sequence, version: 1 };
  }

  async fill(
    ticket: FillTicket,
    stamp: FileStamp,
    offset: number,
    slices: readonly Uint8Array[],
    count: number,
  ): Promise<number> {
    assert.ok(offset >= ticket.offset && offset + count <= ticket.offset + ticket.count);
    await sleep(this.#cache.options.clock, 3);
    if (this.#cache.options.fillFails?.() === true) return 0;
    const isTouched = [...this.#writes.values(), ...this.#done].some(
      (write) => write.doneAt > ticket.sequence && write.offset < offset + count && write.end > offset,
    );
    if (!ticket.good || isTouched || !this.matches(stamp)) return 0;
    const bytes = Buffer.concat(slices as Uint8Array[]);
    assert.equal(bytes.length, count);
    this.#put(offset, bytes);
    return count;
  }

  async beginWrite(offset: number, count: number): Promise<PendingWrite> {
    const range = { offset, end: offset + count, doneAt: Number.POSITIVE_INFINITY };
    const id = {};
    const begunAt = this.#sequence;
    this.#writes.set(id, range);
    this.invalidate(offset, count);
    await sleep(this.#cache.options.clock, 1);
    const end = (): void => {
      assert.ok(this.#writes.delete(id), 'a write ends once');
      this.#done.push({ ...range, doneAt: ++this.#sequence });
      this.invalidate(offset, count);
    };
    return {
      abandon: end,
      complete: (slices, taken) => {
        // Those that began and ended meanwhile count as well: who was last at the origin is not known.
        const others = [...this.#writes].filter(([other]) => other !== id).map(([, write]) => write);
        const met = [...others, ...this.#done].filter((write) => write.doneAt > begunAt);
        const isAlone = !met.some((write) => write.offset < range.end && write.end > offset);
        end();
        if (taken > 0 && isAlone) this.#put(offset, Buffer.concat(slices as Uint8Array[]).subarray(0, taken));
      },
    };
  }

  invalidate(offset: number, count: number): void {
    for (const at of [...this.#sectors.keys()]) {
      if (at * sectorBytes < offset + count && (at + 1) * sectorBytes > offset) this.#sectors.delete(at);
    }
  }

  restamp(from: FileStamp, to: FileStamp): boolean {
    if (!this.live) return false;
    this.#hops.push([from, to]);
    for (let at = 0; at < this.#hops.length; ) {
      const [begin, end] = this.#hops[at]!;
      if (!sameStamp(begin, this.#stamp)) at++;
      else {
        if (end.size !== this.#stamp.size) this.invalidate(Math.min(end.size, this.#stamp.size), sectorBytes);
        this.#stamp = end;
        this.#hops.splice(at, 1);
        at = 0;
      }
    }
    return !this.#hops.some(([begin, end]) => begin === from && end === to);
  }

  forget(): void {
    this.live = false;
    this.#sectors.clear();
  }

  setCare(): void {}

  #put(offset: number, bytes: Buffer): void {
    const end = offset + bytes.length;
    for (let at = Math.ceil(offset / sectorBytes); at * sectorBytes < end; at++) {
      const sectorEnd = Math.min((at + 1) * sectorBytes, this.size);
      if (sectorEnd > end || sectorEnd <= at * sectorBytes) return;
      const sector = Buffer.alloc(sectorBytes);
      bytes.copy(sector, 0, at * sectorBytes - offset, sectorEnd - offset);
      this.#sectors.set(at, sector);
    }
  }
}

function sectorOf(offset: number): number {
  return Math.floor(offset / sectorBytes);
}

test('the memory cache refuses a fill that met a write', async () => {
  const clock = new SimulatedClock();
  const cache = new MemoryCache({ clock, random: seededRandom(1) });
  const stamp = { size: 8192, mtimeSeconds: 1, mtimeNanoseconds: 0, ctimeSeconds: 1, ctimeNanoseconds: 0, fileid: 1n };
  const file = cache.file('k', stamp);
  const ticket = file.ticket(0, 8192);
  const begun = file.beginWrite(0, 10);
  const filled = file.fill(ticket, stamp, 0, [new Uint8Array(8192)], 8192);
  await clock.advance(10);
  assert.equal(await filled, 0);
  (await begun).abandon();
  assert.equal(file.has(0, 1), false);
});
