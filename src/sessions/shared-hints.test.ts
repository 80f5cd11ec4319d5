/** Sessions of one cache know the same chunks, and the last of them keeps what all have taught. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { limits, silentLog } from '../base/mod.ts';
import { SimulatedClock } from '../testing/mod.ts';
import { SharedHints } from './shared-hints.ts';

test('one index for all, kept when the last of them closes', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'viaduct-hints-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const clock = new SimulatedClock();
  const hints = new SharedHints({
    ...{ directory, cacheBytes: limits.cacheBytes, isOnlyWriter: false, clock, log: silentLog },
  });
  const digest = Buffer.alloc(16, 7);
  let taught = 0;
  const first = hints.use(() => taught);
  const second = hints.use(() => 0);
  first.index.add(digest, 'k'.repeat(16), 5);
  taught++;
  assert.equal(second.index.find(digest).length, 1);
  first.close();
  first.close();
  assert.equal(existsSync(join(directory, 'hints')), false);
  second.close();
  assert.equal(existsSync(join(directory, 'hints')), true);
  assert.equal(clock.timers(), 0);
  const third = hints.use(() => 0);
  assert.equal(third.index.find(digest).length, 1);
  hints.close();
  assert.equal(clock.timers(), 0);
});
