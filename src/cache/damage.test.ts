import assert from 'node:assert/strict';
import {
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
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
import { geometryFor, recordsOffset } from './geometry.ts';
import { formatVersion } from './index-format.ts';
import { CleanCache } from './mod.ts';

const MiB = 1024 * 1024;
const size = 2 * MiB;
const sectors = size / 4096;
const stamp = cacheStamp(size);

async function prepared(fixture: CacheFixture): Promise<void> {
  const cache = await fixture.open();
  for (const number of [1, 2]) {
    const file = cache.file(cacheKey(number), stamp);
    await fillPattern(file, stamp, number, 0, size / 2);
    await fillPattern(file, stamp, number, size / 2, size / 2);
  }
  await cache.close();
}

function banks(fixture: CacheFixture): string[] {
  const directory = join(fixture.directory, 'banks');
  return readdirSync(directory).map((name) => join(directory, name));
}

/** Flips one bit in place, so that holes stay holes. */
function flip(path: string, position: number, bit: number): void {
  const byte = readFileSync(path)[position]!;
  const descriptor = openSync(path, 'r+');
  writeSync(descriptor, Uint8Array.of(byte ^ (1 << bit)), 0, 1, position);
  closeSync(descriptor);
}

async function presentNow(fixture: CacheFixture): Promise<number> {
  const cache = await fixture.open();
  let present = 0;
  for (const number of [1, 2]) present += await checkPattern(cache.file(cacheKey(number), stamp), number, size);
  await cache.close();
  return present;
}

function refused(code: string) {
  return (error: unknown) => error instanceof Error && 'code' in error && error.code === code;
}

test('bits that flip in the banks never give wrong bytes, and each costs one sector', async () => {
  await using fixture = new CacheFixture();
  await prepared(fixture);
  const choose = chooser(21);
  const used = banks(fixture).filter((path) => statSync(path).blocks > 0);
  for (let turn = 0; turn < 40; turn++) {
    const path = used[choose(used.length)]!;
    flip(path, choose(statSync(path).size), choose(8));
  }
  const cache = await fixture.open();
  const report = await cache.verify();
  assert.equal(report.goodSectors + report.badSectors, 2 * sectors);
  assert.ok(report.badSectors > 0 && report.badSectors <= 40);
  await cache.close();
  assert.equal(await presentNow(fixture), report.goodSectors);
});

test('a long read notices a flipped bit at its first look after opening', async () => {
  await using fixture = new CacheFixture();
  await prepared(fixture);
  for (const path of banks(fixture)) flip(path, 3 * 65_536 + 777, 3);
  const cache = await fixture.open();
  for (const number of [1, 2]) {
    const file = cache.file(cacheKey(number), stamp);
    for (let turn = 0; turn < 2; turn++) {
      for (let offset = 0; offset < size; offset += MiB) {
        const bytes = await readAll(file, offset, MiB);
        assert.ok(bytes === undefined || bytes.equals(patternBytes(number, offset, MiB)));
      }
    }
  }
});

test('bits that flip anywhere in the index never give wrong bytes', async () => {
  await using fixture = new CacheFixture();
  await prepared(fixture);
  const choose = chooser(22);
  const index = join(fixture.directory, 'index');
  let present = 0;
  for (let turn = 0; turn < 12; turn++) {
    for (let flips = 0; flips < 4; flips++) flip(index, choose(statSync(index).size), choose(8));
    present = await presentNow(fixture);
  }
  assert.ok(present > 0, 'most of it survives 48 flipped bits');
});

test('one damaged copy of the header costs nothing; two start the cache anew with a word', async () => {
  await using fixture = new CacheFixture();
  await prepared(fixture);
  const index = join(fixture.directory, 'index');
  flip(index, 45, 1);
  assert.equal(await presentNow(fixture), 2 * sectors);
  flip(index, 45, 1);
  flip(index, 4096 + 30, 1);
  assert.equal(await presentNow(fixture), 0);
  assert.ok(fixture.log.has('header of the cache index is damaged'));
});

test('a truncated index or bank is absent there and right elsewhere', async () => {
  await using fixture = new CacheFixture();
  await prepared(fixture);
  const path = banks(fixture).find((bank) => statSync(bank).blocks > 0)!;
  truncateSync(path, 65_536 * 5 + 1234);
  const present = await presentNow(fixture);
  assert.ok(present > 0 && present < 2 * sectors);
  const index = join(fixture.directory, 'index');
  truncateSync(index, statSync(index).size - 5000);
  assert.ok((await presentNow(fixture)) <= present);
  assert.ok(fixture.log.warnings.some((line) => line.includes('index is truncated')));
  truncateSync(index, 9000);
  assert.match(CleanCache.readStat(fixture.directory).damage ?? '', /truncated: 9000 of \d+ bytes/);
  const cache = await fixture.open();
  assert.match((await cache.verify()).indexDamage.join(), /truncated: 9000/);
  await cache.close();
  assert.equal(CleanCache.readStat(fixture.directory).damage, undefined, 'repaired by the open');
  assert.equal(await presentNow(fixture), 0);
  truncateSync(index, 0);
  assert.throws(() => CleanCache.readStat(fixture.directory), refused('CACHE_DAMAGED'));
  assert.equal(await presentNow(fixture), 0);
  assert.ok(fixture.log.has('missing or damaged'));
});

test('a foreign directory is refused and left as it is', async () => {
  await using fixture = new CacheFixture();
  mkdirSync(fixture.directory);
  writeFileSync(join(fixture.directory, 'index'), 'of another program');
  await assert.rejects(fixture.open(), refused('CACHE_FOREIGN'));
  assert.deepEqual(readdirSync(fixture.directory), ['index']);
  assert.throws(() => CleanCache.readStat(fixture.directory), refused('CACHE_FOREIGN'));
});

test('a directory in use is refused with the pid of its user', async () => {
  await using fixture = new CacheFixture();
  await fixture.open();
  await assert.rejects(
    fixture.open(),
    (error) => refused('CACHE_IN_USE')(error) && String(error).includes(`process ${process.pid}`),
  );
});

test('a newer format is refused, another size starts anew, too small a size is refused', async () => {
  await using fixture = new CacheFixture();
  await prepared(fixture);
  const larger = await fixture.open({ sizeBytes: 20 * MiB });
  assert.equal(larger.stat().framesUsed, 0);
  await larger.close();
  assert.ok(fixture.log.warnings.some((line) => line.includes('another size')));
  await assert.rejects(fixture.open({ sizeBytes: 1000 }), refused('CONFIGURATION_INVALID'));
  const header = readFileSync(join(fixture.directory, 'index')).subarray(0, 4096);
  header.writeUInt32LE(formatVersion + 1, 16);
  header.writeUInt32LE(crc32(header.subarray(0, 76)), 76);
  const descriptor = openSync(join(fixture.directory, 'index'), 'r+');
  for (const position of [0, 4096]) writeSync(descriptor, header, 0, 4096, position);
  closeSync(descriptor);
  await assert.rejects(fixture.open(), refused('CACHE_VERSION'));
});

test('older copies of the index or of banks, in any mixture, never give wrong bytes', async () => {
  const choose = chooser(23);
  for (let round = 0; round < 4; round++) {
    await using fixture = new CacheFixture();
    const copies: string[] = [];
    // Each generation has other content under another stamp; the last of them is the origin's.
    let origin = 0;
    for (let generation = 1; generation <= 4; generation++) {
      origin = generation;
      const cache = await fixture.open();
      const now = cacheStamp(size, generation);
      const file = cache.file(cacheKey(1), now);
      for (let turn = 0; turn < 6; turn++) {
        const offset = choose(sectors - 64) * 4096;
        await fillPattern(file, now, generation, offset, 64 * 4096);
      }
      await cache.close();
      const copy = join(fixture.root, `copy-${generation}`);
      cpSync(fixture.directory, copy, { recursive: true });
      copies.push(copy);
    }
    for (let mixture = 0; mixture < 4; mixture++) {
      for (const name of [
        'index',
        ...readdirSync(join(fixture.directory, 'banks')).map((bank) => join('banks', bank)),
      ]) {
        cpSync(join(copies[choose(copies.length)]!, name), join(fixture.directory, name));
      }
      const cache = await fixture.open();
      await checkPattern(cache.file(cacheKey(1), cacheStamp(size, origin)), origin, size);
      await cache.close();
    }
  }
});

test('tags of before our own write do not bring the old data back after the host went down', async () => {
  await using fixture = new CacheFixture();
  const index = join(fixture.directory, 'index');
  const cache = await fixture.open({ bootId: 'first boot' });
  const file = cache.file(cacheKey(1), stamp);
  await fillPattern(file, stamp, 1, 0, MiB);
  await cache.sync();
  const before = readFileSync(index);
  await (await file.beginWrite(8192, 100)).complete([], 0);
  await cache.sync();
  // The host dies when of the index only the mark is on the disk, and the times at the origin are too coarse to show the write.
  const dead = join(fixture.root, 'dead');
  cpSync(fixture.directory, dead, { recursive: true });
  const mixed = readFileSync(index);
  const tagsOffset = geometryFor(cache.stat().sizeBytes).tagsOffset;
  assert.ok(tagsOffset > recordsOffset && !before.subarray(tagsOffset).equals(mixed.subarray(tagsOffset)));
  before.copy(mixed, tagsOffset, tagsOffset);
  writeFileSync(join(dead, 'index'), mixed);
  const again = await fixture.open({ directory: dead, bootId: 'second boot' });
  assert.ok(again.find(cacheKey(1)) === undefined);
  assert.ok(fixture.log.has('the host went down'));
  // kill -9 in the same boot: the file is kept, without what was written.
  const third = join(fixture.root, 'third');
  cpSync(fixture.directory, third, { recursive: true });
  const killed = await fixture.open({ directory: third, bootId: 'first boot' });
  assert.deepEqual(killed.file(cacheKey(1), stamp).missing(0, MiB), [{ offset: 8192, count: 4096 }]);
  // After a clean close the next boot keeps it too.
  await cache.close();
  const clean = await fixture.open({ bootId: 'second boot' });
  assert.ok(clean.find(cacheKey(1))!.has(0, 8192));
});

test('an invalidation before a write of ours is in the index file before the write leaves', async () => {
  await using fixture = new CacheFixture();
  const cache = await fixture.open();
  const file = cache.file(cacheKey(1), stamp);
  await fillPattern(file, stamp, 1, 0, MiB);
  (await file.beginWrite(MiB, 4096)).abandon();
  await cache.sync();
  // Not the first write of the file: no mark to be synced takes the tags along.
  const write = await file.beginWrite(0, 65_536);
  const copy = join(fixture.root, 'copy');
  cpSync(fixture.directory, copy, { recursive: true });
  const other = await fixture.open({ directory: copy });
  assert.deepEqual(other.file(cacheKey(1), stamp).missing(0, MiB), [{ offset: 0, count: 65_536 }]);
  write.abandon();
});

test('a directory that cannot be made is refused at once', async () => {
  await using fixture = new CacheFixture();
  await assert.rejects(fixture.open({ directory: '/proc/viaduct/cache' }), refused('CONFIGURATION_INVALID'));
});

test('a size that memory cannot serve is refused with the memory that it needs, and what is kept stays', async () => {
  await using fixture = new CacheFixture();
  await prepared(fixture);
  for (const sizeBytes of [2 ** 47, 2 ** 52, Number.MAX_SAFE_INTEGER]) {
    await assert.rejects(
      fixture.open({ sizeBytes }),
      (error) => refused('CONFIGURATION_INVALID')(error) && /needs .* GiB of memory/.test(String(error)),
    );
  }
  assert.equal(await presentNow(fixture), 2 * sectors);
});
