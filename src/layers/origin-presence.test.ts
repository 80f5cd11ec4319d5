/** What the attribute and access caches answer while the origin is away, in simulated time. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { Eventual } from '../base/mod.ts';
import { callBy, FaultLayer, MemoryFilesystem, ok, SimulatedClock, settle } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { AccessCache } from './access-cache.ts';
import { AttributeCache } from './attribute-cache.ts';
import { OriginPresence } from './origin-presence.ts';

const root = callBy(vfs.credential(0, 0));
const alice = callBy(vfs.credential(1000, 1000));
const { Access, Status } = vfs;
/** Past every time-out. */
const longMs = 100_000;

function setup() {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock });
  const origin = new FaultLayer(memory);
  let receivedBytes = 0;
  const presence = new OriginPresence({ clock, receivedBytes: () => receivedBytes });
  const cache = new AccessCache(new AttributeCache(origin, { clock, presence }), { clock, presence });
  const at = (name: string) => ({ directory: memory.root, name });
  const make = (name: string): string =>
    ok(memory.create(root, { where: at(name), how: { mode: 'guarded', set: { mode: 0o644 } } })).object!;
  /** Files that were looked at once, so long ago that what is known of them has run out. */
  const outdated = async (...names: string[]): Promise<[string, ...string[]]> => {
    const files = names.map(make) as [string, ...string[]];
    for (const object of files) await cache.getattr(root, { object });
    await clock.advance(longMs);
    return files;
  };
  const foreignWrite = (object: string, text: string): void => {
    const data = Buffer.from(text);
    ok(memory.write(root, { object, offset: 0, count: data.length, stable: 2, data: [data] }));
  };
  const receive = (): void => {
    receivedBytes += 65_536;
  };
  return { clock, memory, origin, presence, cache, at, make, outdated, foreignWrite, receive };
}

/** What has been answered so far, if anything has. */
function watch<T>(reply: Eventual<T>): { value: T | undefined } {
  const seen: { value: T | undefined } = { value: undefined };
  Promise.resolve(reply).then((value) => {
    seen.value = value;
  });
  return seen;
}

test('a GETATTR that is owed for a second is answered with what was known; the next ones at once, with one call owed', async () => {
  const { clock, origin, presence, cache, outdated } = setup();
  const [object] = await outdated('a');
  const held = origin.hold('getattr');
  const first = watch(cache.getattr(root, { object }));
  await clock.advance(999);
  assert.equal(first.value, undefined);
  assert.equal(presence.isAway, false);
  await clock.advance(1);
  assert.equal(ok(first.value!).attributes.size, 0);
  for (let i = 0; i < 100; i++) {
    const next = cache.getattr(alice, { object });
    assert(!(next instanceof Promise));
    ok(next);
    await clock.advance(1_000);
  }
  assert.equal(origin.calls('getattr'), 2);
  assert.deepEqual(presence.stats(), { away: true, sinceMs: clock.wallTimeMs() - 100_000, staleAnswers: 101 });
  assert.equal(clock.timers(), 0);
  held.release();
});

test('another file costs no second delay', async () => {
  const { clock, origin, cache, outdated } = setup();
  const files = await outdated('a', 'b', 'c');
  const held = origin.hold('getattr');
  const waiting = watch(cache.getattr(root, { object: files[0]! }));
  await clock.advance(600);
  const later = watch(cache.getattr(root, { object: files[1]! }));
  await clock.advance(400);
  ok(waiting.value!);
  ok(later.value!);
  assert(!(cache.getattr(root, { object: files[2]! }) instanceof Promise));
  held.release();
});

test('a lost connection is known at once, to those that wait too', async () => {
  const { origin, presence, cache, outdated } = setup();
  const [object] = await outdated('a');
  const held = origin.hold('getattr');
  const waiting = watch(cache.getattr(root, { object }));
  presence.lost('test');
  await settle();
  ok(waiting.value!);
  assert(!(cache.getattr(root, { object }) instanceof Promise));
  held.release();
});

test('when the origin is back its answers count again: a change is seen, and nothing is served beyond its time', async () => {
  const { clock, origin, presence, cache, make, foreignWrite } = setup();
  const [object, other] = [make('a'), make('b')];
  for (const file of [object, other]) await cache.getattr(root, { object: file });
  await clock.advance(longMs);
  const held = origin.hold('getattr');
  cache.getattr(root, { object });
  await clock.advance(1_000);
  foreignWrite(object, 'changed');
  foreignWrite(other, 'changed too');
  held.release();
  await settle();
  assert.equal(presence.isAway, false);
  assert.equal(ok(await cache.getattr(root, { object })).attributes.size, 7);
  assert.equal(ok(await cache.getattr(root, { object: other })).attributes.size, 11);
});

test('any reply ends the absence; what is owed still arrives', async () => {
  const { clock, origin, presence, cache, outdated } = setup();
  const [object] = await outdated('a');
  const held = origin.hold('getattr');
  cache.getattr(root, { object });
  await clock.advance(1_000);
  presence.replied();
  const next = watch(cache.getattr(root, { object }));
  await clock.advance(999);
  assert.equal(next.value, undefined);
  held.release();
  await settle();
  ok(next.value!);
  assert.equal(origin.calls('getattr'), 2);
});

test('an origin that answers after half a second is not away', async () => {
  const { clock, origin, presence, cache, make, foreignWrite } = setup();
  const object = make('a');
  await cache.getattr(root, { object });
  origin.on('getattr', async (_args, proceed) => {
    await new Promise<void>((resolve) => clock.after(500, resolve));
    return proceed();
  });
  for (let size = 1; size < 5; size++) {
    await clock.advance(longMs);
    foreignWrite(object, 'x'.repeat(size));
    const reply = watch(cache.getattr(root, { object }));
    await clock.advance(500);
    assert.equal(ok(reply.value!).attributes.size, size);
  }
  assert.deepEqual(presence.stats(), { away: false, staleAnswers: 0 });
  assert.equal(clock.timers(), 0);
});

test('an origin whose bytes keep coming, or that answers other calls, is not away', async () => {
  for (const sign of ['bytes', 'replies']) {
    const { clock, origin, presence, cache, make, receive } = setup();
    const object = make('a');
    await cache.getattr(root, { object });
    await clock.advance(longMs);
    const held = origin.hold('getattr');
    const reply = watch(cache.getattr(root, { object }));
    for (let i = 0; i < 10; i++) {
      await clock.advance(700);
      if (sign === 'bytes') receive();
      else presence.replied();
    }
    assert.equal(reply.value, undefined, sign);
    await clock.advance(2_000);
    ok(reply.value!);
    held.release();
  }
});

test('what is not held is not made up: unknown files and names wait, however long', async () => {
  const { clock, origin, cache, at, make } = setup();
  const [known, unknown] = [make('a'), make('b')];
  await cache.getattr(root, { object: known });
  assert.equal((await cache.lookup(root, at('missing'))).status, Status.NOENT);
  await clock.advance(longMs);
  const held = [origin.hold('getattr'), origin.hold('lookup')];
  const waiting = [
    watch<unknown>(cache.getattr(root, { object: known })),
    watch<unknown>(cache.getattr(root, { object: unknown })),
    watch<unknown>(cache.lookup(root, at('missing'))),
    watch<unknown>(cache.lookup(root, at('b'))),
  ];
  await clock.advance(longMs);
  assert.deepEqual(
    waiting.map(({ value }) => value !== undefined),
    [true, false, false, false],
  );
  for (const one of held) one.release();
  await settle();
  assert(waiting.every(({ value }) => value !== undefined));
});

test('names of existing files, and contents of links, are answered beyond their time, to who could search', async () => {
  const { clock, memory, origin, presence, cache, at, make } = setup();
  const object = make('a');
  const link = ok(memory.symlink(root, { where: at('link'), set: { mode: 0o777 }, target: 'a' })).object!;
  await cache.lookup(root, at('a'));
  await cache.readlink(root, { object: link });
  await clock.advance(longMs);
  for (const operation of ['lookup', 'readlink'] as const) origin.hold(operation);
  const link1 = watch(cache.readlink(root, { object: link }));
  const waiting = watch(cache.lookup(root, at('a')));
  const stranger = watch(cache.lookup(alice, at('a')));
  await clock.advance(1_000);
  const found = ok(waiting.value!);
  assert.equal(found.object, object);
  assert.equal(found.attributes?.size, 0);
  assert.equal(ok(link1.value!).target, 'a');
  assert.equal(stranger.value, undefined);
  const asked = origin.calls('lookup');
  for (let i = 0; i < 10; i++) assert(!(cache.lookup(root, at('a')) instanceof Promise));
  assert.equal(origin.calls('lookup'), asked);
  assert(presence.isAway);
});

test('what our own mutations dropped is not served', async () => {
  const { clock, origin, presence, cache, at, make } = setup();
  const [removed, written] = [make('a'), make('b')];
  for (const name of ['a', 'b']) await cache.lookup(root, at(name));
  ok(await cache.remove(root, at('a')));
  const undo = origin.on('write', async (_args, proceed) => ({ ...(await proceed()), wcc: {} }));
  await cache.write(root, { object: written, offset: 0, count: 1, stable: 2, data: [Buffer.from('x')] });
  undo();
  await clock.advance(longMs);
  presence.lost('test');
  for (const operation of ['getattr', 'lookup'] as const) origin.hold(operation);
  const waiting = [
    watch<unknown>(cache.getattr(root, { object: removed })),
    watch<unknown>(cache.getattr(root, { object: written })),
    watch<unknown>(cache.lookup(root, at('a'))),
    watch<unknown>(cache.lookup(root, at('b'))),
  ];
  await clock.advance(longMs);
  assert.deepEqual(
    waiting.map(({ value }) => value),
    [undefined, undefined, undefined, undefined],
  );
});

test('a mutation that is answered while a refresh is owed takes away what the refresh would have fallen back to', async () => {
  const { clock, origin, presence, cache, outdated } = setup();
  const [object] = await outdated('a');
  const held = origin.hold('getattr');
  const waiting = watch(cache.getattr(root, { object }));
  const undo = origin.on('write', async (_args, proceed) => ({ ...(await proceed()), wcc: {} }));
  await cache.write(root, { object, offset: 0, count: 1, stable: 2, data: [Buffer.from('x')] });
  undo();
  presence.lost('test');
  await clock.advance(longMs);
  assert.equal(waiting.value, undefined);
  held.release();
  await settle();
  assert.equal(ok(waiting.value!).attributes.size, 1);
});

test('grants likewise: the last ones of this credential, not of another, and not after they were dropped', async () => {
  const { clock, memory, origin, presence, cache, make } = setup();
  const [object, other] = [make('a'), make('b')];
  const asked = { access: Access.READ | Access.MODIFY };
  for (const file of [object, other]) await cache.access(alice, { object: file, ...asked });
  ok(await cache.setattr(root, { object: other, set: { mode: 0o600 } }));
  await clock.advance(longMs);
  const held = origin.hold('access');
  const waiting = watch(cache.access(alice, { object, ...asked }));
  const stranger = watch(cache.access(root, { object, ...asked }));
  const dropped = watch(cache.access(alice, { object: other, ...asked }));
  await clock.advance(1_000);
  assert.deepEqual(waiting.value, { status: 0, access: Access.READ });
  const next = cache.access(alice, { object, access: Access.MODIFY });
  assert(!(next instanceof Promise));
  assert.deepEqual(next, { status: 0, access: 0 });
  await clock.advance(longMs);
  assert.equal(stranger.value, undefined);
  assert.equal(dropped.value, undefined);
  assert.equal(origin.calls('access'), 5);

  ok(memory.setattr(root, { object, set: { mode: 0o600 } }));
  held.release();
  await settle();
  assert.equal(presence.isAway, false);
  assert.equal(ok(dropped.value!).access, 0);
  assert.equal(ok(await cache.access(alice, { object, ...asked })).access, 0);
});

test('while it is away, a bounded number of calls is owed', async () => {
  const { origin, presence, cache, outdated } = setup();
  const files = await outdated(...Array.from({ length: 200 }, (_value, index) => `f${index}`));
  const held = origin.hold('getattr');
  presence.lost('test');
  for (const object of files) assert(!(cache.getattr(root, { object }) instanceof Promise));
  assert.equal(held.held(), 64);
  held.release();
});

test("an error of the origin is the caller's to see, and nobody's if the caller has gone on", async () => {
  const { clock, origin, presence, cache, outdated } = setup();
  const [object] = await outdated('a');
  origin.on('getattr', () => Promise.reject(new Error('closed')));
  await assert.rejects(Promise.resolve(cache.getattr(root, { object })), /closed/);
  presence.lost('test');
  ok(await cache.getattr(root, { object }));
  await settle();
  assert.equal(clock.timers(), 0);
});

test('after a REMOVE of a file that is not known no file is served from before; directories are', async () => {
  const { clock, memory, origin, presence, cache, at, make } = setup();
  const object = make('a');
  await cache.getattr(root, { object });
  await cache.getattr(root, { object: memory.root });
  ok(await cache.remove(root, at('a')));
  await clock.advance(longMs);
  presence.lost('test');
  const held = origin.hold('getattr');
  const waiting = watch(cache.getattr(root, { object }));
  ok(await cache.getattr(root, { object: memory.root }));
  await clock.advance(longMs);
  assert.equal(waiting.value, undefined);
  held.release();
  await settle();
  assert.deepEqual(waiting, { value: { status: Status.STALE } });
});
