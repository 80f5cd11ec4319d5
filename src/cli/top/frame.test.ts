import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SessionSample } from '../../daemon/mod.ts';
import { frameOf, type Look, ratesOf, sorted } from './frame.ts';

function sample(name: string, more: Partial<SessionSample> = {}): SessionSample {
  return {
    ...{ id: `s-${name}`, name, state: 'running', atMs: 0, isAnswering: true, hits: 0, misses: 0, readBytes: 0 },
    ...{ writtenBytes: 0, linkInBytes: 0, linkOutBytes: 0, prefetchedBytes: 0, prefetchUsedBytes: 0 },
    ...{ callsInFlight: 0, dirtyBytes: 0, dirtyFiles: 0, dirtyAgeMs: 0, conflicts: 0, originAwayMs: 0, ...more },
  };
}
const look = (...samples: SessionSample[]): Look => ({ daemon: 7, views: [], samples, threads: [] });

test('rates are of the time between two looks; a session that began anew, or says nothing, has none', () => {
  const before = look(sample('a', { linkInBytes: 100 }), sample('b', { linkInBytes: 900 }), sample('c'));
  const now = look(
    sample('a', { atMs: 2000, linkInBytes: 4100, hits: 3, misses: 1 }),
    sample('b', { atMs: 2000, linkInBytes: 5 }),
    sample('c', { atMs: 2000, isAnswering: false, linkInBytes: 10 }),
    sample('d', { atMs: 2000, linkInBytes: 10 }),
  );
  const rows = ratesOf(before, now);
  assert.deepEqual(
    rows.map(({ name, inRate }) => [name, inRate]),
    [
      ['a', 2000],
      ['b', 0],
      ['c', 0],
      ['d', 0],
    ],
  );
  assert.equal(rows[0]!.hitShare, 0.75);
});

test('rows are sorted by what was asked for, the largest first, and by name where they are alike', () => {
  const rows = ratesOf(undefined, look(sample('b', { dirtyBytes: 5 }), sample('c'), sample('a')));
  const names = (order: Parameters<typeof sorted>[1]): string[] => sorted(rows, order).map(({ name }) => name);
  assert.deepEqual(names('dirty'), ['b', 'a', 'c']);
  assert.deepEqual(names('name'), ['a', 'b', 'c']);
});

test('a frame fits the terminal, and says how many sessions it leaves out', () => {
  const many = look(...Array.from({ length: 40 }, (_, at) => sample(`session-${at}`)));
  const rows = ratesOf(undefined, many);
  for (const [columns, height] of [
    [20, 10],
    [80, 24],
    [5, 4],
  ] as const) {
    const { lines, head } = frameOf(many, rows, { order: 'name', columns, rows: height });
    assert.ok(lines.length <= height, `${lines.length} lines of ${height}`);
    assert.ok(lines.every((line) => line.length <= columns));
    assert.ok(head < lines.length);
  }
  assert.match(frameOf(many, rows, { order: 'name', rows: 10 }).lines.at(-1)!, /and \d+ more/);
});

test('what a session is called does nothing to the terminal', () => {
  const evil = look(sample('\x1b[2Jx'));
  assert.ok(!frameOf(evil, ratesOf(undefined, evil), { order: 'name' }).lines.join('').includes('\x1b'));
});
