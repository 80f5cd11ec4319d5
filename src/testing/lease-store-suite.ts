/** What every `LeaseStore` does (src/vfs/lease.ts). */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { limits } from '../base/mod.ts';
import type { LeaseRecord, LeaseRequest, LeaseStore } from '../vfs/mod.ts';

export interface LeaseStoreSubject {
  readonly store: LeaseStore;
  cleanup(): void;
}

const instance = '\0'.repeat(15);

export function leaseStoreSuite(title: string, open: () => LeaseStoreSubject): void {
  const test = (behaviour: string, check: (store: LeaseStore) => void): void => {
    it(behaviour, () => {
      const { store, cleanup } = open();
      try {
        check(store);
      } finally {
        cleanup();
      }
    });
  };
  describe(`${title}, a store of leases`, () => {
    test('gives what it was given back, byte for byte', (store) => {
      const tree = '\0\xff\x80/tree';
      const record = granted(store, {
        tree,
        path: '/g\xf6lden',
        holder: 'host "a"',
        instance: `${instance}\xfe`,
        atMs: 5,
      });
      assert.deepEqual(store.find(tree), record);
      assert.deepEqual(store.held(), [record]);
      assert.equal(record.path, '/g\xf6lden');
      assert.equal(record.instance, `${instance}\xfe`);
      assert.equal(record.token.length, 8);
      assert.equal(store.find('another'), undefined);
      assert.equal(store.serverId.length, 16);
    });

    test('raises tokens over all trees, also of trees that were let go', (store) => {
      let last = '';
      for (let i = 0; i < 300; i++) {
        const { tree, token } = granted(store, { tree: `tree ${i % 7}`, replaces: [`tree ${i % 7}`] });
        assert.ok(token > last, `${i}`);
        last = token;
        if (i % 3 === 0) store.end(tree, token, { how: 'released', by: 'me', atMs: i });
      }
    });

    test('ends those that a new lease replaces, and says by whom', (store) => {
      const inner = granted(store, { tree: 'inner', holder: 'a' });
      const apart = granted(store, { tree: 'apart', holder: 'b' });
      const outer = granted(store, { tree: 'outer', holder: 'c', atMs: 9, replaces: ['inner'] });
      assert.deepEqual(store.held(), [apart, outer]);
      assert.deepEqual(store.find('inner')?.ended, { how: 'broken', by: 'c', atMs: 9 });
      assert.equal(store.renew('inner', inner.token, 10), false);
      assert.equal(store.renew('outer', outer.token, 10), true);
      assert.equal(store.find('outer')?.seenMs, 10);
    });

    test('ends a lease for its token only, and once', (store) => {
      const first = granted(store, { tree: 'tree' });
      const second = granted(store, { tree: 'tree', replaces: ['tree'] });
      const released = { how: 'released', by: 'me', atMs: 3 } as const;
      assert.equal(store.end('tree', first.token, released), false);
      assert.equal(store.end('tree', second.token, released), true);
      assert.equal(store.end('tree', second.token, released), false);
      assert.deepEqual(store.held(), []);
      assert.deepEqual(store.find('tree')?.ended, released);
    });

    test('grants nothing to who looked before another process changed something', (store) => {
      assert.equal(store.grant(request(store, { seenVersion: store.version() + 1 })), undefined);
      assert.deepEqual(store.held(), []);
    });

    test('remembers what a holder began to change last, until its lease ends', (store) => {
      const { tree, token } = granted(store, { tree: 'tree' });
      const other = granted(store, { tree: 'other' });
      const time = (seconds: number) => ({ seconds, nanoseconds: 999_999_999 });
      const base = (size: number) => ({ size, mtime: time(0), ctime: time(0xffff_ffff) });
      store.noteChange(token, '\0\xfffile', base(1));
      store.noteChange(other.token, 'far', base(Number.MAX_SAFE_INTEGER));
      store.noteChange(token, 'file', base(2));
      store.noteChange(token, '\0\xfffile', base(3));
      assert.deepEqual(store.notedChanges(), [
        { token: other.token, file: 'far', base: base(Number.MAX_SAFE_INTEGER) },
        { token, file: 'file', base: base(2) },
        { token, file: '\0\xfffile', base: base(3) },
      ]);
      store.end(tree, token, { how: 'released', by: 'me', atMs: 1 });
      assert.deepEqual(
        store.notedChanges().map((change) => change.file),
        ['far'],
      );
    });

    test('forgets the oldest of too many such notes', (store) => {
      const { token } = granted(store, { tree: 'tree' });
      const time = { seconds: 1, nanoseconds: 1 };
      const count = 2 * limits.changeChains + 2;
      for (let i = 0; i < count; i++) store.noteChange(token, `file ${i}`, { size: i, mtime: time, ctime: time });
      const noted = store.notedChanges();
      assert.ok(noted.length >= limits.changeChains && noted.length <= 2 * limits.changeChains, `${noted.length}`);
      assert.equal(noted.at(-1)?.file, `file ${count - 1}`);
    });

    test('forgets the oldest of too many leases that have ended', (store) => {
      const count = limits.endedLeases + 2;
      for (let i = 0; i < count; i++) {
        granted(store, { tree: `tree ${i}`, replaces: i === 0 ? [] : [`tree ${i - 1}`] });
      }
      assert.equal(store.held().length, 1);
      assert.equal(store.find('tree 0'), undefined);
      assert.ok(store.find('tree 2') !== undefined);
    });
  });
}

function request(store: LeaseStore, change: Partial<LeaseRequest>): LeaseRequest {
  const tree = { tree: 'tree', path: '/tree', holder: 'host', instance: `${instance}!` };
  return { ...tree, atMs: 1, replaces: [], seenVersion: store.version(), ...change };
}

function granted(store: LeaseStore, change: Partial<LeaseRequest>): LeaseRecord {
  const record = store.grant(request(store, change));
  assert.ok(record !== undefined);
  return record;
}
