/** A thread that has ended in the middle: nobody waits for what it held, and nothing that it left half done is believed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '../base/mod.ts';
import {
  CacheFixture,
  cacheKey,
  cacheStamp,
  checkPattern,
  fillPattern,
  patternBytes,
  readAll,
  SimulatedClock,
} from '../testing/mod.ts';
import { systemDisk } from './disk.ts';
import { frameBytes, recordWays, recordWords, setBytes } from './geometry.ts';
import { controlWord, recordFlag, recordWord } from './memory.ts';
import { type CacheDisk, type CacheShare, CleanCache } from './mod.ts';

const size = 256 * 1024;
const sources = { clock: systemClock, random: systemRandom, log: silentLog };
/** Long, and less than anybody waits for a lock of a thread that may live. */
const timeout = 20_000;

/** What comes first of tags is written in part, and there the thread ends. */
function endingDisk(): { readonly disk: CacheDisk; readonly ended: Promise<void> } {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const disk: CacheDisk = {
    ...systemDisk,
    async writev(fd, slices, position) {
      const [bytes] = slices;
      if (slices.length !== 1 || bytes!.length % setBytes !== 0) return systemDisk.writev(fd, slices, position);
      await systemDisk.writev(fd, [bytes!.subarray(0, bytes!.length - setBytes / 2)], position);
      resolve();
      return new Promise(() => {});
    },
  };
  return { disk, ended };
}

/** Words of the shared memory, as a thread sees them that is about to be ended. */
function words(share: CacheShare, name: string): Int32Array {
  return new Int32Array(share.memory[name]!);
}

test('a thread that ends while it writes the index keeps nobody waiting, and its half-written part is written again', {
  timeout,
}, async () => {
  await using fixture = new CacheFixture();
  let cache = await fixture.open();
  const share = cache.share();
  const { disk, ended } = endingDisk();
  const other = CleanCache.attach(share, { ...sources, disk });
  await fillPattern(other.file(cacheKey(1), cacheStamp(size)), cacheStamp(size), 1, 0, size);
  void other.sync();
  await ended;
  const file = cache.file(cacheKey(2), cacheStamp(size));
  await fillPattern(file, cacheStamp(size), 2, 0, size);
  // Waits for the index already when the end is noticed.
  const write = file.beginWrite(0, 4096);
  cache.lost(share);
  (await write).abandon();
  await cache.close();
  cache = await fixture.open();
  assert.deepEqual(fixture.log.warnings, [], 'no part of the index is damaged');
  assert.equal(await checkPattern(cache.file(cacheKey(1), cacheStamp(size)), 1, size), size / 4096);
});

test('what a thread dropped and could not tell the index file stays dropped over a close', { timeout }, async () => {
  await using fixture = new CacheFixture();
  let cache = await fixture.open();
  const stamp = cacheStamp(size);
  await fillPattern(cache.file(cacheKey(1), stamp), stamp, 1, 0, size);
  await cache.sync();
  const share = cache.share();
  // Its clock stands still: it will not write.
  const other = CleanCache.attach(share, { ...sources, clock: new SimulatedClock() });
  other.file(cacheKey(1), stamp).invalidate(0, size);
  cache.lost(share);
  await cache.close();
  cache = await fixture.open();
  assert.equal(await readAll(cache.file(cacheKey(1), stamp), 0, 4096), undefined);
});

test('locks of a thread that has ended are free at once, those of others are not', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const [share, living] = [cache.share(), cache.share()];
  const locks = ['setLocks', 'recordLocks'].map((name) => words(share, name));
  const control = words(share, 'control');
  for (const lock of locks) {
    lock[1] = share.attachment + 1;
    lock[2] = living.attachment + 1;
  }
  control[controlWord.accountLock] = share.attachment + 1;
  control[controlWord.indexMutex] = living.attachment + 1;
  cache.lost(share);
  for (const lock of locks) assert.deepEqual([lock[1], lock[2]], [0, living.attachment + 1]);
  assert.equal(control[controlWord.accountLock], 0);
  assert.equal(control[controlWord.indexMutex], living.attachment + 1);
  for (const lock of locks) lock[2] = 0;
  cache.lost(living);
  assert.equal(control[controlWord.indexMutex], 0);
});

test('a record that was being changed is not believed, neither now nor after a close', async () => {
  await using fixture = new CacheFixture();
  let cache = await fixture.open();
  const stamp = cacheStamp(size);
  await fillPattern(cache.file(cacheKey(1), stamp), stamp, 1, 0, size);
  await cache.sync();
  const share = cache.share();
  const records = words(share, 'records');
  const slot = records.findIndex((word, at) => at % recordWords === recordWord.flags && (word & recordFlag.used) !== 0);
  // Its version is dead, all else is as it was; the lock is held, and the index file was not told.
  records[slot - recordWord.flags + recordWord.version] = 0;
  words(share, 'recordLocks')[Math.floor(slot / recordWords / recordWays)] = share.attachment + 1;
  cache.lost(share);
  assert.equal(cache.find(cacheKey(1)), undefined);
  assert.equal(cache.stat().filesUsed, 0);
  await cache.close();
  cache = await fixture.open();
  assert.equal(cache.find(cacheKey(1)), undefined);
});

test('a record without a version is nobody’s, whoever finds it', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const stamp = cacheStamp(size);
  await fillPattern(cache.file(cacheKey(1), stamp), stamp, 1, 0, size);
  const share = cache.share();
  const records = words(share, 'records');
  const slot = records.findIndex((word, at) => at % recordWords === recordWord.flags && (word & recordFlag.used) !== 0);
  records[slot - recordWord.flags + recordWord.version] = 0;
  cache.lost(share);
  assert.equal(cache.find(cacheKey(1)), undefined);
  const file = cache.file(cacheKey(1), stamp);
  assert.equal(await readAll(file, 0, 4096), undefined);
  assert.equal(cache.stat().filesUsed, 1);
  assert.notEqual(records[slot - recordWord.flags + recordWord.version], 0);
});

test('writes that a thread had under way hinder nobody from keeping what is read later; those of others still do', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const stamp = cacheStamp(size);
  const [share, living] = [cache.share(), cache.share()];
  const [lost, other] = [share, living].map((one) => CleanCache.attach(one, sources));
  const file = cache.file(cacheKey(1), stamp);
  await lost!.file(cacheKey(1), stamp).beginWrite(0, size);
  await lost!.file(cacheKey(1), stamp).beginWrite(0, 4096);
  await lost!.file(cacheKey(2), stamp).beginWrite(0, Number.POSITIVE_INFINITY);
  (await lost!.file(cacheKey(1), stamp).beginWrite(0, size)).abandon();
  const write = await other!.file(cacheKey(1), stamp).beginWrite(0, 8192);
  const asked = file.ticket(65_536, 4096);
  assert.equal(asked.good, false);
  cache.lost(share);
  assert.equal(await file.fill(asked, stamp, 65_536, [patternBytes(1, 65_536, 4096)], 4096), 0, 'asked before');
  assert.equal(await fillPattern(file, stamp, 1, 8192, size - 8192), size - 8192);
  assert.equal(await fillPattern(cache.file(cacheKey(2), stamp), stamp, 2, 0, size), size);
  assert.equal(await fillPattern(file, stamp, 1, 0, 4096), 0, 'the other thread’s write is still under way');
  write.abandon();
  assert.equal(await fillPattern(file, stamp, 1, 0, 8192), 8192);
  assert.ok(words(living, 'guardInFlight').every((count) => count === 0));
  cache.lost(share);
  assert.ok(words(living, 'guardInFlight').every((count) => count === 0));
  await other!.close();
});

test('what a thread was putting on the disk may be put there by others; its places are free', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const stamp = cacheStamp(size);
  const file = cache.file(cacheKey(1), stamp);
  await fillPattern(file, stamp, 1, 0, 4096);
  const share = cache.share();
  const disk: CacheDisk = { ...systemDisk, writev: () => new Promise(() => {}) };
  const other = CleanCache.attach(share, { ...sources, disk });
  void fillPattern(other.file(cacheKey(1), stamp), stamp, 1, 0, size);
  void fillPattern(other.file(cacheKey(2), stamp), stamp, 2, 0, size);
  const frames = size / frameBytes;
  assert.equal(cache.stat().framesUsed, 2 * frames);
  cache.lost(share);
  assert.equal(cache.stat().framesUsed, 1);
  assert.equal(await fillPattern(file, stamp, 1, 0, size), size - 4096);
  assert.equal(await checkPattern(file, 1, size), size / 4096);
  assert.equal(cache.stat().framesUsed, frames);
});
