/** A start whose dirty log is not where an earlier session left it. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { silentLog, systemClock, systemRandom, ViaductError } from '../base/mod.ts';
import { LogIndex, type LogNote } from '../control/mod.ts';
import { DirtyLog, logId, systemLogDirectory } from '../dirty/mod.ts';
import { checkLogPlace } from './log-place.ts';

const clock = systemClock;

async function makeLog(directory: string): Promise<string> {
  const common = { identity: 'origin', keeps: false, limitBytes: 2 ** 26, bootId: 'boot', clock, log: silentLog };
  const opened = await systemLogDirectory(directory, { clock });
  const log = await DirtyLog.open({ directory: opened, random: systemRandom, ...common });
  await log.close();
  const id = await logId(directory, clock);
  assert.ok(typeof id === 'object');
  return id.uuid;
}

async function noted(t: TestContext) {
  const top = mkdtempSync(join(tmpdir(), 'viaduct-place-'));
  t.after(() => rmSync(top, { recursive: true }));
  const directory = join(top, 'disk/dirty');
  const index = new LogIndex(join(top, 'state'));
  const note: LogNote = {
    ...{ directory, origin: 'nfs://store/', listen: '127.0.7.2:2049', policy: 'write-back', pid: 7 },
    ...{ startedAt: 'then', restart: 'viaduct proxy nfs://store/', log: await makeLog(directory) },
  };
  const check = (abandons = false) => checkLogPlace({ directory, abandons, index, clock });
  return { directory, index, note, check };
}

function isMissing(text: RegExp) {
  return (error: unknown) => error instanceof ViaductError && error.code === 'LOG_MISSING' && text.test(error.message);
}

test('a directory of which nothing is noted, and one whose log is there, are fine', async (t) => {
  const { index, note, check } = await noted(t);
  await check();
  index.write(note);
  await check();
});

test('a log that is gone, or whose disk is empty, refuses the start, and nothing is made', async (t) => {
  const { directory, index, note, check } = await noted(t);
  rmSync(join(directory, '..'), { recursive: true });
  await check();
  index.write(note);
  await assert.rejects(check(), isMissing(/which was killed, is not there/));
  assert.equal(existsSync(directory), false);
  index.write({ ...note, left: { bytes: 2 ** 20, files: 1, conflicts: 0 } });
  mkdirSync(directory, { recursive: true });
  await assert.rejects(check(), isMissing(/which left 1\.0 MiB of 1 file, is not there/));
  await check(true);
});

test('another log in its place is not taken for it', async (t) => {
  const { directory, index, note, check } = await noted(t);
  index.write(note);
  renameSync(directory, `${directory}.away`);
  await makeLog(directory);
  await assert.rejects(check(), isMissing(/another log is in its place/));
  await check(true);
  rmSync(directory, { recursive: true });
  renameSync(`${directory}.away`, directory);
  await check();
});
