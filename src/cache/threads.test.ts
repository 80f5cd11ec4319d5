/** One cache under several threads, and under kill -9. The same file is the worker's and the child's program. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { seededRandom, silentLog, systemClock, systemRandom } from '../base/mod.ts';
import {
  CacheFixture,
  cacheKey,
  cacheStamp,
  checkPattern,
  fillPattern,
  patternBytes,
  readAll,
  smallCacheBytes,
} from '../testing/mod.ts';
import { type CacheShare, CleanCache } from './mod.ts';

const MiB = 1024 * 1024;
const size = 6 * MiB;
const fileCount = 6;
const program = fileURLToPath(import.meta.url);
const sources = { clock: systemClock, random: systemRandom, log: silentLog };
const fillArgument = '--fill-until-killed';

interface Job {
  readonly share: CacheShare;
  readonly seed: number;
  readonly turns: number;
}

/** Reads and fills at random; every hit must be right. More is filled than fits, so frames change hands all the time. */
async function hammer(job: Job): Promise<{ hits: number; wrong: number }> {
  const cache = CleanCache.attach(job.share, sources);
  const random = seededRandom(job.seed);
  let hits = 0;
  let wrong = 0;
  for (let turn = 0; turn < job.turns; turn++) {
    const number = random.uint32() % fileCount;
    const file = cache.file(cacheKey(number), cacheStamp(size));
    const offset = (random.uint32() % (size / 4096 - 40)) * 4096;
    const count = (1 + (random.uint32() % 40)) * 4096;
    const bytes = await readAll(file, offset, count);
    if (bytes !== undefined) {
      hits++;
      if (!bytes.equals(patternBytes(number, offset, count))) wrong++;
    } else if (random.uint32() % 8 === 0) {
      const write = await file.beginWrite(offset, 8192);
      await write.complete([patternBytes(number, offset, 8192)], 8192);
    } else {
      const filling = fillPattern(file, cacheStamp(size), number, offset, count);
      if (random.uint32() % 2 === 0) await filling;
    }
    if (random.uint32() % 300 === 0) file.forget();
  }
  await cache.close();
  return { hits, wrong };
}

async function fillUntilKilled(directory: string): Promise<void> {
  const cache = await CleanCache.open({ directory, sizeBytes: smallCacheBytes, ...sources });
  const random = seededRandom(5);
  for (let turn = 0; ; turn++) {
    const number = random.uint32() % fileCount;
    const file = cache.file(cacheKey(number), cacheStamp(size));
    const offset = (random.uint32() % (size / 4096 - 40)) * 4096;
    await fillPattern(file, cacheStamp(size), number, offset, 40 * 4096);
    if (turn === 60) process.stdout.write('filling\n');
  }
}

if (!isMainThread) {
  parentPort!.postMessage(await hammer(workerData as Job));
} else if (process.argv[2] === fillArgument) {
  await fillUntilKilled(process.argv[3]!);
} else {
  test('three threads that fill, write, forget and read one cache see only right bytes', async () => {
    await using fixture = new CacheFixture();
    const cache = await fixture.open();
    const workers = [1, 2].map(
      (seed) => new Worker(program, { workerData: { share: cache.share(), seed, turns: 1000 } }),
    );
    const results = await Promise.all([
      ...workers.map(async (worker) => (await once(worker, 'message'))[0] as { hits: number; wrong: number }),
      hammer({ share: cache.share(), seed: 3, turns: 1000 }),
    ]);
    await Promise.all(workers.map((worker) => worker.terminate()));
    for (const result of results) {
      assert.equal(result.wrong, 0);
      assert.ok(result.hits > 20, `${result.hits} hits`);
    }
    await cache.sync();
    const { framesUsed, frameCount, corruptSectors, evictions } = cache.stat();
    assert.ok(framesUsed <= frameCount && evictions > 100);
    assert.equal(corruptSectors, 0, 'no race leaves a sector that does not verify');
    await cache.close();
    const again = await fixture.open();
    assert.ok((await again.verify()).goodSectors > 100);
    assert.equal(again.stat().corruptSectors, 0, 'tags in the file and data in the banks agree');
  });

  test('a worker that ends in the middle does not stop the others', async () => {
    await using fixture = new CacheFixture();
    const cache = await fixture.open();
    const share = cache.share();
    const worker = new Worker(program, { workerData: { share, seed: 9, turns: 1_000_000 } });
    await once(worker, 'online');
    while (cache.stat().fills < 50) await new Promise((resolve) => setImmediate(resolve));
    await worker.terminate();
    cache.lost(share);
    const result = await hammer({ share: cache.share(), seed: 3, turns: 600 });
    assert.equal(result.wrong, 0);
    await cache.close();
    await (await fixture.open()).close();
  });

  test('after kill -9 of a process that fills without pause, what is there is right, and it is not little', async () => {
    await using fixture = new CacheFixture();
    const child = spawn(process.execPath, [program, fillArgument, fixture.directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'close');
    const cache = await fixture.open();
    let present = 0;
    for (let number = 0; number < fileCount; number++) {
      present += await checkPattern(cache.file(cacheKey(number), cacheStamp(size)), number, size);
    }
    assert.ok(present > 200, `${present} sectors`);
  });
}
