/** Blocks that are known to be wanted: which are asked for, and how they share the link with whoever waits for it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { limits } from '../../base/mod.ts';
import { SimulatedClock } from '../../testing/mod.ts';
import {
  BlockBits,
  type BlockRun,
  type BlockView,
  defaultReadAhead,
  FilePolicy,
  Prefetcher,
  type PrefetchTarget,
  WantedBlocks,
} from './mod.ts';

const block = limits.blockBytes;
const seed = 20_417;

class View implements BlockView {
  readonly blockCount: number;
  readonly here = new Set<number>();
  constructor(blockCount: number, here: readonly number[] = []) {
    this.blockCount = blockCount;
    for (const one of here) this.here.add(one);
  }
  known(index: number): boolean {
    return this.here.has(index);
  }
}

function blocksOf(run: BlockRun): number[] {
  return Array.from({ length: run.count }, (_, index) => run.first + index);
}

/** All that it asks for, answered one after the other; requests in `failing` fail once. */
function drain(wanted: WantedBlocks, view: View, most: number, failing = new Set<number>()): number[] {
  const asked: number[] = [];
  for (let step = 0; !wanted.hasEnded; step++) {
    assert.ok(step < 100_000, 'it does not end');
    const run = wanted.take(view, most);
    if (run === undefined) continue;
    assert.ok(run.count <= most);
    const isLost = blocksOf(run).some((one) => failing.delete(one));
    if (!isLost) for (const one of blocksOf(run)) view.here.add(one);
    asked.push(...blocksOf(run));
    wanted.done(run, isLost ? 0 : run.count * block);
  }
  return asked;
}

function listed(blocks: readonly number[]): WantedBlocks {
  const wanted = new WantedBlocks();
  wanted.append(Uint32Array.from(blocks));
  return wanted;
}

describe('wanted blocks', () => {
  test('come in their order, neighbours together, without what is here, is listed twice or does not exist', async () => {
    const wanted = listed([9, 10, 11, 3, 50, 4, 10, 7, 200]);
    const view = new View(100, [50, 7]);
    assert.deepEqual(wanted.take(view, 2), { first: 9, count: 2 });
    assert.deepEqual(wanted.take(view, 2), { first: 11, count: 1 });
    assert.deepEqual(wanted.take(view, 2), { first: 3, count: 1 });
    assert.deepEqual(wanted.take(view, 2), { first: 4, count: 1 });
    assert.equal(wanted.take(view, 2), undefined);
    assert.deepEqual([wanted.hasEnded, wanted.leftBlocks], [false, 5]);
    for (const run of [
      { first: 9, count: 2 },
      { first: 11, count: 1 },
      { first: 3, count: 1 },
      { first: 4, count: 1 },
    ])
      wanted.done(run, run.count * block);
    assert.deepEqual([wanted.hasEnded, wanted.leftBlocks, wanted.fetchedBytes], [true, 0, 5 * block]);
    await wanted.ended;
  });

  test('are not over while more may come', () => {
    const wanted = listed([1]);
    wanted.expect();
    const view = new View(10);
    const run = wanted.take(view, 4)!;
    wanted.done(run, block);
    assert.deepEqual([wanted.hasEnded, wanted.isListed], [false, true]);
    wanted.append(Uint32Array.from([2]));
    wanted.expected();
    assert.deepEqual(drain(wanted, view, 4), [2]);
  });

  test('of which the request failed are asked for again, last of all and a bounded number of times', () => {
    const view = new View(100);
    assert.deepEqual(drain(listed([5, 6, 20]), view, 4, new Set([6])), [5, 6, 20, 5, 6]);
    const never = listed([1]);
    for (let step = 0; !never.hasEnded; step++) {
      assert.ok(step < 1000);
      const run = never.take(view, 1);
      if (run !== undefined) never.done(run, 0);
    }
    assert.equal(never.failedBlocks, 1);
  });

  test('and then the rest of the file bring all of it, each block once, whatever is here', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9000 }),
        fc.array(fc.nat(9000), { maxLength: 50 }),
        fc.array(fc.nat(9000), { maxLength: 50 }),
        fc.integer({ min: 1, max: 16 }),
        (count, list, here, most) => {
          const view = new View(
            count,
            here.filter((one) => one < count),
          );
          const before = new Set(view.here);
          const wanted = listed(list);
          wanted.wantRest(count);
          const asked = drain(wanted, view, most);
          assert.equal(new Set(asked).size, asked.length, 'asked twice');
          assert.equal(asked.length, count - before.size);
          assert.ok(asked.every((one) => one < count && !before.has(one)));
          const first = [...new Set(list)].filter((one) => one < count && !before.has(one));
          assert.deepEqual(asked.slice(0, first.length), first);
        },
      ),
      { seed, numRuns: 50 },
    );
  });

  test('count once in what is left, listed, listed again, on their way or in the rest', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9000 }),
        fc.array(fc.nat(8999), { maxLength: 50 }),
        fc.array(fc.nat(8999), { maxLength: 50 }),
        fc.nat(60),
        (count, one, two, steps) => {
          const view = new View(count);
          const wanted = listed(one.filter((each) => each < count));
          wanted.append(Uint32Array.from(two.filter((each) => each < count)));
          assert.equal(wanted.leftBlocks, new Set([...one, ...two].filter((each) => each < count)).size);
          wanted.wantRest(count);
          assert.equal(wanted.leftBlocks, count);
          for (let step = 0, came = 0; step < steps && !wanted.hasEnded; step++) {
            const run = wanted.take(view, 16);
            if (run === undefined) continue;
            for (const each of blocksOf(run)) view.here.add(each);
            assert.equal(wanted.leftBlocks, count - came);
            wanted.done(run, run.count * block);
            came += run.count;
            // What is here is passed over only when its turn comes.
            assert.ok(wanted.leftBlocks <= count - came && wanted.leftBlocks >= 0);
          }
        },
      ),
      { seed, numRuns: 50 },
    );
  });

  test('that were given up are asked for no more', async () => {
    const wanted = listed([1, 2, 3]);
    wanted.wantRest(100);
    wanted.giveUp();
    await wanted.ended;
    assert.equal(wanted.take(new View(100), 4), undefined);
    assert.deepEqual([wanted.isGivenUp, wanted.leftBlocks], [true, 0]);
  });

  test('are told to whoever counts their use', () => {
    const asked = new BlockBits();
    const wanted = new WantedBlocks(asked);
    wanted.append(Uint32Array.from([4096, 5, 100_000]));
    drain(wanted, new View(70_000), 4);
    assert.deepEqual(
      [asked.has(4096), asked.has(5), asked.has(6), asked.has(100_000), asked.count],
      [true, true, false, false, 2],
    );
  });
});

/** As in read-ahead.test.ts: replies queue for the link. */
class Far {
  readonly clock = new SimulatedClock();
  bytes = 0;
  readonly #roundTripMs: number;
  readonly #bytesPerMs: number;
  #freeAtMs = 0;
  constructor(roundTripMs: number, bytesPerMs: number) {
    this.#roundTripMs = roundTripMs;
    this.#bytesPerMs = bytesPerMs;
  }
  send(bytes: number, done: () => void): void {
    this.bytes += bytes;
    const now = this.clock.now();
    this.#freeAtMs = Math.max(this.#freeAtMs, now + this.#roundTripMs / 2) + bytes / this.#bytesPerMs;
    this.clock.after(this.#freeAtMs + this.#roundTripMs / 2 - now, done);
  }
}

function fileOver(
  far: Far,
  prefetcher: Prefetcher,
  view: View,
): PrefetchTarget & { fetch(run: BlockRun): Promise<void> } {
  const fetch = (run: BlockRun): Promise<void> => {
    for (const one of blocksOf(run)) view.here.add(one);
    const bytes = run.count * block;
    const mark = prefetcher.begin(bytes);
    return new Promise((resolve) => {
      far.send(bytes, () => {
        prefetcher.end(mark, bytes);
        resolve();
      });
    });
  };
  const start = (run: BlockRun, done: (bytes: number) => void): boolean => {
    void fetch(run).then(() => done(run.count * block));
    return true;
  };
  return { policy: new FilePolicy(defaultReadAhead), view, isReady: true, makeReady: () => {}, start, fetch };
}

describe('over a link', () => {
  for (const [roundTripMs, bytesPerMs] of [
    [40, 12_500],
    [32, 1_750],
    [200, 12_500],
  ] as const) {
    test(`of ${roundTripMs} ms and ${bytesPerMs} bytes/ms they keep it busy, and a demand read queues for little`, async () => {
      const far = new Far(roundTripMs, bytesPerMs);
      const prefetcher = new Prefetcher(defaultReadAhead, far.clock);
      const view = new View(100_000);
      const file = fileOver(far, prefetcher, view);
      const wanted = listed(Array.from({ length: 50_000 }, (_, index) => 2 * index));
      prefetcher.want(file, wanted);
      // The link is learned first.
      await far.clock.advance(20 * roundTripMs + 3_000);
      const waits: number[] = [];
      const [beganMs, beganBytes] = [far.clock.now(), far.bytes];
      for (let miss = 0; miss < 60; miss++) {
        const sentMs = far.clock.now();
        void file.fetch({ first: 70_001 + 2 * miss, count: 1 }).then(() => waits.push(far.clock.now() - sentMs));
        await far.clock.advance(3 * roundTripMs);
      }
      const share = (far.bytes - beganBytes) / (far.clock.now() - beganMs) / bytesPerMs;
      assert.ok(share > 0.9, `${Math.round(100 * share)} % of the link`);
      const own = roundTripMs + block / bytesPerMs;
      const median = waits.sort((a, b) => a - b)[waits.length >> 1]!;
      // One request may have just begun.
      const most = own + defaultReadAhead.requestMs + block / bytesPerMs;
      assert.ok(median <= most, `a demand read waits ${median.toFixed(0)} ms, alone it would ${own.toFixed(0)} ms`);
    });
  }

  test('they keep to a rate, and what needs no link does not count', async () => {
    const far = new Far(10, 12_500);
    const prefetcher = new Prefetcher({ ...defaultReadAhead, wantedBytesPerSecond: 1024 * 1024 }, far.clock);
    const file = fileOver(far, prefetcher, new View(100_000));
    prefetcher.want(file, listed(Array.from({ length: 5_000 }, (_, index) => index)));
    await far.clock.advance(20_000);
    const rate = far.bytes / 20;
    assert.ok(rate > 900_000 && rate < 1_200_000, `${rate} bytes a second`);
    const free = { ...file, policy: new FilePolicy(defaultReadAhead), view: new View(100_000) };
    let came = 0;
    const start = (run: BlockRun, done: (bytes: number, isFree?: boolean) => void): boolean => {
      came += run.count;
      queueMicrotask(() => done(run.count * block, true));
      return true;
    };
    const quick = new Prefetcher({ ...defaultReadAhead, wantedBytesPerSecond: 1024 * 1024 }, far.clock);
    quick.want({ ...free, start }, listed(Array.from({ length: 5_000 }, (_, index) => index)));
    await far.clock.advance(2_000);
    assert.equal(came, 5_000);
  });

  test('no guesses are made about a file while they come', async () => {
    const far = new Far(40, 12_500);
    const prefetcher = new Prefetcher(defaultReadAhead, far.clock);
    const view = new View(100_000);
    const file = fileOver(far, prefetcher, view);
    const wanted = Array.from({ length: 400 }, (_, index) => 100 * index);
    prefetcher.want(file, listed(wanted));
    const missed = [50_003, 60_003, 70_003];
    for (const one of missed) {
      void file.fetch({ first: one, count: 1 });
      file.policy.touch(one * block, one * block + 4096, true);
      prefetcher.wake(file);
      await far.clock.advance(100);
    }
    await far.clock.advance(10_000);
    assert.deepEqual(
      [...view.here].sort((a, b) => a - b),
      [...wanted, ...missed].sort((a, b) => a - b),
    );
  });
});
