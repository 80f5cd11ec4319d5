/** What goes on at one moment: reads and drained epochs while a sync fails or begins, an epoch that ends while the log is cleaned. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../base/mod.ts';
import { SimulatedClock, SimulatedDisk } from '../testing/mod.ts';
import { during, openOn, shown } from './log-model.test.ts';
import type { DirtyLog } from './mod.ts';

const time = { seconds: 1, nanoseconds: 1 };
const cleaned = { keeps: true, limitBytes: 3 * 1024 * 1024, segmentBytes: 256 * 1024 };
const block = 65_536;

function write(log: DirtyLog, key: string, offset: number, count: number, byte: number) {
  const file = log.file(key);
  const sizeAfter = Math.max(log.state(file)?.size ?? 0, offset + count);
  return log.write({ file, writer: 1, offset, count, sizeAfter, time, data: [Buffer.alloc(count, byte)] });
}

test('reads find all bytes while a failed sync is made good', async () => {
  const clock = new SimulatedClock();
  const disk = new SimulatedDisk({ clock, random: seededRandom(3), quickShare: 1, latencyMs: { sync: 20 } });
  const log = await during(clock, openOn(disk, clock, 5));
  await during(clock, write(log, 'before', 0, 200_000, 1));
  await during(clock, log.stabilize());
  disk.fail('datasync');
  // Into the next segment, which is left out while its records are moved.
  await during(clock, write(log, 'file', 0, 100_000, 2));
  let isSynced = false;
  const synced = log.stabilize().finally(() => {
    isSynced = true;
  });
  while (!isSynced) {
    const bytes = await shown(log.read(log.file('file'), 0, 100_000));
    assert.ok(bytes.every((byte) => byte === 2));
    await clock.advance(1);
  }
  await during(clock, synced);
  assert.equal(log.stats().failedSyncs, 1);
  await during(clock, log.close());
});

test('segments go only when the record that frees them is stable', async () => {
  for (const fails of [false, true]) {
    for (let moment = 0; moment < 6; moment++) {
      for (let seed = 1; seed <= 12; seed++) await drainedBeside({ fails, moment, seed });
    }
  }
});

/** `drained` at some moment of a sync, and a power loss when segments have been removed. */
async function drainedBeside({ fails, moment, seed }: { fails: boolean; moment: number; seed: number }): Promise<void> {
  const clock = new SimulatedClock();
  const disk = new SimulatedDisk({ clock, random: seededRandom(seed), quickShare: 1 });
  const log = await during(clock, openOn(disk, clock, 5));
  await during(clock, write(log, 'a', 0, 200_000, 1));
  await during(clock, write(log, 'b', 0, 100_000, 2));
  await during(clock, log.stabilize());
  await during(clock, write(log, 'c', 0, 1_000, 3));
  await during(clock, log.stabilize());
  (await during(clock, log.plan(1))).release();
  log.note('x', Buffer.from('y'));
  if (fails) disk.fail('datasync');
  let isSynced = false;
  void log.sync().finally(() => {
    isSynced = true;
  });
  if (fails) await clock.advance(moment);
  else for (let turn = 0; turn < moment; turn++) await Promise.resolve();
  log.drained(1);
  while (!isSynced) await clock.advance(0.1);
  await clock.advance(0.5);
  const later = new SimulatedClock();
  const again = await during(later, openOn(disk.crash('power', { clock: later }), later, 6));
  const bytes = await during(later, shown(again.read(again.file('c'), 0, 1_000)));
  assert.ok(
    bytes.every((byte) => byte === 3),
    `seed ${seed}, moment ${moment}`,
  );
}

test('an epoch that ends while the log is cleaned has what was moved meanwhile', async () => {
  let ended = 0;
  for (let seed = 1; seed <= 8; seed++) if (await endsAmidCleaning(seed)) ended++;
  assert.ok(ended >= 6, 'cleaning is met');
});

async function endsAmidCleaning(seed: number): Promise<boolean> {
  const clock = new SimulatedClock();
  const latencyMs = { write: 2, read: 1, sync: 6 };
  const disk = new SimulatedDisk({ clock, random: seededRandom(seed), quickShare: 0.2, latencyMs });
  const log = await during(clock, openOn(disk, clock, seed, cleaned));
  const random = seededRandom(seed * 77);
  const written = new Map<number, number>();
  for (let round = 0; round < 200; round++) {
    const offset = (random.uint32() % 16) * block;
    const byte = 1 + (round % 250);
    let isThere = false;
    const appended = Promise.resolve(write(log, 'file', offset, block, byte)).then(() => {
      isThere = true;
    });
    for (let ms = 0; !isThere && ms < 30 && log.epochs()[0]?.sealedMs === undefined; ms += 0.5) {
      await clock.advance(0.5);
      if (!isThere && round > 40 && ms >= (seed % 6) / 2 && log.stats().waitingWriters > 0) log.seal();
    }
    const [sealed] = log.epochs();
    if (sealed?.sealedMs === undefined) {
      await during(clock, appended);
      written.set(offset, byte);
      continue;
    }
    // Until what was cleaned is gone.
    await clock.advance(60);
    const plan = await during(clock, log.plan(sealed.number));
    const sent = new Set<number>();
    for (const { extents } of plan.files) {
      for (const { offset: from, count } of extents) {
        for (let at = from; at < from + count; at += block) sent.add(at);
      }
    }
    log.drained(sealed.number);
    plan.release();
    await during(clock, appended);
    written.delete(offset);
    for (const at of written.keys()) assert.ok(sent.has(at), `seed ${seed}: nothing of ${at} is left behind`);
    await during(clock, log.close());
    return true;
  }
  await during(clock, log.close());
  return false;
}

test('what waits for the disk when the log is closed is sealed and answered', async () => {
  for (const moment of [0, 1, 5]) {
    const clock = new SimulatedClock();
    const disk = new SimulatedDisk({ clock, random: seededRandom(3), quickShare: 1, latencyMs: { sync: 20 } });
    const log = await during(clock, openOn(disk, clock, 5));
    await during(clock, write(log, 'a', 0, 1_000, 1));
    const first = log.sync();
    await clock.advance(moment);
    // Its group begins when that of `first` has ended: the log is being closed then.
    const second = log.stabilize();
    await during(clock, Promise.all([first, second, log.close()]));
    const again = await during(clock, openOn(disk.crash('power', { clock }), clock, 6));
    assert.ok(again.recovery.cleanlyClosed);
    assert.equal(again.epochs().length, 1);
    assert.notEqual(again.epochs()[0]!.sealedMs, undefined);
    await during(clock, again.close());
  }
});
