/** What owners, quotas, priorities and pins promise. Presence is looked at without touching. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../base/mod.ts';
import { CacheFixture, cacheKey, cacheStamp, checkPattern, fillPattern, readAll } from '../testing/mod.ts';
import type { CachedFile, CacheStore, CleanCache } from './mod.ts';

const MiB = 1024 * 1024;
const frameBytes = 65_536;
const origin = 'nfs:store:1';
let numbers = 1000;

type Files = Pick<CacheStore, 'file'>;

async function fill(files: Files, number: number, size: number): Promise<CachedFile> {
  const file = files.file(cacheKey(number), cacheStamp(size));
  for (let at = 0; at < size; at += MiB)
    await fillPattern(file, cacheStamp(size), number, at, Math.min(MiB, size - at));
  return file;
}

/** Passes so much new data through the cache. */
async function stream(files: Files, bytes: number, care?: Parameters<CachedFile['setCare']>[0]): Promise<void> {
  for (let at = 0; at < bytes; at += 2 * MiB) {
    const file = files.file(cacheKey(++numbers), cacheStamp(2 * MiB));
    if (care !== undefined) file.setCare(care);
    await fill({ file: () => file }, numbers, 2 * MiB);
  }
}

function presentBytes(file: CachedFile): number {
  return file.size - file.missing(0, file.size).reduce((sum, range) => sum + range.count, 0);
}

function setCount(cache: CleanCache): number {
  return cache.stat().frameCount / 16;
}

test('low goes before normal before high, and what nobody touches goes whatever its priority', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open({ random: seededRandom(77) });
  const files: CachedFile[] = [];
  for (const [number, priority] of (['high', 'normal', 'low'] as const).entries()) {
    const file = cache.file(cacheKey(number), cacheStamp(4 * MiB));
    file.setCare({ priority, isPinned: false });
    files.push(await fill({ file: () => file }, number, 4 * MiB));
  }
  const [high, normal, low] = files as [CachedFile, CachedFile, CachedFile];
  const sums = [0, 0, 0];
  for (let turn = 0; turn < 12; turn++) {
    await stream(cache, 2 * MiB, { priority: 'low', isPinned: false });
    const present = [high, normal, low].map(presentBytes);
    for (const [index, bytes] of present.entries()) sums[index]! += bytes;
    if (present[2]! > 0) assert.equal(present[0], 4 * MiB, 'none of high goes while there is low');
  }
  assert.ok(sums[0]! > 1.3 * sums[1]! && sums[1]! > 1.3 * sums[2]!, `${sums}`);
  await stream(cache, 80 * MiB, { priority: 'low', isPinned: false });
  assert.equal(presentBytes(high), 0, 'a head start, not a place for ever');
});

test('a high file that is read now and then outlives a stream of normal ones', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open({ random: seededRandom(77) });
  const high = cache.file(cacheKey(1), cacheStamp(4 * MiB));
  high.setCare({ priority: 'high', isPinned: false });
  const normal = await fill(cache, 2, 4 * MiB);
  await fill({ file: () => high }, 1, 4 * MiB);
  for (let turn = 0; turn < 6; turn++) {
    await stream(cache, 8 * MiB);
    await checkPattern(high, 1, 4 * MiB);
  }
  assert.ok(presentBytes(high) > 3.5 * MiB, `${presentBytes(high)}`);
  assert.equal(presentBytes(normal), 0);
});

test('pinned files stay: what was there before, what comes later; until their owner unpins them or ends', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open({ random: seededRandom(77) });
  const owner = cache.owner({ name: 'one' });
  const store = owner.store(origin);
  const before = await fill(store, 1, 3 * MiB);
  before.setCare({ priority: 'low', isPinned: true });
  const later = store.file(cacheKey(2), cacheStamp(3 * MiB));
  later.setCare({ priority: 'low', isPinned: true });
  await fill({ file: () => later }, 2, 3 * MiB);
  await stream(store, 60 * MiB);
  assert.deepEqual([presentBytes(before), presentBytes(later)], [3 * MiB, 3 * MiB]);
  assert.equal(cache.stat().pinnedBytes, 6 * MiB);
  cache
    .owner({ name: 'two' })
    .store(origin)
    .file(cacheKey(1), cacheStamp(3 * MiB))
    .setCare({ priority: 'low', isPinned: false });
  await stream(store, 30 * MiB);
  assert.equal(presentBytes(before), 3 * MiB, 'it was another who did not want it');
  before.setCare({ priority: 'low', isPinned: false });
  await stream(store, 60 * MiB);
  assert.deepEqual([presentBytes(before), presentBytes(later)], [0, 3 * MiB]);
  owner.end();
  await stream(cache, 60 * MiB);
  assert.equal(presentBytes(later), 0);
  assert.equal(cache.stat().pinnedBytes, 0);
});

test('pins keep half of the cache at most; the oldest beyond it lose theirs, and the cache goes on for others', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open({ random: seededRandom(77) });
  const store = cache.owner({ name: 'one' }).store(origin);
  const files: CachedFile[] = [];
  for (let number = 0; number < 6; number++) {
    const file = store.file(cacheKey(number), cacheStamp(3 * MiB));
    file.setCare({ priority: 'normal', isPinned: true });
    files.push(await fill({ file: () => file }, number, 3 * MiB));
    assert.ok(cache.stat().pinnedBytes <= (cache.stat().frameCount / 2) * frameBytes);
  }
  await stream(cache, 90 * MiB);
  const present = files.map(presentBytes);
  const all = present.reduce((sum, bytes) => sum + bytes, 0);
  const half = (cache.stat().frameCount / 2) * frameBytes;
  assert.ok(all <= half && all > 0.8 * half, `${all} of ${half}`);
  assert.ok(present[0]! + present[1]! < present[4]! + present[5]!, `the oldest go: ${present}`);
  const late = await fill(cache, 99, MiB);
  assert.equal(presentBytes(late), MiB);
});

test('a pin without an owner has no effect', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open({ random: seededRandom(77) });
  const file = await fill(cache, 1, MiB);
  file.setCare({ priority: 'normal', isPinned: true });
  await stream(cache, 60 * MiB);
  assert.equal(presentBytes(file), 0);
});

test('a full quota: the session’s own blocks go, others lose no more than a block a set', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open({ random: seededRandom(77) });
  const small = cache.owner({ name: 'small', quotaBytes: 3 * MiB });
  const large = cache.owner({ name: 'large' });
  const theirs = await fill(large.store(origin), 1, 11 * MiB);
  for (let turn = 0; turn < 40; turn++) {
    await stream(small.store(origin), 4 * MiB);
    assert.ok(small.stat().occupiedBytes <= 3 * MiB, `${small.stat().occupiedBytes}`);
  }
  assert.ok(small.stat().occupiedBytes > 2.5 * MiB);
  const lost = (11 * MiB - presentBytes(theirs)) / frameBytes;
  assert.ok(lost <= setCount(cache), `${lost} blocks of ${setCount(cache)} sets`);
  assert.ok(small.stat().evictions > 1000 && large.stat().evictions === lost);
  assert.equal(large.stat().occupiedBytes, presentBytes(theirs));
});

test('in a full quota the blocks that came last are kept, not those that came first', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open({ random: seededRandom(77) });
  const mine = await fill(cache.owner({ name: 'mine', quotaBytes: 3 * MiB }).store(origin), 1, 9 * MiB);
  // As much as is free, and as what is beyond the quota.
  await stream(cache.owner({ name: 'other' }).store(origin), 12 * MiB);
  const present = [0, 3, 6].map((at) => {
    const missing = mine.missing(at * MiB, 3 * MiB).reduce((sum, range) => sum + range.count, 0);
    return 3 * MiB - missing;
  });
  assert.ok(present[2]! >= 2.5 * MiB, `${present}`);
  assert.ok(present[0]! <= MiB, `${present}`);
});

test('without a quota the same stream pushes the others out', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open({ random: seededRandom(77) });
  const theirs = await fill(cache.owner({ name: 'large' }).store(origin), 1, 11 * MiB);
  await stream(cache.owner({ name: 'small' }).store(origin), 100 * MiB);
  assert.equal(presentBytes(theirs), 0);
});

test('a quota that shrinks holds at once, and pins do not stretch it', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open({ random: seededRandom(77) });
  const owner = cache.owner({ name: 'one' });
  const file = owner.store(origin).file(cacheKey(1), cacheStamp(6 * MiB));
  file.setCare({ priority: 'high', isPinned: true });
  await fill({ file: () => file }, 1, 6 * MiB);
  assert.equal(owner.stat().occupiedBytes, 6 * MiB);
  owner.setQuota(2 * MiB);
  assert.deepEqual([owner.stat().occupiedBytes, owner.stat().quotaBytes], [2 * MiB, 2 * MiB]);
  assert.equal(presentBytes(file), 6 * MiB, 'it goes when somebody needs the room');
  await stream(cache, 40 * MiB);
  assert.equal(presentBytes(file), 2 * MiB, 'what is within the quota stays pinned');
  owner.setQuota(undefined);
  assert.equal(owner.stat().quotaBytes, undefined);
});

test('a shared block counts for who brought it in; a block of nobody for who reads it next', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open({ random: seededRandom(77) });
  const one = cache.owner({ name: 'one' });
  await fill(one.store(origin), 1, 2 * MiB);
  const two = cache.owner({ name: 'two', quotaBytes: MiB });
  await checkPattern(two.store(origin).find(cacheKey(1))!, 1, 2 * MiB);
  assert.deepEqual([one.stat().occupiedBytes, two.stat().occupiedBytes], [2 * MiB, 0]);
  one.end();
  assert.deepEqual([one.stat().occupiedBytes, two.stat().occupiedBytes], [0, 0]);
  await checkPattern(two.store(origin).find(cacheKey(1))!, 1, 2 * MiB);
  assert.equal(two.stat().occupiedBytes, MiB, 'as far as its quota goes');
  await cache.close();
  const again = await fixture.open({ random: seededRandom(77) });
  const three = again.owner({ name: 'two' });
  assert.equal(three.stat().occupiedBytes, 0, 'a cache that is opened anew begins with nobody’s blocks');
  await checkPattern(three.store(origin).find(cacheKey(1))!, 1, 2 * MiB);
  assert.equal(three.stat().occupiedBytes, 2 * MiB);
});

test('figures are of one owner, and end with it', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open({ random: seededRandom(77) });
  const [one, two] = [cache.owner({ name: 'one' }), cache.owner({ name: 'two' })];
  const file = await fill(one.store(origin), 1, MiB);
  await readAll(file, 0, 10_000);
  const theirs = two.store(origin).find(cacheKey(1))!;
  await readAll(theirs, 0, 4096);
  await readAll(theirs, 0, 4096);
  await readAll(two.store(origin).file(cacheKey(2), cacheStamp(MiB)), 0, 4096);
  const none = { quotaBytes: undefined, evictions: 0 };
  assert.deepEqual(one.stat(), { ...none, occupiedBytes: MiB, hits: 1, hitBytes: 10_000, misses: 0, fillBytes: MiB });
  assert.deepEqual(two.stat(), { ...none, occupiedBytes: 0, hits: 2, hitBytes: 8192, misses: 1, fillBytes: 0 });
  assert.deepEqual(cache.owner({ name: 'two' }).stat(), two.stat(), 'the same name is the same owner');
  two.end();
  const zeros = { ...none, occupiedBytes: 0, hits: 0, hitBytes: 0, misses: 0, fillBytes: 0 };
  const other = cache.owner({ name: 'three' });
  assert.deepEqual([two.stat(), other.stat()], [zeros, zeros], 'who gets its row does not inherit');
  assert.deepEqual([cache.stat().hits, cache.stat().misses], [3, 1]);
});

test('owners come and go; those beyond what the table holds are served without an account', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open({ random: seededRandom(77) });
  for (let turn = 0; turn < 3; turn++) {
    const owners = Array.from({ length: 4096 }, (_, index) => cache.owner({ name: `${turn} ${index}` }));
    const last = owners.at(-1)!;
    const file = await fill(last.store(origin), 1, MiB);
    assert.equal(await checkPattern(file, 1, MiB), 256);
    assert.equal(last.stat().hits, 0);
    for (const owner of owners) owner.end();
    const next = cache.owner({ name: 'next' });
    await readAll(next.store(origin).find(cacheKey(1))!, 0, 4096);
    assert.equal(next.stat().hits, 1);
    next.end();
  }
});
