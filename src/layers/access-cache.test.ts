import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { callBy, FaultLayer, MemoryFilesystem, ok, SimulatedClock, settle } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { AccessCache, type AccessCacheOptions } from './access-cache.ts';

const { Access, Status } = vfs;
const root = callBy(vfs.credential(0, 0));
const alice = callBy(vfs.credential(1000, 1000));
const bob = callBy(vfs.credential(2000, 2000));
const readAndWrite = Access.READ | Access.MODIFY;

function setup(options: Partial<AccessCacheOptions> = {}) {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock });
  const origin = new FaultLayer(memory);
  const cache = new AccessCache(origin, { clock, options });
  const where = { directory: memory.root, name: 'a' };
  const object = ok(memory.create(root, { where, how: { mode: 'guarded', set: { mode: 0o644 } } })).object!;
  const granted = async (call: vfs.Call, access: number = readAndWrite): Promise<number> =>
    ok(await cache.access(call, { object, access })).access;
  const write = async () => {
    const data = Buffer.from('x');
    return ok(await cache.write(root, { object, offset: 0, count: 1, stable: 2, data: [data] }));
  };
  return { clock, memory, origin, cache, object, granted, write };
}

test('the origin is asked once for all bits; every answer is masked to what was asked', async () => {
  const { origin, cache, object, granted } = setup();
  assert.equal(await granted(alice), Access.READ);
  assert.equal(await granted(alice, Access.MODIFY), 0);
  assert.equal(await granted(alice, Access.READ), Access.READ);
  assert.equal(origin.calls('access'), 1);
  assert(!(cache.access(alice, { object, access: Access.READ }) instanceof Promise));
});

test('each credential has its own grants', async () => {
  const { origin, granted } = setup();
  assert.equal(await granted(root), readAndWrite);
  assert.equal(await granted(alice), Access.READ);
  assert.equal(origin.calls('access'), 2);
});

test('grants go when any reply shows another mode', async () => {
  const { clock, memory, cache, object, granted } = setup();
  assert.equal(await granted(alice), Access.READ);
  await clock.advance(10);
  ok(await memory.setattr(root, { object, set: { mode: 0o600 } }));
  assert.equal(await granted(alice), Access.READ);
  await cache.getattr(root, { object });
  assert.equal(await granted(alice), 0);
});

test('grants go when somebody else changed the ctime alone (an ACL may have changed)', async () => {
  const { clock, memory, origin, cache, object, granted } = setup();
  await granted(alice);
  await clock.advance(10);
  ok(await memory.setattr(root, { object, set: { mode: 0o644 } }));
  await cache.getattr(root, { object });
  await granted(alice);
  assert.equal(origin.calls('access'), 2);
});

test('own writes do not cost the grants, though they change the ctime', async () => {
  const { clock, origin, cache, object, granted, write } = setup();
  await granted(alice);
  const held = origin.hold('write', 'after');
  const writing = write();
  await clock.advance(10);
  // Seen while the write is under way.
  await cache.getattr(root, { object });
  held.release();
  await writing;
  await cache.getattr(root, { object });
  await granted(alice);
  assert.equal(origin.calls('access'), 1);
});

test('own SETATTR of the mode drops the grants, and an ACCESS that overlaps with it grants nothing later', async () => {
  const { clock, origin, cache, object, granted } = setup();
  const held = origin.hold('access', 'after');
  const early = granted(alice);
  await settle();
  await clock.advance(10);
  ok(await cache.setattr(root, { object, set: { mode: 0o600 } }));
  held.release();
  assert.equal(await early, Access.READ);
  assert.equal(await granted(alice), 0);
});

test('callers with one credential share one ACCESS under way', async () => {
  const { origin, granted } = setup();
  const held = origin.hold('access');
  const waiting = [granted(alice), granted(alice, Access.READ), granted(alice, Access.MODIFY)];
  await settle();
  assert.equal(origin.calls('access'), 1);
  held.release();
  assert.deepEqual(await Promise.all(waiting), [Access.READ, Access.READ, 0]);
});

test('grants time out', async () => {
  const { clock, origin, granted } = setup({ grantMs: 1_000 });
  await granted(alice);
  await clock.advance(999);
  await granted(alice);
  assert.equal(origin.calls('access'), 1);
  await clock.advance(1);
  await granted(alice);
  assert.equal(origin.calls('access'), 2);
});

test('a stale handle and a refusal drop the grants', async () => {
  const { origin, cache, object, granted } = setup();
  for (const status of [Status.STALE, Status.ACCES]) {
    await granted(alice);
    const asked = origin.calls('access');
    const remove = origin.on('read', () => ({ status }));
    await cache.read(alice, { object, offset: 0, count: 1 });
    remove();
    await granted(alice);
    assert.equal(origin.calls('access'), asked + 1);
  }
});

test('files with grants are bounded', async () => {
  const { memory, cache } = setup({ entries: 10 });
  for (let i = 0; i < 100; i++) {
    const where = { directory: memory.root, name: `f${i}` };
    const { object } = ok(memory.create(root, { where, how: { mode: 'guarded', set: {} } }));
    await cache.access(root, { object: object!, access: Access.READ });
  }
  assert(cache.stats().files <= 10);
});

test('an invalidated cache asks again, also for what was on its way', async () => {
  const { origin, cache, object, granted } = setup();
  await granted(alice);
  cache.invalidate();
  assert.equal(await granted(alice), Access.READ);
  assert.equal(origin.calls('access'), 2);
  const blocked = origin.hold('access');
  const early = cache.access(bob, { object, access: Access.READ });
  cache.invalidate();
  blocked.release();
  await early;
  await granted(bob);
  assert.equal(origin.calls('access'), 4);
});
