/** FSINFO, PATHCONF and FSSTAT while the origin is away, in simulated time. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { Eventual } from '../base/mod.ts';
import { callBy, FaultLayer, MemoryFilesystem, ok, SimulatedClock, settle } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { AttributeCache } from './attribute-cache.ts';
import { FilesystemFacts, type RememberedFacts } from './filesystem-facts.ts';
import { OriginPresence } from './origin-presence.ts';
import { Outage } from './outage.ts';

const root = callBy(vfs.credential(0, 0));
const alice = callBy(vfs.credential(1000, 1000));
const kinds = ['fsinfo', 'pathconf', 'fsstat'] as const;

function setup(remembered?: RememberedFacts) {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock });
  const origin = new FaultLayer(memory);
  const presence = new OriginPresence({ clock });
  const attributes = (object: vfs.FileHandle): vfs.Attributes | undefined => cache.known.attributes(object);
  const facts = new FilesystemFacts(origin, { presence, remembered, attributes });
  const cache: AttributeCache = new AttributeCache(facts, { clock, presence });
  const where = { directory: memory.root, name: 'folder' };
  const folder = ok(memory.mkdir(root, { where, set: { mode: 0o755 } })).object!;
  const cut = () => [...kinds, 'getattr' as const, 'read' as const].map((operation) => origin.hold(operation));
  return { clock, memory, origin, presence, cache, folder, cut, about: { object: memory.root } };
}

/** What has been answered so far, if anything has. */
function watch<T>(reply: Eventual<T>): { value: T | undefined } {
  const seen: { value: T | undefined } = { value: undefined };
  Promise.resolve(reply).then((value) => {
    seen.value = value;
  });
  return seen;
}

test('while the origin is there, it is asked each time', async () => {
  const { origin, cache, about } = setup();
  for (const kind of kinds) {
    for (let i = 0; i < 3; i++) ok(await cache[kind](root, about));
    assert.equal(origin.calls(kind), 3);
  }
});

for (const kind of kinds)
  test(`${kind.toUpperCase()} is answered as last after a second of silence, and at once from then on`, async () => {
    const { clock, presence, cache, about, cut } = setup();
    const { attributes: _attributes, ...known } = ok<vfs.FsinfoReply | vfs.PathconfReply | vfs.FsstatReply>(
      await cache[kind](root, about),
    );
    const held = cut();
    const first = watch<unknown>(cache[kind](root, about));
    await clock.advance(999);
    assert.equal(first.value, undefined);
    await clock.advance(1);
    assert.deepEqual(first.value, { ...known, attributes: undefined });
    const next = cache[kind](alice, about);
    assert(!(next instanceof Promise));
    assert.deepEqual(next, first.value);
    assert.equal(presence.isAway, true);
    for (const hold of held) hold.release();
    await settle();
    assert.equal(presence.isAway, false);
  });

test('a folder that was not asked about is answered for as the root, if it is known to be on the same file system', async () => {
  const { presence, cache, folder, about, cut } = setup();
  const info = ok(await cache.fsinfo(root, about));
  cut();
  presence.lost('test');
  const unknown = watch(cache.fsinfo(root, { object: folder }));
  await settle();
  assert.equal(unknown.value, undefined);

  const second = setup();
  ok(await second.cache.fsinfo(root, second.about));
  ok(await second.cache.getattr(root, second.about));
  ok(await second.cache.getattr(root, { object: second.folder }));
  second.cut();
  second.presence.lost('test');
  const reply = second.cache.fsinfo(root, { object: second.folder });
  assert(!(reply instanceof Promise));
  assert.equal(ok(reply).readMaximum, info.readMaximum);

  const other = setup();
  other.origin.on('getattr', async ({ object }, proceed) => {
    const found = ok(await proceed());
    return object === other.folder ? { status: 0, attributes: { ...found.attributes, fsid: 4711n } } : found;
  });
  ok(await other.cache.fsinfo(root, other.about));
  ok(await other.cache.getattr(root, other.about));
  ok(await other.cache.getattr(root, { object: other.folder }));
  other.cut();
  other.presence.lost('test');
  const foreign = watch(other.cache.fsinfo(root, { object: other.folder }));
  await settle();
  assert.equal(foreign.value, undefined);
});

test('what is remembered from an earlier life is answered at once, and is no sign of the origin', async () => {
  const { memory } = setup();
  const about = { object: memory.root };
  const fsinfo = { ...ok(memory.fsinfo(root, about)), readMaximum: 4711 };
  const pathconf = { ...ok(memory.pathconf(root, about)), nameMaximum: 99 };
  const fsstat = { ...ok(memory.fsstat(root, about)), totalBytes: 815 };
  const { presence, cache, origin, cut, clock } = setup({ fsinfo, pathconf, fsstat });
  const held = cut();
  presence.lost('it was away when the session started');
  const at = { object: origin.root };
  assert.equal(ok(await cache.fsinfo(root, at)).readMaximum, 4711);
  assert.equal(ok(await cache.pathconf(root, at)).nameMaximum, 99);
  assert.equal(ok(await cache.fsstat(root, at)).totalBytes, 815);
  await clock.advance(10_000);
  assert.equal(presence.isAway, true);
  for (const hold of held) hold.release();
  await settle();
  assert.notEqual(ok(await cache.fsinfo(root, at)).readMaximum, 4711);
});

test('fail: a silent link is noticed though FSINFO is known, and stays so', async () => {
  const { clock, presence, memory, cache, about, cut } = setup();
  const top = new Outage(cache, { clock, presence, options: { misses: 'fail', failAfterMs: 5_000 } });
  ok(await top.fsinfo(root, about));
  cut();
  const read = watch(top.read(root, { object: memory.root, offset: 0, count: 1 }));
  await clock.advance(2_000);
  assert.equal(presence.isAway, true);
  await clock.advance(5_000);
  assert.equal(read.value?.status, vfs.Status.IO);
  assert.equal(presence.isAway, true);
  ok(await top.fsinfo(root, about));
  await top.close();
});
