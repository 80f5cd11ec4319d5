/** The clean cache with known zeros, over the real one: what is present, what is missing, what takes room. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeHead } from '../../content/mod.ts';
import { CacheFixture, cacheKey, cacheStamp, makeContent, patternBytes, readAll } from '../../testing/mod.ts';
import { FileContent } from './file-content.ts';
import { ZeroAwareStore } from './zero-aware.ts';

const KiB = 1024;
const size = 1024 * KiB + 100;
const stamp = cacheStamp(size);
const key = cacheKey(1);

/** Data in sectors 0 to 3, in all of block 2, and in every second sector of block 4; the rest is zero. */
function image(): Buffer {
  const bytes = Buffer.alloc(size);
  const put = (sector: number): number => patternBytes(1, sector * 4096, 4096).copy(bytes, sector * 4096);
  for (let sector = 0; sector < 4; sector++) put(sector);
  for (let sector = 32; sector < 48; sector++) put(sector);
  for (let sector = 64; sector < 80; sector += 2) put(sector);
  return bytes;
}

async function opened(work: (parts: Awaited<ReturnType<typeof make>>) => Promise<void>): Promise<void> {
  await using fixture = new CacheFixture();
  await work(await make(fixture));
}

async function make(fixture: CacheFixture) {
  const cache = await fixture.open();
  const { meta } = await makeContent(image(), stamp);
  const content = new FileContent(key, decodeHead(meta), stamp);
  let zeros = 0;
  const store = new ZeroAwareStore(cache, {
    get: (wanted) => (wanted === key ? content : undefined),
    noteZeros: (bytes) => {
      zeros += bytes;
    },
  });
  return { cache, content, store, file: store.file(key, stamp), zeros: () => zeros };
}

describe('known zeros', () => {
  test('are present, at once, without a fill', async () => {
    await opened(async ({ file, zeros }) => {
      assert.equal(file.has(64 * KiB, 64 * KiB), true);
      assert.equal(file.has(0, 4096), false);
      assert.equal(file.has(1024 * KiB, 100), true, 'the end of the file');
      assert.equal(file.has(1024 * KiB, 101), false, 'and not beyond');
      const hit = file.read(64 * KiB + 5, 60 * KiB);
      assert.ok(hit !== undefined && !(hit instanceof Promise));
      assert.ok(Buffer.concat(hit.slices).equals(Buffer.alloc(60 * KiB)));
      hit.release();
      assert.equal(zeros(), 60 * KiB);
      assert.deepEqual(file.missing(0, size), [
        { offset: 0, count: 16 * KiB },
        { offset: 128 * KiB, count: 64 * KiB },
        ...[64, 66, 68, 70, 72, 74, 76, 78].map((sector) => ({ offset: sector * 4096, count: 4096 })),
      ]);
    });
  });

  test('take no room, and are read together with what does', async () => {
    await opened(async ({ file, cache }) => {
      const bytes = image();
      assert.equal(await file.fill(file.ticket(0, size), stamp, 0, [bytes], size), size);
      await cache.sync();
      assert.equal(cache.stat().validBytes, 3 * 64 * KiB, 'three blocks have data');
      for (const [offset, count] of [
        [0, size],
        [15 * KiB, 3 * KiB],
        [256 * KiB, 64 * KiB],
      ] as const) {
        assert.ok((await readAll(file, offset, count))?.equals(bytes.subarray(offset, offset + count)));
      }
    });
  });

  test('are none any more where we write, and nowhere once somebody else has', async () => {
    await opened(async ({ file, content, store }) => {
      const write = await file.beginWrite(70 * KiB, 10);
      assert.equal(file.has(68 * KiB, 4096), false);
      assert.equal(file.has(72 * KiB, 4096), true);
      const after = cacheStamp(size, 2);
      assert.equal(file.restamp(stamp, after), true);
      await write.complete([Buffer.alloc(10)], 10);
      assert.ok(content.holdsFor(after) && content.holdsFor(stamp));
      assert.equal(file.has(72 * KiB, 4096), true, 'the description followed our write');
      const foreign = store.file(key, cacheStamp(size, 3));
      assert.equal(foreign.has(72 * KiB, 4096), false);
      assert.equal(file.has(72 * KiB, 4096), false);
    });
  });

  test('follow our changes in whatever order they are told of', async () => {
    await opened(async ({ content }) => {
      const at = (version: number) => cacheStamp(size, version);
      content.hop(at(3), at(4));
      content.hop(at(2), at(3));
      assert.equal(content.holdsFor(at(4)), false);
      content.hop(at(1), at(2));
      assert.equal(content.holdsFor(at(4)), true);
      content.hop(at(7), at(8));
      content.quiet();
      content.hop(at(4), at(7));
      assert.equal(content.holdsFor(at(8)), false);
    });
  });
});
