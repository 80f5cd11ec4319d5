/** Leases over a file system in memory: who may change what, who gets a lease when, and what a restart leaves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Log, silentLog } from '../base/mod.ts';
import {
  callBy,
  FaultLayer,
  KeptLog,
  MemoryFilesystem,
  MemoryLeaseStore,
  ok,
  refused,
  SimulatedClock,
} from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import type { TakeoverPolicy } from './leases/service.ts';
import { Leases } from './leases.ts';

const { Status, Stability } = vfs;
const call = callBy(vfs.credential(0, 0));
const set = { mode: 0o644 };

/** `/a/disk`, `/a/b/deep`, `/c/disk`, and a locator that knows only that. */
class Bench {
  readonly clock = new SimulatedClock();
  readonly store = new MemoryLeaseStore();
  readonly faults = new FaultLayer(new MemoryFilesystem());
  readonly parents = new Map<vfs.FileHandle, vfs.FileHandle>();
  readonly asked: vfs.FileHandle[] = [];
  unknown: vfs.FileHandle | undefined;
  layer!: Leases;
  a!: vfs.FileHandle;
  b!: vfs.FileHandle;
  c!: vfs.FileHandle;
  disk!: vfs.FileHandle;
  deep!: vfs.FileHandle;
  far!: vfs.FileHandle;

  static async make(takeover: TakeoverPolicy = 'manual', log: Log = silentLog): Promise<Bench> {
    const bench = new Bench();
    bench.start(takeover, log);
    const { root } = bench.layer;
    bench.a = await bench.make('mkdir', root, 'a');
    bench.b = await bench.make('mkdir', bench.a, 'b');
    bench.c = await bench.make('mkdir', root, 'c');
    bench.disk = await bench.make('create', bench.a, 'disk');
    bench.deep = await bench.make('create', bench.b, 'deep');
    bench.far = await bench.make('create', bench.c, 'disk');
    return bench;
  }

  /** As after a restart of the server: the store and the files are what stays. */
  start(takeover: TakeoverPolicy = 'manual', log: Log = silentLog, located = true): void {
    const { clock, store } = this;
    const locator: vfs.TreeLocator = {
      isWithin: (object, tree) => this.#isWithin(object, tree),
      pathOf: (directory) => (directory === 'gone' ? undefined : `/${[...directory].length}`),
    };
    this.layer = new Leases(this.faults, { store, locator: located ? locator : undefined, takeover, clock, log });
  }

  #isWithin(object: vfs.FileHandle, tree: vfs.FileHandle): boolean | 'unknown' {
    this.asked.push(object);
    if (object === this.unknown) return 'unknown';
    for (let at: vfs.FileHandle | undefined = object; at !== undefined; at = this.parents.get(at))
      if (at === tree) return true;
    return false;
  }

  async make(how: 'mkdir' | 'create', directory: vfs.FileHandle, name: string): Promise<vfs.FileHandle> {
    const where = { directory, name };
    const reply =
      how === 'mkdir'
        ? await this.faults.mkdir(call, { where, set: { mode: 0o755 } })
        : await this.faults.create(call, { where, how: { mode: 'guarded', set } });
    const { object } = ok(reply);
    assert.ok(object !== undefined);
    this.parents.set(object, directory);
    return object;
  }

  async acquire(tree: vfs.FileHandle, holder: string, takeOver = false): Promise<vfs.AcquireReply> {
    return this.layer.service.acquire(call, { tree, holder, instance: holder.padEnd(16), takeOver });
  }

  async granted(tree: vfs.FileHandle, holder: string, takeOver = false): Promise<vfs.Call> {
    const reply = await this.acquire(tree, holder, takeOver);
    assert.equal(reply.outcome, 'granted');
    return { ...call, fencing: reply.token };
  }

  write(by: vfs.Call, object: vfs.FileHandle, text = 'x', expected?: vfs.WccAttributes) {
    const data = [Buffer.from(text)];
    return this.layer.write(by, { object, offset: 0, count: text.length, stable: Stability.UNSTABLE, data, expected });
  }
}

function tokenOf(by: vfs.Call): string {
  assert.ok(by.fencing !== undefined);
  return by.fencing;
}

test('without a lease everybody writes, nobody is located, and a token of before is refused', async () => {
  const bench = await Bench.make();
  ok(await bench.write(call, bench.disk));
  refused(await bench.write({ ...call, fencing: '\0'.repeat(8) }, bench.disk), Status.ROFS);
  assert.deepEqual(bench.asked, []);
});

test('in a leased tree only the holder changes anything, in any way', async () => {
  const bench = await Bench.make();
  const { a, b, c, disk, deep, far } = bench;
  const holder = await bench.granted(a, 'one');
  const changes: readonly ((by: vfs.Call) => unknown)[] = [
    (by) => bench.write(by, deep),
    (by) => bench.layer.setattr(by, { object: disk, set: { size: 3 } }),
    (by) => bench.layer.setattr(by, { object: a, set: { mode: 0o700 } }),
    (by) => bench.layer.create(by, { where: { directory: a, name: 'n1' }, how: { mode: 'guarded', set } }),
    (by) => bench.layer.mkdir(by, { where: { directory: b, name: 'n2' }, set }),
    (by) => bench.layer.symlink(by, { where: { directory: a, name: 'n3' }, set, target: 't' }),
    (by) =>
      bench.layer.mknod(by, {
        where: { directory: a, name: 'n4' },
        type: vfs.FileType.FIFO,
        set,
        deviceMajor: 0,
        deviceMinor: 0,
      }),
    (by) => bench.layer.link(by, { object: disk, where: { directory: c, name: 'out' } }),
    (by) => bench.layer.link(by, { object: far, where: { directory: a, name: 'in' } }),
    (by) => bench.layer.rename(by, { from: { directory: a, name: 'n1' }, to: { directory: c, name: 'n1' } }),
    (by) => bench.layer.rename(by, { from: { directory: c, name: 'n1' }, to: { directory: a, name: 'n1' } }),
    (by) => bench.layer.remove(by, { directory: a, name: 'n1' }),
    (by) => bench.layer.rmdir(by, { directory: b, name: 'n2' }),
  ];
  for (const [index, change] of changes.entries()) {
    for (const by of [call, { ...call, fencing: 'stale!!!' }]) {
      const reply = (await change(by)) as { status: number };
      assert.equal(reply.status, Status.ROFS, `change ${index}`);
    }
    const reply = (await change(holder)) as { status: number };
    assert.equal(reply.status, 0, `change ${index} by the holder`);
  }
  assert.equal((await bench.layer.commit(call, { object: disk, offset: 0, count: 0 })).status, 0);
  ok(await bench.write(call, far));
  ok(await bench.write(holder, far));
  assert.deepEqual(bench.layer.stats(), { held: 1, refused: 2 * changes.length });
});

test('the one holder is not located; others are, once a second and after each rename', async () => {
  const bench = await Bench.make();
  const holder = await bench.granted(bench.a, 'one');
  bench.asked.length = 0;
  for (let i = 0; i < 5; i++) ok(await bench.write(holder, bench.disk));
  assert.deepEqual(bench.asked, []);
  for (let i = 0; i < 5; i++) ok(await bench.write(call, bench.far));
  assert.equal(bench.asked.length, 1);
  await bench.clock.advance(1_001);
  ok(await bench.write(call, bench.far));
  assert.equal(bench.asked.length, 2);
  // What is moved into the tree is of the tree at once.
  const where = { directory: bench.c, name: 'other' };
  ok(await bench.layer.rename(holder, { from: { directory: bench.c, name: 'disk' }, to: where }));
  bench.parents.set(bench.far, bench.a);
  refused(await bench.write(call, bench.far), Status.ROFS);
});

test('what cannot be located is for those who hold some lease', async () => {
  const bench = await Bench.make();
  bench.unknown = bench.far;
  const one = await bench.granted(bench.a, 'one');
  const two = await bench.granted(bench.c, 'two');
  refused(await bench.write(call, bench.far), Status.ROFS);
  refused(await bench.write({ ...call, fencing: 'stale!!!' }, bench.far), Status.ROFS);
  ok(await bench.write(one, bench.far));
  ok(await bench.write(two, bench.far));
  refused(await bench.write(two, bench.disk), Status.ROFS);
});

test('trees that overlap exclude each other; trees apart do not', async () => {
  const bench = await Bench.make();
  await bench.granted(bench.b, 'one');
  for (const tree of [bench.a, bench.b, bench.layer.root]) {
    const reply = await bench.acquire(tree, 'two');
    assert.equal(reply.outcome, 'held');
    if (reply.outcome === 'held') assert.equal(reply.by.holder, 'one');
  }
  await bench.granted(bench.c, 'two');
  const all = await bench.layer.service.status(call, { tree: bench.layer.root });
  assert.deepEqual(all.outcome === 'listed' && all.leases.map((lease) => lease.holder), ['one', 'two']);
  const inner = await bench.layer.service.status(call, { tree: bench.a });
  assert.deepEqual(inner.outcome === 'listed' && inner.leases.map((lease) => lease.holder), ['one']);
});

test('a take-over fences the former holder for good, and tells him who has it', async () => {
  const bench = await Bench.make('manual', new KeptLog());
  const one = await bench.granted(bench.b, 'one');
  const two = await bench.granted(bench.layer.root, 'two', true);
  refused(await bench.write(one, bench.deep), Status.ROFS);
  ok(await bench.write(two, bench.deep));
  const lost = await bench.layer.service.renew(call, { tree: bench.b, token: tokenOf(one) });
  assert.equal(lost.outcome === 'lost' && lost.holder, 'two');
  const release = { tree: bench.layer.root, token: tokenOf(two) };
  assert.deepEqual(await bench.layer.service.release(call, { ...release, token: tokenOf(one) }), {
    outcome: 'not-held',
  });
  assert.deepEqual(await bench.layer.service.release(call, release), { outcome: 'released' });
  refused(await bench.write(one, bench.deep), Status.ROFS);
  refused(await bench.write(two, bench.deep), Status.ROFS);
  ok(await bench.write(call, bench.deep));
  assert.deepEqual(await bench.layer.service.renew(call, release), { outcome: 'ended' });
});

test('a lease is granted only when what was let through before has been answered', async () => {
  const bench = await Bench.make();
  const one = await bench.granted(bench.a, 'one');
  const held = bench.faults.hold('write');
  const late = bench.write(one, bench.disk, 'late');
  let isGranted = false;
  const taking = bench.granted(bench.a, 'two', true).then((by) => {
    isGranted = true;
    return by;
  });
  await bench.clock.advance(10);
  assert.equal(isGranted, false);
  refused(await bench.write(one, bench.disk, 'later'), Status.ROFS);
  held.release();
  ok(await late);
  ok(await bench.write(await taking, bench.disk, 'mine'));
});

test('the same instance gets its lease back with a newer token, without a take-over', async () => {
  const bench = await Bench.make();
  const first = await bench.granted(bench.a, 'one');
  bench.start();
  ok(await bench.write(first, bench.disk));
  const second = await bench.granted(bench.a, 'one');
  assert.ok(tokenOf(second) > tokenOf(first));
  refused(await bench.write(first, bench.disk), Status.ROFS);
  ok(await bench.write(second, bench.disk));
});

test('time alone ends no lease; after the policy’s time without renewals whoever asks gets it', async () => {
  const bench = await Bench.make(30_000);
  const one = await bench.granted(bench.a, 'one');
  await bench.clock.advance(20_000);
  const renewed = await bench.layer.service.renew(call, { tree: bench.a, token: tokenOf(one) });
  assert.deepEqual(renewed, { outcome: 'held', renewMs: 10_000 });
  await bench.clock.advance(29_000);
  const early = await bench.acquire(bench.a, 'two');
  assert.equal(early.outcome, 'held');
  if (early.outcome === 'held') assert.equal(early.by.breakableMs, bench.clock.wallTimeMs() + 1_000);
  await bench.clock.advance(3_600_000);
  ok(await bench.write(one, bench.disk));
  // A server that was down for long gives the holder the whole time again.
  bench.start(30_000);
  assert.equal((await bench.acquire(bench.a, 'two')).outcome, 'held');
  await bench.clock.advance(30_000);
  await bench.granted(bench.a, 'two');
  refused(await bench.write(one, bench.disk), Status.ROFS);
});

test('by hand means by hand: after any time only a take-over helps', async () => {
  const bench = await Bench.make('manual');
  await bench.granted(bench.a, 'one');
  await bench.clock.advance(24 * 3600 * 1000);
  const reply = await bench.acquire(bench.a, 'two');
  assert.equal(reply.outcome === 'held' && reply.by.breakableMs, 0);
  await bench.granted(bench.a, 'two', true);
});

test('leases that another process gave or ended are noticed', async () => {
  const bench = await Bench.make();
  ok(await bench.write(call, bench.disk));
  const seenVersion = bench.store.version();
  const who = { path: '/a', holder: 'other', instance: 'o'.repeat(16), atMs: 1, replaces: [] };
  const record = bench.store.grant({ tree: bench.a, ...who, seenVersion });
  bench.store.changedElsewhere();
  await bench.clock.advance(100);
  refused(await bench.write(call, bench.disk), Status.ROFS);
  bench.store.end(bench.a, record?.token ?? '', { how: 'released', by: 'admin', atMs: 2 });
  bench.store.changedElsewhere();
  ok(await bench.write(call, bench.disk));
});

test('where nothing can be located, the whole export can be leased, and nothing less', async () => {
  const bench = await Bench.make();
  bench.start('manual', silentLog, false);
  assert.deepEqual(await bench.acquire(bench.a, 'one'), { outcome: 'refused', status: Status.NOTSUPP });
  const one = await bench.granted(bench.layer.root, 'one');
  refused(await bench.write(call, bench.far), Status.ROFS);
  ok(await bench.write(one, bench.far));
});

test('names of holders that are not to be printed, and trees that are gone, are refused', async () => {
  const bench = await Bench.make();
  for (const holder of ['', 'a\nb', '\x1b[2J', 'h\xf6st', 'x'.repeat(256)]) {
    assert.deepEqual(await bench.acquire(bench.a, holder), { outcome: 'refused', status: Status.INVAL });
  }
  assert.deepEqual(await bench.acquire('gone', 'one'), { outcome: 'refused', status: Status.STALE });
});

test('a change that a restart interrupted is the holder’s own; one made since is not', async () => {
  const bench = await Bench.make();
  const holder = await bench.granted(bench.a, 'one');
  const expectedBelow: (vfs.WccAttributes | undefined)[] = [];
  bench.faults.on('write', (args, proceed) => {
    expectedBelow.push(args.expected);
    return proceed();
  });
  const stamp = async (): Promise<vfs.WccAttributes> => {
    const { size, mtime, ctime } = ok(await bench.layer.getattr(call, { object: bench.disk })).attributes;
    return { size, mtime, ctime };
  };
  const base = await stamp();
  ok(await bench.write(holder, bench.disk, 'one', base));
  const reached = await stamp();
  assert.ok(!vfs.sameContent(base, reached));
  const startMs = (reached.ctime.seconds + 1) * 1000;
  await bench.clock.advance(Math.max(0, startMs - bench.clock.wallTimeMs()));
  bench.start();
  ok(await bench.write(holder, bench.disk, 'two', base));
  ok(await bench.write(holder, bench.disk, 'six', base));
  ok(await bench.write(holder, bench.disk, 'plain'));
  assert.deepEqual(expectedBelow, [base, reached, reached, undefined]);
  // Unstable data sent again without a condition goes on with the chain as well.
  const again = await stamp();
  await bench.clock.advance(Math.max(0, (again.ctime.seconds + 1) * 1000 - bench.clock.wallTimeMs()));
  bench.start();
  ok(await bench.write(holder, bench.disk, 'again'));
  ok(await bench.write(holder, bench.disk, 'plain'));
  ok(await bench.write(holder, bench.disk, 'seven', base));
  assert.deepEqual(expectedBelow.slice(4), [again, undefined, again]);
  // Begun in this life: nothing is assumed.
  const now = await stamp();
  ok(await bench.write(holder, bench.disk, 'more', now));
  assert.deepEqual(expectedBelow.at(-1), now);
  // Changed after the start of the next life, before its holder comes back.
  const before = bench.clock.wallTimeMs();
  await bench.clock.advance(0);
  bench.start();
  const future = { seconds: Math.ceil(before / 1000) + 5, nanoseconds: 0 };
  ok(await bench.faults.setattr(call, { object: bench.disk, set: { mtime: future } }));
  ok(await bench.write(holder, bench.disk, 'last', now));
  assert.deepEqual(expectedBelow.at(-1), now);
});
