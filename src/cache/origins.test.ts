/** Files of one origin are dropped alone, at once, for all threads, and for good. */
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
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
} from '../testing/mod.ts';
import { CleanCache } from './mod.ts';

const MiB = 1024 * 1024;
const stamp = cacheStamp(MiB);

test('files of one origin are dropped, those of another stay; what was under way is refused', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const owner = cache.owner({ name: 'one' });
  const [home, golden] = [owner.store('nfs:home:1'), owner.store('nfs:golden:1')];
  const mine = home.file(cacheKey(1), stamp);
  const other = golden.file(cacheKey(2), stamp);
  const unknown = cache.file(cacheKey(3), stamp);
  for (const [number, file] of [mine, other, unknown].entries()) await fillPattern(file, stamp, number, 0, MiB);
  const ticket = mine.ticket(0, 4096);
  const attached = CleanCache.attach(cache.share(), { clock: systemClock, log: silentLog, random: systemRandom });
  const clearing = attached.owner({ name: 'two' }).store('nfs:home:1').clear();
  assert.equal(mine.live, false, 'at once, before it is on the disk');
  assert.equal(await readAll(mine, 0, 4096), undefined);
  assert.equal(await mine.fill(ticket, stamp, 0, [patternBytes(0, 0, 4096)], 4096), 0);
  await clearing;
  assert.equal(home.find(cacheKey(1)), undefined);
  assert.equal(cache.find(cacheKey(3)), undefined, 'a file of no known origin may be of this one');
  assert.equal(await checkPattern(other, 1, MiB), 256);
  assert.equal(await fillPattern(home.file(cacheKey(1), stamp), stamp, 5, 0, 4096), 4096, 'it goes on');
  await attached.close();
});

test('what was dropped stays dropped after kill -9, and each file’s origin is known after a restart', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const store = (name: string) => cache.owner({ name: 'one' }).store(name);
  for (const number of [1, 2, 3])
    await fillPattern(store(`origin ${number}`).file(cacheKey(number), stamp), stamp, number, 0, MiB);
  await cache.sync();
  await store('origin 1').clear();
  const left = join(fixture.root, 'killed');
  cpSync(fixture.directory, left, { recursive: true });
  const again = await fixture.open({ directory: left });
  assert.equal(again.find(cacheKey(1)), undefined);
  await again.owner({ name: 'new' }).store('origin 2').clear();
  assert.equal(again.find(cacheKey(2)), undefined);
  assert.equal(await checkPattern(again.find(cacheKey(3))!, 3, MiB), 256);
});

test('a file that was kept before its origin was told belongs to it when it is opened through its store', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  await fillPattern(cache.file(cacheKey(1), stamp), stamp, 1, 0, MiB);
  const owner = cache.owner({ name: 'one' });
  owner.store('mine').file(cacheKey(1), stamp);
  await owner.store('other').clear();
  assert.equal(await checkPattern(cache.find(cacheKey(1))!, 1, MiB), 256);
  cache.file(cacheKey(1), cacheStamp(MiB, 2));
  await owner.store('other').clear();
  assert.notEqual(cache.find(cacheKey(1)), undefined, 'a new version is of the same origin');
  await owner.store('mine').clear();
  assert.equal(cache.find(cacheKey(1)), undefined);
});
