/** QEMU's tools, and a whole guest, over nfs:// through a proxy before `viaduct serve`. */
import assert from 'node:assert/strict';
import { copyFile, mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { seededRandom } from '../src/base/mod.ts';
import { boot, type Guest, prepareGuest, type RunningCommand } from '../src/demo/mod.ts';
import { enterPrivateNetwork } from './support/namespace.ts';
import { attempt, run, scratchFolder, sha256File, until } from './support/programs.ts';
import { fetchedBytes, proxy, serve } from './support/viaduct.ts';

const signal = AbortSignal.timeout(170_000);
/** Built before the network is private: packages may have to be fetched. The second time it is there. */
const guest: Guest = await prepareGuest({ kind: 'busybox', signal, progress: { step() {}, detail() {} } });
enterPrivateNetwork(import.meta.filename);

const MiB = 1024 * 1024;
const origin = '127.0.0.2';
const far = '127.0.0.3';
/** Two slashes before a file of the root folder: libnfs mounts its folder, and cannot mount an empty path. */
const url = `nfs://${far}/`;
const scratch = await scratchFolder('qemu');
const exported = join(scratch.path, 'exported');
const image = join(exported, 'image.raw');
const random = seededRandom(2049);
let commands: RunningCommand[] = [];

before(async () => {
  await mkdir(exported);
  await copyFile(guest.disk, join(exported, 'disk.raw'));
  await writeFile(image, random.bytes(Buffer.alloc(24 * MiB)));
  // A hole behind the data: zeros over the wire, not a different file.
  await truncate(image, 40 * MiB);
  await start();
});

after(async () => {
  await stop();
  await scratch.remove();
});

async function start(): Promise<void> {
  commands.push(await serve(exported, origin));
  const cache = join(scratch.path, 'cache');
  commands.push(await proxy({ origin: `nfs://${origin}:2049/`, listen: far, cache }));
}

async function stop(): Promise<void> {
  for (const command of commands.toReversed()) await command.stop();
  commands = [];
}

test('qemu-img compares the far image as equal to the local one, cold and warm', async () => {
  for (let i = 0; i < 2; i++) await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, `${url}/image.raw`]);
});

test('qemu-img compare sees one changed byte, so that an equal answer means something', async () => {
  const other = join(scratch.path, 'other.raw');
  await copyFile(image, other);
  await run('qemu-io', ['-f', 'raw', '-c', `write -P 0x5a ${7 * MiB} 512`, other]);
  const outcome = await attempt('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', other, `${url}/image.raw`]);
  assert.equal(outcome.code, 1);
});

test('qemu-img converts from and to the far end without changing a byte', async () => {
  const copy = join(scratch.path, 'copy.qcow2');
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', `${url}/image.raw`, copy]);
  await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', copy, `${url}/back.raw`]);
  assert.equal(await sha256File(join(exported, 'back.raw')), await sha256File(image));
});

test('qemu-img bench reads and writes with many requests in flight', async () => {
  for (const more of [[], ['-w', '--pattern=66', '--flush-interval=64']])
    await run('qemu-img', ['bench', '-f', 'raw', '-c', '2000', '-d', '32', '-s', '4096', ...more, `${url}/back.raw`]);
});

test('a burst of overlapping writes leaves the blocks that it does not touch in the cache', async () => {
  const disk = join(exported, 'burst.raw');
  await copyFile(image, disk);
  const far = `${url}/burst.raw`;
  const read = (): Promise<Buffer> => run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', disk, far]);
  const through = commands.at(-1)!;
  await read();
  // Fills go on for a moment after the last reply.
  await until('all of it is cached', async () => {
    const before = await fetchedBytes(through);
    await read();
    return (await fetchedBytes(through)) === before;
  });
  const before = await fetchedBytes(through);
  for (const pattern of ['66', '67'])
    await run('qemu-img', [
      'bench',
      '-f',
      'raw',
      '-w',
      `--pattern=${pattern}`,
      '-c',
      '512',
      '-d',
      '16',
      '-s',
      '4096',
      far,
    ]);
  await read();
  const bytes = (await fetchedBytes(through)) - before;
  // 2 MiB were written, in whole pages: they may be asked for again, the other 38 may not.
  assert.ok(bytes <= 4 * MiB, `${bytes} bytes were fetched again`);
});

test('what qemu-io writes through the proxy it reads back, and so does the origin after a restart of both', async () => {
  const work = `${url}/work.raw`;
  await run('qemu-img', ['create', '-q', '-f', 'raw', work, String(16 * MiB)]);
  const writes = [
    'write -P 0x11 0 1M',
    'write -P 0x22 65024 1024',
    'write -P 0x33 4096 512',
    'write -z 2M 1M',
    'flush',
  ];
  await run('qemu-io', ['-f', 'raw', ...writes.flatMap((write) => ['-c', write]), work]);
  const reads = [
    'read -P 0x11 0 4096',
    'read -P 0x33 4096 512',
    'read -P 0x11 4608 60416',
    'read -P 0x22 65024 1024',
    'read -P 0x11 66048 982528',
    'read -P 0 1M 4M',
  ].flatMap((read) => ['-c', read]);
  const verify = async (place: string): Promise<void> => {
    const said = (await run('qemu-io', ['-r', '-f', 'raw', ...reads, place])).toString();
    assert.doesNotMatch(said, /verification failed/i);
    assert.equal(said.match(/^read \d+\/\d+ bytes/gm)?.length, 6);
  };
  await verify(work);
  await verify(join(exported, 'work.raw'));
  await stop();
  await start();
  await verify(work);
});

test('a guest boots from the far disk and finds every file of it as it was built', async () => {
  const before = await sha256File(join(exported, 'disk.raw'));
  const result = await boot({
    guest,
    disk: { kind: 'nfs', host: far, path: '//disk.raw' },
    accelerator: 'tcg',
    scratch: scratch.path,
    timeoutMs: 90_000,
    signal,
  });
  // The guest verifies the checksums of its files before it says that it is ready (demo/busybox-disk.ts).
  assert.ok(result.readBytes > 7 * MiB, `${result.readBytes}`);
  assert.equal(await sha256File(join(exported, 'disk.raw')), before);
});
