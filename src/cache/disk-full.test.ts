import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CacheFixture, cacheKey, cacheStamp, checkPattern, fillPattern, SimulatedClock } from '../testing/mod.ts';
import type { CacheDisk } from './contract.ts';
import { systemDisk } from './disk.ts';

const MiB = 1024 * 1024;

/** A disk that has no room for banks, or for anything, while told so. */
class FaultyDisk implements CacheDisk {
  full: 'no' | 'banks' | 'all' = 'no';
  shortBytes = Number.POSITIVE_INFINITY;

  writev(fd: number, slices: readonly Uint8Array[], position: number): Promise<number> {
    const bytes = slices.reduce((sum, slice) => sum + slice.length, 0);
    if (this.full === 'all' || (this.full === 'banks' && bytes >= 4096 && bytes % 4096 === 0)) {
      return Promise.reject(Object.assign(new Error('no room'), { code: 'ENOSPC' }));
    }
    if (bytes <= this.shortBytes) return systemDisk.writev(fd, slices, position);
    return systemDisk.writev(fd, [slices[0]!.subarray(0, this.shortBytes)], position);
  }

  datasync(fd: number): Promise<void> {
    return systemDisk.datasync(fd);
  }
}

test('a full disk costs the frames that did not fit; the cache says so once and tries again', async () => {
  await using fixture = new CacheFixture();
  const disk = new FaultyDisk();
  const clock = new SimulatedClock();
  const cache = await fixture.open({ disk, clock });
  const stamp = cacheStamp(4 * MiB);
  const file = cache.file(cacheKey(1), stamp);
  assert.equal(await fillPattern(file, stamp, 1, 0, MiB), MiB);
  disk.full = 'banks';
  assert.equal(await fillPattern(file, stamp, 1, MiB, MiB), 0);
  assert.equal(await fillPattern(file, stamp, 1, 2 * MiB, MiB), 0);
  assert.equal(await checkPattern(file, 1, 4 * MiB), 256);
  const { diskErrors, fillsDropped, framesUsed } = cache.stat();
  assert.deepEqual({ diskErrors, fillsDropped, framesUsed }, { diskErrors: 1, fillsDropped: 1, framesUsed: 16 });
  assert.equal(fixture.log.lines.filter((line) => line.includes('does not take more data')).length, 1);
  disk.full = 'no';
  await clock.advance(1500);
  assert.equal(await fillPattern(file, stamp, 1, MiB, MiB), MiB);
  assert.ok(fixture.log.has('takes data again'));
  assert.equal(await checkPattern(file, 1, 4 * MiB), 512);
});

test('short writes are carried on', async () => {
  await using fixture = new CacheFixture();
  const disk = new FaultyDisk();
  const cache = await fixture.open({ disk });
  disk.shortBytes = 5000;
  const stamp = cacheStamp(MiB);
  const file = cache.file(cacheKey(1), stamp);
  assert.equal(await fillPattern(file, stamp, 1, 0, MiB), MiB);
  assert.equal(await checkPattern(file, 1, MiB), 256);
});

test('an index that cannot take an invalidation is given up, and the next open finds nothing', async () => {
  await using fixture = new CacheFixture();
  const disk = new FaultyDisk();
  const cache = await fixture.open({ disk });
  const stamp = cacheStamp(MiB);
  const file = cache.file(cacheKey(1), stamp);
  await fillPattern(file, stamp, 1, 0, MiB);
  await cache.sync();
  disk.full = 'all';
  (await file.beginWrite(0, 4096)).abandon();
  assert.equal(await checkPattern(file, 1, MiB), 255);
  assert.ok(fixture.log.has('will be empty'));
  await cache.close();
  const again = await fixture.open();
  assert.equal(again.stat().framesUsed, 0);
});
