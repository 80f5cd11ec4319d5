import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../base/mod.ts';
import { bytesOf } from '../testing/mod.ts';
import { adoptImage, packImage } from './mod.ts';
import { code, folder, options } from './pack-fixture.test.ts';

test('the lock is given back when the first record cannot be written', (t) => {
  const directory = folder('no-room');
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', directory], { stdio: 'ignore' });
  } catch {
    return t.skip('only root mounts a tmpfs');
  }
  const run = async (): Promise<void> => {
    const image = join(directory, 'disk.raw');
    const filler = join(directory, 'filler');
    writeFileSync(image, bytesOf('abc'));
    assert.throws(() => writeFileSync(filler, Buffer.alloc(64 * 1024)), { code: 'ENOSPC' });
    assert.equal(await code(packImage(image, options())), 'DISK_FULL');
    rmSync(filler);
    assert.equal(await code(packImage(image, options())), 'none');
  };
  return run().finally(() => execFileSync('umount', [directory]));
});

test('the lock is given back when a packer cannot remove what it made', async () => {
  const directory = folder('packer');
  const image = join(directory, 'disk.raw');
  writeFileSync(image, bytesOf('abc'));
  const own = seededRandom(7).uint32().toString(16).padStart(8, '0');
  const stubborn = join(directory, `.viaduct/.disk.raw.meta.tmp-${own}`);
  mkdirSync(stubborn, { recursive: true });
  assert.equal(await code(packImage(image, options({ random: seededRandom(7) }))), 'IMAGE_UNREADABLE');
  rmdirSync(stubborn);
  assert.equal(await code(packImage(image, options())), 'none');
});

test('the lock is given back when adopting cannot remove what it made', async () => {
  const directory = folder('adopter');
  const image = join(directory, 'disk.raw');
  writeFileSync(image, bytesOf('abc'));
  await packImage(image, options());
  writeFileSync(image, bytesOf('abd'));
  const part = join(directory, '.viaduct/.disk.raw.part');
  const onProgress = (): void => {
    renameSync(part, `${part}.away`);
    mkdirSync(part);
  };
  assert.equal((await adoptImage(image, options({ onProgress }))).outcome, 'different');
  rmdirSync(part);
  renameSync(`${part}.away`, part);
  assert.equal((await adoptImage(image, options())).outcome, 'different');
});

test('two that adopt or pack the same image do not meet', async () => {
  const directory = folder('both');
  const image = join(directory, 'disk.raw');
  writeFileSync(image, bytesOf('abc'));
  await packImage(image, options());
  writeFileSync(image, bytesOf('abd'));
  const met: Promise<string>[] = [];
  const onProgress = (): void => {
    if (met.length === 0) met.push(code(packImage(image, options())), code(adoptImage(image, options())));
  };
  assert.equal((await adoptImage(image, options({ onProgress }))).outcome, 'different');
  assert.deepEqual(await Promise.all(met), ['IMAGE_BUSY', 'IMAGE_BUSY']);
});
