/** What is said of the disk under a dirty log, at the start and later. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogLines } from '../testing/mod.ts';
import { diskState, logDisk, warnOfRoom } from './log-disk.ts';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;

test('a limit that the disk has no room for is told at the start, with both sizes; one that fits is not', () => {
  const log = new LogLines();
  const common = { directory: '/log', policy: 'write-back', takenBytes: 64 * MiB, log } as const;
  warnOfRoom({ ...common, limitBytes: 4 * GiB, disk: { sizeBytes: 8 * GiB, freeBytes: 4 * GiB } });
  warnOfRoom({ ...common, limitBytes: 4 * GiB, disk: undefined });
  // What the log has taken already is room that it has.
  warnOfRoom({ ...common, limitBytes: 4 * GiB, disk: { sizeBytes: 8 * GiB, freeBytes: 4 * GiB - 64 * MiB } });
  assert.equal(log.has('--dirty-limit'), false);
  warnOfRoom({ ...common, limitBytes: 4 * GiB, disk: { sizeBytes: GiB, freeBytes: 900 * MiB } });
  assert.ok(log.has('may take 4096 MiB (dirty-limit), and its disk has room for 964 MiB'));
});

test('a disk is short of room, or full, only while the log could want more of it', () => {
  const at = (freeBytes: number, takenBytes: number) => diskState({ sizeBytes: GiB, freeBytes }, 512 * MiB, takenBytes);
  assert.equal(at(500 * MiB, 64 * MiB), 'roomy');
  assert.equal(at(200 * MiB, 64 * MiB), 'roomy', 'less than the limit, and far from full');
  assert.equal(at(100 * MiB, 64 * MiB), 'short');
  assert.equal(at(100 * MiB, 448 * MiB), 'roomy', 'all that it may still take');
  assert.equal(at(0, 64 * MiB), 'full');
  assert.equal(at(0, 512 * MiB), 'roomy', 'the limit is reached, not the disk’s end');
});

test('a disk that cannot be asked is no disk', async () => {
  assert.equal(await logDisk('/nowhere/at/all'), undefined);
  assert.ok((await logDisk('/'))!.sizeBytes > 0);
});
