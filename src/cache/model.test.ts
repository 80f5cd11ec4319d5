/**
 * The cache against a model: whatever is present is what the origin holds, after any sequence of calls, closes and kills, by owners that come
 * and go; what was dropped with its origin is gone, and only that.
 */

import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { CacheFixture, cacheKey, cacheStamp, readAll } from '../testing/mod.ts';
import { cachePriorities, type FileStamp } from '../vfs/mod.ts';
import type { CachedFile, CacheOwner, CleanCache, PendingWrite } from './mod.ts';

const fileCount = 3;
const largest = 300_000;
const seed = 20_240_611;

/** The origin: content and times of each file; each change moves the times. */
class Origin {
  readonly contents: Buffer[] = [];
  readonly stamps: FileStamp[] = [];
  private changes = 1;

  constructor() {
    for (let number = 0; number < fileCount; number++) this.put(number, Buffer.alloc(200_000 + number, number + 1));
  }

  put(number: number, content: Buffer): void {
    this.contents[number] = content;
    this.stamps[number] = cacheStamp(content.length, this.changes++, BigInt(number));
  }

  write(number: number, offset: number, data: Buffer): void {
    const old = this.contents[number]!;
    const next = Buffer.alloc(Math.max(old.length, offset + data.length));
    old.copy(next);
    data.copy(next, offset);
    this.put(number, next);
  }

  cut(number: number, size: number): void {
    const next = Buffer.alloc(size);
    this.contents[number]!.copy(next, 0, 0, Math.min(size, this.contents[number]!.length));
    this.put(number, next);
  }
}

const numbers = {
  file: fc.nat(fileCount - 1),
  offset: fc.nat(largest - 1),
  count: fc.integer({ min: 1, max: 70_000 }),
};
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('read' as const), ...numbers }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('fetch' as const),
      ...numbers,
      count: fc.integer({ min: 1, max: largest }),
      late: fc.nat(3).map((one) => one === 0),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('write' as const), ...numbers, late: fc.nat(3).map((one) => one === 0) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('foreign' as const), ...numbers }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut' as const), ...numbers }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('forget' as const, 'invalidate' as const), ...numbers }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('reopen' as const, 'kill' as const), ...numbers }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('clear' as const, 'leave' as const), ...numbers }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('care' as const, 'quota' as const), ...numbers }) },
);
function originOf(number: number): string {
  return number < 2 ? 'one' : 'other';
}

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

class Run {
  readonly fixture = new CacheFixture();
  readonly origin = new Origin();
  cache!: CleanCache;
  hits = 0;
  private byte = 10;
  private kills = 0;
  private directory = this.fixture.directory;
  /** Replies that come later than they were sent. */
  private late: (() => Promise<void>)[] = [];

  /** Files 0 and 1 are of one origin, 2 of another; two owners take turns. */
  private turns = 0;

  file(number: number): CachedFile {
    return this.owner().store(originOf(number)).file(cacheKey(number), this.origin.stamps[number]!);
  }

  private owner(): CacheOwner {
    return this.cache.owner({ name: `owner ${this.turns++ % 2}` });
  }

  async take(one: Step): Promise<void> {
    const content = this.origin.contents[one.file]!;
    const offset = Math.min(one.offset, content.length - 1);
    const count = Math.min(one.count, content.length - offset);
    if (one.kind === 'read') await this.read(one.file, offset, count);
    else if (one.kind === 'fetch') await this.fetch(one.file, offset, count, one.late);
    else if (one.kind === 'write') await this.write(one.file, one.offset, Math.min(one.count, 20_000), one.late);
    else if (one.kind === 'foreign') this.origin.write(one.file, one.offset, this.data(one.count));
    else if (one.kind === 'cut') await this.cut(one.file, one.offset + 1);
    else if (one.kind === 'forget') this.file(one.file).forget();
    else if (one.kind === 'invalidate') this.file(one.file).invalidate(offset, count);
    else if (one.kind === 'clear') await this.clear(one.file);
    else if (one.kind === 'leave') this.owner().end();
    else if (one.kind === 'quota') this.owner().setQuota(one.count % 3 === 0 ? undefined : 2 ** 20);
    else if (one.kind === 'care')
      this.file(one.file).setCare({
        priority: cachePriorities[one.offset % 3]!,
        isPinned: one.count % 2 === 0,
      });
    else await this.reopen(one.kind === 'kill');
  }

  async drain(): Promise<void> {
    for (const action of this.late.splice(0)) await action();
  }

  private data(count: number): Buffer {
    this.byte = (this.byte + 1) % 256;
    return Buffer.alloc(count, this.byte);
  }

  /** Whole, and each part that the cache says is present. */
  private async read(number: number, offset: number, count: number): Promise<void> {
    const file = this.file(number);
    await this.check(file, number, offset, count);
    for (let at = offset; at < offset + count; at += 4096) {
      await this.check(file, number, at, Math.min(4096, offset + count - at));
    }
  }

  private async check(file: CachedFile, number: number, offset: number, count: number): Promise<void> {
    const present = file.has(offset, count);
    const bytes = await readAll(file, offset, count);
    assert.equal(bytes !== undefined, present, 'what is present verifies');
    if (bytes === undefined) return;
    this.hits++;
    assert.ok(
      bytes.equals(this.origin.contents[number]!.subarray(offset, offset + count)),
      `wrong bytes of file ${number}`,
    );
  }

  private async fetch(number: number, offset: number, count: number, late: boolean): Promise<void> {
    const file = this.file(number);
    const ticket = file.ticket(offset, count);
    const data = Buffer.from(this.origin.contents[number]!.subarray(offset, offset + count));
    const stamp = this.origin.stamps[number]!;
    const reply = async (): Promise<void> => {
      await file.fill(ticket, stamp, offset, [data.subarray(0, 7), data.subarray(7)], data.length);
    };
    if (late) this.late.push(reply);
    else await reply();
  }

  private async write(number: number, offset: number, count: number, late: boolean): Promise<void> {
    const file = this.file(number);
    const pending: PendingWrite = await file.beginWrite(offset, count);
    const data = this.data(count);
    const before = this.origin.stamps[number]!;
    this.origin.write(number, offset, data);
    const after = this.origin.stamps[number]!;
    const reply = async (): Promise<void> => {
      file.restamp(before, after);
      await pending.complete([data], count);
    };
    if (late) this.late.push(reply);
    else await reply();
  }

  private async cut(number: number, size: number): Promise<void> {
    const file = this.file(number);
    const pending = await file.beginWrite(size, Number.POSITIVE_INFINITY);
    const before = this.origin.stamps[number]!;
    this.origin.cut(number, size);
    file.restamp(before, this.origin.stamps[number]!);
    pending.abandon();
  }

  private async clear(number: number): Promise<void> {
    const present = (other: number): object | undefined => this.cache.find(cacheKey(other))?.missing(0, largest);
    const before = Array.from({ length: fileCount }, (_, other) => present(other));
    await this.owner().store(originOf(number)).clear();
    for (let other = 0; other < fileCount; other++) {
      const isMeant = originOf(other) === originOf(number);
      assert.deepEqual(present(other), isMeant ? undefined : before[other]);
    }
  }

  /** A kill is seen from the outside: the directory as it is at that moment, opened by another. */
  private async reopen(kill: boolean): Promise<void> {
    if (kill) {
      const left = join(this.fixture.root, `killed-${this.kills++}`);
      cpSync(this.directory, left, { recursive: true });
      this.directory = left;
    }
    await this.drain();
    await this.cache.close();
    this.cache = await this.fixture.open({ directory: this.directory });
  }
}

test('whatever is present is right, over writes, truncations, foreign changes, late replies, closes and kills', async () => {
  let hits = 0;
  const property = fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 80 }), async (steps) => {
    const run = new Run();
    try {
      run.cache = await run.fixture.open();
      for (const [index, one] of steps.entries()) {
        await run.take(one);
        if (index % 5 === 4) await run.drain();
      }
      await run.drain();
      hits += run.hits;
    } finally {
      await run.fixture[Symbol.asyncDispose]();
      rmSync(run.fixture.root, { recursive: true, force: true });
    }
  });
  await fc.assert(property, { seed, numRuns: 40, endOnFailure: true });
  assert.ok(hits > 300, `${hits} hits: the test must see the cache at work`);
});
