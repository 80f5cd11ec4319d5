/** Pages of meta-data: what is fetched when, of a file that is all data and more than a few pages long. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/mod.ts';
import { decodeHead, digestBytes, encodeMeta, MemoryHintIndex, pageSectors } from '../../content/mod.ts';
import { SimulatedClock } from '../../testing/mod.ts';
import { MemoryCache } from '../block-cache/memory-cache.test.ts';
import { alice } from './content-house.test.ts';
import type { Described } from './described.ts';
import { FileContent } from './file-content.ts';
import { Pages } from './pages.ts';
import { newStatistics } from './statistics.ts';

const pageCount = 7;

function setup() {
  const sectors = pageCount * pageSectors;
  const random = seededRandom(1);
  const time = { mtimeSeconds: 1, mtimeNanoseconds: 0, ctimeSeconds: 1, ctimeNanoseconds: 0, fileid: 1n };
  const stamp = { size: sectors * 4096, ...time };
  const meta = Buffer.concat([
    ...encodeMeta({
      stamp,
      dataMap: new Uint8Array(sectors / 8).fill(255),
      chunks: Uint32Array.from({ length: sectors }, (_, index) => index),
      digests: random.bytes(new Uint8Array(sectors * digestBytes)),
      pack: undefined,
    }),
  ]);
  const head = decodeHead(meta);
  const asked: string[] = [];
  const read = async (call: { priority: string }, offset: number, count: number): Promise<Buffer> => {
    const page = Array.from({ length: pageCount }, (_, index) => index).find((n) => head.page(n).offset === offset);
    asked.push(`${call.priority} ${page}`);
    return meta.subarray(offset, offset + count);
  };
  const file = {
    content: new FileContent('key', head, stamp),
    meta: { read, forget() {} },
    badPages: new Set<number>(),
  };
  const pages = new Pages({
    store: new MemoryCache({ clock: new SimulatedClock(), random }),
    hints: new MemoryHintIndex({ entries: 1024 }),
    statistics: newStatistics(),
    onDamage: (_file, what) => assert.fail(what),
  });
  return { pages, asked, file: file as unknown as Described };
}

test('a reader who goes through the file finds each page there but the first', async () => {
  const { pages, asked, file } = setup();
  assert.equal((await pages.load(file, alice, 0))?.page, 0);
  for (let page = 1; page < pageCount; page++) {
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(pages.get(file, page)?.page, page);
    for (let again = 0; again < 3; again++) pages.loadAhead(file, alice, page);
  }
  const rest = Array.from({ length: pageCount - 1 }, (_, index) => `prefetch ${index + 1}`);
  assert.deepEqual(asked, ['demand 0', ...rest]);
});
