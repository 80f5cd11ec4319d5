import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, fsyncSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CacheFixture, cacheKey, cacheStamp, fillPattern, patternBytes, readAll } from '../testing/mod.ts';

const MiB = 1024 * 1024;

/** Makes the bank's pages leave the page cache, after an optional change that the cache does not know of. */
function dropPages(path: string, change?: { position: number; bytes: Uint8Array }): void {
  const descriptor = openSync(path, 'r+');
  if (change !== undefined) writeSync(descriptor, change.bytes, 0, change.bytes.length, change.position);
  fsyncSync(descriptor);
  closeSync(descriptor);
  const { status } = spawnSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' });
  assert.equal(status, 0);
}

test('data that are not in the page cache are read from the disk, several reads at once, and are right', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const stamp = cacheStamp(4 * MiB);
  const file = cache.file(cacheKey(1), stamp);
  for (let at = 0; at < 4 * MiB; at += MiB) await fillPattern(file, stamp, 1, at, MiB);
  const banks = join(fixture.directory, 'banks');
  for (const name of readdirSync(banks)) dropPages(join(banks, name));
  const starts = Array.from({ length: 32 }, (_, index) => index * 120_000 + 17);
  const results = await Promise.all(starts.map((start) => readAll(file, start, 70_000)));
  for (const [index, start] of starts.entries()) assert.deepEqual(results[index], patternBytes(1, start, 70_000));
  assert.equal(cache.stat().misses, 0);
});

test('a sector that long reads verified before is verified again when it comes from the disk once more', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const stamp = cacheStamp(MiB);
  const file = cache.file(cacheKey(1), stamp);
  await fillPattern(file, stamp, 1, 0, MiB);
  assert.ok(await readAll(file, 0, MiB));
  assert.ok(await readAll(file, 0, MiB));
  const banks = join(fixture.directory, 'banks');
  for (const name of readdirSync(banks))
    dropPages(join(banks, name), { position: 2 * 65_536 + 100, bytes: Uint8Array.of(1, 2, 3) });
  const slowBefore = cache.stat().slowReads;
  const bytes = await readAll(file, 0, MiB);
  if (cache.stat().slowReads === slowBefore) return; // Pages of this file system cannot be dropped (tmpfs).
  assert.ok(bytes === undefined || bytes.equals(patternBytes(1, 0, MiB)));
  for (let at = 0; at < MiB; at += 65_536) {
    const part = await readAll(file, at, 65_536);
    assert.ok(part === undefined || part.equals(patternBytes(1, at, 65_536)));
  }
});
