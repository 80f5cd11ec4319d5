/** What a session's timers throw is its own, and none of them runs when it is gone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimulatedClock } from '../testing/mod.ts';
import { SessionClock } from './session-clock.ts';

test('what a timer throws goes to its session, and other timers go on', async () => {
  const clock = new SimulatedClock();
  const failures: string[] = [];
  const own = new SessionClock(clock, (error) => failures.push(String(error)));
  let others = 0;
  own.after(10, () => {
    throw new Error('boom');
  });
  clock.after(10, () => others++);
  await clock.advance(10);
  assert.deepEqual(failures, ['Error: boom']);
  assert.equal(others, 1);
});

test('after its end no timer does anything; cancelled ones are gone', async () => {
  const clock = new SimulatedClock();
  const own = new SessionClock(clock, (error) => assert.fail(String(error)));
  let ran = 0;
  own.after(5, () => ran++);
  own.after(10, () => ran++).cancel();
  own.after(10, () => ran++);
  assert.equal(clock.timers(), 2);
  await clock.advance(5);
  own.stop();
  await clock.advance(60_000);
  assert.equal(ran, 1);
  assert.equal(own.now(), clock.now());
  assert.equal(own.wallTimeMs(), clock.wallTimeMs());
});
