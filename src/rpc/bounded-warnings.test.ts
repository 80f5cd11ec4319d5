import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { KeptLog, SimulatedClock } from '../testing/mod.ts';
import { BoundedWarnings } from './bounded-warnings.ts';

test('a peer that misbehaves for ever fills no disk, and what was left out is told', async () => {
  const clock = new SimulatedClock();
  const log = new KeptLog();
  const warnings = new BoundedWarnings(clock, log);
  for (let i = 0; i < 1000; i++) warnings.warn({ i }, 'again');
  assert.equal(log.lines.length, 20);
  await clock.advance(10_000);
  warnings.warn({ i: 1000 }, 'again');
  warnings.warn({ i: 1001 }, 'again');
  assert.deepEqual(
    log.lines.slice(20).map(({ fields }) => fields),
    [{ i: 1000, leftOut: 980 }, { i: 1001 }],
  );
});
