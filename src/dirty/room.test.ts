/** A log in which nothing waits takes little room on its disk, however often it is opened, and costs few syncs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bench } from './log-fixture.test.ts';
import type { DirtyLog } from './mod.ts';

const smallest = 2 * 1024 * 1024;
const large = { segmentBytes: undefined, limitBytes: 128 * 1024 * 1024 };

async function segmentsOf(bench: Bench): Promise<string[]> {
  return (await bench.run(bench.disk.list())).filter((name) => name.startsWith('segment'));
}

async function drain(bench: Bench, log: DirtyLog): Promise<void> {
  const epoch = log.seal();
  (await bench.run(log.plan(epoch))).release();
  log.drained(epoch);
  await bench.run(log.sync());
}

for (const end of ['closed', 'killed', 'without power'] as const) {
  test(`nine starts of an empty log leave one small segment, each time ${end}`, async () => {
    const bench = new Bench();
    for (let start = 0; start < 9; start++) {
      const log = await bench.open(large);
      if (start === 0) log.note('who', Buffer.from('me'));
      assert.equal(Buffer.from(log.noted('who')!).toString(), 'me', `start ${start}`);
      await bench.run(log.sync());
      if (end === 'closed') await bench.run(log.close());
      else bench.crash(end === 'killed' ? 'kill' : 'power');
    }
    const log = await bench.open(large);
    assert.equal(log.stats().segments, 1);
    assert.ok(log.stats().logBytes <= smallest, `${log.stats().logBytes} bytes`);
    await bench.run(log.close());
    assert.equal((await segmentsOf(bench)).length, 1);
    assert.ok(bench.disk.usedBytes <= 2 * smallest, `${bench.disk.usedBytes} bytes with the reserve`);
  });
}

test('nine starts of a log in which little waits leave what waits and one small segment', async () => {
  const bench = new Bench();
  for (let start = 0; start < 9; start++) {
    const log = await bench.open(large);
    if (start === 0) await bench.write(log, 'a', 5, 3_000, 7);
    else assert.deepEqual([...new Set(await bench.bytes(log, 'a', 5, 3_000))], [7], `start ${start}`);
    if (start % 3 === 1) bench.crash('power');
    else await bench.run(log.close());
  }
  const log = await bench.open(large);
  assert.deepEqual([...new Set(await bench.bytes(log, 'a', 5, 3_000))], [7]);
  assert.equal(log.stats().segments, 2);
  await drain(bench, log);
  await bench.run(log.close());
  assert.equal((await segmentsOf(bench)).length, 1);
});

test('a log that was large gives its room back when it is closed with nothing in it, and keeps its notes', async () => {
  const bench = new Bench();
  let log = await bench.open(large);
  for (let at = 0; at < 5; at++) await bench.write(log, 'a', at * 1_000_000, 1_000_000, 1);
  log.note('who', Buffer.from('me'));
  await drain(bench, log);
  assert.ok(log.stats().logBytes >= 8 * smallest, `${log.stats().logBytes} bytes while it runs`);
  await bench.run(log.close());
  assert.ok(bench.disk.usedBytes <= 2 * smallest, `${bench.disk.usedBytes} bytes`);
  const { verifier } = log;
  bench.crash('power');
  log = await bench.open({ ...large, bootId: 'another' });
  assert.equal(log.recovery.cleanlyClosed, true);
  assert.equal(log.verifier, verifier);
  assert.equal(log.recovery.dirtyBytes, 0);
  assert.equal(Buffer.from(log.noted('who')!).toString(), 'me');
  await bench.run(log.close());
});

test('a disk without room for another segment does not keep a log from being closed and opened', async () => {
  const bench = new Bench();
  let log = await bench.open(large);
  for (let at = 0; at < 5; at++) await bench.write(log, 'a', at * 1_000_000, 1_000_000, 1);
  log.note('who', Buffer.from('me'));
  await drain(bench, log);
  bench.disk.capacityBytes = bench.disk.usedBytes;
  await bench.run(log.close());
  for (let start = 0; start < 4; start++) {
    log = await bench.open(large);
    assert.equal(Buffer.from(log.noted('who')!).toString(), 'me');
    await bench.run(log.close());
    // Whatever was given back, somebody else has it now.
    bench.disk.capacityBytes = bench.disk.usedBytes;
  }
});

test('a start and a close in between which nothing changed cost three syncs', async () => {
  const bench = new Bench();
  await bench.run((await bench.open(large)).close());
  let syncs = 0;
  const { disk } = bench;
  const { sync, open, create } = disk;
  const counted = (file: Awaited<ReturnType<typeof open>>) => {
    const datasync = file.datasync.bind(file);
    file.datasync = () => {
      syncs++;
      return datasync();
    };
    return file;
  };
  disk.sync = () => {
    syncs++;
    return sync.call(disk);
  };
  disk.open = async (name) => counted(await open.call(disk, name));
  disk.create = async (name, bytes) => counted(await create.call(disk, name, bytes));
  const log = await bench.open(large);
  assert.equal(syncs, 2, 'the new segment and its name');
  await bench.run(log.close());
  assert.equal(syncs, 3, 'that it was closed in order');
});
