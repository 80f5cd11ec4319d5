import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimulatedClock } from '../../testing/mod.ts';
import type { Attributes } from '../../vfs/mod.ts';
import { RecentAnswers } from './drain-recent.ts';

test('the newest answer of a file counts for a moment, and no older one takes memory', async () => {
  const clock = new SimulatedClock();
  const recent = new RecentAnswers(clock);
  const attributes = (size: number) => ({ size }) as Attributes;
  recent.saw(1, attributes(1));
  await clock.advance(200);
  recent.saw(2, attributes(2));
  recent.saw(1, attributes(3));
  await clock.advance(100);
  assert.equal(recent.of(1)?.size, 3);
  assert.equal(recent.of(2)?.size, 2);
  await clock.advance(200);
  assert.equal(recent.of(1), undefined);
  for (let file = 0; file < 10_000; file++) {
    recent.saw(file, attributes(0));
    await clock.advance(1);
  }
  assert.ok(recent.size <= 251, `${recent.size} are kept`);
});
