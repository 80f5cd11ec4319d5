/** What the outage policies answer while the origin is away, in simulated time, and that they change nothing while it is there. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { type Eventual, silentLog, systemClock } from '../base/mod.ts';
import { callBy, FaultLayer, filesystemSuite, MemoryFilesystem, ok, SimulatedClock, settle } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { AccessCache } from './access-cache.ts';
import { AttributeCache } from './attribute-cache.ts';
import { Checker } from './checker.ts';
import { OriginPresence } from './origin-presence.ts';
import { Outage, type OutageOptions } from './outage.ts';

const root = callBy(vfs.credential(0, 0));
const alice = callBy(vfs.credential(1000, 1000));
const { Status } = vfs;
const failAfterMs = 30_000;
/** Past every time-out. */
const longMs = 100_000;

for (const misses of ['fail', 'stale'] as const) {
  filesystemSuite(`Outage (${misses}) over memory`, async () => {
    const memory = new MemoryFilesystem({ volatile: true, poisonReleased: true });
    const checked = (next: vfs.Filesystem) =>
      new Checker(next, { name: 'test', clock: systemClock, log: silentLog, strict: true });
    const presence = new OriginPresence({ clock: systemClock });
    const context = { clock: systemClock, presence, options: { misses, failAfterMs } };
    const filesystem = checked(new Outage(checked(memory), context));
    return {
      filesystem,
      async cleanup() {
        await filesystem.close();
        assert.equal(memory.unreleased, 0);
      },
    };
  });
}

function setup(misses: OutageOptions['misses']) {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock, poisonReleased: true });
  const origin = new FaultLayer(memory);
  const presence = new OriginPresence({ clock });
  const caches = new AccessCache(new AttributeCache(origin, { clock, presence }), { clock, presence });
  const outage = new Outage(caches, { clock, presence, options: { misses, failAfterMs } });
  const top = new Checker(outage, { name: 'test', clock, log: silentLog, strict: true });
  const at = (name: string) => ({ directory: memory.root, name });
  const make = (name: string, mode = 0o644): string =>
    ok(memory.create(root, { where: at(name), how: { mode: 'guarded', set: { mode } } })).object!;
  /** No call gets through any more; `goOn` lets all go. */
  const cut = (): { goOn(): void } => {
    const operations = [
      'getattr',
      'setattr',
      'lookup',
      'access',
      'readlink',
      'read',
      'write',
      'create',
      'mkdir',
    ] as const;
    const others = ['remove', 'rename', 'readdir', 'readdirplus', 'fsstat', 'fsinfo', 'pathconf', 'commit'] as const;
    const held = [...operations, ...others].map((operation) => origin.hold(operation));
    return {
      goOn() {
        presence.replied();
        for (const one of held) one.release();
      },
    };
  };
  return { clock, memory, origin, presence, top, outage, at, make, cut };
}

/** What has been answered so far, if anything has. */
function watch<T>(reply: Eventual<T>): { value: T | undefined } {
  const seen: { value: T | undefined } = { value: undefined };
  Promise.resolve(reply).then((value) => {
    seen.value = value;
  });
  return seen;
}

const write = (object: string, text: string): vfs.WriteArguments => {
  const data = Buffer.from(text);
  return { object, offset: 0, count: data.length, stable: 2, data: [data] };
};
const list = (memory: MemoryFilesystem, cookie = 0n, cookieVerifier = '\0'.repeat(8), bytes = 4096) => ({
  directory: memory.root,
  cookie,
  cookieVerifier,
  directoryBytes: bytes,
  replyBytes: bytes,
});

test('fail: a call that has waited long enough while the origin is away fails, not before; no other call has to notice', async () => {
  const { clock, presence, top, make, cut } = setup('fail');
  const object = make('a');
  const link = cut();
  const read = watch<{ readonly status: number }>(top.read(root, { object, offset: 0, count: 1 }));
  await clock.advance(1_999);
  assert.equal(presence.isAway, false);
  await clock.advance(1);
  assert.equal(presence.isAway, true);
  await clock.advance(failAfterMs - 1);
  assert.equal(read.value?.status, undefined);
  await clock.advance(1);
  assert.equal(read.value?.status, Status.IO);
  const later = watch<{ readonly status: number }>(top.lookup(root, { directory: object, name: 'x' }));
  await clock.advance(failAfterMs - 1);
  assert.equal(later.value?.status, undefined);
  await clock.advance(1);
  assert.equal(later.value?.status, Status.IO);
  assert.equal(clock.timers(), 0);
  link.goOn();
});

test('fail: every operation fails, with its own body; what nobody waits for is held on', async () => {
  const { clock, memory, presence, top, at, make, cut } = setup('fail');
  const object = make('a');
  const link = cut();
  presence.lost('test');
  const where = at('new');
  const commit = { object, offset: 0, count: 0 };
  const waiting = [
    top.getattr(root, { object }),
    top.setattr(root, { object, set: { mode: 0o600 } }),
    top.lookup(root, at('a')),
    top.access(root, { object, access: 1 }),
    top.readlink(root, { object }),
    top.read(root, { object, offset: 0, count: 1 }),
    top.write(root, write(object, 'x')),
    top.create(root, { where, how: { mode: 'guarded', set: {} } }),
    top.mkdir(root, { where: at('folder'), set: {} }),
    top.remove(root, at('a')),
    top.rename(root, { from: at('a'), to: at('b') }),
    top.readdir(root, list(memory)),
    top.readdirplus(root, list(memory)),
    top.fsstat(root, { object }),
    top.fsinfo(root, { object }),
    top.pathconf(root, { object }),
    top.commit(root, commit),
  ].map((reply) => watch<{ readonly status: number }>(reply as Eventual<{ readonly status: number }>));
  const drain = { ...root, peer: 'write-back', priority: 'prefetch' } as const;
  const kept = [top.write(drain, write(object, 'y')), top.commit(drain, commit)].map((reply) => watch<unknown>(reply));
  await clock.advance(failAfterMs);
  assert.deepEqual(
    waiting.map(({ value }) => value?.status),
    waiting.map(() => Status.IO),
  );
  await clock.advance(longMs);
  assert(kept.every(({ value }) => value === undefined));
  link.goOn();
  await settle();
  assert(kept.every(({ value }) => value !== undefined));
});

test('fail: a refused change is done later with the bytes that it had, though its caller has its memory again', async () => {
  const { clock, memory, presence, top, make, cut } = setup('fail');
  const object = make('a');
  const link = cut();
  presence.lost('test');
  const args = write(object, 'promised');
  const reply = watch(top.write(root, args));
  await clock.advance(failAfterMs);
  assert.equal(reply.value?.status, Status.IO);
  args.data[0]!.fill(0);
  link.goOn();
  await settle();
  const read = ok(memory.read(root, { object, offset: 0, count: 8 }) as vfs.ReadReply);
  assert.equal(Buffer.concat(read.data).toString(), 'promised');
  read.release?.();
});

test('fail: a READ that comes too late is released', async () => {
  const { clock, memory, presence, top, make, cut } = setup('fail');
  const object = make('a');
  ok(memory.write(root, write(object, 'x')));
  const link = cut();
  presence.lost('test');
  const reply = watch(top.read(root, { object, offset: 0, count: 1 }));
  await clock.advance(failAfterMs);
  assert.equal(reply.value?.status, Status.IO);
  link.goOn();
  await settle();
  assert.equal(memory.unreleased, 0);
});

test('fail: a slow origin fails nothing, and an absence that ends begins anew', async () => {
  const { clock, presence, origin, top, make } = setup('fail');
  const object = make('a');
  const held = origin.hold('commit');
  const slow = watch(top.commit(root, { object, offset: 0, count: 0 }));
  await clock.advance(5 * failAfterMs);
  assert.equal(presence.isAway, false);
  for (let i = 0; i < 3; i++) {
    presence.lost('test');
    await clock.advance(failAfterMs - 1);
    presence.replied();
    await clock.advance(10);
  }
  assert.equal(slow.value, undefined);
  held.release();
  await settle();
  ok(slow.value!);
});

test('fail: calls that are owed after their refusal are bounded; above that nothing is asked until the origin is back', async () => {
  const { clock, origin, presence, top, outage, make, cut } = setup('fail');
  const object = make('a');
  const link = cut();
  presence.lost('test');
  const many = Array.from({ length: 4096 }, () => watch(top.commit(root, { object, offset: 0, count: 0 })));
  await clock.advance(failAfterMs);
  assert(many.every(({ value }) => value?.status === Status.IO));
  const [refused, parked] = ['x', 'y'].map((text) => watch(top.write(root, write(object, text))));
  await clock.advance(failAfterMs);
  assert.equal(refused!.value?.status, Status.IO);
  assert.equal(origin.calls('write'), 0);
  const last = watch(top.write(root, write(object, 'z')));
  assert.deepEqual(outage.stats(), { waiting: 1, refused: 4098, owed: 4096 });
  link.goOn();
  await settle();
  assert.equal(parked!.value?.status, Status.IO);
  ok(last.value!);
  assert.equal(origin.calls('write'), 1);
  assert.deepEqual(outage.stats(), { waiting: 0, refused: 4098, owed: 0 });
});

test('stale: a directory that was listed to its end is listed on, page by page, with the cookies of the origin', async () => {
  const { clock, memory, presence, top, make, cut } = setup('stale');
  for (let i = 0; i < 40; i++) make(`file-${i}`);
  const pages = async (plus: boolean, from?: { cookie: bigint; verifier: string }) => {
    const names: string[] = [];
    let [cookie, verifier] = [from?.cookie ?? 0n, from?.verifier ?? '\0'.repeat(8)];
    for (let eof = false; !eof; ) {
      const args = list(memory, cookie, verifier, 600);
      const page = ok(await (plus ? top.readdirplus(root, args) : top.readdir(root, args)));
      names.push(...page.entries.map(({ name }) => name));
      cookie = page.entries.at(-1)?.cookie ?? cookie;
      verifier = page.cookieVerifier;
      eof = page.eof;
    }
    return names;
  };
  const first = ok(await top.readdir(root, list(memory, 0n, '\0'.repeat(8), 600)));
  const all = await pages(true);
  assert.equal(all.length, 42);
  await clock.advance(longMs);
  const link = cut();
  presence.lost('test');
  assert.deepEqual(await pages(true), all);
  assert.deepEqual(await pages(false), all);
  const last = first.entries.at(-1)!;
  const rest = await pages(false, { cookie: last.cookie, verifier: first.cookieVerifier });
  assert.deepEqual([...first.entries.map(({ name }) => name), ...rest], all);
  assert.equal(presence.isAway, true);

  const unknown = [
    top.readdir(alice, list(memory)),
    top.readdir(root, list(memory, 9_999n, first.cookieVerifier)),
    top.readdir(root, list(memory, last.cookie, 'another!')),
  ].map((reply) => watch<unknown>(reply));
  assert.equal((await top.readdir(root, list(memory, 0n, '\0'.repeat(8), 110))).status, Status.TOOSMALL);
  await clock.advance(longMs);
  assert(unknown.every(({ value }) => value === undefined));
  link.goOn();
});

test('stale: a directory half listed, or changed by us while it was listed or since, is not answered from memory', async () => {
  for (const change of ['half', 'between', 'during', 'since'] as const) {
    const { clock, memory, origin, presence, top, at, make, cut } = setup('stale');
    for (let i = 0; i < 40; i++) make(`file-${i}`);
    const create = async () => ok(await top.create(root, { where: at('new'), how: { mode: 'guarded', set: {} } }));
    let [cookie, verifier] = [0n, '\0'.repeat(8)];
    for (let page = 0; ; page++) {
      const held = change === 'during' && page === 1 ? origin.hold('readdir', 'after') : undefined;
      const asked = top.readdir(root, list(memory, cookie, verifier, 600));
      if (held !== undefined) {
        await settle();
        await create();
        held.release();
      }
      const reply = ok(await asked);
      cookie = reply.entries.at(-1)?.cookie ?? cookie;
      verifier = reply.cookieVerifier;
      if (reply.eof || (change === 'half' && page === 1)) break;
      if (change === 'between' && page === 1) await create();
    }
    if (change === 'since') await create();
    const link = cut();
    presence.lost('test');
    const reply = watch(top.readdir(root, list(memory)));
    await clock.advance(longMs);
    assert.equal(reply.value, undefined, change);
    link.goOn();
    await settle();
    ok(reply.value!);
  }
});

test('stale: a change that waits for the origin does not hide what was known before it', async () => {
  const { memory, presence, top, at, make, cut } = setup('stale');
  make('a');
  ok(await top.readdir(root, list(memory)));
  assert.equal((await top.lookup(root, at('new'))).status, Status.NOENT);
  const link = cut();
  presence.lost('test');
  const created = watch(top.create(root, { where: at('new'), how: { mode: 'guarded', set: {} } }));
  await settle();
  assert.equal(ok(await top.readdir(root, list(memory))).entries.length, 3);
  assert.equal((await top.lookup(root, at('new'))).status, Status.NOENT);
  link.goOn();
  await settle();
  ok(created.value!);
  ok(await top.lookup(root, at('new')));
});

test('stale: a name that was not there is still not there, for whom it was not, until we make it', async () => {
  const { clock, presence, top, at, make, cut } = setup('stale');
  make('a');
  ok(await top.lookup(root, at('a')));
  for (const name of ['missing', 'made', 'moved']) {
    assert.equal((await top.lookup(root, at(name))).status, Status.NOENT);
  }
  ok(await top.create(root, { where: at('made'), how: { mode: 'guarded', set: {} } }));
  ok(await top.rename(root, { from: at('a'), to: at('moved') }));
  await clock.advance(longMs);
  const link = cut();
  presence.lost('test');
  const reply = watch(top.lookup(root, at('missing')));
  await settle();
  assert.equal(reply.value?.status, Status.NOENT);
  const unknown = ['missing', 'other', 'a', 'moved']
    .map((name, index) => top.lookup(index === 0 ? alice : root, at(name)))
    .map((one) => watch<unknown>(one));
  ok(await top.lookup(root, at('made')));
  await clock.advance(longMs);
  assert(unknown.every(({ value }) => value === undefined));
  link.goOn();
});

test('stale: a LOOKUP that overlapped with our CREATE teaches nothing', async () => {
  const { clock, origin, presence, top, at, cut } = setup('stale');
  const held = origin.hold('lookup', 'after');
  const early = watch(top.lookup(root, at('new')));
  await settle();
  ok(await top.create(root, { where: at('new'), how: { mode: 'guarded', set: {} } }));
  held.release();
  await settle();
  assert.equal(early.value?.status, Status.NOENT);
  await clock.advance(longMs);
  const link = cut();
  presence.lost('test');
  const late = watch(top.lookup(root, at('new')));
  await clock.advance(longMs);
  assert.notEqual(late.value?.status, Status.NOENT);
  link.goOn();
});

test('stale: data and changes wait; an answer of a cache is no sign of life', async () => {
  const { clock, memory, presence, top, make, cut } = setup('stale');
  const object = make('a');
  ok(await top.getattr(root, { object }));
  ok(await top.readdir(root, list(memory)));
  const link = cut();
  presence.lost('test');
  ok(await top.getattr(root, { object }));
  ok(await top.readdir(root, list(memory)));
  const waiting = [top.read(root, { object, offset: 0, count: 1 }), top.write(root, write(object, 'x'))].map((reply) =>
    watch<unknown>(reply),
  );
  await clock.advance(longMs);
  assert(waiting.every(({ value }) => value === undefined));
  assert.equal(presence.isAway, true);
  link.goOn();
});

test('stale: when the origin is back, its answers count again', async () => {
  const { clock, memory, presence, top, at, make, cut } = setup('stale');
  make('a');
  ok(await top.readdir(root, list(memory)));
  await top.lookup(root, at('b'));
  await clock.advance(longMs);
  const link = cut();
  presence.lost('test');
  assert.equal(ok(await top.readdir(root, list(memory))).entries.length, 3);
  make('b');
  link.goOn();
  await settle();
  assert.equal(ok(await top.readdir(root, list(memory))).entries.length, 4);
  ok(await top.lookup(root, at('b')));
});

test('stale: a bounded number of calls is owed', async () => {
  const { memory, origin, presence, top, make, cut } = setup('stale');
  make('a');
  ok(await top.readdir(root, list(memory)));
  const link = cut();
  presence.lost('test');
  const asked = origin.calls('readdir');
  for (let i = 0; i < 100; i++) ok(await top.readdir(root, list(memory)));
  assert.equal(origin.calls('readdir'), asked + 1);
  link.goOn();
});
