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

test('on a full disk, after a sync of what was written in place has failed, no other one is believed', async () => {
  for (let seed = 1; seed <= 12; seed++) {
    let clock = new SimulatedClock();
    let disk = new SimulatedDisk({ clock, random: seededRandom(seed) });
    let log = await during(clock, openOn(disk, clock, seed));
    for (let at = 0; at < 5; at++) await during(clock, Promise.resolve(write(log, at * 10_000, 2)));
    // The note finds no room where it is, nor elsewhere: what is not stable is written once more in its place.
    disk.fail('write', 1, 'ENOSPC');
    disk.fail('create', 2, 'ENOSPC');
    disk.fail('datasync', 1);
    log.note('note', Buffer.from('here'));
    await clock.advance(2_000);
    await during(clock, log.sync());
    clock = new SimulatedClock();
    disk = disk.crash('power', { clock });
    log = await during(clock, openOn(disk, clock, seed + 100));
    for (let at = 0; at < 5; at++) {
      const bytes = await during(clock, shown(log.read(log.file('a'), at * 10_000, 9_000)));
      assert.ok(
        bytes.every((byte) => byte === 2),
        `seed ${seed}`,
      );
    }
    await during(clock, log.close());
  }
});

test('a change that the disk refuses while the log finds others lost is refused, and not kept waiting', async () => {
  let refused = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const clock = new SimulatedClock();
    let onRead: (() => void) | undefined;
    const onEvent = (event: string) => {
      if (event !== 'read-begin') return;
      const action = onRead;
      onRead = undefined;
      action?.();
    };
    const random = seededRandom(seed);
    const disk = new SimulatedDisk({ clock, random, dropsPagesAfterFailure: true, quickShare: 0, onEvent });
    const log = await during(clock, openOn(disk, clock, seed));
    for (let at = 0; at < 5; at++) await during(clock, Promise.resolve(write(log, at * 10_000, 2)));
    disk.fail('datasync', 1);
    let change: Promise<unknown> | undefined;
    // What is not stable is being read back.
    onRead = () => {
      change = Promise.resolve(write(log, 0, 3));
      change.catch(() => {});
      disk.fail('write', 1, 'ENOSPC');
    };
    await during(
      clock,
      log.sync().catch((error) => assert.ok(isFailed(error), `seed ${seed}`)),
    );
    assert.ok(change !== undefined, 'a failed sync reads back');
    const answer = await during(
      clock,
      change.catch((error) => isFailed(error)),
    );
    if (answer === true) refused++;
    else assert.equal(answer, 'appended', `seed ${seed}`);
  }
  assert.ok(refused > 2, `${refused} of 12`);
});

test('a plan finds what a failed sync has lost to be lost, and not stable records damaged', async () => {
  let lost = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const clock = new SimulatedClock();
    const disk = new SimulatedDisk({ clock, random: seededRandom(seed), dropsPagesAfterFailure: true });
    const log = await during(clock, openOn(disk, clock, seed));
    await during(clock, log.sync());
    for (let at = 0; at < 5; at++) await during(clock, Promise.resolve(write(log, at * 10_000, 2)));
    const epoch = log.seal();
    // On a full disk it is written again in its place, and that sync loses it.
    disk.fail('write', 1, 'ENOSPC');
    disk.fail('create', 2, 'ENOSPC');
    disk.fail('datasync', 1);
    log.note('note', Buffer.from('here'));
    await clock.advance(2_000);
    const isLost = await during(
      clock,
      log.plan(epoch).then(
        (plan) => plan.release(),
        (error) => {
          assert.ok(isFailed(error), `seed ${seed}: ${error}`);
          return true;
        },
      ),
    );
    if (isLost !== true) continue;
    lost++;
    // Nobody has asked for a sync: the log takes no more nevertheless.
    await clock.advance(100);
    await assert.rejects(during(clock, Promise.resolve(write(log, 0, 3))), isFailed);
  }
  assert.ok(lost > 2 && lost < 12, `${lost} of 12`);
});
