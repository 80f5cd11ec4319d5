/**
 * The libnfs utilities through `viaduct serve` and through a proxy before it. libnfs mounts the folder of a file's path and cannot
 * mount an empty one, so a file of the root folder has two slashes before it.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { seededRandom } from '../src/base/mod.ts';
import type { RunningCommand } from '../src/demo/mod.ts';
import { enterPrivateNetwork } from './support/namespace.ts';
import { attempt, run, scratchFolder, sha256, sha256File } from './support/programs.ts';
import { proxy, serve } from './support/viaduct.ts';

enterPrivateNetwork(import.meta.filename);

const scratch = await scratchFolder('libnfs');
const exported = join(scratch.path, 'exported');
const random = seededRandom(100003);
const commands: RunningCommand[] = [];
/** The same origin, directly and through the proxy. */
const ways = { serve: '127.0.0.2', proxy: '127.0.0.3' };

before(async () => {
  await mkdir(join(exported, 'folder', 'deeper'), { recursive: true });
  await writeFile(join(exported, 'small'), 'a small file\n');
  await writeFile(join(exported, 'empty'), '');
  await writeFile(join(exported, 'folder', 'large'), random.bytes(Buffer.alloc(9 * 1024 * 1024 + 4321)));
  await writeFile(join(exported, 'folder', 'näme with spaces'), 'odd\n');
  await symlink('small', join(exported, 'link'));
  commands.push(await serve(exported, ways.serve));
  const cache = join(scratch.path, 'cache');
  commands.push(await proxy({ origin: `nfs://${ways.serve}:2049/`, listen: ways.proxy, cache }));
});

after(async () => {
  for (const command of commands.toReversed()) await command.stop();
  await scratch.remove();
});

for (const [way, address] of Object.entries(ways)) {
  test(`nfs-ls lists the tree with types and sizes (${way})`, async () => {
    const listing = (await run('nfs-ls', ['-R', `nfs://${address}/`])).toString();
    const { size } = await stat(join(exported, 'folder', 'large'));
    assert.match(listing, new RegExp(`^-rw.*\\b${size}\\b.*large$`, 'm'));
    assert.match(listing, /^-rw.*\b13\b.*small$/m);
    assert.match(listing, /^drwx.*folder$/m);
    assert.match(listing, /^lrwx.*link$/m);
    assert.match(listing, /näme with spaces$/m);
  });

  test(`nfs-cat reads every byte, twice the same (${way})`, async () => {
    const expected = await sha256File(join(exported, 'folder', 'large'));
    for (let i = 0; i < 2; i++) assert.equal(sha256(await run('nfs-cat', [`nfs://${address}/folder/large`])), expected);
    assert.equal((await run('nfs-cat', [`nfs://${address}//small`])).toString(), 'a small file\n');
    assert.equal((await run('nfs-cat', [`nfs://${address}//empty`])).length, 0);
  });

  test(`nfs-cp writes what a local reader then reads (${way})`, async () => {
    const source = join(scratch.path, `source-${way}`);
    await writeFile(source, random.bytes(Buffer.alloc(3 * 1024 * 1024 + 17)));
    await run('nfs-cp', [source, `nfs://${address}/folder/written-${way}`]);
    const expected = await sha256File(source);
    assert.equal(await sha256File(join(exported, 'folder', `written-${way}`)), expected);
    assert.equal(sha256(await run('nfs-cat', [`nfs://${address}/folder/written-${way}`])), expected);
    const back = join(scratch.path, `back-${way}`);
    await run('nfs-cp', [`nfs://${address}/folder/written-${way}`, back]);
    assert.ok((await readFile(back)).equals(await readFile(source)));
  });

  test(`a sub-directory can be mounted, and a missing file is an error and not a hang (${way})`, async () => {
    const listing = (await run('nfs-ls', [`nfs://${address}/folder/`])).toString();
    assert.match(listing, /large$/m);
    const missing = await attempt('nfs-cat', [`nfs://${address}/folder/absent`], 10_000);
    assert.notEqual(missing.code, 0);
    const outside = await attempt('nfs-ls', [`nfs://${address}/../`], 10_000);
    assert.doesNotMatch(outside.stdout.toString(), /cache$/m);
  });
}
