/** What lies behind the end of a log's records is found, wherever it is and whatever the file system says of holes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimulatedClock } from '../testing/mod.ts';
import { code, writeTo } from './log-fixture.test.ts';
import { MemoryDirectory, openOn, tellingHoles } from './log-model.test.ts';
import type { LogFile } from './mod.ts';

/** Longer than any window that is read at once. */
const roomy = { segmentBytes: 2 * 1024 * 1024 };
const gapBytes = 700_000;

/** A log whose second change was stable and is lost: nothing but zeros are left of it, before records that say so. */
async function withGap(): Promise<{ directory: MemoryDirectory; clock: SimulatedClock }> {
  const clock = new SimulatedClock();
  const directory = new MemoryDirectory();
  const log = await openOn(directory, clock, 3, roomy);
  await writeTo(log, 0, 300, 1);
  await log.sync();
  await writeTo(log, 10_000, gapBytes, 2);
  await log.sync();
  await writeTo(log, 10_000, 300, 3);
  const bytes = directory.files.get(directory.segments()[0]!)!;
  // Its head, too.
  const from = bytes.indexOf(Buffer.alloc(100, 2)) - 96 - 4 * Math.ceil(gapBytes / 4096 + 1);
  bytes.fill(0, from, bytes.lastIndexOf(Buffer.alloc(100, 2)) + 100);
  return { directory, clock };
}

/** Every file that is opened is as `change` makes it, and counts what is read of it. */
function changed(directory: MemoryDirectory, change: (file: LogFile, content: Buffer) => LogFile): { bytes: number } {
  const open = directory.open.bind(directory);
  const read = { bytes: 0 };
  directory.open = async (name) => {
    const file = change(await open(name), directory.files.get(name)!);
    return {
      ...file,
      read(position, length) {
        read.bytes += Math.min(length, file.size - position);
        return file.read(position, length);
      },
    };
  };
  return read;
}

test('a record behind a gap of any length is found where holes are not read', async () => {
  const { directory, clock } = await withGap();
  const read = changed(directory, tellingHoles);
  await assert.rejects(openOn(directory, clock, 4, roomy), code('LOG_DAMAGED'));
  assert.ok(read.bytes < roomy.segmentBytes / 2, `${read.bytes} bytes were read`);
});

test('a file system that denies what was just read is not believed', async () => {
  const { directory, clock } = await withGap();
  // As if what was written lately were not there: everything, or what follows the first page, or the header.
  for (const told of [0, 4096, 8192]) {
    const lying = directory.copy();
    changed(lying, (file) => ({ ...file, dataAt: (position) => (position < told ? position : file.size) }));
    await assert.rejects(openOn(lying, clock, 4, roomy), code('LOG_DAMAGED'), `data up to ${told}`);
  }
});

test('what was never written is not read, where that is told', async () => {
  const clock = new SimulatedClock();
  const directory = new MemoryDirectory();
  const log = await openOn(directory, clock, 3, roomy);
  await writeTo(log, 0, 300, 1);
  await log.sync();
  const copy = directory.copy();
  const all = changed(directory, (file) => file);
  await (await openOn(directory, clock, 4, roomy)).close();
  const told = changed(copy, tellingHoles);
  await (await openOn(copy, clock, 4, roomy)).close();
  assert.ok(
    all.bytes > roomy.segmentBytes && told.bytes < roomy.segmentBytes / 2,
    `${told.bytes} of ${all.bytes} bytes`,
  );
});
