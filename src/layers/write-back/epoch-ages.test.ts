import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DirtyLogFace, EpochInfo } from '../../dirty/mod.ts';
import { callBy, ok, pattern, SimulatedClock, WriteBackFixture } from '../../testing/mod.ts';
import { credential } from '../../vfs/mod.ts';
import { EpochAges } from './epoch-ages.ts';

const dayMs = 86_400_000;

/** Its wall clock is set by somebody. */
class SettableClock extends SimulatedClock {
  setMs = 0;
  override wallTimeMs(): number {
    return super.wallTimeMs() + this.setMs;
  }
}

function epochOf(number: number, firstMs: number): EpochInfo {
  return { number, firstMs, sealedMs: undefined, logBytes: 0, payloadBytes: 0 };
}

function agesOf(clock: SettableClock, epochs: readonly EpochInfo[]): EpochAges {
  return new EpochAges({ epochs: () => epochs } as DirtyLogFace, clock);
}

for (const setMs of [-dayMs, dayMs]) {
  test(`an epoch of this life is as old as it is, with the wall clock set by ${setMs} ms`, async () => {
    const clock = new SettableClock();
    const epochs: EpochInfo[] = [];
    const ages = agesOf(clock, epochs);
    await clock.advance(1_000);
    epochs.push(epochOf(1, clock.wallTimeMs()));
    assert.equal(ages.ageMs(epochs[0]!), 0);
    clock.setMs = setMs;
    await clock.advance(300);
    assert.equal(ages.ageMs(epochs[0]!), 300);
    // Set between its first change and the first look at it: wrong by no more than the time between two looks.
    epochs.push(epochOf(2, clock.wallTimeMs() - setMs));
    await clock.advance(50);
    const age = ages.ageMs(epochs[1]!);
    assert.ok(age >= 0 && age <= 50, `${age} ms`);
    await clock.advance(100);
    assert.equal(ages.ageMs(epochs[1]!), age + 100);
    epochs.shift();
    assert.equal(ages.ageMs(epochs[0]!), age + 100);
  });
}

test('an epoch of a life before is as old as the wall clock says, but not younger than nothing', async () => {
  const clock = new SettableClock();
  const epochs = [epochOf(7, clock.wallTimeMs() - 5_000), epochOf(8, clock.wallTimeMs() + dayMs)];
  const ages = agesOf(clock, epochs);
  assert.deepEqual(
    epochs.map((epoch) => ages.ageMs(epoch)),
    [5_000, 0],
  );
  await clock.advance(10);
  assert.equal(ages.ageMs(epochs[1]!), 10);
});

test('the open epoch is sealed at its age though the wall clock was set', async () => {
  for (const setMs of [-dayMs, dayMs]) {
    const clock = new SettableClock();
    const fixture = await during(clock, WriteBackFixture.open({ clock, dirtyAgeMs: 30_000 }));
    const call = callBy(credential(0, 0));
    const where = { directory: fixture.memory.root, name: 'f' };
    const made = fixture.layer.create(call, { where, how: { mode: 'guarded', set: { mode: 0o644 } } });
    const object = ok(await during(clock, made)).object!;
    const args = { object, offset: 0, count: 100, stable: 0 as const, data: [pattern(100)] };
    ok(await during(clock, fixture.layer.write(call, args)));
    clock.setMs = setMs;
    await clock.advance(29_000);
    assert.equal(fixture.log.epochs()[0]?.sealedMs, undefined);
    await clock.advance(1_500);
    const [epoch] = fixture.log.epochs();
    assert.ok(epoch === undefined || epoch.sealedMs !== undefined, `sealed, set by ${setMs}`);
  }
});

async function during<T>(clock: SimulatedClock, answer: T | Promise<T>): Promise<T> {
  let isDone = false;
  const done = Promise.resolve(answer).finally(() => {
    isDone = true;
  });
  done.catch(() => undefined);
  for (let step = 0; !isDone && step < 1_000; step++) await clock.advance(1);
  assert.ok(isDone, 'answered in time');
  return done;
}
