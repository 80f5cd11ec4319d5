/** Where `viaduct log salvage` may write, and what a salvage leaves that came to nothing. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { hash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '../base/mod.ts';
import { DirtyLog, systemLogDirectory } from '../dirty/mod.ts';
import { salvageInto } from './salvage.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viaduct-salvage-'));
after(() => rmSync(scratch, { recursive: true }));

/** A log of so many files with changes, closed. */
async function writeLog(path: string, files: number, count: number): Promise<void> {
  const clock = systemClock;
  const common = { identity: 'origin', keeps: false, limitBytes: 2 ** 26, bootId: 'boot', clock, log: silentLog };
  const directory = await systemLogDirectory(path, { clock });
  const log = await DirtyLog.open({ directory, random: systemRandom, ...common });
  for (let number = 0; number < files; number++) {
    const data = [new Uint8Array(count).fill(7)];
    const time = { seconds: 1, nanoseconds: 0 };
    await log.write({ file: log.file(`handle ${number}`), writer: 1, offset: 0, count, sizeAfter: count, time, data });
  }
  await log.stabilize();
  await log.close();
}

function contentOf(directory: string): string[] {
  return readdirSync(directory).map((name) => `${name} ${hash('sha256', readFileSync(join(directory, name)))}`);
}

const noLog = join(scratch, 'no-log');
mkdirSync(noLog);

test('a target that is a file, or below one, is refused', async () => {
  const file = join(scratch, 'file');
  writeFileSync(file, 'kept');
  for (const target of [file, join(file, 'below')]) {
    const refused = { code: 'CONFIGURATION_INVALID', message: /is not a directory, or lies below a file/ };
    await assert.rejects(salvageInto(noLog, target, systemClock), refused);
  }
});

test('where the system lets no directory be made the answer is an error, and it comes', async () => {
  await assert.rejects(salvageInto(noLog, '/proc/viaduct/x', systemClock), {
    code: 'CONFIGURATION_INVALID',
    message: /no directory can be made there/,
  });
});

test('onto a disk that becomes full: an error with its name, nothing that looks whole, and the log as it was', async (t) => {
  const log = join(scratch, 'log');
  await writeLog(log, 3, 100_000);
  const disk = join(scratch, 'disk');
  mkdirSync(disk);
  const main = join(import.meta.dirname, 'main.ts');
  const before = contentOf(log);
  // Within the first file; all files and not the list; everything.
  const sizes = [
    ['64k', false],
    ['300k', false],
    ['400k', true],
  ] as const;
  for (const [size, expected] of sizes) {
    const script = `mount -t tmpfs -o size=${size} viaduct "$0" || exit 99
      "$1" "$2" log salvage "$3" "$0/out"; code=$?; ls -A "$0/out" 2>/dev/null; exit $code`;
    const words = ['-rm', 'sh', '-c', script, disk, process.execPath, main, log];
    const run = spawnSync('unshare', words, { encoding: 'utf8', timeout: 30_000 });
    if (run.error !== undefined || run.status === 99 || /^unshare:/m.test(run.stderr)) {
      t.skip('no disk can be mounted here');
      return;
    }
    if (expected) {
      assert.equal(run.status, 0, run.stderr);
      assert.match(run.stdout, /^salvage\.json$/m);
    } else {
      assert.match(run.stderr, /DISK_FULL: .*\/disk\/out\/\S+ cannot be written: ENOSPC/);
      assert.deepEqual([run.status, run.stdout], [1, '']);
    }
    assert.deepEqual(contentOf(log), before);
  }
});

test('a salvage that comes to nothing leaves no directory behind, and keeps those that were there', async () => {
  assert.equal(await salvageInto(noLog, join(scratch, 'a/b/c'), systemClock), undefined);
  assert.equal(existsSync(join(scratch, 'a')), false);
  await assert.rejects(salvageInto(join(scratch, 'nowhere'), join(scratch, 'd'), systemClock));
  assert.equal(existsSync(join(scratch, 'd')), false);
  const own = join(scratch, 'own');
  mkdirSync(own);
  assert.equal(await salvageInto(noLog, own, systemClock), undefined);
  assert.deepEqual(readdirSync(own), []);
});
