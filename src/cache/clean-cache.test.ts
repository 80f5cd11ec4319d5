import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '../base/mod.ts';
import {
  CacheFixture,
  cacheKey,
  cacheStamp,
  checkPattern,
  chooser,
  fillPattern,
  patternBytes,
  readAll,
} from '../testing/mod.ts';
import { CleanCache } from './mod.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

test('what was filled is read back, at any alignment, and nothing else is present', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const size = MiB + 1000;
  const stamp = cacheStamp(size);
  const file = cache.file(cacheKey(1), stamp);
  assert.equal(await readAll(file, 0, 4096), undefined);
  assert.deepEqual(file.missing(100, 200_000), [{ offset: 0, count: 200_704 }]);
  assert.equal(await fillPattern(file, stamp, 3, 0, 300_000), 73 * 4096);
  for (const [offset, count] of [
    [0, 4096],
    [1, 1],
    [65_000, 2000],
    [4095, 200_000],
    [0, 73 * 4096],
  ] as const) {
    assert.deepEqual(await readAll(file, offset, count), patternBytes(3, offset, count), `${offset}+${count}`);
  }
  assert.equal(await readAll(file, 73 * 4096 - 1, 2), undefined);
  assert.equal(await fillPattern(file, stamp, 3, 73 * 4096, size - 73 * 4096), size - 73 * 4096);
  assert.deepEqual(await readAll(file, size - 10, 10), patternBytes(3, size - 10, 10));
  assert.equal(await readAll(file, size - 10, 11), undefined, 'beyond the end');
  assert.ok(file.has(0, size));
  assert.deepEqual(file.missing(0, size), []);
});

test('one fill in several odd slices is kept uncut', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const stamp = cacheStamp(MiB);
  const file = cache.file(cacheKey(1), stamp);
  const all = patternBytes(9, 4096, 200_704);
  const slices = [
    all.subarray(0, 1),
    all.subarray(1, 5000),
    all.subarray(5000, 5000),
    all.subarray(5000, 140_001),
    all.subarray(140_001),
  ];
  assert.equal(await file.fill(file.ticket(4096, 200_704), stamp, 4096, slices, 200_704), 200_704);
  assert.deepEqual(await readAll(file, 4096, 200_704), all);
});

test('another stamp is another version: the old data are absent, old objects refuse', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const old = cache.file(cacheKey(1), cacheStamp(MiB, 1));
  await fillPattern(old, cacheStamp(MiB, 1), 1, 0, MiB);
  const ticket = old.ticket(0, 4096);
  const young = cache.file(cacheKey(1), cacheStamp(MiB, 2));
  assert.equal(old.live, false);
  assert.equal(await checkPattern(young, 2, MiB), 0);
  assert.equal(await readAll(old, 0, 4096), undefined);
  assert.equal(await old.fill(ticket, cacheStamp(MiB, 1), 0, [patternBytes(1, 0, 4096)], 4096), 0);
  assert.equal(await fillPattern(young, cacheStamp(MiB, 1), 1, 0, 4096), 0, "the READ's own attributes must match");
  assert.equal(await fillPattern(young, cacheStamp(MiB, 2), 2, 0, 4096), 4096);
  cache.file(cacheKey(1), cacheStamp(MiB, 1));
  assert.equal(
    await readAll(cache.file(cacheKey(1), cacheStamp(MiB, 1)), 0, 4096),
    undefined,
    'a version does not come back',
  );
});

test('a full cache evicts within the set and never outgrows its size', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const choose = chooser(11);
  const size = 8 * MiB;
  for (let turn = 0; turn < 120; turn++) {
    const number = choose(6);
    const file = cache.file(cacheKey(number), cacheStamp(size));
    const offset = choose(size / 4096 - 64) * 4096;
    await fillPattern(file, cacheStamp(size), number, offset, (1 + choose(64)) * 4096);
  }
  await cache.sync();
  const { framesUsed, frameCount, evictions } = cache.stat();
  assert.ok(framesUsed > frameCount * 0.9 && framesUsed <= frameCount, `${framesUsed} of ${frameCount} frames`);
  assert.ok(evictions > 0);
  let present = 0;
  for (let number = 0; number < 6; number++) {
    present += await checkPattern(cache.file(cacheKey(number), cacheStamp(size)), number, size);
  }
  assert.equal(present * 4096, cache.stat().validBytes);
  const { diskBytes } = CleanCache.readStat(fixture.directory);
  assert.ok(diskBytes <= cache.stat().sizeBytes && diskBytes > 10 * MiB, `${diskBytes} bytes on disk`);
});

test('dead versions are evicted before live data', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const live = cache.file(cacheKey(1), cacheStamp(4 * MiB));
  for (let at = 0; at < 4 * MiB; at += MiB) await fillPattern(live, cacheStamp(4 * MiB), 1, at, MiB);
  for (let version = 1; version < 12; version++) {
    const other = cache.file(cacheKey(2), cacheStamp(4 * MiB, version));
    for (let at = 0; at < 4 * MiB; at += MiB) await fillPattern(other, cacheStamp(4 * MiB, version), version, at, MiB);
  }
  assert.ok((await checkPattern(live, 1, 4 * MiB)) > 0.95 * 1024);
});

test('a write makes its sectors absent, and its whole sectors present again when the origin took it', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const [before, after] = [cacheStamp(MiB, 1), cacheStamp(MiB, 2)];
  const file = cache.file(cacheKey(1), before);
  await fillPattern(file, before, 1, 0, MiB);
  const write = await file.beginWrite(6000, 20_000);
  assert.equal(await readAll(file, 8192, 4096), undefined);
  assert.ok(file.has(0, 4096) && file.has(28_672, 4096));
  assert.equal(file.ticket(8192, 4096).good, false);
  assert.ok(file.restamp(before, after));
  await write.complete([patternBytes(2, 6000, 20_000)], 20_000);
  assert.deepEqual(await readAll(file, 8192, 16_384), patternBytes(2, 8192, 16_384));
  assert.deepEqual(file.missing(0, MiB), [
    { offset: 4096, count: 4096 },
    { offset: 24_576, count: 4096 },
  ]);
  assert.ok(file.matches(after) && file.live);
});

test('a READ that left before a write, or during it, is not kept', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const stamp = cacheStamp(MiB);
  const file = cache.file(cacheKey(1), stamp);
  const early = file.ticket(0, 65_536);
  const elsewhere = file.ticket(131_072, 4096);
  const write = await file.beginWrite(4096, 4096);
  const during = file.ticket(0, 65_536);
  await write.complete([patternBytes(2, 4096, 4096)], 4096);
  const old = patternBytes(1, 0, 65_536);
  assert.equal(await file.fill(early, stamp, 0, [old], 65_536), 0);
  assert.equal(await file.fill(during, stamp, 0, [old], 65_536), 0);
  assert.equal(await file.fill(elsewhere, stamp, 131_072, [patternBytes(1, 131_072, 4096)], 4096), 4096);
  assert.deepEqual(await readAll(file, 4096, 4096), patternBytes(2, 4096, 4096));
  assert.equal(await fillPattern(file, stamp, 1, 0, 4096), 4096);
});

test('a fill that is on its way to the disk when a write begins is not published', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const stamp = cacheStamp(MiB);
  const file = cache.file(cacheKey(1), stamp);
  const filling = file.fill(file.ticket(0, MiB), stamp, 0, [patternBytes(1, 0, MiB)], MiB);
  const write = await file.beginWrite(8192, 4096);
  await filling;
  assert.equal(await readAll(file, 8192, 4096), undefined);
  await write.complete([patternBytes(2, 8192, 4096)], 4096);
  const now = await readAll(file, 8192, 4096);
  assert.ok(now === undefined || now.equals(patternBytes(2, 8192, 4096)));
});

test('two writes of one sector in flight leave it absent, whichever came last', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const file = cache.file(cacheKey(1), cacheStamp(MiB));
  const first = await file.beginWrite(0, 8192);
  const second = await file.beginWrite(4096, 8192);
  await second.complete([patternBytes(2, 4096, 8192)], 8192);
  await first.complete([patternBytes(1, 0, 8192)], 8192);
  assert.equal(await readAll(file, 4096, 4096), undefined);
  const third = await file.beginWrite(4096, 4096);
  await third.complete([patternBytes(3, 4096, 4096)], 4096);
  assert.deepEqual(await readAll(file, 4096, 4096), patternBytes(3, 4096, 4096));
});

test('a truncation drops what lies behind, also the sector that it cuts', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const [before, after, longer] = [cacheStamp(MiB, 1), cacheStamp(100_000, 2), cacheStamp(MiB, 3)];
  const file = cache.file(cacheKey(1), before);
  await fillPattern(file, before, 1, 0, MiB);
  const cut = await file.beginWrite(100_000, Number.POSITIVE_INFINITY);
  await cut.complete([], 0);
  assert.ok(file.restamp(before, after));
  assert.equal(file.size, 100_000);
  assert.equal(await readAll(file, 99_000, 500), undefined);
  assert.ok(file.restamp(after, longer));
  assert.deepEqual(file.missing(0, MiB), [{ offset: 98_304, count: MiB - 98_304 }]);
});

test('restamps that come in another order than the writes were done form the chain', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const stamps = [1, 2, 3, 4].map((version) => cacheStamp(MiB, version));
  const file = cache.file(cacheKey(1), stamps[0]!);
  assert.equal(file.restamp(stamps[2]!, stamps[3]!), false);
  assert.equal(file.restamp(stamps[1]!, stamps[2]!), false);
  assert.equal(file.restamp(stamps[0]!, stamps[1]!), true);
  assert.ok(file.matches(stamps[3]!));
});

test('all is there after close and open; stat tells while it is open and after', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const stamp = cacheStamp(3 * MiB);
  await fillPattern(cache.file(cacheKey(1), stamp), stamp, 1, MiB, MiB);
  assert.equal(CleanCache.readStat(fixture.directory).holder, process.pid);
  await cache.close();
  assert.equal(CleanCache.readStat(fixture.directory).stat.fillBytes, MiB);
  const again = await fixture.open();
  assert.equal(await checkPattern(again.file(cacheKey(1), stamp), 1, 3 * MiB), 256);
  assert.equal((await again.verify()).goodSectors, 256);
  again.file(cacheKey(1), stamp).forget();
  assert.ok(again.find(cacheKey(1)) === undefined);
});

test('offsets near the largest file are kept apart from small ones', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const stamp = cacheStamp(Number.MAX_SAFE_INTEGER);
  const file = cache.file(cacheKey(1), stamp);
  const far = 2 ** 47;
  assert.equal(await fillPattern(file, stamp, 4, far, 8192), 8192);
  assert.deepEqual(await readAll(file, far + 1, 8000), patternBytes(4, far + 1, 8000));
  assert.equal(await readAll(file, 0, 4096), undefined);
  assert.equal(await fillPattern(file, stamp, 4, 2 ** 52, 8192), 0, 'blocks are counted in 32 bits');
});

test('a cleared cache has nothing of any file, for all threads and after a restart, and what was under way is refused', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const other = CleanCache.attach(cache.share(), { clock: systemClock, log: silentLog, random: systemRandom });
  const stamp = cacheStamp(MiB);
  for (const number of [1, 2, 3]) await fillPattern(cache.file(cacheKey(number), stamp), stamp, number, 0, MiB);
  const late = cache.file(cacheKey(2), stamp);
  const ticket = late.ticket(0, 4096);
  await other.clear();
  assert.equal(cache.stat().filesUsed, 0);
  for (const number of [1, 2, 3]) assert.equal(cache.find(cacheKey(number)), undefined);
  assert.equal(await late.fill(ticket, stamp, 0, [patternBytes(2, 0, 4096)], 4096), 0);
  assert.equal(await readAll(cache.file(cacheKey(1), stamp), 0, 4096), undefined);
  assert.equal(await fillPattern(cache.file(cacheKey(1), stamp), stamp, 1, 0, 4096), 4096, 'it goes on');
  await other.clear();
  await other.close();
  await cache.close();
  const again = await fixture.open();
  assert.equal(again.find(cacheKey(1)), undefined);
});

test('a cache that was opened for nothing leaves nothing, but what was there before stays', async () => {
  await using fixture = new CacheFixture();
  const first = await fixture.open();
  await first.close({ unmake: true });
  assert.equal(existsSync(fixture.directory), false);
  mkdirSync(fixture.directory);
  await (await fixture.open()).close({ unmake: true });
  assert.deepEqual(readdirSync(fixture.directory), []);
  const used = await fixture.open();
  await fillPattern(used.file(cacheKey(1), cacheStamp(MiB)), cacheStamp(MiB), 1, 0, MiB);
  await used.close();
  await (await fixture.open()).close({ unmake: true });
  const again = await fixture.open();
  assert.deepEqual(await readAll(again.find(cacheKey(1))!, 0, 10), patternBytes(1, 0, 10));
});
