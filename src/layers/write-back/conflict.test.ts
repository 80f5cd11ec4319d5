import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { callBy, pattern } from '../../testing/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { conflictName, isOurs } from './conflict.ts';
import { WccChain } from './conflict-chain.ts';
import { alice, dieAtCall, root, sameBytes, sector, stamp, World } from './drain-fixture.test.ts';

const { Status } = vfs;

function copyOf(world: World): string {
  const name = world.names().find((candidate) => /\.viaduct-conflict-host-\d{8}T\d{6}Z$/.test(candidate));
  assert.ok(name !== undefined, `no copy among ${world.names().join(', ')}`);
  return name;
}

async function conflicted(world: World, name = 'disk'): Promise<string> {
  const object = world.make(name, pattern(40_000));
  await world.proxy.write(object, 8_192, stamp(7));
  await world.proxy.write(object, 50_000, pattern(1_000, 3));
  await world.clock.advance(10);
  world.foreignWrite(object, 0, pattern(40_000, 9));
  return object;
}

function expectedCopy(): Buffer {
  const expected = Buffer.alloc(51_000);
  stamp(7).copy(expected, 8_192);
  pattern(1_000, 3).copy(expected, 50_000);
  return expected;
}

test('a foreign change is kept, and ours lies beside it with a list of its ranges', async () => {
  const world = await World.start();
  const object = await conflicted(world);
  const result = await world.proxy.flush();
  assert.equal(result.outcome, 'conflict');
  assert.match(result.problems.join(), /disk: conflict \(changed\); our version: disk\.viaduct-conflict-host-/);
  sameBytes(world.content(object), pattern(40_000, 9));
  const name = copyOf(world);
  sameBytes(world.content(world.find(name)!), expectedCopy());
  assert.equal(world.attributes(world.find(name)!).uid, alice.uid);
  const ranges = JSON.parse(world.content(world.find(`${name}.ranges`)!).toString());
  assert.deepEqual(ranges.ranges, [
    [8_192, sector],
    [50_000, 1_000],
  ]);
  assert.equal(ranges.size, 51_000);
  const record = world.proxy.files.get(object);
  assert.equal(record?.conflict?.kind, 'changed');
  assert.deepEqual(record?.conflict?.savedAs, { where: 'origin', name });
  assert.equal(world.proxy.log.state(record!.number), undefined);
  assert.equal(world.memory.restart(), 0, 'the copy is durable');
});

test('other files of the epoch go on', async () => {
  const world = await World.start();
  await conflicted(world);
  const other = world.make('other');
  await world.proxy.write(other, 0, pattern(9_000));
  assert.equal((await world.proxy.flush()).outcome, 'conflict');
  sameBytes(world.content(other), pattern(9_000));
});

test('changes of later epochs are in the copy, too', async () => {
  const world = await World.start();
  const object = await conflicted(world);
  world.proxy.log.seal();
  await world.proxy.write(object, 8_192, stamp(8));
  await world.proxy.flush();
  const copy = world.content(world.find(copyOf(world))!);
  sameBytes(copy.subarray(8_192, 8_192 + sector), stamp(8));
});

test('what is answered while the copy is made is in the copy', async () => {
  const world = await World.start();
  const object = await conflicted(world);
  let done = false;
  world.origin.on('commit', async (_args, proceed) => {
    if (!done) {
      done = true;
      await world.clock.after(0, () => undefined);
      const { number } = world.proxy.files.get(object)!;
      const time = { seconds: 1_700_000_001, nanoseconds: 0 };
      const data = [stamp(9)];
      await world.proxy.log.write({
        file: number,
        writer: 1,
        offset: 8_192,
        count: sector,
        data,
        sizeAfter: 51_000,
        time,
      });
    }
    return proceed();
  });
  await world.proxy.flush();
  const copy = world.content(world.find(copyOf(world))!);
  sameBytes(copy.subarray(8_192, 8_192 + sector), stamp(9));
});

test('a file that somebody else removed: our ranges are kept beside where it was', async () => {
  const world = await World.start();
  const object = world.make('disk');
  await world.proxy.write(object, 0, pattern(9_000));
  world.memory.remove(callBy(root), { directory: world.memory.root, name: 'disk' });
  const result = await world.proxy.flush();
  assert.equal(result.outcome, 'conflict');
  sameBytes(world.content(world.find(copyOf(world))!), pattern(9_000));
  assert.equal(world.proxy.files.get(object)?.conflict?.kind, 'gone');
});

test('a name that others have taken is passed over', async () => {
  const world = await World.start();
  const object = await conflicted(world);
  const atMs = world.clock.wallTimeMs();
  const taken = [0, 1000].map((ms) => conflictName('disk', 'host', atMs + ms, 248));
  for (const name of taken) world.make(name, pattern(10));
  await world.proxy.flush();
  for (const name of taken) sameBytes(world.content(world.find(name)!), pattern(10));
  const saved = world.proxy.files.get(object)?.conflict?.savedAs;
  assert.equal(saved?.where, 'origin');
  assert.ok(!taken.includes(saved!.name));
  sameBytes(world.content(world.find(saved!.name)!), expectedCopy());
});

test('an origin that takes no copy: it goes into a directory of this host', (t) => savedHere(t, 'disk'));

test('so it does for the longest name, of any bytes', (t) => savedHere(t, '\x01'.repeat(255)));

async function savedHere(t: TestContext, ofFile: string): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'viaduct-conflicts-'));
  t.after(() => rm(directory, { recursive: true }));
  const world = await World.start({ conflictDirectory: join(directory, 'conflicts') });
  const object = await conflicted(world, ofFile);
  world.origin.on('create', () => ({ status: Status.ROFS, directoryWcc: {} }));
  let outcome: string | undefined;
  world.proxy.log.seal();
  void world.proxy.drain.request().then((result) => {
    outcome = result.outcome;
  });
  for (let i = 0; i < 500 && outcome === undefined; i++) {
    await world.clock.advance(1);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.equal(outcome, 'conflict');
  const names = await readdir(join(directory, 'conflicts'));
  const name = names.find((candidate) => !candidate.endsWith('.ranges'))!;
  assert.deepEqual(names.sort(), [name, `${name}.ranges`]);
  sameBytes(await readFile(join(directory, 'conflicts', name)), expectedCopy());
  const savedAs = world.proxy.files.get(object)?.conflict?.savedAs;
  assert.equal(savedAs?.where, 'local');
  assert.equal(savedAs.name.replaceAll('\x01', '_'), name);
}

test('a version that can be saved nowhere stays in the log, and is saved as soon as it can be', async () => {
  const world = await World.start();
  const object = await conflicted(world);
  const allow = world.origin.on('create', () => ({ status: Status.NOSPC, directoryWcc: {} }));
  const result = await world.proxy.flush();
  assert.equal(result.outcome, 'refused');
  assert.match(result.problems.join(), /cannot be saved/);
  assert.ok(world.proxy.log.state(world.proxy.files.get(object)!.number) !== undefined);
  allow();
  await world.clock.advance(60_000);
  sameBytes(world.content(world.find(copyOf(world))!), expectedCopy());
});

for (const kind of ['kill', 'power'] as const) {
  test(`a ${kind} at any step of saving a version leaves one whole copy`, async () => {
    for (let step = kind === 'kill' ? 1 : 2; step <= 14; step += kind === 'kill' ? 1 : 3) {
      const world = await World.start();
      const object = await conflicted(world);
      await world.proxy.commit();
      await dieAtCall(world, step, kind);
      const result = await world.proxy.flush();
      assert.equal(result.outcome, 'conflict', `step ${step}`);
      sameBytes(world.content(object), pattern(40_000, 9));
      const copies = world.names().filter((name) => name.endsWith('Z'));
      const { savedAs } = world.proxy.files.get(object)!.conflict!;
      assert.equal(copies.length, 1, `step ${step}: ${copies.join(', ')}`);
      assert.equal(savedAs?.name, copies[0]);
      sameBytes(world.content(world.find(copies[0]!)!), expectedCopy());
    }
  });
}

test('with conditional writes a change between look and write is stopped by the origin', async () => {
  const world = await World.start({ conditional: true });
  const object = world.make('disk', pattern(40_000));
  let conditional = 0;
  let ours: vfs.WccAttributes | undefined;
  world.origin.on('write', (args, proceed, call) => {
    if (call.peer !== 'write-back' || args.expected === undefined) return proceed();
    if (conditional++ === 2) world.foreignWrite(object, 0, pattern(100, 5));
    const now = world.attributes(object);
    if (!vfs.sameContent(now, args.expected) && !(ours !== undefined && vfs.sameContent(now, ours))) {
      // As servers do it: what they show is not ours.
      return { status: Status.NOT_SYNC, wcc: { before: now, after: now } };
    }
    const reply = proceed();
    ours = world.attributes(object);
    return reply;
  });
  await world.proxy.write(object, 0, pattern(300_000, 2));
  assert.equal((await world.proxy.flush()).outcome, 'conflict');
  sameBytes(world.content(object).subarray(0, 100), pattern(100, 5));
  sameBytes(world.content(world.find(copyOf(world))!), pattern(300_000, 2));
});

test('with conditional writes a chmod in between is no conflict', async () => {
  const world = await World.start({ conditional: true });
  const object = world.make('disk', pattern(40_000));
  let writes = 0;
  let ours: vfs.WccAttributes | undefined;
  world.origin.on('write', (args, proceed, call) => {
    if (writes++ === 2) world.memory.setattr(call, { object, set: { mode: 0o600 } });
    const now = world.attributes(object);
    if (!vfs.sameContent(now, args.expected!) && !(ours !== undefined && vfs.sameContent(now, ours))) {
      return { status: Status.NOT_SYNC, wcc: {} };
    }
    const reply = proceed();
    ours = world.attributes(object);
    return reply;
  });
  await world.proxy.write(object, 0, pattern(300_000, 2));
  assert.deepEqual(await world.proxy.flush(), { outcome: 'done', problems: [] });
  sameBytes(world.content(object), pattern(300_000, 2));
});

test('a foreign write before the COMMIT is noticed afterwards', async () => {
  const world = await World.start();
  const object = world.make('disk', pattern(400_000));
  let before = true;
  world.origin.on('commit', (_args, proceed) => {
    if (before) world.foreignWrite(object, 390_000, pattern(100, 5));
    before = false;
    return proceed();
  });
  await world.proxy.write(object, 0, pattern(300_000, 2));
  const result = await world.proxy.flush();
  assert.equal(result.outcome, 'conflict');
  assert.match(result.problems.join(), /interleaved/);
  await world.proxy.write(object, 0, pattern(10, 3));
  await world.proxy.flush();
  sameBytes(world.content(object).subarray(0, 10), pattern(10, 3));
});

test('answers in any order make a chain, and a write of somebody else breaks it', () => {
  const state = (seconds: number): vfs.Attributes =>
    ({ size: 10, mtime: { seconds, nanoseconds: 0 }, ctime: { seconds, nanoseconds: 0 } }) as vfs.Attributes;
  const chain = new WccChain(state(1));
  chain.sent();
  chain.answered({ before: state(1), after: state(2) });
  chain.sent();
  chain.sent();
  chain.answered({ before: state(3), after: state(4) });
  chain.answered({ before: state(2), after: state(3) });
  chain.close(state(4));
  assert.equal(chain.isBroken, false);
  const broken = new WccChain(state(1));
  broken.sent();
  broken.answered({ before: state(2), after: state(3) });
  assert.equal(broken.isBroken, true);
  const late = new WccChain(state(1));
  late.sent();
  late.sent();
  late.answered({ before: state(1), after: state(2) });
  late.answered({ before: state(2), after: state(3) });
  late.close(state(4));
  assert.equal(late.isBroken, true);
});

test('after a crash, what changed within our last sign of life is ours, later changes are not', () => {
  const at = (ms: number) => ({ seconds: Math.floor(ms / 1000), nanoseconds: (ms % 1000) * 1e6 });
  const wcc = (size: number, ms: number) => ({ size, mtime: at(ms), ctime: at(ms) });
  const base = wcc(100, 1_000);
  const record = {
    ...{ number: 1, handle: 'h', place: undefined, base, owner: undefined, presented: undefined, times: undefined },
    ...{ intent: { epoch: 1, base, sinceMs: 5_000, aliveMs: 9_000 }, conflict: undefined },
  };
  const sizes = { least: 50, most: 200 };
  assert.equal(isOurs(record, wcc(150, 10_900), undefined, sizes), true);
  assert.equal(isOurs(record, wcc(150, 11_100), undefined, sizes), false);
  assert.equal(isOurs(record, wcc(300, 9_500), undefined, sizes), false, 'no epoch of ours leaves this size');
  assert.equal(isOurs({ ...record, intent: undefined }, wcc(150, 1_500), undefined, sizes), false);
  assert.equal(isOurs({ ...record, intent: undefined }, { ...base, ctime: at(99_000) }, undefined, sizes), true);
});
