import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { callBy, FaultLayer, MemoryFilesystem, ok, SimulatedClock, settle } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { AttributeCache } from './attribute-cache.ts';
import type { AttributeCacheOptions } from './attribute-cache-options.ts';

const root = callBy(vfs.credential(0, 0));
const alice = callBy(vfs.credential(1000, 1000));

function setup(options: Partial<AttributeCacheOptions> = {}) {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock });
  const origin = new FaultLayer(memory);
  const cache = new AttributeCache(origin, { clock, options });
  const at = (name: string) => ({ directory: memory.root, name });
  const make = (name: string): string =>
    ok(memory.create(root, { where: at(name), how: { mode: 'guarded', set: { mode: 0o644 } } })).object!;
  /** What somebody else does at the origin. */
  const foreignWrite = (object: string, text: string): void => {
    const data = Buffer.from(text);
    ok(memory.write(root, { object, offset: 0, count: data.length, stable: 2, data: [data] }));
  };
  const size = async (object: string): Promise<number> => ok(await cache.getattr(root, { object })).attributes.size;
  const write = async (object: string, offset: number, text: string) => {
    const data = Buffer.from(text);
    return ok(await cache.write(root, { object, offset, count: data.length, stable: 2, data: [data] }));
  };
  return { clock, memory, origin, cache, at, make, foreignWrite, size, write };
}

test('fresh attributes are answered at once, without a promise and without the origin', async () => {
  const { origin, cache, make } = setup();
  const object = make('a');
  await cache.getattr(root, { object });
  const reply = cache.getattr(root, { object });
  assert(!(reply instanceof Promise));
  assert.equal(ok(reply).attributes.size, 0);
  assert.equal(origin.calls('getattr'), 1);
});

test('a file changed at the origin is noticed when the time-out has run out, not before', async () => {
  const { clock, make, foreignWrite, size } = setup();
  const object = make('a');
  assert.equal(await size(object), 0);
  await clock.advance(1_000);
  foreignWrite(object, 'changed');
  await clock.advance(1_900);
  assert.equal(await size(object), 0);
  await clock.advance(200);
  assert.equal(await size(object), 7);
});

test('time-outs double while a file stays the same, up to the maximum, and fall back when it changes', async () => {
  const { clock, origin, make, foreignWrite, size } = setup();
  const object = make('a');
  const freshForMs = async (): Promise<number> => {
    await size(object);
    const calls = origin.calls('getattr');
    for (let ms = 0; ; ms += 500) {
      await size(object);
      if (origin.calls('getattr') > calls) return ms;
      await clock.advance(500);
    }
  };
  const seen: number[] = [];
  for (let i = 0; i < 6; i++) seen.push(await freshForMs());
  // 3, 6, 12, 24, 48 and 60 s; a file in use is asked about when a third of them is left.
  assert.deepEqual(seen, [2_000, 4_000, 8_000, 16_000, 32_000, 40_000]);
  foreignWrite(object, 'x');
  await clock.advance(60_000);
  await size(object);
  assert.equal(await freshForMs(), 2_000);
});

test('nobody who uses a file waits for its attributes, until their time has run out', async () => {
  const { clock, origin, cache, make, foreignWrite } = setup();
  const object = make('a');
  const known = () => {
    const reply = cache.getattr(root, { object });
    return reply instanceof Promise ? undefined : ok(reply).attributes.size;
  };
  await cache.getattr(root, { object });
  await clock.advance(1_900);
  assert.equal(known(), 0);
  assert.equal(origin.calls('getattr'), 1, 'too early');
  foreignWrite(object, 'changed');
  const hold = origin.hold('getattr');
  await clock.advance(200);
  assert.equal(known(), 0);
  assert.equal(known(), 0);
  assert.equal(origin.calls('getattr'), 2, 'once');
  await clock.advance(1_000);
  const late = cache.getattr(root, { object });
  assert.ok(late instanceof Promise);
  assert.equal(origin.calls('getattr'), 2, 'what is under way will do');
  hold.release();
  assert.equal(ok(await late).attributes.size, 7);
  assert.equal(known(), 7);
  // Out of use it is not asked about.
  await clock.advance(600_000);
  assert.equal(origin.calls('getattr'), 2);
});

test('own writes refresh the attributes without asking', async () => {
  const { origin, make, size, write } = setup();
  const object = make('a');
  await size(object);
  await write(object, 0, 'hello');
  assert.equal(await size(object), 5);
  assert.equal(origin.calls('getattr'), 1);
});

test('a mutation that does not tell its result is followed by a GETATTR', async () => {
  const { origin, make, size, write } = setup();
  const object = make('a');
  await size(object);
  origin.on('write', async (_args, proceed) => ({ ...(await proceed()), wcc: {} }));
  await write(object, 0, 'hello');
  assert.equal(await size(object), 5);
  assert.equal(origin.calls('getattr'), 2);
});

test('a GETATTR that overlaps with a write and comes back later does not undo it', async () => {
  const { clock, origin, cache, make, size, write } = setup();
  const object = make('a');
  const held = origin.hold('getattr', 'after');
  const early = cache.getattr(root, { object });
  await settle();
  await clock.advance(10);
  await write(object, 0, 'hello');
  held.release();
  await early;
  assert.equal(await size(object), 5);
});

test('the same when the clock of the origin did not move in between', async () => {
  const { origin, cache, make, size, write } = setup();
  const object = make('a');
  const held = origin.hold('getattr', 'after');
  const early = cache.getattr(root, { object });
  await settle();
  await write(object, 0, 'hello');
  held.release();
  await early;
  assert.equal(await size(object), 5);
});

test('of two writes answered in the other order the later state stays', async () => {
  const { clock, origin, make, size, write } = setup();
  const object = make('a');
  const held = origin.hold('write', 'after');
  const first = write(object, 0, 'one');
  await settle();
  await clock.advance(10);
  const second = write(object, 3, 'two');
  await settle();
  held.releaseNewest();
  await second;
  held.release();
  await first;
  assert.equal(await size(object), 6);
  assert.equal(origin.calls('getattr'), 0);
});

test('of two overlapping writes that the clock of the origin cannot tell apart the size is asked for', async () => {
  const { origin, make, size, write } = setup();
  const object = make('a');
  const sameTime = { seconds: 1_000, nanoseconds: 0 };
  origin.on('write', async (_args, proceed) => {
    const reply = await proceed();
    if (reply.status !== 0 || reply.wcc.after === undefined) return reply;
    return { ...reply, wcc: { after: { ...reply.wcc.after, ctime: sameTime, mtime: sameTime } } };
  });
  const held = origin.hold('write', 'after');
  const writes = [write(object, 0, 'one'), write(object, 3, 'two')];
  await settle();
  held.release();
  await Promise.all(writes);
  assert.equal(await size(object), 6);
});

test('a GETATTR from before a mutation that did not tell its result is not kept', async () => {
  const { origin, cache, make, size, write } = setup();
  const object = make('a');
  const held = origin.hold('getattr', 'after');
  const early = cache.getattr(root, { object });
  await settle();
  origin.on('write', async (_args, proceed) => ({ ...(await proceed()), wcc: {} }));
  await write(object, 0, 'hello');
  held.release();
  await early;
  assert.equal(await size(object), 5);
});

test('one GETATTR serves all who wait, but not those who came after something newer was learned', async () => {
  const { clock, origin, cache, make, write } = setup();
  const object = make('a');
  const held = origin.hold('getattr', 'after');
  const waiting = [cache.getattr(root, { object }), cache.getattr(alice, { object }), cache.getattr(root, { object })];
  await settle();
  assert.equal(origin.calls('getattr'), 1);
  await clock.advance(10);
  origin.on('write', async (_args, proceed) => ({ ...(await proceed()), wcc: {} }));
  await write(object, 0, 'hello');
  const late = cache.getattr(root, { object });
  await settle();
  assert.equal(origin.calls('getattr'), 2);
  held.release();
  for (const reply of await Promise.all(waiting)) assert.equal(ok(reply).attributes.size, 0);
  assert.equal(ok(await late).attributes.size, 5);
});

test('a refusal to one caller is not given to another who waited with it', async () => {
  const { origin, cache, make } = setup();
  const object = make('a');
  origin.on('getattr', async (_args, proceed, call) => {
    await settle();
    return call.credential.uid === 1000 ? { status: vfs.Status.ACCES } : proceed();
  });
  const [refused, answered] = await Promise.all([cache.getattr(alice, { object }), cache.getattr(root, { object })]);
  assert.equal(refused.status, vfs.Status.ACCES);
  assert.equal(answered.status, 0);
});

test('look-ups are answered at once, also of names that do not exist', async () => {
  const { origin, cache, at, make } = setup();
  const object = make('a');
  for (let i = 0; i < 3; i++) {
    const found = cache.lookup(root, at('a'));
    assert(!(found instanceof Promise));
    assert.equal(ok(found).object, object);
    assert.equal((await cache.lookup(root, at('b'))).status, vfs.Status.NOENT);
  }
  assert.equal(origin.calls('lookup'), 2);
});

test('a name that does not exist is believed for a short time only', async () => {
  const { clock, cache, at, make } = setup();
  await cache.lookup(root, at('later'));
  make('later');
  assert.equal((await cache.lookup(root, at('later'))).status, vfs.Status.NOENT);
  await clock.advance(5_000);
  assert.equal((await cache.lookup(root, at('later'))).status, 0);
});

test('a directory changed by somebody else loses its names', async () => {
  const { clock, memory, cache, at, make } = setup();
  make('a');
  await cache.lookup(root, at('a'));
  ok(memory.remove(root, at('a')));
  await clock.advance(10);
  make('b');
  // Any reply that shows the directory tells.
  await cache.lookup(root, at('b'));
  assert.equal((await cache.lookup(root, at('a'))).status, vfs.Status.NOENT);
});

test('a look-up answered to one user is not answered to another who may not search the directory', async () => {
  const { memory, origin, cache, make } = setup();
  const where = { directory: memory.root, name: 'private' };
  const directory = ok(await memory.mkdir(root, { where, set: { mode: 0o700 } })).object!;
  ok(memory.create(root, { where: { directory, name: 'secret' }, how: { mode: 'guarded', set: {} } }));
  make('a');
  ok(await cache.lookup(root, { directory, name: 'secret' }));
  ok(await cache.lookup(root, { directory, name: 'secret' }));
  assert.equal(origin.calls('lookup'), 1);
  assert.equal((await cache.lookup(alice, { directory, name: 'secret' })).status, vfs.Status.ACCES);
});

test('own changes of names are known without asking', async () => {
  const { origin, cache, at } = setup();
  const created = ok(await cache.create(root, { where: at('a'), how: { mode: 'guarded', set: {} } }));
  await cache.lookup(root, at('a'));
  const asked = origin.calls('lookup');
  ok(await cache.rename(root, { from: at('a'), to: at('b') }));
  await cache.getattr(root, { object: created.object! });
  assert.equal((await cache.lookup(root, at('a'))).status, vfs.Status.NOENT);
  assert.equal(ok(await cache.lookup(root, at('b'))).object, created.object);
  ok(await cache.remove(root, at('b')));
  assert.equal((await cache.lookup(root, at('b'))).status, vfs.Status.NOENT);
  assert.equal(origin.calls('lookup'), asked);
});

test('a removed file is stale at once, even if its name was not known', async () => {
  const { cache, at, make } = setup();
  const object = make('a');
  ok(await cache.getattr(root, { object }));
  ok(await cache.remove(root, at('a')));
  assert.equal((await cache.getattr(root, { object })).status, vfs.Status.STALE);
});

test('a look-up that overlaps with a removal does not bring the name back', async () => {
  const { clock, origin, cache, at, make } = setup();
  make('a');
  const held = origin.hold('lookup', 'after');
  const early = cache.lookup(root, at('a'));
  await settle();
  await clock.advance(10);
  ok(await cache.remove(root, at('a')));
  held.release();
  assert.equal((await early).status, 0);
  assert.equal((await cache.lookup(root, at('a'))).status, vfs.Status.NOENT);
});

test('READDIRPLUS fills attributes and names', async () => {
  const { memory, origin, cache, at, make } = setup();
  for (const name of ['a', 'b', 'c']) make(name);
  await cache.lookup(root, at('a'));
  const args = { directory: memory.root, cookie: 0n, cookieVerifier: '\0'.repeat(8), directoryBytes: 4096 };
  ok(await cache.readdirplus(root, { ...args, replyBytes: 32_768 }));
  for (const name of ['b', 'c']) ok(await cache.lookup(root, at(name)));
  assert.equal(origin.calls('lookup'), 1);
});

test('the content of a symbolic link is kept while the link is the same', async () => {
  const { origin, cache, at } = setup();
  const made = ok(await cache.symlink(root, { where: at('l'), set: { mode: 0o777 }, target: 'x/y' }));
  for (let i = 0; i < 3; i++) assert.equal(ok(await cache.readlink(root, { object: made.object! })).target, 'x/y');
  assert.equal(origin.calls('readlink'), 1);
});

test('what is kept is bounded', async () => {
  const { cache, at, make } = setup({ entries: 100, names: 50 });
  for (let i = 0; i < 1_000; i++) {
    make(`f${i}`);
    await cache.lookup(root, at(`f${i}`));
  }
  const { entries, names } = cache.stats();
  assert(entries <= 100, `${entries} entries`);
  assert(names <= 50, `${names} names`);
});

test('names are bounded over many directories too', async () => {
  const { memory, cache } = setup({ names: 50 });
  for (let i = 0; i < 40; i++) {
    const where = { directory: memory.root, name: `d${i}` };
    const directory = ok(memory.mkdir(root, { where, set: { mode: 0o755 } })).object!;
    for (let j = 0; j < 10; j++) await cache.lookup(root, { directory, name: `n${j}` });
  }
  const { names } = cache.stats();
  assert(names > 10 && names <= 50, `${names} names`);
});

test('a file truncated by CREATE is not believed to be as before when the reply does not name it', async () => {
  const { origin, cache, at, make, foreignWrite, size } = setup();
  const object = make('a');
  foreignWrite(object, 'content');
  const truncate = { where: at('a'), how: { mode: 'unchecked', set: { size: 0 } } } as const;
  origin.on('create', async (_args, proceed) => {
    const { status, directoryWcc } = await proceed();
    return { status, directoryWcc } as vfs.CreateReply;
  });
  for (const isNameKnown of [false, true]) {
    foreignWrite(object, 'content');
    if (isNameKnown) {
      ok(await cache.lookup(root, at('a')));
      ok(await cache.access(root, { object: at('a').directory, access: vfs.Access.LOOKUP }));
    }
    const before = await size(object);
    ok(await cache.create(root, truncate));
    assert.equal(await size(object), 0, `${before}, ${isNameKnown}`);
  }
});

test('an invalidated cache knows nothing, and learns nothing from replies to what was asked before', async () => {
  const { origin, cache, at, make, foreignWrite, size } = setup();
  const object = make('a');
  ok(await cache.lookup(root, at('a')));
  assert.equal(await size(object), 0);
  foreignWrite(object, 'changed');
  cache.invalidate();
  assert.deepEqual([cache.stats().entries, cache.stats().names], [0, 0]);
  assert.equal(await size(object), 7);
  const held = origin.hold('getattr', 'after');
  cache.invalidate();
  const early = size(object);
  await settle();
  foreignWrite(object, 'changed again');
  cache.invalidate();
  held.release();
  await early;
  assert.equal(await size(object), 13);
  const calls = origin.calls('lookup');
  ok(await cache.lookup(root, at('a')));
  assert.equal(origin.calls('lookup'), calls + 1);
});
