/** The dirty log's promises one by one, on a simulated disk: what is read, planned, drained and dropped. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bench, time } from './log-fixture.test.ts';
import { shown } from './log-model.test.ts';

test('reads show the newest bytes, zeros after a cut, the base elsewhere', async () => {
  const bench = new Bench();
  const log = await bench.open();
  await bench.write(log, 'a', 10, 20, 1);
  await bench.write(log, 'a', 15, 5, 2);
  await bench.resize(log, 'a', 18);
  await bench.write(log, 'a', 24, 2, 3);
  assert.deepEqual(await bench.bytes(log, 'a', 8, 18), [-1, -1, 1, 1, 1, 1, 1, 2, 2, 2, -2, -2, -2, -2, -2, -2, 3, 3]);
  const state = log.state(log.file('a'))!;
  assert.deepEqual([state.size, state.lowWater, state.dirtyBytes], [26, 18, 10]);
  await bench.run(log.close());
});

test('a plan coalesces one epoch, keeps what later ones overwrite, and moves a rewritten region once', async () => {
  const bench = new Bench();
  const log = await bench.open({ limitBytes: 64 * 1024 * 1024, segmentBytes: 4 * 1024 * 1024 });
  for (let round = 1; round <= 10; round++) {
    for (let at = 0; at < 1024 * 1024; at += 65_536) await bench.write(log, 'a', at, 65_536, round);
  }
  await bench.run(log.stabilize());
  await bench.write(log, 'a', 100, 50, 99, 2);
  await bench.resize(log, 'a', 120);
  assert.equal(log.seal(), 2);
  const plan = await bench.run(log.plan(1));
  assert.equal(plan.bytes, 1024 * 1024);
  assert.deepEqual(plan.files[0]!.extents, [{ offset: 0, count: 1024 * 1024, writer: 1 }]);
  assert.equal(plan.files[0]!.cutTo, undefined);
  const bytes = await bench.run(shown(plan.read(log.file('a'), 0, 1024 * 1024)));
  assert.ok(bytes.every((byte) => byte === 10));
  log.drained(1);
  plan.release();
  assert.equal((await bench.bytes(log, 'a', 99, 2))[0], -1);
  const second = await bench.run(log.plan(2));
  assert.deepEqual(second.files, [
    { file: 1, cutTo: 120, extents: [{ offset: 100, count: 20, writer: 2 }], sizeAfter: 120, time, writer: 1 },
  ]);
  log.drained(2);
  second.release();
  await bench.run(log.sync());
  assert.equal(log.state(log.file('a')), undefined);
  await bench.clock.advance(50);
  assert.ok(log.stats().segments <= 2, 'segments of drained epochs are gone');
  await bench.run(log.close());
});

test('an overwrite of other files in later epochs is known, an extension is not one', async () => {
  const bench = new Bench();
  const log = await bench.open();
  await bench.write(log, 'journal', 0, 100, 1);
  log.seal();
  await bench.write(log, 'database', 1_000, 100, 1);
  const overwrites = (key: string, databaseBytes: number, journalBytes: number) =>
    log.overwritesAfter(log.file(key), (file) => (file === log.file('journal') ? journalBytes : databaseBytes));
  assert.equal(overwrites('journal', 1_000, 0), false);
  assert.equal(overwrites('journal', 1_001, 0), true);
  assert.equal(overwrites('database', 1_001, 0), false);
  await bench.write(log, 'journal', 50, 100, 1);
  assert.equal(overwrites('database', 0, 0), false, 'in an epoch that is not later');
  assert.equal(overwrites('database', 500, 0), true, 'a part of it was there before');
  await bench.run(log.close());
});

test('what epochs that wait put there is overwritten, too; new bytes, appended ones and drained epochs are not', async () => {
  const bench = new Bench();
  const log = await bench.open();
  const overwrites = (key?: string) => log.overwritesAfter(key === undefined ? undefined : log.file(key), () => 0);
  await bench.write(log, 'database', 0, 100, 1);
  log.seal();
  await bench.write(log, 'database', 100, 100, 1);
  log.seal();
  await bench.write(log, 'journal', 0, 10, 1);
  await bench.run(log.sync());
  assert.equal(overwrites(), false, 'written and appended');
  await bench.write(log, 'database', 150, 10, 2);
  log.seal();
  assert.equal(overwrites('journal'), false, 'in the epoch of the journal itself');
  assert.equal(overwrites('unknown'), true);
  await bench.resize(log, 'database', 199);
  log.seal();
  await bench.run(log.sync());
  assert.equal(overwrites('journal'), true, 'cut after the journal was sealed');
  assert.equal(overwrites('database'), false, 'its own doing');
  for (const epoch of [1, 2, 3]) {
    (await bench.run(log.plan(epoch))).release();
    log.drained(epoch);
    assert.equal(overwrites(), true, `only ${epoch} epochs have left`);
  }
  log.drop(log.file('database'));
  await bench.run(log.sync());
  assert.equal(overwrites(), false, 'dropped');
  await bench.run(log.close());
});

test('what is dropped is void in every epoch, plans included, and stays so', async () => {
  const bench = new Bench();
  let log = await bench.open();
  await bench.write(log, 'a', 0, 100, 1);
  await bench.write(log, 'b', 0, 100, 2);
  log.seal();
  await bench.write(log, 'a', 0, 100, 3);
  log.drop(log.file('a'));
  assert.equal(log.state(log.file('a')), undefined);
  await bench.write(log, 'a', 50, 10, 4);
  await bench.run(log.sync());
  bench.crash('power');
  log = await bench.open();
  assert.deepEqual(await bench.bytes(log, 'a', 49, 2), [-1, 4]);
  const plan = await bench.run(log.plan(1));
  assert.deepEqual(
    plan.files.map(({ file }) => log.keyOf(file)),
    ['b'],
  );
  plan.release();
  await bench.run(log.close());
});
