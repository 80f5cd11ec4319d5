/**
 * The Linux kernel's own NFS client, in a microVM, through a proxy: the same script as on a local ext4 must see the same things.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { defaultCacheDirectory, type RunningCommand } from '../src/demo/mod.ts';
import { fetchKernel, type MicroVmResult, mountCommand, runMicroVm } from './kernel/microvm.ts';
import { enterPrivateNetwork } from './support/namespace.ts';
import { scratchFolder } from './support/programs.ts';
import { proxy, serve } from './support/viaduct.ts';

// Before the network is gone: the kernel may have to be fetched.
const kernel = fetchKernel(join(defaultCacheDirectory(), 'microvm'));
enterPrivateNetwork(import.meta.filename);

const proxyPort = 20049;
const scratch = await scratchFolder('kernel');
const exported = join(scratch.path, 'exported');
const commands: RunningCommand[] = [];
let result: MicroVmResult;

/** `STEP name result` of one of the two runs, by name. */
function steps(prefix: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of result.lines) {
    const match = new RegExp(`${prefix} STEP (\\w+) (.*)$`).exec(line);
    if (match !== null) found.set(match[1]!, match[2]!);
  }
  return found;
}

before(
  async () => {
    await mkdir(exported);
    commands.push(await serve(exported, '127.0.0.2:20049'));
    const cache = join(scratch.path, 'cache');
    commands.push(await proxy({ origin: 'nfs://127.0.0.2:20049/', listen: `127.0.0.1:${proxyPort}`, cache }));
    result = await runMicroVm(kernel, {
      memoryMiB: 640,
      scratchMiB: 256,
      timeoutMs: 240_000,
      files: { '/app/workload.ts': join(import.meta.dirname, 'kernel/workload.ts') },
      script: `${mountCommand(proxyPort, '/tmp/nfs')} || exit 91
node /app/workload.ts /tmp/scratch 2>&1 | sed 's/^/EXT4 /' &
node /app/workload.ts /tmp/nfs 2>&1 | sed 's/^/NFS /'
wait
umount /tmp/nfs || exit 92`,
    });
  },
  { timeout: 300_000 },
);

after(async () => {
  for (const command of commands.toReversed()) await command.stop();
  await scratch.remove();
});

test('the guest mounts the proxy, runs the script and unmounts', () => {
  assert.equal(result.exitCode, 0, result.lines.slice(-30).join('\n'));
});

test('every step gives on NFS what it gives on ext4', () => {
  const local = steps('EXT4');
  const remote = steps('NFS');
  assert.equal(local.size, 14, result.lines.slice(-30).join('\n'));
  for (const [name, value] of local) {
    assert.doesNotMatch(value, /FAILED/, name);
    assert.equal(remote.get(name), value, name);
  }
});

test('the kernel of the guest complains about nothing', () => {
  const complaints = result.lines.filter((line) =>
    /nfs: server|not responding|Call Trace|BUG:|hung_task|I\/O error/.test(line),
  );
  assert.deepEqual(complaints, []);
});

test('what the guest wrote is what lies in the origin directory', async () => {
  const digest = (data: Buffer): string => createHash('sha256').update(data).digest('hex').slice(0, 16);
  const work = join(exported, 'work');
  const written = await readFile(join(work, 'shared'));
  assert.equal(steps('NFS').get('concurrentWriters'), `${written.length} ${digest(written)}`);
  const large = await readFile(join(work, 'large'));
  assert.equal(steps('NFS').get('largeFile'), `${large.length} ${digest(large)}`);
  assert.equal((await readdir(join(work, 'small'))).length, 6666);
  assert.equal(
    (await readdir(work)).some((name) => name.startsWith('.nfs')),
    false,
  );
});
