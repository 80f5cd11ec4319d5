/** The store of sessions: what it keeps, refuses and survives. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { silentLog, ViaductError } from '../../base/mod.ts';
import { defaultAttributes } from '../../sessions/mod.ts';
import { SimulatedClock } from '../../testing/mod.ts';
import { SessionStore, type StoredSession } from './session-store.ts';
import { StoreKeeper } from './store-keeper.ts';

function place(t: TestContext): string {
  const scratch = mkdtempSync(join(tmpdir(), 'viaduct-store-'));
  t.after(() => rmSync(scratch, { recursive: true }));
  return join(scratch, 'daemon.sqlite');
}

function session(id: string, change: Partial<StoredSession> = {}): StoredSession {
  return {
    ...{ id, name: `name-${id}`, state: 'running', step: '', source: 'api', isTemporary: false, createdMs: 7 },
    request: { origin: '/images' },
    plan: {
      ...{ kind: 'serve', origin: '/images', stateDirectory: '/state', listen: { host: '127.0.0.2' }, allow: [] },
      ...{ writes: 'write-through', squash: 'none', connections: 1, attributes: defaultAttributes, readAheadBytes: 0 },
    },
    resolved: {
      policy: 'home',
      settings: [{ key: 'writes', value: 'write-through', from: 'default' }],
      onClose: 'keep',
    },
    place: { host: '127.0.0.2', port: 2049, portmapper: 'own' },
    error: { code: 'UNEXPECTED', cause: 'boom', remedy: 'report it' },
    ...change,
  };
}

test('what was put is there for the next one, the oldest first, and what was removed is not', (t) => {
  const path = place(t);
  const store = new SessionStore(path);
  const young = session('s-b', { createdMs: 9, place: undefined, error: undefined });
  store.put(young);
  store.put(session('s-a'));
  store.put(session('s-c'));
  store.put({ ...young, state: 'failed' });
  store.remove('s-c');
  store.close();
  const next = new SessionStore(path);
  assert.deepEqual(next.read(), { sessions: [session('s-a'), { ...young, state: 'failed' }], damaged: [] });
  next.close();
});

test('a name belongs to one session', (t) => {
  const store = new SessionStore(place(t));
  store.put(session('s-a', { name: 'vm' }));
  assert.throws(() => store.put(session('s-b', { name: 'vm' })), { code: 'STORE_FAILED' });
  assert.deepEqual(
    store.read().sessions.map(({ id }) => id),
    ['s-a'],
  );
  store.close();
});

test('a row that cannot be read is told of and left alone', (t) => {
  const path = place(t);
  const store = new SessionStore(path);
  for (const id of ['s-a', 's-b', 's-c']) store.put(session(id));
  const raw = new DatabaseSync(path);
  raw.exec("UPDATE sessions SET plan = '{' WHERE id = 's-a'; UPDATE sessions SET state = 'odd' WHERE id = 's-b'");
  const { sessions, damaged } = store.read();
  assert.deepEqual([sessions.map(({ id }) => id), damaged], [['s-c'], ['s-a', 's-b']]);
  raw.close();
  store.close();
});

test('a store of a newer version, a file that is none, and a place that is none are refused, each with what to do', (t) => {
  const path = place(t);
  new SessionStore(path).close();
  const raw = new DatabaseSync(path);
  raw.exec('PRAGMA user_version = 99');
  raw.close();
  assert.throws(() => new SessionStore(path), { code: 'STORE_VERSION', message: /version 99/ });
  writeFileSync(`${path}.other`, Buffer.alloc(4096, 'no database'));
  assert.throws(
    () => new SessionStore(`${path}.other`),
    (error) =>
      error instanceof ViaductError && error.code === 'STORE_FAILED' && /Move the file away/.test(error.remedy),
  );
  assert.throws(() => new SessionStore('/proc/viaduct/daemon.sqlite'), { code: 'STORE_FAILED' });
});

test('a disk without room refuses what is new, and takes what has happened when there is room again', async (t) => {
  const store = new SessionStore(place(t));
  const clock = new SimulatedClock();
  let isFull = true;
  const full = new Proxy(store, {
    get: (target, name) => {
      if (isFull && (name === 'put' || name === 'remove')) return refuse;
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const refuse = (): never => {
    throw new ViaductError('DISK_FULL', { cause: 'full', remedy: 'make room' });
  };
  store.put(session('s-gone'));
  const keeper = new StoreKeeper({ store: full, clock, log: silentLog });
  assert.throws(() => keeper.must(session('s-new')), { code: 'DISK_FULL' });
  keeper.later(session('s-a', { state: 'failed' }));
  keeper.later(session('s-a'));
  keeper.remove('s-gone');
  await clock.advance(100_000);
  assert.equal(keeper.waiting, 2);
  isFull = false;
  await clock.advance(30_000);
  assert.equal(keeper.waiting, 0);
  assert.deepEqual(store.read().sessions, [session('s-a')]);
  assert.equal(clock.timers(), 0);
  keeper.close();
});

test('a name is free when its session is gone, also while the removal waits; a row that is refused keeps no other from being stored', async (t) => {
  const store = new SessionStore(place(t));
  const clock = new SimulatedClock();
  let isFull = false;
  const full = new Proxy(store, {
    get: (target, name) => {
      if (isFull && (name === 'put' || name === 'remove'))
        return () => {
          throw new ViaductError('DISK_FULL', { cause: 'full', remedy: 'make room' });
        };
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const keeper = new StoreKeeper({ store: full, clock, log: silentLog });
  keeper.must(session('s-a', { name: 'vm' }));
  isFull = true;
  keeper.remove('s-a');
  isFull = false;
  keeper.must(session('s-b', { name: 'vm' }));
  assert.equal(keeper.waiting, 0);
  isFull = true;
  keeper.later(session('s-c', { name: 'vm' }));
  keeper.later(session('s-d'));
  isFull = false;
  await clock.advance(60_000);
  assert.equal(keeper.waiting, 1);
  const ids = store.read().sessions.map(({ id }) => id);
  assert.deepEqual(ids, ['s-b', 's-d']);
  keeper.close();
});
