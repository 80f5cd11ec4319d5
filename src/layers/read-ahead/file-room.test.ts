/** What read-ahead of one file may have in flight. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/mod.ts';
import { SimulatedClock } from '../../testing/mod.ts';
import { type BlockRun, defaultReadAhead, FilePolicy, Prefetcher, type PrefetchTarget } from './mod.ts';

const { blockBytes } = limits;

function setup(mostBytes: number) {
  const clock = new SimulatedClock();
  const prefetcher = new Prefetcher(defaultReadAhead, clock);
  const known = new Set<number>();
  const under: { readonly run: BlockRun; readonly end: () => void }[] = [];
  const policy = new FilePolicy(defaultReadAhead);
  policy.mostBytes = mostBytes;
  const target: PrefetchTarget = {
    policy,
    view: { blockCount: 4096, known: (block) => known.has(block) },
    isReady: true,
    makeReady: () => {},
    start: (run, done) => {
      const mark = prefetcher.begin(run.count * blockBytes);
      for (let at = 0; at < run.count; at++) known.add(run.first + at);
      const end = (): void => {
        prefetcher.end(mark, run.count * blockBytes);
        done(run.count * blockBytes);
      };
      under.push({ run, end });
      return true;
    },
  };
  const read = (block: number): void => {
    policy.touch(block * blockBytes, (block + 1) * blockBytes, !known.has(block));
    known.add(block);
    if (policy.hasWishes) prefetcher.wake(target);
  };
  const flying = (): number => under.reduce((sum, { run }) => sum + run.count, 0);
  return { policy, read, under, flying, prefetcher };
}

test('a file has no more in flight than it may, and goes on when some of it came', () => {
  const { read, under, flying } = setup(4 * blockBytes);
  let most = 0;
  let fetched = 0;
  for (let block = 0; block < 200; block++) {
    read(block);
    most = Math.max(most, flying());
    if (block % 3 !== 0) continue;
    const done = under.splice(0);
    fetched += done.reduce((sum, { run }) => sum + run.count, 0);
    for (const { end } of done) end();
    most = Math.max(most, flying());
  }
  assert.equal(most, 4);
  assert.ok(fetched > 100, `${fetched} blocks came ahead`);
});

test('one that may have none has none, from the moment that this is said', () => {
  const { policy, read, under, flying } = setup(0);
  for (let block = 0; block < 50; block++) read(block);
  assert.equal(flying(), 0);
  policy.mostBytes = 8 * blockBytes;
  for (let block = 50; block < 60; block++) read(block);
  assert.ok(flying() > 0);
  policy.mostBytes = 0;
  const before = flying();
  for (const { end } of [...under]) end();
  for (let block = 60; block < 100; block++) read(block);
  assert.equal(flying(), before);
});

test('less than a block is one block at a time', () => {
  const { read, flying } = setup(4096);
  for (let block = 0; block < 20; block++) read(block);
  assert.equal(flying(), 1);
});
