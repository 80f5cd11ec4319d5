/** `viaduct image` as a user runs it, and `viaduct serve` that keeps packs current: results, exit codes, kill -9, signals, bad input. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

const viaduct = join(import.meta.dirname, '..', 'bin/viaduct');
const MiB = 1024 * 1024;
let scratch: string;
const running = new Set<ChildProcess>();

before(() => {
  scratch = mkdtempSync(join(tmpdir(), 'viaduct-image-'));
  chmodSync(scratch, 0o755);
});
after(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(scratch, { recursive: true, force: true });
});

const environment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  VIADUCT_RUNTIME_DIR: join(scratch, 'run'),
  VIADUCT_STATE_DIR: join(scratch, 'state-base'),
});

interface Done {
  readonly code: number | null;
  readonly lines: string[];
  readonly stderr: string;
}

/** `uid`: as another user. */
function image(args: readonly string[], options: { uid?: number } = {}): Promise<Done> {
  return new Promise((resolve) => {
    const child = execFile(
      viaduct,
      ['image', ...args],
      { env: environment(), timeout: 60_000, maxBuffer: 16 * MiB, ...options },
      (_error, stdout, stderr) =>
        resolve({ code: child.exitCode, lines: stdout.split('\n').filter((line) => line !== ''), stderr }),
    );
  });
}

/** Starts it and waits until it says something of the stage. */
async function begin(
  stage: string,
  ...args: string[]
): Promise<{ child: ChildProcess; ended: Promise<number | null>; said: () => string }> {
  const child = spawn(viaduct, ['image', ...args, '--json'], {
    env: environment(),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  running.add(child);
  const ended = once(child, 'close').then(([code]: (number | null)[]) => {
    running.delete(child);
    return code ?? null;
  });
  let said = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr!.on('data', (chunk) => {
      said += chunk;
      if (said.includes(`"stage":"${stage}"`)) resolve();
    });
    void ended.then((code) => reject(new Error(`ended with ${code}: ${said}`)));
  });
  return { child, ended, said: () => said };
}

function site(name: string): string {
  const directory = join(scratch, name);
  mkdirSync(directory);
  return directory;
}

test('pack, inspect, verify and adopt say what they did, in words and as JSON', async () => {
  const directory = site('words');
  mkdirSync(join(directory, 'sub'));
  const disk = randomBytes(3 * MiB);
  writeFileSync(join(directory, 'disk.raw'), Buffer.concat([disk, Buffer.alloc(3 * MiB)]));
  writeFileSync(join(directory, 'sub/memory.ram'), Buffer.concat([disk.subarray(0, MiB), Buffer.alloc(MiB)]));
  writeFileSync(join(directory, 'notes'), Buffer.from('small'));
  const packed = await image(['pack', directory, '--with', directory]);
  assert.equal(packed.code, 0, packed.stderr);
  assert.match(packed.lines[0]!, /disk\.raw: 6\.0 MiB, 50 % zero, 3\.0 MiB distinct: pack 3\.0 MiB, meta-data \d/);
  assert.match(
    packed.lines[1]!,
    /memory\.ram: 2\.0 MiB, 50 % zero, 1\.0 MiB distinct \(1\.0 MiB of it in 1 other image too\)/,
  );
  assert.deepEqual(packed.lines.slice(2), ['2 images packed']);
  assert.equal(existsSync(join(directory, '.viaduct/notes.meta')), false);

  const again = await image(['pack', join(directory, 'sub/memory.ram'), '--json']);
  assert.equal(JSON.parse(again.lines[0]!).outcome, 'current');
  const inspected = await image(['inspect', join(directory, 'sub/memory.ram'), '--with', directory]);
  assert.match(inspected.lines.join('\n'), /^fits {6}yes$/m);
  assert.match(inspected.lines.join('\n'), /^shared {4}1\.0 MiB with .*words\/disk\.raw$/m);

  assert.equal((await image(['verify', join(directory, 'disk.raw')])).code, 0);
  chmodSync(join(directory, 'disk.raw'), 0o600);
  const stale = await image(['verify', join(directory, 'disk.raw'), '--json']);
  assert.deepEqual([stale.code, JSON.parse(stale.lines[0]!).wrongSectors], [3, 0]);
  assert.match(stale.stderr, /"kind":"progress"/);
  const adopted = await image(['adopt', join(directory, 'disk.raw')]);
  assert.deepEqual([adopted.code, /adopted/.test(adopted.lines[0]!)], [0, true]);
  assert.equal((await image(['verify', join(directory, 'disk.raw')])).code, 0);

  const fd = openSync(join(directory, 'disk.raw'), 'r+');
  writeSync(fd, 'another byte', MiB);
  const other = await image(['adopt', join(directory, 'disk.raw')]);
  assert.equal(other.code, 3);
  assert.match(other.lines[0]!, /not adopted: 1 sector not what the meta-data say, the first at byte 1048576/);
});

test('verify says by exit code 3 and by a result what is damaged, and what to run then', async () => {
  const directory = site('damaged');
  const path = join(directory, 'disk.raw');
  const [meta, pack] = ['meta', 'pack'].map((name) => join(directory, `.viaduct/disk.raw.${name}`)) as [string, string];
  writeFileSync(path, randomBytes(MiB));
  assert.equal((await image(['verify', path])).code, 1, 'it was never packed');
  assert.equal((await image(['pack', path])).code, 0);
  const flip = (file: string, at: number): void => {
    const bytes = readFileSync(file);
    bytes[at]! ^= 1;
    writeFileSync(file, bytes);
  };
  flip(pack, MiB / 2);
  const group = await image(['verify', path]);
  assert.equal(group.code, 3);
  const again = `${path}: make them anew: viaduct image pack --again ${path}`;
  assert.deepEqual(group.lines, [`${path}: 1 group of the pack damaged`, again]);
  assert.equal((await image(['pack', '--again', path])).code, 0);
  assert.equal((await image(['verify', path])).code, 0);
  flip(meta, 20);
  const head = await image(['verify', path, '--json']);
  assert.equal(head.code, 3, head.stderr);
  const { kind, path: about, isRight, unusable } = JSON.parse(head.lines[0]!);
  assert.deepEqual([kind, about, isRight], ['result', path, false]);
  assert.match(unusable, /damaged/);
  assert.match((await image(['verify', path])).lines.join('\n'), /cannot be used: .*\n.*: viaduct image pack \S+raw$/);
  assert.equal((await image(['pack', path])).code, 0);
  assert.equal((await image(['verify', path])).code, 0);
});

test('names of any bytes are packed with their folder, and shown without commanding the terminal', async () => {
  const directory = site('names');
  const name = Buffer.from('disk\xff\x1b[31m\nred.raw', 'latin1');
  writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), name]), randomBytes(MiB));
  const packed = await image(['pack', directory]);
  assert.equal(packed.code, 0, packed.stderr);
  assert.equal(packed.lines.length, 1);
  assert.match(packed.lines[0]!, /names\/disk\ufffd\\x1b\[31m\\nred\.raw: 1\.0 MiB/);
  const absent = await image(['verify', join(directory, 'a\x1b[2J\nb'), '--json']);
  assert.equal(JSON.parse(absent.lines[0]!).file, join(directory, 'a\x1b[2J\nb'));
  assert.match((await image(['inspect', join(directory, 'a\x1b[2J\nb')])).stderr, /a\\x1b\[2J\\nb: ENOENT/);
  const [result] = (await image(['pack', directory, '--json'])).lines;
  assert.equal(JSON.parse(result!).path, join(directory, 'disk\ufffd\x1b[31m\nred.raw'));
});

test('a file system that is read-only is told as that, also to root', async () => {
  const directory = site('read-only');
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=20m', 'viaduct-test', directory]);
  try {
    writeFileSync(join(directory, 'disk.raw'), randomBytes(MiB));
    execFileSync('mount', ['-o', 'remount,ro', directory]);
    const { code, stderr } = await image(['pack', directory]);
    assert.equal(code, 2);
    assert.match(
      stderr,
      /CONFIGURATION_INVALID: cannot make the folder .*: EROFS, the file system is read-only\.\n {2}remedy: Mount it/,
    );
  } finally {
    execFileSync('umount', [directory]);
  }
});

test('killed with SIGKILL it goes on where it was; SIGINT leaves only what it goes on with', async () => {
  const directory = site('killed');
  const path = join(directory, 'disk.raw');
  writeFileSync(path, randomBytes(48 * MiB));
  const first = await begin('pack', 'pack', path, '--threads', '1', '--level', '19');
  first.child.kill('SIGKILL');
  await first.ended;
  const kept = ['.disk.raw.pack-list', '.disk.raw.pack-part', '.disk.raw.part'];
  assert.deepEqual(readdirSync(join(directory, '.viaduct')).sort(), kept);
  const second = await begin('pack', 'pack', path, '--threads', '1', '--level', '19');
  second.child.kill('SIGINT');
  assert.equal(await second.ended, 130);
  const told = second
    .said()
    .split('\n')
    .filter((line) => line !== '');
  assert.equal(JSON.parse(told.at(-1)!).kind, 'interrupted');
  for (const line of told) JSON.parse(line);
  assert.deepEqual(readdirSync(join(directory, '.viaduct')).sort(), kept);
  const last = await image(['pack', path, '--json', '--level', '19']);
  const { resumedBytes, resumedPackBytes, packBytes } = JSON.parse(last.lines[0]!);
  assert.equal(resumedBytes, 48 * MiB);
  assert.ok(resumedPackBytes >= MiB && resumedPackBytes < packBytes, `${resumedPackBytes} of ${packBytes} bytes`);
  assert.deepEqual(readdirSync(join(directory, '.viaduct')).sort(), ['disk.raw.meta', 'disk.raw.pack']);
  assert.equal((await image(['verify', path])).code, 0);
});

test('a disk that is full keeps nothing half-done', async () => {
  const directory = site('full');
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=20m', 'viaduct-test', directory]);
  try {
    writeFileSync(join(directory, 'disk.raw'), randomBytes(14 * MiB));
    const { code, stderr } = await image(['pack', directory]);
    assert.equal(code, 1);
    assert.match(stderr, /DISK_FULL: cannot write .*disk\.raw\.pack: ENOSPC/);
    assert.deepEqual(readdirSync(join(directory, '.viaduct')), []);
  } finally {
    execFileSync('umount', [directory]);
  }
});

test('what may not be packed is told with its reason, and the others are packed', async () => {
  const directory = site('users');
  for (const name of ['mine.raw', 'theirs.raw']) writeFileSync(join(directory, name), randomBytes(MiB));
  chownSync(join(directory, 'mine.raw'), 65_534, 65_534);
  const refused = await image(['pack', join(directory, 'mine.raw')], { uid: 65_534 });
  assert.equal(refused.code, 1, refused.stderr);
  assert.match(refused.stderr, /PRIVILEGE_NEEDED: cannot make the folder .*EACCES/);
  chmodSync(directory, 0o1777);
  // As a kill right before the end leaves it: with the mode of an image that nobody may write to.
  mkdirSync(join(directory, '.viaduct'));
  chownSync(join(directory, '.viaduct'), 65_534, 65_534);
  const sealed = join(directory, '.viaduct/.mine.raw.pack-part');
  writeFileSync(sealed, 'the pack', { mode: 0o444 });
  chownSync(sealed, 65_534, 65_534);
  const both = await image(['pack', directory], { uid: 65_534 });
  assert.equal(both.code, 1);
  assert.match(both.stderr, /PRIVILEGE_NEEDED: .*theirs\.raw belongs to user 0, and this is user 65534/);
  assert.match(both.lines.at(-1)!, /^1 image packed, 1 could not be packed$/);
  const absent = await image(['pack', join(directory, 'absent')]);
  assert.equal(absent.code, 2);
  assert.match((await image(['inspect', join(directory, 'theirs.raw')])).stderr, /IMAGE_NOT_PACKED/);
});

test('serve keeps the pack of a file current that was packed once', async () => {
  const directory = site('served');
  const path = join(directory, 'disk.raw');
  writeFileSync(path, randomBytes(MiB));
  copyFileSync(path, join(directory, 'never-packed.raw'));
  assert.equal((await image(['pack', path])).code, 0);
  const args = [
    'serve',
    directory,
    '--listen',
    '127.0.0.1:0',
    '--pack-after',
    '1s',
    '--state-directory',
    join(scratch, 'state'),
  ];
  const child = spawn(viaduct, args, { env: environment(), stdio: ['ignore', 'ignore', 'pipe'] });
  running.add(child);
  let log = '';
  const packed = new Promise<void>((resolve) => {
    child.stderr.on('data', (chunk) => {
      log += chunk;
      if (log.includes('packed an image')) resolve();
    });
  });
  writeFileSync(path, randomBytes(2 * MiB));
  utimesSync(path, 5, 5);
  await packed;
  assert.equal((await image(['verify', path])).code, 0);
  assert.equal(existsSync(join(directory, '.viaduct/never-packed.raw.meta')), false);
  child.kill('SIGTERM');
  const [code] = await once(child, 'exit');
  running.delete(child);
  assert.equal(code, 0);
  assert.doesNotMatch(log, /Warning|"level":[45]0/);
  assert.ok(readFileSync(join(directory, '.viaduct/disk.raw.pack')).length > MiB);
});
