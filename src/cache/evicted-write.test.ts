/** A write to a block that a fill has just evicted, while the fill is on its way to the disk. */
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CacheFixture, cacheKey, cacheStamp, fillPattern, patternBytes } from '../testing/mod.ts';
import type { CacheDisk } from './contract.ts';
import { systemDisk } from './disk.ts';

const MiB = 1024 * 1024;

/** Holds back what is written to banks, not the index, while it is shut. */
class ShutDisk implements CacheDisk {
  isShut = false;
  private readonly waiting: (() => void)[] = [];
  private readonly index: () => number;

  constructor(index: () => number) {
    this.index = index;
  }

  async writev(fd: number, slices: readonly Uint8Array[], position: number): Promise<number> {
    if (this.isShut && fd !== this.index()) await new Promise<void>((resolve) => this.waiting.push(resolve));
    return systemDisk.writev(fd, slices, position);
  }

  datasync(fd: number): Promise<void> {
    return systemDisk.datasync(fd);
  }

  open(): void {
    this.isShut = false;
    for (const resume of this.waiting.splice(0)) resume();
  }
}

test('is known to the index file before the write leaves: kill -9 brings nothing of the block back', async () => {
  await using fixture = new CacheFixture();
  let indexDescriptor = -1;
  const disk = new ShutDisk(() => indexDescriptor);
  const watch: CacheDisk = {
    writev: (fd, slices, position) => {
      // The statistics page is the first that is written.
      if (indexDescriptor < 0) indexDescriptor = fd;
      return disk.writev(fd, slices, position);
    },
    datasync: (fd) => disk.datasync(fd),
  };
  const cache = await fixture.open({ disk: watch });
  cache.file(cacheKey(0), cacheStamp(MiB));
  await cache.sync();
  assert.ok(indexDescriptor >= 0);
  const [before, after] = [cacheStamp(12 * MiB, 1), cacheStamp(12 * MiB, 2)];
  const file = cache.file(cacheKey(1), before);
  for (let at = 0; at < 12 * MiB; at += MiB) await fillPattern(file, before, 1, at, MiB);
  await cache.sync();
  // The mark is on the disk already: a later write of the file waits for the tags alone.
  (await file.beginWrite(0, 4096)).abandon();
  disk.isShut = true;
  const filling: Promise<number>[] = [];
  for (let number = 2; number < 6; number++) {
    const other = cache.file(cacheKey(number), cacheStamp(3 * MiB));
    // The first sector of each block only: the others of an evicted frame keep their bytes.
    for (let at = 0; at < 3 * MiB; at += 65_536)
      filling.push(fillPattern(other, cacheStamp(3 * MiB), number, at, 4096));
  }
  const evicted = file.missing(65_536, 12 * MiB - 65_536).filter(({ count }) => count >= 65_536);
  assert.ok(evicted.length > 0);
  for (const { offset } of evicted) (await file.beginWrite(offset + 8192, 4096)).abandon();
  assert.ok(file.restamp(before, after));
  await cache.sync();
  const left = join(fixture.root, 'killed');
  cpSync(fixture.directory, left, { recursive: true });
  disk.open();
  await Promise.all(filling);
  const again = await fixture.open({ directory: left });
  const found = again.find(cacheKey(1))!;
  assert.ok(found.matches(after));
  for (const { offset } of evicted) {
    const hit = await found.read(offset + 8192, 4096);
    const isOld = hit?.slices[0]?.equals(patternBytes(1, offset + 8192, 4096));
    hit?.release();
    assert.notEqual(isOld, true, `what was before the write of ${offset}`);
  }
});
