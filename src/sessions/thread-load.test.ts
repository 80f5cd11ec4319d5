import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimulatedClock } from '../testing/mod.ts';
import { ThreadLoad } from './thread-load.ts';

test('a thread that nobody asks about is looked at once a second, one that somebody watches more often', async () => {
  const clock = new SimulatedClock();
  const load = new ThreadLoad(clock);
  assert.equal(load.resolutionMs, 1_000);
  const { eventLoopDelayMs, utilization } = load.take();
  assert.deepEqual([eventLoopDelayMs.mean, eventLoopDelayMs.max], [0, 0]);
  assert.ok(utilization >= 0);
  assert.equal(load.resolutionMs, 50);
  await clock.advance(100_000);
  load.take();
  await clock.advance(100_000);
  assert.equal(load.resolutionMs, 50);
  await clock.advance(30_000);
  assert.equal(load.resolutionMs, 1_000);
  load.close();
});
