import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimulatedClock } from '../../testing/mod.ts';
import { DrainGate } from './drain-gate.ts';

test('who waits for the cap is let in, also when time goes on while the gate decides', async () => {
  for (let tickMs = 0.05; tickMs < 3; tickMs += 0.35) {
    const clock = new SimulatedClock();
    let runMs = 0;
    // As a real clock does: no two readings are the same.
    const moving = {
      now: () => {
        runMs += tickMs;
        return clock.now() + runMs;
      },
      wallTimeMs: () => clock.wallTimeMs() + runMs,
      after: clock.after.bind(clock),
    };
    const gate = new DrainGate(moving, 2_000_000);
    let entered = 0;
    const all = (async () => {
      for (let i = 0; i < 400; i++) {
        const entering = gate.enter(16_384);
        if (entering instanceof Promise) await entering;
        gate.answered(gate.sent(16_384));
        entered++;
      }
    })();
    for (let i = 0; i < 6_000 && entered < 400; i++) await clock.advance(1);
    assert.equal(entered, 400, `the clock goes on by ${tickMs} ms a reading`);
    await all;
    gate.close();
  }
});

test('no more than the window that was asked for is on its way', async () => {
  const clock = new SimulatedClock();
  const gate = new DrainGate(clock, undefined, 128 * 1024);
  let onTheWay = 0;
  let most = 0;
  const send = async (): Promise<void> => {
    const entering = gate.enter(32 * 1024);
    if (entering instanceof Promise) await entering;
    const mark = gate.sent(32 * 1024);
    most = Math.max(most, ++onTheWay);
    await new Promise<void>((resolve) => clock.after(100, resolve));
    onTheWay--;
    gate.answered(mark);
  };
  const all = Promise.all(Array.from({ length: 400 }, send));
  for (let i = 0; i < 300; i++) await clock.advance(100);
  await all;
  assert.equal(most, 4);
  gate.close();
});
