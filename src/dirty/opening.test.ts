/** What the next process finds of a dirty log: all that was stable, or that it is damaged, or somebody else's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { SimulatedClock } from '../testing/mod.ts';
import { Bench, code, time, writeTo } from './log-fixture.test.ts';
import { MemoryDirectory, openOn, shown } from './log-model.test.ts';
import { inspectLog, salvageLog } from './mod.ts';

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
    if (torn % 13 === 0)
      assert.equal((await inspectLog(copy))!.damaged, undefined, `torn at ${torn}: no damage to whoever looks`);
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
    const { damaged, damage } = (await inspectLog(copy))!;
    assert.equal(
      damaged,
      opened === undefined ? undefined : (opened as Error).message,
      'who looks says what a start says',
    );
    if (opened !== undefined) assert.ok(damage.length > 0);
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
  assert.equal((await inspectLog(directory))!.damaged, undefined);
  directory.files.get(name)!.fill(7, 4096, 8192);
  await assert.rejects(openOn(directory, clock, 4), code('LOG_DAMAGED'));
  await assert.rejects(inspectLog(directory), code('LOG_DAMAGED'));
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
  assert.match((await inspectLog(directory))!.damaged ?? '', /do not verify/);
});

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

test('salvage goes on where the disk cannot be read, and loses no more than those sectors', async () => {
  const clock = new SimulatedClock();
  const directory = new MemoryDirectory();
  const log = await openOn(directory, clock, 3);
  await writeTo(log, 0, 40_960, 5);
  await writeTo(log, 100_000, 8_192, 6);
  await log.sync();
  const payload = directory.files.get(directory.segments()[0]!)!.indexOf(Buffer.alloc(100, 5));
  const bad = Math.floor((payload + 20_000) / 4096) * 4096;
  const open = directory.open.bind(directory);
  let opened = 0;
  let closed = 0;
  directory.open = async (name) => {
    opened++;
    const file = await open(name);
    return {
      ...file,
      read(position, length) {
        const isBad = name.startsWith('segment') && position < bad + 4096 && position + length > bad;
        return isBad
          ? Promise.reject(Object.assign(new Error('EIO: read'), { code: 'EIO' }))
          : file.read(position, length);
      },
      close: async () => void closed++,
    };
  };
  const found = await inspectLog(directory);
  assert.deepEqual(
    found!.damage.map((one) => one.what),
    ['payload'],
  );
  let saved = 0;
  const result = await salvageLog(directory, clock, ({ data }) => {
    assert.ok(data.every((byte) => byte === data[0]));
    saved += data.length;
  });
  const lost = result!.lost.reduce((sum, { count }) => sum + count, 0);
  assert.ok(lost >= 4096 && lost <= 8192, `${lost} bytes are lost`);
  assert.equal(saved + lost, 40_960 + 8_192);
  assert.equal(closed, opened);
  assert.ok(closed > 0);
});

test('a log that grows while it is looked at is not taken for a damaged one', async () => {
  const clock = new SimulatedClock();
  const directory = new MemoryDirectory();
  const log = await openOn(directory, clock, 3);
  const openFile = directory.open.bind(directory);
  let writes = 0;
  directory.open = async (name) => {
    const file = await openFile(name);
    return {
      ...file,
      // All that is there was read; before what follows it is looked at, more has become stable.
      async read(position, length) {
        if (position > 8192 && writes++ < 3) {
          await writeTo(log, writes * 4096, 100, writes);
          await log.sync();
          await writeTo(log, writes * 4096, 100, writes);
        }
        return file.read(position, length);
      },
    };
  };
  assert.equal((await inspectLog(directory))!.damaged, undefined);
  assert.ok(writes > 0);
  await log.close();
});
