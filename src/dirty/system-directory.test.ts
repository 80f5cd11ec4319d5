/** The log on a real disk: lock, foreign directories, reserved room, and a process that is killed. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { seededRandom, silentLog, systemClock, ViaductError } from '../base/mod.ts';
import { shown } from './log-model.test.ts';
import { DirtyLog, inspectLog, systemLogDirectory } from './mod.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viaduct-dirty-'));
after(() => rmSync(scratch, { recursive: true }));

async function open(path: string, identity = 'me', limitBytes = 16 * 1024 * 1024): Promise<DirtyLog> {
  const directory = await systemLogDirectory(path, { clock: systemClock });
  return DirtyLog.open({
    ...{ directory, identity, limitBytes, bootId: 'boot', keeps: false },
    ...{ clock: systemClock, log: silentLog, random: seededRandom(1) },
  });
}

function code(wanted: string) {
  return (error: unknown) => error instanceof ViaductError && error.code === wanted;
}

test('a directory has one log at a time, and it is not made in foreign ones', async () => {
  const path = join(scratch, 'one');
  const log = await open(path);
  await assert.rejects(open(path), code('LOG_IN_USE'));
  await log.close();
  await (await open(path)).close();
  const foreign = join(scratch, 'foreign');
  mkdirSync(foreign);
  writeFileSync(join(foreign, 'letter'), 'x');
  await assert.rejects(open(foreign), code('LOG_FOREIGN'));
  assert.deepEqual(readdirSync(foreign), ['letter']);
});

test('a place where no directory can be made is told in words', async () => {
  await assert.rejects(open('/proc/log2'), {
    code: 'CONFIGURATION_INVALID',
    message: /no directory can be made there/,
  });
  writeFileSync(join(scratch, 'file'), '');
  await assert.rejects(open(join(scratch, 'file/log')), {
    code: 'CONFIGURATION_INVALID',
    message: /a file in the way/,
  });
  await assert.rejects(open(join(scratch, 'file')), { code: 'CONFIGURATION_INVALID', message: /a file in the way/ });
});

test('a log that cannot be opened does not keep others from its directory', async () => {
  const path = join(scratch, 'given-back');
  await (await open(path)).close();
  await assert.rejects(open(path, 'somebody else'), code('LOG_FOREIGN'));
  await (await open(path)).close();
});

test('what was written is read back, large and small, and is there after a clean close', async () => {
  const path = join(scratch, 'two');
  let log = await open(path);
  const file = log.file('a');
  const time = { seconds: 1, nanoseconds: 2 };
  const big = Buffer.alloc(1024 * 1024, 9);
  for (const offset of [0, 100]) {
    const count = offset === 0 ? big.length : 5_000;
    const data = offset === 0 ? [big.subarray(0, 300_000), big.subarray(300_000)] : [Buffer.alloc(count, 4)];
    await log.write({ file, writer: 1, offset, count, sizeAfter: big.length, time, data });
  }
  await log.stabilize();
  for (let round = 0; round < 2; round++) {
    const bytes = await shown(log.read(file, 0, big.length));
    assert.deepEqual([bytes[99], bytes[100], bytes[5_099], bytes[5_100], bytes[big.length - 1]], [9, 4, 4, 9, 9]);
    assert.deepEqual(await shown(log.read(file, 777_777, 3)), Int16Array.of(9, 9, 9));
    await log.close();
    log = await open(path);
    assert.equal(log.recovery.cleanlyClosed, true);
  }
  const [name] = readdirSync(path).filter((one) => one.startsWith('segment-'));
  assert.ok(statSync(join(path, name!)).blocks * 512 >= 2 * 1024 * 1024, 'room is reserved');
  await log.close();
});

/** A file system of so many bytes, or undefined where that is not allowed. */
function smallDisk(path: string, bytes: number): (() => void) | undefined {
  mkdirSync(path);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  return () => execFileSync('umount', ['-l', path]);
}

test('a log on a disk that somebody else filled opens, is drained, and a new one there is refused', async (t) => {
  const disk = join(scratch, 'disk');
  const unmount = smallDisk(disk, 12 * 1024 * 1024);
  if (unmount === undefined) return t.skip('only root mounts a tmpfs');
  try {
    let log = await open(join(disk, 'log'));
    const count = 500_000;
    const change = { file: log.file('a'), writer: 1, sizeAfter: count, time: { seconds: 1, nanoseconds: 2 } };
    await log.write({ ...change, offset: 0, count, data: [Buffer.alloc(count, 5)] });
    log.seal();
    await log.stabilize();
    const rest = openSync(join(disk, 'foreign'), 'w');
    assert.throws(() => {
      for (;;) writeSync(rest, Buffer.alloc(4096, 1));
    }, /ENOSPC/);
    closeSync(rest);
    for (let round = 0; round < 3; round++) {
      await log.close();
      log = await open(join(disk, 'log'));
      assert.deepEqual([...new Set(await shown(log.read(1, 0, count)))], [5]);
    }
    await assert.rejects(open(join(disk, 'new')), code('DISK_FULL'));
    (await log.plan(1)).release();
    log.drained(1);
    await log.sync();
    await log.close();
    log = await open(join(disk, 'log'));
    assert.equal(log.state(1), undefined);
    await log.close();
  } finally {
    unmount();
  }
});

test('whoever looks at a log does not read the room that is reserved for records to come', async (t) => {
  const path = join(scratch, 'reserved');
  const log = await open(path, 'me', 256 * 1024 * 1024);
  const time = { seconds: 1, nanoseconds: 2 };
  const data = [Buffer.alloc(5_000, 5)];
  await log.write({ file: log.file('a'), writer: 1, offset: 0, count: 5_000, sizeAfter: 5_000, time, data });
  const directory = await systemLogDirectory(path, { clock: systemClock, isReadOnly: true });
  const openFile = directory.open.bind(directory);
  const read = { bytes: 0, fileBytes: 0, isKnown: false };
  directory.open = async (name) => {
    const file = await openFile(name);
    const { size, dataAt } = file;
    read.fileBytes = size;
    read.isKnown = dataAt?.(size / 2) === size;
    const counted = (position: number, length: number) => {
      read.bytes += length;
      return file.read(position, length);
    };
    return {
      ...file,
      size,
      dataAt,
      write: file.write,
      datasync: file.datasync,
      read: counted,
      close: () => file.close(),
    };
  };
  const found = await inspectLog(directory);
  await log.close();
  assert.deepEqual([found?.files.length, found?.damaged], [1, undefined]);
  if (!read.isKnown) return t.skip('this file system does not tell what was never written');
  assert.ok(read.bytes < read.fileBytes / 2, `${read.bytes} bytes of ${read.fileBytes} were read`);
});

test('a start reads what the log holds, not the room that is reserved for records to come', async (t) => {
  const path = join(scratch, 'start');
  const limitBytes = 256 * 1024 * 1024;
  let log = await open(path, 'me', limitBytes);
  const file = log.file('a');
  const time = { seconds: 1, nanoseconds: 2 };
  const count = 1_000_000;
  for (let at = 0; at < 3; at++) {
    const change = { file, writer: 1, offset: at * count, count, sizeAfter: 3 * count, time };
    await log.write({ ...change, data: [Buffer.alloc(count, at + 1)] });
  }
  await log.close();
  const looking = await systemLogDirectory(path, { clock: systemClock, isReadOnly: true });
  for (const name of (await looking.list()).filter((one) => one.startsWith('segment'))) {
    const looked = await looking.open(name);
    const isKnown = looked.dataAt?.(looked.size - 1) === looked.size;
    await looked.close();
    if (!isKnown) return t.skip('this file system does not tell what was never written');
  }
  await looking.close();
  const directory = await systemLogDirectory(path, { clock: systemClock });
  const openFile = directory.open.bind(directory);
  const read = { bytes: 0, reserved: 0 };
  directory.open = async (name) => {
    const opened = await openFile(name);
    read.reserved += opened.size;
    const readFile = opened.read.bind(opened);
    opened.read = (position, length) => {
      read.bytes += length;
      return readFile(position, length);
    };
    return opened;
  };
  log = await DirtyLog.open({
    ...{ directory, identity: 'me', limitBytes, bootId: 'boot', keeps: false },
    ...{ clock: systemClock, log: silentLog, random: seededRandom(1) },
  });
  const bytes = await shown(log.read(1, 0, 3 * count));
  assert.deepEqual([bytes[0], bytes[count], bytes[3 * count - 1]], [1, 2, 3]);
  await log.close();
  assert.ok(read.reserved > 32 * 1024 * 1024, `${read.reserved} bytes are reserved`);
  assert.ok(read.bytes < 8 * 1024 * 1024, `${read.bytes} bytes were read`);
});
