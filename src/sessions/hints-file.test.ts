/** Where chunks lie is kept over restarts; what could not be written is written later. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { limits, silentLog } from '../base/mod.ts';
import { SimulatedClock } from '../testing/mod.ts';
import { HintsFile } from './hints-file.ts';

test('what could not be kept is tried again, though nothing new came', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'viaduct-hints-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const clock = new SimulatedClock();
  const options = { directory, cacheBytes: limits.cacheBytes, clock, log: silentLog };
  let version = 0;
  const first = new HintsFile({ ...options, version: () => version });
  const digest = Buffer.alloc(16, 7);
  first.index.add(digest, 'k'.repeat(16), 5);
  version++;
  // As a disk that takes nothing: a directory that is not empty is in the way.
  mkdirSync(join(directory, 'hints/below'), { recursive: true });
  await clock.advance(6 * 60_000);
  rmSync(join(directory, 'hints'), { recursive: true });
  first.close();
  assert.deepEqual(readdirSync(directory), ['hints']);
  const second = new HintsFile({ ...options, version: () => 0 });
  assert.equal(second.index.find(digest).length, 1);
  second.close();
  assert.equal(clock.timers(), 0);
});
