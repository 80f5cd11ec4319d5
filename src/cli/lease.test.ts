/** `viaduct lease` as a user runs it, on the store of a served directory. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { systemClock, systemRandom } from '../base/mod.ts';
import { leasesFile, SqliteLeaseStore } from '../sessions/mod.ts';
import { leaseCommand } from './lease.ts';
import { stateDirectoryFor } from './session-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viaduct-lease-'));
after(() => rmSync(scratch, { recursive: true }));
const images = join(scratch, 'images');
const state = join(scratch, 'state');
mkdirSync(images);
const path = leasesFile(stateDirectoryFor(images, state));

function lease(...args: string[]): Promise<{ code: number | null; out: string; error: string }> {
  const program = join(import.meta.dirname, 'main.ts');
  return new Promise((resolve) => {
    const all = [program, 'lease', ...args, '--state-directory', state];
    const child = execFile(process.execPath, all, (_error, out, error) =>
      resolve({ code: child.exitCode, out, error }),
    );
  });
}

test('a directory that was never served with this state directory, or that is not there, is an error', async () => {
  const unknown = await lease('list', images);
  assert.equal(unknown.code, 2);
  assert.match(unknown.error, /CONFIGURATION_INVALID: this state directory knows no serve of .*images/);
  const missing = await lease('list', join(scratch, 'nowhere'), '--json');
  assert.equal(missing.code, 2);
  assert.match(JSON.parse(missing.out).error.cause, /nowhere does not exist/);
  assert.ok(!existsSync(state));
});

test('nothing is leased before anything was, and looking makes no file', async () => {
  mkdirSync(dirname(path), { recursive: true });
  assert.deepEqual(await lease('list', images), { code: 0, out: 'no tree is leased\n', error: '' });
  assert.equal((await lease('release', images, '/golden')).code, 2);
  assert.ok(!existsSync(path));
});

test('leases are listed and ended while the server has its store open, with names that harm no terminal', async () => {
  mkdirSync(dirname(path), { recursive: true });
  const store = new SqliteLeaseStore({ path, clock: systemClock, random: systemRandom });
  const atMs = systemClock.wallTimeMs() - 65_000;
  for (const [tree, where] of [
    ['a', '/golden'],
    ['b', Buffer.from('/r\u00f6d\x1b[2J').toString('latin1')],
  ] as const) {
    const who = { holder: `host ${tree}`, instance: tree.repeat(16), atMs, replaces: [] };
    assert.ok(store.grant({ tree, path: where, ...who, seenVersion: store.version() }) !== undefined);
  }
  const seen = store.version();
  const listed = await lease('list', images);
  assert.equal(
    listed.out,
    '/golden  held by host a for 1 min, last seen 1 min ago\n/röd\\u001b[2J  held by host b for 1 min, last seen 1 min ago\n',
  );
  const released = await lease('release', images, '/golden');
  assert.match(released.out, /^released: \/golden {2}held by host a/);
  assert.notEqual(store.version(), seen, 'the server notices');
  assert.equal(store.find('a')?.ended?.by, 'an administrator');
  const { leases } = JSON.parse((await lease('list', images, '--json')).out);
  assert.deepEqual(leases, [
    {
      tree: '/röd\\u001b[2J',
      holder: 'host b',
      since: new Date(atMs).toISOString(),
      seen: new Date(atMs).toISOString(),
    },
  ]);
  const again = await lease('release', images, '/golden');
  assert.equal(again.code, 2);
  assert.match(again.error, /CONFIGURATION_INVALID: nobody holds a write lease of \/golden/);
  store.close();
});

test('a store that is damaged is an error, not an empty list', async () => {
  rmSync(dirname(path), { recursive: true });
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, 'no database at all, and long enough for one to begin with a header of 100 bytes'.repeat(9));
  const { code, error } = await lease('list', images);
  assert.equal(code, 1);
  assert.match(error, /LEASE_STORE_FAILED: .*leases\.sqlite cannot be opened: .*not a database/);
});

test('a state directory that may not be seen is an error, not an empty list', () => {
  const isRoot = process.getuid?.() === 0;
  chmodSync(state, 0);
  // Root may see everything.
  if (isRoot) process.seteuid?.(65_534);
  try {
    const list = () => leaseCommand().parse(['list', images, '--state-directory', state], { from: 'user' });
    assert.throws(list, { code: 'EACCES' });
  } finally {
    if (isRoot) process.seteuid?.(0);
    chmodSync(state, 0o700);
  }
});
