/** A proxy before a foreign NFSv3 server, nfs-ganesha: reads, writes, names, a restart in the middle, a foreign change. */
import assert from 'node:assert/strict';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { seededRandom, silentLog, systemClock } from '../src/base/mod.ts';
import type { RunningCommand } from '../src/demo/mod.ts';
import { openNfsOrigin, parseOrigin } from '../src/origins/mod.ts';
import { credential } from '../src/vfs/mod.ts';
import { type Ganesha, startGanesha } from './support/ganesha.ts';
import { enterPrivateNetwork, isRealRoot } from './support/namespace.ts';
import { run, scratchFolder, sha256, sha256File, until } from './support/programs.ts';
import { fetchedBytes, proxy } from './support/viaduct.ts';

enterPrivateNetwork(import.meta.filename);

const MiB = 1024 * 1024;
const skip = isRealRoot() ? false : 'nfs-ganesha needs root: its back end opens files by handle';
const scratch = await scratchFolder('ganesha');
const exported = join(scratch.path, 'exported');
const random = seededRandom(100005);
const listenPort = 3049;
const via = (path: string): string => `nfs://127.0.0.3/${path}?nfsport=${listenPort}&mountport=${listenPort}`;
let ganesha: Ganesha | undefined;
let viaduct: RunningCommand | undefined;

before(async () => {
  if (skip !== false) return;
  await mkdir(join(exported, 'folder'), { recursive: true });
  await writeFile(join(exported, 'folder', 'large'), random.bytes(Buffer.alloc(12 * MiB + 99)));
  ganesha = await startGanesha({ exported, scratch: scratch.path });
  const cache = join(scratch.path, 'cache');
  viaduct = await proxy({ origin: ganesha.origin, listen: `127.0.0.3:${listenPort}`, cache });
});

after(async () => {
  await viaduct?.stop();
  await ganesha?.stop();
  await scratch.remove();
});

test('a file is read through the proxy as it is at the origin, cold and warm', { skip }, async () => {
  const expected = await sha256File(join(exported, 'folder', 'large'));
  for (let i = 0; i < 2; i++) assert.equal(sha256(await run('nfs-cat', [via('folder/large')])), expected);
});

test('a file that is written through the proxy is at the origin', { skip }, async () => {
  const source = join(scratch.path, 'source');
  await writeFile(source, random.bytes(Buffer.alloc(5 * MiB + 1)));
  await run('nfs-cp', [source, via('folder/written')]);
  assert.equal(await sha256File(join(exported, 'folder', 'written')), await sha256File(source));
});

test('a rename at the origin keeps the content under the new name', { skip }, async () => {
  const content = await readFile(join(exported, 'folder', 'written'));
  await rename(join(exported, 'folder', 'written'), join(exported, 'folder', 'renamed'));
  const read = (): Promise<Buffer> => run('nfs-cat', [via('folder/renamed')]);
  assert.equal(sha256(await read()), sha256(content));
});

test('a change by another client of the origin is noticed within the time-out', { skip }, async () => {
  const size = 256 * 1024;
  const path = join(exported, 'folder', 'changing');
  await writeFile(path, Buffer.alloc(size, 0x11));
  const read = async (): Promise<string> => sha256(await run('nfs-cat', [via('folder/changing')]));
  assert.equal(await read(), sha256(Buffer.alloc(size, 0x11)));
  // Through the origin, not behind its back: it caches attributes too.
  await run('qemu-io', ['-f', 'raw', '-c', `write -P 0x22 0 ${size}`, `${ganesha!.url}/folder/changing`]);
  const changed = sha256(Buffer.alloc(size, 0x22));
  await until('the change is seen', async () => (await read()) === changed);
});

test('the origin restarts under a writer: no byte is lost, though its verifier changed', { skip }, async () => {
  const bytes = 48 * MiB;
  const image = join(exported, 'image.raw');
  // Writes without a flush in between, so that much of it is unstable when the origin goes away.
  const chunk = 256 * 1024;
  const commands: string[] = [];
  for (let offset = 0; offset < bytes; offset += chunk)
    commands.push('-c', `write -P ${(offset / chunk) % 251} ${offset} ${chunk}`);
  const source = join(scratch.path, 'pattern.raw');
  await run('qemu-img', ['create', '-q', '-f', 'raw', source, String(bytes)]);
  await run('qemu-io', ['-f', 'raw', ...commands, source]);
  const copying = run('nfs-cp', [source, via('/image.raw')]);
  const blocks = (): Promise<number> =>
    stat(image).then(
      (found) => found.blocks,
      () => 0,
    );
  await until('some of it was written', async () => (await blocks()) > 1024);
  await ganesha!.restart();
  await copying;
  assert.equal(await sha256File(image), await sha256File(source));
});

test('a sole writer keeps its cache over overlapping writes to a server that does not tell what was before', {
  skip,
}, async () => {
  const disk = join(exported, 'folder', 'disk');
  await writeFile(disk, random.bytes(Buffer.alloc(8 * MiB)));
  const listen = `127.0.0.4:${listenPort}`;
  const refetched = async (more: readonly string[]): Promise<number> => {
    const cache = join(scratch.path, `sole${more.length}`);
    const through = await proxy({ origin: ganesha!.origin, listen, cache, more });
    try {
      const far = via('folder/disk').replace('127.0.0.3', '127.0.0.4');
      const readAll = async (): Promise<void> =>
        assert.equal(sha256(await run('nfs-cat', [far])), await sha256File(disk));
      await until('all of it is cached', async () => {
        const before = await fetchedBytes(through);
        await readAll();
        return (await fetchedBytes(through)) === before;
      });
      const before = await fetchedBytes(through);
      await writeAtOnce(listen, 'disk');
      await readAll();
      return (await fetchedBytes(through)) - before;
    } finally {
      await through.stop();
    }
  };
  // 1 MiB was written; all of the 8 are lost without the promise, or this test shows nothing.
  const kept = await refetched(['--sole-writer']);
  assert.ok(kept <= 4 * MiB, `${kept} bytes were fetched again`);
  const lost = await refetched([]);
  assert.ok(lost >= 8 * MiB, `${lost} bytes were fetched again without the promise`);
});

/** 256 writes of 4 KiB to a file of the folder, 16 at a time, spread over its first 2 MiB. */
async function writeAtOnce(listen: string, name: string): Promise<void> {
  const address = parseOrigin(`nfs://${listen}/folder?mountport=${listenPort}`);
  assert.ok(address.kind === 'nfs');
  const own = credential(0, 0);
  const tools = { clock: systemClock, log: silentLog, random };
  const client = await openNfsOrigin({ address, connections: 2, credential: own, ...tools });
  const call = { credential: own, peer: 'test', priority: 'demand' } as const;
  const found = await client.lookup(call, { directory: client.root, name });
  assert.ok(found.status === 0);
  const { object } = found;
  for (let burst = 0; burst < 16; burst++) {
    const writes = Array.from({ length: 16 }, async (_, index) => {
      const offset = (burst * 16 + index) * 8192;
      const data = [random.bytes(Buffer.alloc(4096))];
      const reply = await client.write(call, { object, offset, count: 4096, stable: 0, data });
      assert.equal(reply.status, 0);
    });
    await Promise.all(writes);
  }
  assert.equal((await client.commit(call, { object, offset: 0, count: 0 })).status, 0);
  await client.close();
}
