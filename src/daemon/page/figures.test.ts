import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SessionSample } from '../contract.ts';
import { durationText, History, rateText, shareText, sizeText } from './figures.js';

function sample(atMs: number, change: Partial<SessionSample> = {}): SessionSample {
  return {
    ...{ id: 's-a', name: 'a', state: 'running', atMs, isAnswering: true, hits: 0, misses: 0, readBytes: 0 },
    ...{ writtenBytes: 0, linkInBytes: 0, linkOutBytes: 0, prefetchedBytes: 0, prefetchUsedBytes: 0, callsInFlight: 0 },
    ...{ dirtyBytes: 0, dirtyFiles: 0, dirtyAgeMs: 0, conflicts: 0, originAwayMs: 0 },
    ...change,
  };
}

/** What a worker that does not answer is told to have. */
const silent = (atMs: number): SessionSample => sample(atMs, { isAnswering: false });

test('rates are differences over the time by the daemon’s clock, and the first sample has none', () => {
  const history = new History();
  history.add([sample(1000, { linkInBytes: 5000, linkOutBytes: 70 })], 0);
  assert.equal(history.of('s-a').at(-1)?.linkIn, null);
  history.add([sample(3000, { linkInBytes: 9000, linkOutBytes: 70, dirtyBytes: 12 })], 900);
  const expected = { timeMs: 900, hitShare: null, linkIn: 2000, linkOut: 0, dirtyBytes: 12 };
  assert.deepEqual(history.of('s-a').at(-1), expected);
  assert.deepEqual(history.of('').at(-1), expected);
});

test('the share of hits is of the last 15 seconds', () => {
  const history = new History();
  for (let second = 0; second <= 60; second++) {
    // Nothing but misses until the 40th second, nothing but hits from then on.
    const hits = 10 * Math.max(0, second - 40);
    history.add([sample(1000 * second, { hits, misses: 10 * Math.min(second, 40) })], 1000 * second);
    const share = history.of('s-a').at(-1)?.hitShare;
    if (second > 0 && second <= 40) assert.equal(share, 0, `second ${second}`);
    if (second === 45) assert.ok(share! > 0.3 && share! < 0.4, `${share}`);
    if (second === 60) assert.equal(share, 1);
  }
});

test('counters that begin anew give no rate, and none that is negative', () => {
  for (const key of ['hits', 'misses', 'linkInBytes', 'linkOutBytes'] as const) {
    const history = new History();
    history.add([sample(1000, { [key]: 1000 })], 1000);
    history.add([sample(2000, { [key]: 9000 })], 2000);
    history.add([sample(3000, { [key]: 10 })], 3000);
    const { linkIn, linkOut, hitShare } = history.of('s-a').at(-1)!;
    assert.deepEqual([linkIn, linkOut, hitShare], [null, null, null], key);
    history.add([sample(4000, { [key]: 30 })], 4000);
    const later = history.of('s-a').at(-1)!;
    if (key === 'linkInBytes' || key === 'linkOutBytes')
      assert.equal(later[key === 'linkInBytes' ? 'linkIn' : 'linkOut'], 20);
    else assert.equal(later.hitShare, key === 'hits' ? 1 : 0);
  }
});

test('a daemon whose clock begins anew is gone along with, and earlier figures stay in the plot', () => {
  const history = new History();
  history.add([sample(90_000, { linkInBytes: 100 })], 1000);
  history.add([sample(91_000, { linkInBytes: 300 })], 2000);
  history.add([sample(500, { linkInBytes: 400 })], 9000);
  assert.equal(history.of('s-a').at(-1)?.linkIn, null);
  history.add([sample(1500, { linkInBytes: 450 })], 10_000);
  assert.deepEqual(
    history.of('s-a').map(({ timeMs, linkIn }) => [timeMs, linkIn]),
    [
      [1000, null],
      [2000, 200],
      [9000, null],
      [10_000, 50],
    ],
  );
});

test('a session that does not answer is a gap, is told of as silent, and what it said last is kept', () => {
  const history = new History();
  history.add([sample(1000, { dirtyBytes: 7, linkInBytes: 100 }), sample(1000, { id: 's-b', dirtyBytes: 5 })], 1000);
  history.add([silent(2000), sample(2000, { id: 's-b', dirtyBytes: 6 })], 2000);
  assert.equal(history.isSilent('s-a'), true);
  assert.equal(history.isSilent('s-b'), false);
  assert.equal(history.latest('s-a')?.dirtyBytes, 7);
  assert.deepEqual(history.of('s-a').at(-1), {
    timeMs: 2000,
    hitShare: null,
    linkIn: null,
    linkOut: null,
    dirtyBytes: null,
  });
  assert.equal(history.of('').at(-1)?.dirtyBytes, 6, 'zeros that nobody said are not counted');
  history.add([sample(3000, { linkInBytes: 500 }), sample(3000, { id: 's-b' })], 3000);
  assert.equal(history.isSilent('s-a'), false);
  assert.equal(history.of('s-a').at(-1)?.linkIn, 200, 'over the time since it answered last');
});

test('sessions that are gone are forgotten, and none at all are zero', () => {
  const history = new History();
  history.add([sample(1000, { dirtyBytes: 1 })], 1000);
  history.add([], 2000);
  assert.equal(history.latest('s-a'), undefined);
  assert.deepEqual(history.of('s-a'), []);
  assert.equal(history.of('').at(-1)?.dirtyBytes, 0);
});

test('five minutes are kept, however long somebody looks', () => {
  const history = new History();
  for (let second = 0; second < 1000; second++) history.add([sample(1000 * second)], 1000 * second);
  assert.equal(history.of('').length, 301);
  assert.equal(history.of('s-a')[0]?.timeMs, 699_000);
});

test('texts of figures', () => {
  const sizes = [0, 999, 1023, 1024, 10_188, 10_190, 1023.6 * 1024, 3 * 2 ** 20, 2 ** 50, 5 * 2 ** 50];
  assert.deepEqual(sizes.map(sizeText), [
    ...['0 B', '999 B', '1023 B', '1.0 KiB', '9.9 KiB', '10 KiB', '1.0 MiB', '3.0 MiB', '1024 TiB', '5120 TiB'],
  ]);
  assert.deepEqual([null, undefined, 2048].map(rateText), ['–', '–', '2.0 KiB/s']);
  assert.deepEqual([null, 0, 0.996].map(shareText), ['–', '0 %', '100 %']);
  assert.deepEqual([0, 59_400, 59_600, 3_600_000, 5_430_000].map(durationText), [
    ...['0 s', '59 s', '1 min', '1 h 0 min', '1 h 30 min'],
  ]);
});
