/** A dirty log that has no room, or whose disk fails. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../base/mod.ts';
import type { Appended } from './contract.ts';
import { Bench, code, writeTo } from './log-fixture.test.ts';

test('a full log makes writers wait in order, tells, and goes on when an epoch is drained', async () => {
  const bench = new Bench();
  let pressed = 0;
  const log = await bench.open({ limitBytes: 1024 * 1024, onPressure: () => pressed++ });
  const answers: number[] = [];
  const promises: Promise<void>[] = [];
  for (let at = 0; at < 60; at++) {
    const written = writeTo(log, at * 20_000, 20_000, at);
    promises.push(
      Promise.resolve(written).then((answer) => {
        assert.equal(answer, 'appended');
        answers.push(at);
      }),
    );
  }
  await bench.clock.advance(3_000);
  const waiting = log.stats().waitingWriters;
  assert.ok(waiting > 10 && pressed >= 2, `${waiting} wait`);
  while (answers.length < 60) {
    const epoch = log.seal();
    const plan = await bench.run(log.plan(epoch));
    log.note('intent', Buffer.alloc(300));
    await bench.run(log.sync());
    log.drained(epoch);
    plan.release();
    await bench.run(log.sync());
    await bench.clock.advance(100);
    assert.ok(log.stats().logBytes <= 1024 * 1024 + 256 * 1024);
  }
  assert.deepEqual(
    answers,
    [...answers].sort((a, b) => a - b),
  );
  await bench.run(log.close());
});

test('a disk without room makes writers wait too; with nothing to free, it is said', async () => {
  const bench = new Bench();
  const log = await bench.open();
  bench.disk.capacityBytes = bench.disk.usedBytes;
  let answered = 0;
  const all = Promise.all(
    Array.from({ length: 20 }, (_, at) => Promise.resolve(writeTo(log, at * 20_000, 20_000, 1)).then(() => answered++)),
  );
  await bench.clock.advance(2_500);
  assert.ok(answered > 3 && answered < 20);
  bench.disk.capacityBytes += 1024 * 1024;
  await bench.run(all);
  for (let epoch = log.seal(); epoch !== 0; epoch = log.seal()) {
    const { number } = log.epochs()[0]!;
    (await bench.run(log.plan(number))).release();
    log.drained(number);
  }
  await bench.run(log.sync());
  bench.disk.capacityBytes = 0;
  const answers = [];
  for (let at = 0; at < 20; at++) answers.push(await bench.run(writeTo(log, 0, 20_000, 1)));
  assert.equal(answers[19], 'no-room');
  bench.disk.capacityBytes = 10_000_000;
  assert.equal(await bench.run(writeTo(log, 0, 20_000, 1)), 'appended');
  await bench.run(log.close());
});

test('a write that the disk refuses goes into another segment, whole', async () => {
  const bench = new Bench();
  let log = await bench.open();
  await bench.write(log, 'a', 0, 9_000, 1);
  for (const problem of ['EIO', 'ENOSPC']) {
    bench.disk.fail('write', 1, problem);
    await bench.write(log, 'a', 0, 9_000, 2);
  }
  assert.ok((await bench.bytes(log, 'a', 0, 9_000)).every((byte) => byte === 2));
  bench.crash('kill');
  log = await bench.open();
  assert.ok((await bench.bytes(log, 'a', 0, 9_000)).every((byte) => byte === 2));
});

test('after a failed datasync the records are written again and are stable then', async () => {
  for (const epochs of [1, 2]) {
    const bench = new Bench();
    let log = await bench.open();
    await bench.write(log, 'a', 0, 9_000, 1);
    await bench.run(log.stabilize());
    const { verifier } = log;
    await bench.write(log, 'a', 100, 5_000, 2);
    if (epochs === 2) log.seal();
    await bench.write(log, 'b', 0, 100, 3);
    bench.disk.fail('datasync', 1);
    await bench.run(log.stabilize());
    assert.equal(log.verifier, verifier);
    assert.equal(log.stats().failedSyncs, 1);
    await bench.write(log, 'a', 0, 10, 4);
    await bench.run(log.sync());
    for (const { number } of log.epochs().slice(0, -1)) {
      const plan = await bench.run(log.plan(number));
      assert.ok(plan.bytes > 0);
      plan.release();
      if (number > 1) break;
      log.drained(number);
    }
    const wanted = await bench.bytes(log, 'a', 0, 9_000);
    await bench.run(log.sync());
    bench.crash('power');
    log = await bench.open({ bootId: 'another' });
    assert.deepEqual(await bench.bytes(log, 'a', 0, 5_100), wanted.slice(0, 5_100));
    assert.equal((await bench.bytes(log, 'b', 0, 100))[99], 3);
  }
});

test('if that fails too, the commit fails and the verifier changes, for good', async () => {
  const bench = new Bench();
  let log = await bench.open();
  const { verifier } = log;
  await bench.write(log, 'a', 0, 9_000, 1);
  bench.disk.fail('datasync', 2);
  await assert.rejects(bench.run(log.stabilize()), code('LOG_FAILED'));
  assert.notEqual(log.verifier, verifier);
  const after = log.verifier;
  await bench.run(log.stabilize());
  assert.equal(log.verifier, after);
  bench.crash('kill');
  log = await bench.open();
  assert.equal(log.verifier, after);
  bench.crash('power');
  log = await bench.open({ bootId: 'another' });
  assert.equal((await bench.bytes(log, 'a', 0, 9_000))[8_999], 1);
});

test('a log that is kept cleans dead records away, over and over, and shows the same after a crash', async () => {
  const bench = new Bench();
  let log = await bench.open({ keeps: true, limitBytes: 3 * 1024 * 1024 });
  const random = seededRandom(5);
  const wanted = new Int16Array(1_000_000).fill(-1);
  await bench.write(log, 'cold', 0, 5_000, 9);
  await bench.write(log, 'cold', 0, 100, 8);
  await bench.resize(log, 'cold', 50);
  await bench.resize(log, 'cold', 5_000);
  for (let round = 0; round < 900; round++) {
    const offset = random.uint32() % 980_000;
    const byte = round % 251;
    wanted.fill(byte, offset, offset + 17_000);
    assert.equal(await bench.write(log, 'a', offset, 17_000, byte), 'appended');
    if (round % 100 === 0) await bench.run(log.stabilize());
  }
  assert.ok(log.stats().logBytes <= 3 * 1024 * 1024);
  for (const kind of ['kill', 'power'] as const) {
    if (kind === 'power') await bench.run(log.sync());
    const size = log.state(log.file('a'))!.size;
    bench.crash(kind);
    log = await bench.open({ keeps: true, limitBytes: 3 * 1024 * 1024 });
    assert.deepEqual(await bench.bytes(log, 'a', 0, size), [...wanted.subarray(0, size)]);
    const cold = await bench.bytes(log, 'cold', 0, 5_000);
    assert.deepEqual([cold[49], cold[50], cold[4_999]], [8, -2, -2]);
  }
  assert.equal(log.epochs().length, 1);
  await bench.run(log.discard());
  assert.deepEqual([...log.dirtyFiles()], []);
  assert.equal(await bench.write(log, 'a', 0, 10, 1), 'appended');
  await bench.run(log.close());
});

test('a log that is kept says so when what lives fills it', async () => {
  const bench = new Bench();
  const log = await bench.open({ keeps: true, limitBytes: 2 * 1024 * 1024 });
  let answer: Appended = 'appended';
  let offset = 0;
  for (; answer === 'appended' && offset < 4_000_000; offset += 20_000)
    answer = await bench.write(log, 'a', offset, 20_000, 1);
  assert.equal(answer, 'no-room');
  assert.ok(offset > 500_000);
  await bench.run(log.close());
});

test('a log is closed only when the segments that it frees are gone: its directory may be the next process', async () => {
  const bench = new Bench();
  const remove = bench.disk.remove.bind(bench.disk);
  let removed = 0;
  bench.disk.remove = async (name) => {
    await new Promise<void>((resolve) => bench.clock.after(500, resolve));
    await remove(name);
    removed++;
  };
  const log = await bench.open();
  for (let at = 0; at < 10; at++) await bench.write(log, 'a', at * 50_000, 50_000, 1);
  const epoch = log.seal();
  (await bench.run(log.plan(epoch))).release();
  const before = log.stats().segments;
  log.drained(epoch);
  await bench.run(log.close());
  assert.ok(before > 2 && removed > 0);
  const atClose = removed;
  const names = await bench.run(bench.disk.list());
  await bench.clock.advance(60_000);
  assert.equal(removed, atClose);
  assert.deepEqual(await bench.run(bench.disk.list()), names);
});
