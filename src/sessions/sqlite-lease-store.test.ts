/** The suite of lease stores on the SQLite file, and what only a file can suffer: kill -9, damage, locks, loss, another version. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, beforeEach, test } from 'node:test';
import { seededRandom, systemClock } from '../base/mod.ts';
import { databaseWriter, leaseStoreSuite, SimulatedClock } from '../testing/mod.ts';
import type { LeaseRecord, LeaseStore } from '../vfs/mod.ts';
import { SqliteLeaseStore } from './sqlite-lease-store.ts';

const top = mkdtempSync(join(tmpdir(), 'viaduct-leases-'));
after(() => rmSync(top, { recursive: true }));
const base = { size: 1, mtime: { seconds: 2, nanoseconds: 3 }, ctime: { seconds: 4, nanoseconds: 5 } };
let number = 0;
let path = '';
beforeEach(() => {
  path = join(top, `${++number}.sqlite`);
});

function open(clock = new SimulatedClock(), busyMs = 50): SqliteLeaseStore {
  return new SqliteLeaseStore({ path, clock, random: seededRandom(number), busyMs });
}

function grant(store: LeaseStore, tree: string, replaces: string[] = []): LeaseRecord {
  const who = { path: `/${tree}`, holder: 'host', instance: 'i'.repeat(16) };
  const record = store.grant({ tree, ...who, atMs: 7, replaces, seenVersion: store.version() });
  assert.ok(record !== undefined);
  return record;
}

leaseStoreSuite('SQLite', () => {
  const store = open();
  return { store, cleanup: () => store.close() };
});

test('leases, tokens, the server’s id and notes survive a restart', () => {
  let store = open();
  const { serverId } = store;
  const record = grant(store, 'tree');
  store.renew('tree', record.token, 99);
  store.noteChange(record.token, 'file', base);
  store.close();
  store = open();
  assert.equal(store.serverId, serverId);
  assert.deepEqual(store.held(), [{ ...record, seenMs: 99 }]);
  assert.deepEqual(store.notedChanges(), [{ token: record.token, file: 'file', base }]);
  assert.ok(grant(store, 'other').token > record.token);
  store.close();
});

test('a store that was lost and made anew gives larger tokens', async () => {
  const clock = new SimulatedClock();
  let store = open(clock);
  for (let i = 0; i < 50; i++) grant(store, `${i}`);
  const { token } = grant(store, 'tree');
  store.close();
  for (const name of readdirSync(top)) if (name.startsWith(`${number}.`)) rmSync(join(top, name));
  await clock.advance(1_000);
  store = open(clock);
  assert.ok(grant(store, 'tree').token > token);
  store.close();
});

test('what was granted before kill -9 is there, and no token comes twice', async () => {
  const program = `
    import { SqliteLeaseStore } from ${JSON.stringify(new URL('./sqlite-lease-store.ts', import.meta.url).href)};
    import { systemClock, systemRandom } from ${JSON.stringify(new URL('../base/mod.ts', import.meta.url).href)};
    const store = new SqliteLeaseStore({ path: ${JSON.stringify(path)}, clock: systemClock, random: systemRandom });
    for (let i = 0; ; i++) {
      const who = { path: '/', holder: 'host', instance: 'i'.repeat(16), replaces: ['tree ' + i % 5] };
      const { token } = store.grant({ tree: 'tree ' + i % 5, ...who, atMs: i, seenVersion: store.version() });
      process.stdout.write(Buffer.from(token, 'latin1').toString('hex') + '\\n');
    }`;
  let last = '';
  for (let round = 0; round < 3; round++) {
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (piece) => {
      output += piece;
      if (output.length > 17 * (20 + 10 * round)) child.kill('SIGKILL');
    });
    await new Promise((resolve) => child.on('close', resolve));
    const tokens = output.split('\n').filter((line) => line.length === 16);
    assert.ok(tokens.length >= 20);
    for (const token of tokens) {
      assert.ok(token > last, `${token} after ${last}`);
      last = token;
    }
    const store = open(undefined, 2_000);
    const highest = Buffer.from(store.held().at(-1)!.token, 'latin1').toString('hex');
    assert.ok(highest >= last, 'the grant that was told is there');
    last = highest;
    store.close();
  }
});

test('two processes see each other’s grants, and neither grants on an old view', () => {
  const [one, two] = [open(), open()];
  const seenVersion = two.version();
  grant(one, 'tree');
  assert.notEqual(two.version(), seenVersion);
  const who = { path: '/', holder: 'two', instance: 'j'.repeat(16), atMs: 1, replaces: [] };
  assert.equal(two.grant({ tree: 'tree', ...who, seenVersion }), undefined);
  assert.equal(two.held().length, 1);
  assert.equal(two.grant({ tree: 'tree', ...who, seenVersion: two.version() })?.holder, 'two');
  one.close();
  two.close();
});

test('a file that another thread makes at the same moment is waited for', async () => {
  const ended = await databaseWriter(path);
  const store = open(new SimulatedClock(), 10_000);
  grant(store, 'tree');
  assert.equal(store.held().length, 1);
  store.close();
  await ended();
});

test('a locked file is an error that says so, and nothing is granted', () => {
  const store = open();
  const other = new DatabaseSync(path);
  other.exec('BEGIN IMMEDIATE');
  assert.throws(() => grant(store, 'tree'), { code: 'LEASE_STORE_FAILED', message: /locked/ });
  other.exec('ROLLBACK');
  other.close();
  grant(store, 'tree');
  store.close();
});

test('a damaged file, another program’s and a newer version’s are refused and left as they are', () => {
  writeFileSync(
    path,
    'this is no database, though it is long enough to have a header of one hundred bytes. '.repeat(99),
  );
  assert.throws(() => open(), { code: 'LEASE_STORE_FAILED', message: /not a database/ });
  assert.ok(existsSync(path));
  path = join(top, `${++number}.sqlite`);
  open().close();
  const newer = new DatabaseSync(path);
  newer.exec('PRAGMA user_version = 99');
  newer.close();
  assert.throws(() => open(), { code: 'LEASE_STORE_FAILED', message: /newer Viaduct \(version 99/ });
  path = join(top, 'no/such/directory/leases.sqlite');
  assert.throws(() => open(), { code: 'LEASE_STORE_FAILED', message: /no\/such\/directory/ });
});

test('a renewal and a note wait for no disk, a look at the version costs microseconds', () => {
  const store = open(undefined);
  const { token } = grant(store, 'tree');
  const started = systemClock.now();
  for (let i = 0; i < 200; i++) {
    store.renew('tree', token, i);
    store.noteChange(token, `file ${i}`, base);
    store.version();
  }
  // 200 waits for this disk are more than a second.
  assert.ok(systemClock.now() - started < 1_000);
  store.close();
});
