/** Accounts under several threads, and under damage. The same file is the worker's program. */
import assert from 'node:assert/strict';
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
} from '../testing/mod.ts';
import { Accounts, roundsOf } from './accounts.ts';
import { geometryFor } from './geometry.ts';
import { accountWord, accountWords, createMemory } from './memory.ts';
import { type CacheShare, CleanCache } from './mod.ts';

const MiB = 1024 * 1024;
const frameBytes = 65_536;
const size = 4 * MiB;
const fileCount = 8;
const quotaBytes = 2 * MiB;
const program = fileURLToPath(import.meta.url);
const sources = { clock: systemClock, random: systemRandom, log: silentLog };
const priorities = ['low', 'normal', 'high'] as const;

interface Job {
  readonly share: CacheShare;
  readonly seed: number;
  readonly turns: number;
}

interface Result {
  readonly hits: number;
  readonly wrong: number;
  readonly mostOccupiedBytes: number;
}

/** One session after the other in this thread, with a quota, on files that all threads share. */
async function sessions(job: Job): Promise<Result> {
  const cache = CleanCache.attach(job.share, sources);
  const random = seededRandom(job.seed);
  let [hits, wrong, mostOccupiedBytes] = [0, 0, 0];
  for (let life = 0; life < 4; life++) {
    const owner = cache.owner({ name: `thread ${job.seed} life ${life}`, quotaBytes });
    const store = owner.store('origin');
    for (let turn = 0; turn < job.turns; turn++) {
      const number = random.uint32() % fileCount;
      const file = store.file(cacheKey(number), cacheStamp(size));
      file.setCare({ priority: priorities[random.uint32() % 3]!, isPinned: random.uint32() % 4 === 0 });
      const offset = (random.uint32() % (size / 4096 - 40)) * 4096;
      const count = (1 + (random.uint32() % 40)) * 4096;
      const bytes = await readAll(file, offset, count);
      if (bytes === undefined) await fillPattern(file, cacheStamp(size), number, offset, count);
      else {
        hits++;
        if (!bytes.equals(patternBytes(number, offset, count))) wrong++;
      }
      mostOccupiedBytes = Math.max(mostOccupiedBytes, owner.stat().occupiedBytes);
      if (random.uint32() % 200 === 0) file.forget();
      if (random.uint32() % 400 === 0) await store.clear();
    }
    // The last one stays, to be counted.
    if (life < 3) owner.end();
  }
  await cache.close();
  return { hits, wrong, mostOccupiedBytes };
}

/** What the frames' words say, by owner's number; pins under 'pinned'. */
function recount(cache: CleanCache): { readonly byNumber: Map<number, number>; readonly pinned: number } {
  const share = cache.share();
  const words = new Uint16Array(share.memory.frameAccount!);
  const byNumber = new Map<number, number>();
  for (const word of words) byNumber.set(word & 0xfff, (byNumber.get(word & 0xfff) ?? 0) + 1);
  cache.lost(share);
  return { byNumber, pinned: words.filter((word) => word >= 0x8000).length };
}

/** Not of those that are nobody's, or fell out of a quota. */
function isOwners(number: number): boolean {
  return number !== 0 && number !== 0xfff;
}

if (!isMainThread) {
  parentPort!.postMessage(await sessions(workerData as Job));
} else {
  test('sessions with quotas in three threads: right bytes, no quota overrun, and counts that are exact in the end', async () => {
    await using fixture = new CacheFixture();
    const cache = await fixture.open();
    const workers = [1, 2].map(
      (seed) => new Worker(program, { workerData: { share: cache.share(), seed, turns: 250 } }),
    );
    const results = await Promise.all([
      ...workers.map(async (worker) => (await once(worker, 'message'))[0] as Result),
      sessions({ share: cache.share(), seed: 3, turns: 250 }),
    ]);
    await Promise.all(workers.map((worker) => worker.terminate()));
    for (const { hits, wrong, mostOccupiedBytes } of results) {
      assert.equal(wrong, 0);
      assert.ok(hits > 20, `${hits} hits`);
      assert.ok(mostOccupiedBytes <= quotaBytes, `${mostOccupiedBytes}`);
      assert.ok(mostOccupiedBytes > quotaBytes / 2, `${mostOccupiedBytes}`);
    }
    const { byNumber, pinned } = recount(cache);
    const occupied = [1, 2, 3].map((seed) => cache.owner({ name: `thread ${seed} life 3` }).stat().occupiedBytes);
    const counted = [...byNumber].filter(([number]) => isOwners(number)).map(([, frames]) => frames * frameBytes);
    assert.deepEqual(new Set(occupied.filter((bytes) => bytes > 0)), new Set(counted));
    assert.equal(cache.stat().pinnedBytes / frameBytes, pinned);
    assert.equal(cache.stat().corruptSectors, 0);
  });

  test('a thread that ends in the middle leaves counts that are one frame off at most; its session’s next thread goes on', async () => {
    await using fixture = new CacheFixture();
    const cache = await fixture.open();
    const share = cache.share();
    const worker = new Worker(program, { workerData: { share, seed: 9, turns: 1_000_000 } });
    await once(worker, 'online');
    while (cache.stat().fills < 60) await new Promise((resolve) => setImmediate(resolve));
    await worker.terminate();
    cache.lost(share);
    const owner = cache.owner({ name: 'thread 9 life 0' });
    assert.ok(owner.stat().fillBytes > 0, 'figures outlive the thread');
    const { byNumber } = recount(cache);
    const counted = [...byNumber].filter(([number]) => isOwners(number));
    assert.ok(counted.length <= 1);
    assert.ok(Math.abs(owner.stat().occupiedBytes / frameBytes - (counted[0]?.[1] ?? 0)) <= 1);
    owner.end();
    assert.ok([...recount(cache).byNumber.keys()].every((number) => !isOwners(number)));
  });

  test('a claim looks at a bounded part of a large cache; a small quota is exceeded by a small part of it, and kept once it can be', () => {
    const geometry = geometryFor(128 * 1024 * MiB);
    const memory = createMemory(geometry, new Uint32Array(2));
    const accounts = new Accounts(memory, 0);
    const random = seededRandom(5);
    for (const rounds of [roundsOf.normal, roundsOf.high]) {
      const number = accounts.enter(`rounds ${rounds}`);
      accounts.setQuota(number, 4 * MiB);
      const hand = number * accountWords + accountWord.hand;
      const occupied = (): number => memory.accounts[number * accountWords + accountWord.frames]!;
      let most = 0;
      for (let claim = 0; claim < 4000; claim++) {
        const before = memory.accounts[hand]!;
        accounts.take(random.uint32() % geometry.frameCount, { number, rounds, isPinned: false });
        const moved = (memory.accounts[hand]! - before + geometry.frameCount) % geometry.frameCount;
        assert.ok(moved <= 40_000, `claim ${claim}: the hand moved by ${moved} of ${geometry.frameCount} frames`);
        most = Math.max(most, occupied());
      }
      assert.ok(most < geometry.frameCount / 6000, `${most} of ${geometry.frameCount} frames`);
      // The same frame again brings no new one: what was left over goes.
      for (let claim = 0; claim < 400; claim++) accounts.take(0, { number, rounds, isPinned: false });
      assert.equal(occupied(), 64);
    }
  });

  test('any bits in owners, pins, priorities and hands cost speed, nothing else', async () => {
    for (let seed = 1; seed <= 3; seed++) {
      await using fixture = new CacheFixture();
      const cache = await fixture.open();
      const random = seededRandom(seed);
      const share = cache.share();
      const scribble = (): void => {
        for (const name of ['frameAccount', 'recordPin', 'accounts', 'accountCounters', 'referenced', 'hands']) {
          const bytes = new Uint8Array(share.memory[name]!);
          for (let at = 0; at < bytes.length; at += 1 + (random.uint32() % 7)) bytes[at] = random.uint32();
        }
        const control = new Uint32Array(share.memory.control!);
        for (const word of [6, 7]) control[word] = random.uint32();
      };
      const owner = cache.owner({ name: 'one', quotaBytes });
      let hits = 0;
      for (let turn = 0; turn < 60; turn++) {
        if (turn % 12 === 6) scribble();
        const number = random.uint32() % fileCount;
        const file = owner.store('origin').file(cacheKey(number), cacheStamp(size));
        file.setCare({ priority: priorities[turn % 3]!, isPinned: turn % 2 === 0 });
        await fillPattern(file, cacheStamp(size), number, (random.uint32() % 15) * 262_144, 262_144);
        hits += (await checkPattern(file, number, size)) > 0 ? 1 : 0;
        if (turn % 20 === 19) owner.setQuota((1 + (random.uint32() % 4)) * MiB);
      }
      assert.ok(hits > 10, `${hits} turns with hits, seed ${seed}`);
      assert.equal(cache.owner({ name: 'two' }).stat().hits, 0);
      owner.end();
      cache.lost(share);
      assert.equal((await cache.verify()).badSectors, 0);
    }
  });
}
