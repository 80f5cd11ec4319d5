/** The dirty log's promises one by one, on a simulated disk. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { seededRandom, ViaductError } from '../base/mod.ts';
import { SimulatedClock, SimulatedDisk } from '../testing/mod.ts';
import type { Appended, DirtyLogOptions } from './contract.ts';
import { during, MemoryDirectory, openOn, shown } from './log-model.test.ts';
import { type DirtyLog, inspectLog, salvageLog } from './mod.ts';

const time = { seconds: 1_700_000_000, nanoseconds: 5 };

class Bench {
  clock = new SimulatedClock();
  #seed = 11;
  disk: SimulatedDisk;

  constructor(options: { capacityBytes?: number; dropsPagesAfterFailure?: boolean } = {}) {
    this.disk = new SimulatedDisk({ clock: this.clock, random: seededRandom(7), ...options });
  }

  open(options: Partial<DirtyLogOptions> = {}): Promise<DirtyLog> {
    return this.run(openOn(this.disk, this.clock, this.#seed++, options as Parameters<typeof openOn>[3]));
  }

  run<T>(promise: Promise<T> | T): Promise<T> {
    return during(this.clock, promise);
  }

  write(log: DirtyLog, key: string, offset: number, count: number, byte: number, writer = 1): Promise<Appended> {
    const file = log.file(key);
    const sizeAfter = Math.max(log.state(file)?.size ?? 0, offset + count);
    return this.run(log.write({ file, writer, offset, count, sizeAfter, time, data: [Buffer.alloc(count, byte)] }));
  }

  resize(log: DirtyLog, key: string, sizeAfter: number): Promise<Appended> {
    return this.run(log.resize({ file: log.file(key), writer: 1, sizeAfter, time }));
  }

  async bytes(log: DirtyLog, key: string, offset: number, count: number): Promise<number[]> {
    return [...(await this.run(shown(log.read(log.file(key), offset, count))))];
  }

  /** The next boot finds what this one left. */
  crash(kind: 'kill' | 'power'): void {
    this.clock = new SimulatedClock();
    this.disk = this.disk.crash(kind, { clock: this.clock });
  }
}

function code(wanted: string) {
  return (error: unknown) => error instanceof ViaductError && error.code === wanted;
}

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

test('everything is there after a clean close: bytes, sizes, notes, numbers, epochs, and the verifier', async () => {
  const bench = new Bench();
  let log = await bench.open();
  await bench.write(log, 'a', 0, 5_000, 4);
  const number = log.file('b');
  log.note('n', Buffer.from('one'));
  log.note('gone', Buffer.from('x'));
  log.note('gone', undefined);
  log.seal();
  await bench.write(log, 'b', 3, 3, 5);
  const { verifier } = log;
  const before = [
    log.state(1),
    log.state(number),
    log.epochs().map((epoch) => [epoch.number, epoch.sealedMs === undefined]),
  ];
  await bench.run(log.close());
  bench.crash('power');
  log = await bench.open({ bootId: 'another' });
  assert.deepEqual(log.recovery, { found: true, cleanlyClosed: true, lostTail: false, records: 2, dirtyBytes: 5_003 });
  const after = [
    log.state(1),
    log.state(number),
    log.epochs().map((epoch) => [epoch.number, epoch.sealedMs === undefined]),
  ];
  assert.deepEqual(after, before);
  assert.equal(log.verifier, verifier);
  assert.equal(log.file('a'), 1);
  assert.equal(log.keyOf(number), 'b');
  assert.deepEqual(
    [...log.notes('')].map(([key, value]) => [key, Buffer.from(value).toString()]),
    [['n', 'one']],
  );
  await bench.run(log.close());
});

test('the verifier changes with a boot that may have lost something, and only then', async () => {
  const bench = new Bench();
  let log = await bench.open();
  const { verifier } = log;
  await bench.write(log, 'a', 0, 10, 1);
  bench.crash('kill');
  log = await bench.open();
  assert.equal(log.verifier, verifier);
  assert.equal(log.recovery.cleanlyClosed, false);
  bench.crash('power');
  log = await bench.open({ bootId: 'another' });
  assert.notEqual(log.verifier, verifier);
});

/** A log of two stable records, one that is not, in one segment: the file, and where each record begins. */
async function threeRecords() {
  const clock = new SimulatedClock();
  const directory = new MemoryDirectory();
  const log = await openOn(directory, clock, 3);
  const starts: number[] = [];
  const used = async () => (await inspectLog(directory.copy()))!.segments[0]!.usedBytes;
  for (let round = 1; round <= 3; round++) {
    starts.push(await used());
    if (round === 3) {
      await log.sync();
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
      starts.push(await used());
    }
    const data = [Buffer.alloc(300, round)];
    await log.write({ file: log.file('a'), writer: 1, offset: 0, count: 300, sizeAfter: 300, time, data });
  }
  const name = directory.segments()[0]!;
  return { clock, directory, name: name!, starts, end: await used() };
}

test('a torn last record is gone wherever it was torn, and all before it is there', async () => {
  const { clock, directory, name, starts, end } = await threeRecords();
  // The last record, and the one before it that says what is stable.
  for (let torn = starts[2]!; torn < end; torn++) {
    const copy = directory.copy();
    if (
      copy.files
        .get(name)!
        .subarray(torn, end)
        .every((byte) => byte === 0)
    )
      continue;
    copy.files.get(name)!.fill(0, torn);
    const log = await openOn(copy, clock, 4);
    assert.equal((await shown(log.read(1, 0, 300)))[0], 2, `torn at ${torn}`);
    if (torn > starts[3]!) assert.equal(log.recovery.lostTail, true);
    await log.close();
  }
});

test('each flipped bit in what was stable is damage, and nothing is changed on the disk', async () => {
  const { clock, directory, name, starts } = await threeRecords();
  for (let at = starts[0]!; at < starts[2]!; at += 7) {
    const copy = directory.copy();
    const bytes = copy.files.get(name)!;
    const isPadding = at % 16 > 0 && bytes.subarray(at - (at % 16), at + 1).every((byte) => byte === 0);
    bytes[at]! ^= 1 << (at % 8);
    const before = copy.copy();
    const opened = await openOn(copy, clock, 4).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (opened === undefined) {
      // Between two records nothing is said.
      assert.ok(isPadding || directory.files.get(name)![at] === 0, `a flip at ${at} is seen`);
      continue;
    }
    assert.ok(code('LOG_DAMAGED')(opened), String(opened));
    assert.ok(copy.equals(before));
  }
});

test('one copy of a damaged segment header is enough, none is damage', async () => {
  const { clock, directory, name } = await threeRecords();
  directory.files.get(name)!.fill(7, 0, 4096);
  const log = await openOn(directory.copy(), clock, 4);
  assert.equal(log.recovery.records, 3);
  directory.files.get(name)!.fill(7, 4096, 8192);
  await assert.rejects(openOn(directory, clock, 4), code('LOG_DAMAGED'));
});

test('a lost segment is damage', async () => {
  const clock = new SimulatedClock();
  const directory = new MemoryDirectory();
  const log = await openOn(directory, clock, 3);
  for (let at = 0; at < 40; at++) await writeTo(log, at * 20_000, 20_000, 1);
  await log.sync();
  const names = directory.segments();
  assert.ok(names.length > 2);
  directory.files.delete(names[0]!);
  await assert.rejects(openOn(directory, clock, 4), code('LOG_DAMAGED'));
});

function writeTo(log: DirtyLog, offset: number, count: number, byte: number) {
  const sizeAfter = 10_000_000;
  return log.write({
    file: log.file('a'),
    writer: 1,
    offset,
    count,
    sizeAfter,
    time,
    data: [Buffer.alloc(count, byte)],
  });
}

test('a log of somebody else, and one of another version, are refused and left alone', async () => {
  const { clock, directory, name } = await threeRecords();
  const before = directory.copy();
  await assert.rejects(openOn(directory, clock, 4, { identity: 'other' }), code('LOG_FOREIGN'));
  assert.ok(directory.equals(before));
  for (const at of [0, 4096]) {
    const bytes = directory.files.get(name)!.subarray(at, at + 4096);
    bytes.writeUInt32LE(2, 16);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 4092)), 4092);
  }
  await assert.rejects(openOn(directory, clock, 4), code('LOG_VERSION'));
});

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

test('salvage gives what verifies, sector by sector, and tells what does not', async () => {
  const clock = new SimulatedClock();
  const directory = new MemoryDirectory();
  const log = await openOn(directory, clock, 3);
  await writeTo(log, 1_000, 12_000, 5);
  await writeTo(log, 50_000, 100, 6);
  log.note('place', Buffer.from('x'));
  await log.sync();
  const name = directory.segments()[0]!;
  const bytes = directory.files.get(name!)!;
  bytes[bytes.indexOf(Buffer.alloc(100, 5)) + 5_000]! ^= 1;
  await assert.rejects(openOn(directory, clock, 4), code('LOG_DAMAGED'));
  const found = await inspectLog(directory);
  assert.deepEqual(
    found!.damage.map((one) => one.what),
    ['payload'],
  );
  assert.equal(found!.files[0]!.dirtyBytes, 12_100);
  let saved = 0;
  const result = await salvageLog(directory, clock, (range, notes) => {
    assert.ok(range.data.every((byte) => byte === (range.offset < 50_000 ? 5 : 6)));
    assert.deepEqual(notes.get('place'), Uint8Array.from([120]));
    saved += range.data.length;
  });
  assert.deepEqual(
    result!.lost.map(({ offset, count }) => [offset, count]),
    [[4_096, 4_096]],
  );
  assert.equal(saved, 12_100 - 4_096);
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
