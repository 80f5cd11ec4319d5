/** The demo as a person runs it: a whole run with the small guest, and Ctrl-C in the middle of each part. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { findLauncher, prepareGuest, type StageResult } from '../src/demo/mod.ts';
import { attempt, run, scratchFolder, until } from './support/programs.ts';

const scratch = await scratchFolder('demo');
/** The demo's own temporary files go here, so that what it leaves behind can be seen. */
const temporary = join(scratch.path, 'temporary');
const signal = AbortSignal.timeout(230_000);

before(async () => {
  await mkdir(temporary);
  await prepareGuest({ kind: 'busybox', signal, progress: { step() {}, detail() {} } });
});

after(() => scratch.remove());

/** The processes of which the environment names our temporary folder. */
async function survivors(): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    const environment = await readFile(`/proc/${entry}/environ`, 'latin1').catch(() => '');
    if (!environment.includes(temporary)) continue;
    const command = await readFile(`/proc/${entry}/cmdline`, 'latin1').catch(() => '');
    if (command !== '') found.push(command.replaceAll('\0', ' '));
  }
  return found;
}

function startDemo(args: readonly string[]) {
  const child = spawn(findLauncher(), ['demo', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, TMPDIR: temporary },
  });
  let said = '';
  child.stderr.on('data', (text: Buffer) => {
    said += text.toString();
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { child, ended, said: () => said };
}

test('four boots of the small guest: the warm one reads next to nothing over the link', {
  timeout: 200_000,
}, async () => {
  const args = ['demo', '--guest', 'busybox', '--accelerator', 'tcg', '--rtt', '20', '--rate', '100M', '--json'];
  const said = (await run('env', [`TMPDIR=${temporary}`, findLauncher(), ...args], 190_000)).toString();
  const { results } = JSON.parse(said) as { results: StageResult[] };
  assert.deepEqual(
    results.map(({ stage }) => stage),
    ['local', 'native', 'cold', 'warm'],
  );
  const [local, native, cold, warm] = results as [StageResult, StageResult, StageResult, StageResult];
  assert.equal(local.downBytes, 0);
  assert.ok(native.downBytes > native.readBytes * 0.9, `native ${native.downBytes}`);
  assert.ok(cold.downBytes > cold.readBytes * 0.5, `cold ${cold.downBytes}`);
  assert.ok(warm.downBytes < 200_000, `warm ${warm.downBytes}`);
  assert.ok(warm.elapsedMs < native.elapsedMs, `warm ${warm.elapsedMs}, native ${native.elapsedMs}`);
  assert.deepEqual(await readdir(temporary), []);
  assert.deepEqual(await survivors(), []);
});

for (const [stage, ending] of [
  ['local', 'SIGINT'],
  ['native', 'SIGTERM'],
  ['cold', 'SIGINT'],
  ['cold', 'SIGKILL'],
] as const)
  test(`${ending} in the middle of the ${stage} boot leaves no process and no file`, async () => {
    const demo = startDemo(['--guest', 'busybox', '--accelerator', 'tcg', '--only', stage]);
    await until(`the ${stage} boot runs`, async () => (await survivors()).some((line) => line.includes('-blockdev')));
    demo.child.kill(ending);
    const code = await demo.ended;
    assert.equal(code, ending === 'SIGKILL' ? null : 130, demo.said());
    await until('every process is gone', async () => (await survivors()).length === 0, 10_000);
    await until('every file is gone', async () => (await readdir(temporary)).length === 0, 5000);
  });

test('Ctrl-C while the guest is built leaves no scratch and no lock; the next build goes on', async () => {
  const cache = join(scratch.path, 'guests');
  const demo = startDemo(['--guest', 'busybox', '--only', 'local', '--guest-cache', cache]);
  await until(
    'the build runs',
    async () => existsSync(cache) && (await readdir(cache)).some((name) => name.endsWith('.parts')),
  );
  demo.child.kill('SIGINT');
  assert.equal(await demo.ended, 130, demo.said());
  assert.deepEqual(await survivors(), []);
  const left = await readdir(cache, { recursive: true });
  assert.deepEqual(
    left.filter((name) => /scratch|product|\.lock/.test(name)),
    [],
  );
  const silent = { step() {}, detail() {} };
  const guest = await prepareGuest({ kind: 'busybox', cacheDirectory: cache, signal, progress: silent });
  assert.ok(existsSync(guest.disk));
  assert.equal((await readdir(cache)).length, 1);
});

test('a flag that makes no sense is refused with its remedy, before anything is built', async () => {
  const outcome = await attempt(findLauncher(), ['demo', '--rate', 'fast'], 10_000);
  assert.notEqual(outcome.code, 0);
  assert.match(outcome.stderr, /100M/);
});
