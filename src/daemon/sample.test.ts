/** A session's sample: what of its layers' counters gets into it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SessionStatus } from '../sessions/mod.ts';
import type { SessionView } from './contract.ts';
import { sampleOf } from './sample.ts';

const view: SessionView = {
  ...{ id: 's-aaaaaaaa', name: 'one', kind: 'proxy', origin: 'nfs://store/', policy: 'home', state: 'running' },
  ...{ isTemporary: false, createdAt: '2026-01-01T00:00:00.000Z', restarts: 0 },
};

const wallTimeMs = Date.parse('2026-01-02T00:00:00Z');
const clock = { now: () => 1234, wallTimeMs: () => wallTimeMs };

function statusWith(layers: Record<string, object>): SessionStatus {
  const data = { server: {}, layers, writeBack: undefined };
  const rest = { place: undefined, restarts: 0, lastError: undefined, cache: undefined };
  return { kind: 'proxy', origin: view.origin, writes: 'write-through', state: 'running', ...rest, data };
}

test('a sample has the figures of each layer', () => {
  const sample = sampleOf(
    view,
    statusWith({
      'block-cache': { hits: 3, misses: 1, prefetchBytes: 4096, prefetchUsedBytes: 1024 },
      'working-sets': { usedBytes: 512 },
      origin: { bytesIn: 7, bytesOut: 8 },
      stats: { bytesIn: 9, bytesOut: 10, inFlight: 2 },
      presence: { sinceMs: wallTimeMs - 11 },
    }),
    clock,
  );
  assert.deepEqual([sample.hits, sample.misses, sample.prefetchedBytes, sample.prefetchUsedBytes], [3, 1, 4096, 1536]);
  assert.deepEqual([sample.linkInBytes, sample.linkOutBytes, sample.writtenBytes, sample.readBytes], [7, 8, 9, 10]);
  assert.deepEqual([sample.originAwayMs, sample.atMs, sample.isAnswering], [11, 1234, true]);
});

test('a session that does not answer has zeros, and says so', () => {
  const sample = sampleOf(view, undefined, clock);
  assert.equal(sample.isAnswering, false);
  assert.equal(sample.hits + sample.dirtyBytes + sample.linkInBytes, 0);
});

test('an origin is away for as long as it has not answered, never for less than nothing', () => {
  const away = (presence: object): number => sampleOf(view, statusWith({ presence }), clock).originAwayMs;
  assert.equal(away({ away: true, sinceMs: wallTimeMs - 60_000 }), 60_000);
  assert.equal(away({ away: false }), 0);
  // Somebody set the clock back meanwhile.
  assert.equal(away({ away: true, sinceMs: wallTimeMs + 5_000 }), 0);
});
