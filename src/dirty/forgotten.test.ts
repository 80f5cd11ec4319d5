/** A kernel that forgets what it could not write: what cannot be read back is lost, and everybody is told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom, ViaductError } from '../base/mod.ts';
import { SimulatedClock, SimulatedDisk } from '../testing/mod.ts';
import { during, openOn, shown } from './log-model.test.ts';
import type { DirtyLog } from './mod.ts';

const isFailed = (error: unknown) => error instanceof ViaductError && error.code === 'LOG_FAILED';

function write(log: DirtyLog, offset: number, byte: number) {
  const data = [Buffer.alloc(9_000, byte)];
  const change = { file: log.file('a'), writer: 1, sizeAfter: 100_000, time: { seconds: 5, nanoseconds: 6 } };
  return log.write({ ...change, offset, count: 9_000, data });
}

test('after a sync that loses changes the log refuses more at once, and no verifier comes back', async () => {
  let lost = 0;
  for (let seed = 1; seed <= 12; seed++) {
    let clock = new SimulatedClock();
    let disk = new SimulatedDisk({ clock, random: seededRandom(seed), dropsPagesAfterFailure: true });
    let log = await during(clock, openOn(disk, clock, seed));
    await during(clock, Promise.resolve(write(log, 0, 1)));
    await during(clock, log.stabilize());
    const { verifier } = log;
    for (let at = 1; at < 5; at++) await during(clock, Promise.resolve(write(log, at * 10_000, 2)));
    disk.fail('datasync', 1);
    const isLost = await during(
      clock,
      log.stabilize().then(
        () => false,
        (error) => isFailed(error),
      ),
    );
    if (isLost) {
      lost++;
      assert.notEqual(log.verifier, verifier);
      await assert.rejects(during(clock, Promise.resolve(write(log, 0, 3))), isFailed);
      await assert.rejects(during(clock, log.sync()), isFailed);
    }
    const next = new SimulatedClock();
    disk = disk.crash('kill', { clock: next });
    clock = next;
    log = await during(clock, openOn(disk, clock, seed + 100));
    assert.equal(log.verifier !== verifier, isLost, `seed ${seed}`);
    assert.equal((await during(clock, shown(log.read(log.file('a'), 0, 9_000))))[8_999], 1);
    assert.equal(await during(clock, Promise.resolve(write(log, 0, 3))), 'appended');
    await during(clock, log.close());
  }
  assert.ok(lost > 2 && lost < 12, `${lost} of 12`);
});
