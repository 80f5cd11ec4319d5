/**
 * Cache directories as bad luck leaves them, under a live `proxy`: a full disk, damage, truncation, another program's files, an
 * older state of the disk, two users at once. The reads are right in each case; what cannot be used is refused with a code, a cause
 * and a remedy, and nothing in it is changed.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Ended, handleOf, type Live, originOf, Place, readFile, statusOf } from './bad-input/live.ts';
import { enterPrivateNetwork, isRealRoot } from './support/namespace.ts';

enterPrivateNetwork(import.meta.filename);

const mebibyte = 1024 * 1024;
const place = new Place('bad-cache');
const exported = place.directory('exported');
let content = randomBytes(3 * mebibyte);
let serve: Live;

before(async () => {
  writeFileSync(join(exported, 'disk'), content);
  serve = await place.serve(exported);
});
after(() => place.remove());

/** Runs a proxy over this cache, reads the file twice, and ends it. */
async function session(
  cache: string,
  ...more: string[]
): Promise<{ proxy: Live; hits: number; corruptSectors: number }> {
  const proxy = await place.proxy(serve, cache, ...more);
  const client = await place.mount(proxy);
  const disk = await handleOf(client, 'disk');
  for (let i = 0; i < 2; i++) assert.ok((await readFile(client, disk)).equals(content), 'wrong bytes');
  const { restarts, cache: counters } = await statusOf(place, proxy);
  assert.equal(restarts, 0, proxy.command.stderr);
  await client.close();
  const { code, stderr } = await proxy.command.end();
  assert.equal(code, 0, stderr);
  assert.doesNotMatch(stderr, /UNEXPECTED|TypeError|AssertionError/);
  return { proxy, hits: counters?.hits ?? 0, corruptSectors: counters?.corruptSectors ?? 0 };
}

/** What `proxy` says to a cache that it cannot use. */
async function refusal(cache: string): Promise<Ended> {
  const listen = ['--listen', '127.0.0.1:0', '--state-directory', place.at('state'), '--cache-size', '64M'];
  return place.run(['proxy', originOf(serve), ...listen, '--cache', cache]);
}

function assertExplained(ended: Ended, code: string, pattern: RegExp): void {
  assert.equal(ended.code, 1, ended.stderr);
  assert.match(ended.stderr, new RegExp(`viaduct: ${code}: .+\\n {2}remedy: .+`));
  assert.match(ended.stderr, pattern);
  assert.equal(ended.stdout, '');
}

function banksOf(cache: string): string[] {
  const found = readdirSync(cache, { recursive: true, encoding: 'utf8' }).map((name) => join(cache, name));
  const files = found.filter((path) => statSync(path).isFile());
  return files.filter((path) => !/(index|lock|stat)[^/]*$/.test(path));
}

describe('a cache', () => {
  it('whose disk is full serves on, says so once, and keeps what fits', { skip: !isRealRoot() }, async () => {
    const cache = place.directory('small-disk');
    assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', cache]).status, 0);
    try {
      const { proxy } = await session(cache);
      assert.match(proxy.command.stderr, /ENOSPC|full|no space|no room/i);
      assert.ok((proxy.command.stderr.match(/"level":40/g) ?? []).length <= 3, proxy.command.stderr);
      // And again over what the full disk left behind.
      await session(cache);
    } finally {
      spawnSync('umount', [cache]);
    }
  });

  it('on a disk without any room is DISK_FULL, with what to do', { skip: !isRealRoot() }, async () => {
    const cache = place.directory('no-disk');
    assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', cache]).status, 0);
    try {
      spawnSync('dd', ['if=/dev/zero', `of=${cache}/lost+found`, 'bs=4k'], { stdio: 'ignore' });
      assertExplained(await refusal(cache), 'DISK_FULL', /room|size/i);
    } finally {
      spawnSync('umount', ['-l', cache]);
    }
  });

  it('with flipped bits anywhere gives right bytes', async () => {
    const cache = place.at('damaged');
    await session(cache);
    const banks = banksOf(cache);
    assert.ok(banks.length > 0);
    for (const path of [...banks, join(cache, 'index')]) {
      const bytes = readFileSync(path);
      for (let at = 100; at < bytes.length; at += 20_011) bytes[at]! ^= 0x10;
      writeFileSync(path, bytes);
    }
    const { corruptSectors } = await session(cache);
    assert.ok(corruptSectors > 0, 'the damage was in what was read');
    const warm = await session(cache);
    assert.ok(warm.hits > 0);
    assert.equal(warm.corruptSectors, 0);
  });

  it('that was truncated, or lost some of its files, gives right bytes', async () => {
    const cache = place.at('truncated');
    const damages: (() => void)[] = [
      () => truncateSync(join(cache, 'index'), 5_000),
      () => truncateSync(join(cache, 'index'), 0),
      () => rmSync(join(cache, 'index')),
      () => {
        for (const path of banksOf(cache)) truncateSync(path, 70_000);
      },
      () => {
        for (const path of banksOf(cache)) rmSync(path);
      },
      () => rmSync(join(cache, 'lock')),
    ];
    await session(cache);
    for (const damage of damages) {
      damage();
      await session(cache);
    }
  });

  it('directory of another program is refused, and left as it is', async () => {
    const cache = place.directory('foreign');
    writeFileSync(join(cache, 'letters.txt'), 'dear');
    assertExplained(await refusal(cache), 'CACHE_FOREIGN', /letters\.txt/);
    assert.deepEqual(readdirSync(cache), ['letters.txt']);
    writeFileSync(join(cache, 'index'), randomBytes(100_000));
    const before = readFileSync(join(cache, 'index'));
    assertExplained(await refusal(cache), 'CACHE_FOREIGN', /not a cache/);
    assert.ok(readFileSync(join(cache, 'index')).equals(before));
    const file = place.at('a-file');
    writeFileSync(file, 'text');
    const ended = await refusal(file);
    assert.ok(ended.code === 1 || ended.code === 2, ended.stderr);
    assert.match(ended.stderr, /viaduct: [A-Z_]+: .*a-file.*\n {2}remedy: /);
    assert.doesNotMatch(ended.stderr, /UNEXPECTED/);
  });

  it('that may not be written is an error with a remedy', { skip: !isRealRoot() }, async () => {
    const cache = place.directory('read-only');
    assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', cache]).status, 0);
    try {
      const ended = await refusal(cache);
      assert.ok(ended.code === 1 || ended.code === 2, ended.stderr);
      assert.match(ended.stderr, /viaduct: [A-Z_]+: .*read-only.*\n {2}remedy: /);
      assert.doesNotMatch(ended.stderr, /UNEXPECTED/);
    } finally {
      spawnSync('umount', [cache]);
    }
  });

  it('that went back to an older state of the disk never shows old contents', async () => {
    const cache = place.at('older');
    const older = place.at('older-copy');
    await session(cache);
    cpSync(cache, older, { recursive: true });
    const path = join(exported, 'disk');
    for (let round = 0; round < 3; round++) {
      // In place, with the size that it had; in the last round through the proxy itself.
      content = randomBytes(content.length);
      if (round < 2) writeFileSync(path, content);
      else {
        const proxy = await place.proxy(serve, cache);
        const client = await place.mount(proxy);
        const disk = await handleOf(client, 'disk');
        const { call } = await import('./bad-input/live.ts');
        for (let offset = 0; offset < content.length; offset += mebibyte) {
          const data = [content.subarray(offset, offset + mebibyte)];
          const reply = await client.filesystem.write(call, { object: disk, offset, count: mebibyte, stable: 2, data });
          assert.ok(reply.status === 0 && reply.count === mebibyte);
        }
        await client.close();
        await proxy.command.end('SIGKILL');
      }
      if (round !== 1) {
        await session(cache);
        rmSync(cache, { recursive: true });
        cpSync(older, cache, { recursive: true });
      } else {
        // Only the index, or only the banks, are of before.
        await session(cache);
        copyFileSync(join(older, 'index'), join(cache, 'index'));
      }
      await session(cache);
    }
  });

  it('that is in use is refused with the pid of its user, who goes on', async () => {
    const cache = place.at('twice');
    const proxy = await place.proxy(serve, cache);
    assertExplained(await refusal(cache), 'CACHE_IN_USE', new RegExp(`process ${proxy.command.pid}`));
    const client = await place.mount(proxy);
    assert.ok((await readFile(client, await handleOf(client, 'disk'))).equals(content));
    await client.close();
    // After kill -9 it is free at once.
    await proxy.command.end('SIGKILL');
    const { hits } = await session(cache);
    assert.ok(hits > 0);
  });

  it('stat and verify of damaged and foreign directories are answered, and change nothing of others', async () => {
    const cache = place.at('verified');
    await session(cache);
    for (const path of banksOf(cache)) {
      const bytes = readFileSync(path);
      for (let at = 100; at < bytes.length; at += 50_021) bytes[at]! ^= 1;
      writeFileSync(path, bytes);
    }
    const found = await place.run(['cache', 'verify', cache]);
    assert.equal(found.code, 3, found.stderr);
    assert.match(found.stdout, /were damaged and have been dropped/);
    assert.equal((await place.run(['cache', 'verify', cache])).code, 0);
    const foreign = place.directory('not-a-cache');
    mkdirSync(join(foreign, 'inside'));
    for (const command of ['stat', 'verify']) {
      assertExplained(await place.run(['cache', command, foreign]), 'CACHE_FOREIGN', /not|cache/);
      const empty = await place.run(['cache', command, join(foreign, 'inside')]);
      assert.equal(empty.code, 1, empty.stderr);
    }
    assert.deepEqual(readdirSync(foreign, { recursive: true }), ['inside']);
  });
});
