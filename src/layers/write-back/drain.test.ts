import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/mod.ts';
import { callBy, ok, pattern, settle } from '../../testing/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { alice, EpochModel, root, sameBytes, sector, stamp, World } from './drain-fixture.test.ts';

const { Stability, Status } = vfs;

test('a change goes to the origin by itself after the delay, and not before', async () => {
  const world = await World.start({ writeBackAfterMs: 5_000 });
  const object = world.make('disk');
  await world.proxy.write(object, 0, pattern(10_000));
  await world.clock.advance(4_500);
  assert.equal(world.origin.calls('write'), 0);
  assert.equal(world.proxy.drain.status().state, 'waiting');
  assert.equal(world.proxy.drain.status().pendingBytes, 10_000);
  await world.clock.advance(1_000);
  sameBytes(world.content(object), pattern(10_000));
  const { state, pendingBytes, secondsLeft, movedBytes } = world.proxy.drain.status();
  assert.deepEqual(
    { state, pendingBytes, secondsLeft, movedBytes },
    { state: 'idle', pendingBytes: 0, secondsLeft: 0, movedBytes: 10_000 },
  );
});

test('a request sends everything sealed at once and is answered when it is there', async () => {
  const world = await World.start();
  const object = world.make('disk');
  await world.proxy.write(object, 0, pattern(100_000));
  assert.deepEqual(await world.proxy.flush(), { outcome: 'done', problems: [] });
  sameBytes(world.content(object), pattern(100_000));
  assert.deepEqual(await world.until(world.proxy.drain.request()), { outcome: 'done', problems: [] });
});

test('the origin shows all epochs up to one, and part of the next, after every WRITE', async () => {
  const world = await World.start({ writeBackAfterMs: 0 });
  const model = new EpochModel();
  const objects = ['a', 'b', 'c'].map((name) => world.make(name));
  const random = seededRandom(21);
  let writes = 0;
  world.origin.on('write', async (_args, proceed) => {
    await new Promise<void>((resolve) => world.clock.after(random.uint32() % 40, resolve));
    const reply = await proceed();
    writes++;
    model.check(world);
    return reply;
  });
  for (; model.epoch <= 30; model.epoch++) {
    for (let i = random.uint32() % 12; i >= 0; i--) {
      const index = random.uint32() % 24;
      const object = objects[random.uint32() % objects.length]!;
      await world.proxy.write(object, index * sector, stamp(model.epoch, i));
      model.wrote(object, index);
    }
    await world.proxy.commit();
    world.proxy.drain.wake();
    await world.clock.advance(random.uint32() % 60);
  }
  assert.equal((await world.proxy.flush()).outcome, 'done');
  model.check(world);
  assert.ok(writes > 60, `${writes} WRITEs`);
});

test('an epoch of one small write is one FILE_SYNC WRITE without COMMIT, and costs one fdatasync', async () => {
  const world = await World.start();
  const object = world.make('disk', pattern(sector));
  const stable: number[] = [];
  world.origin.on('write', (args, proceed) => {
    stable.push(args.stable);
    return proceed();
  });
  for (let i = 1; i <= 10; i++) {
    await world.proxy.write(object, i * sector, stamp(i));
    world.proxy.log.seal();
  }
  const before = world.proxy.log.stats().syncs;
  assert.equal((await world.proxy.flush()).outcome, 'done');
  await world.clock.advance(100);
  assert.deepEqual(stable, new Array(10).fill(Stability.FILE_SYNC));
  assert.equal(world.origin.calls('commit'), 0);
  assert.equal(world.proxy.log.stats().syncs - before, 11);
});

test('a larger epoch goes UNSTABLE, pipelined, with one COMMIT', async () => {
  const world = await World.start();
  const object = world.make('disk');
  await world.proxy.write(object, 0, pattern(500_000));
  const held = world.origin.hold('write');
  world.proxy.log.seal();
  const request = world.proxy.drain.request();
  await world.clock.advance(50);
  assert.ok(held.held() > 1, `${held.held()} WRITEs under way`);
  held.release();
  assert.equal((await world.until(request)).outcome, 'done');
  assert.equal(world.origin.calls('commit'), 1);
  sameBytes(world.content(object), pattern(500_000));
});

test('cuts, holes and growth reach the origin', async () => {
  const world = await World.start();
  const object = world.make('disk', pattern(50_000));
  await world.proxy.resize(object, 10_000);
  await world.proxy.write(object, 20_000, pattern(1_000, 2));
  await world.proxy.resize(object, 30_000);
  assert.equal((await world.proxy.flush()).outcome, 'done');
  const expected = Buffer.alloc(30_000);
  pattern(50_000).copy(expected, 0, 0, 10_000);
  pattern(1_000, 2).copy(expected, 20_000);
  sameBytes(world.content(object), expected);
});

test('data that the origin lost at a restart in the middle of an epoch is there at its end', async () => {
  const world = await World.start();
  const object = world.make('disk');
  let count = 0;
  world.origin.on('write', async (_args, proceed) => {
    const reply = await proceed();
    if (++count === 5) world.memory.restart();
    return reply;
  });
  await world.proxy.write(object, 0, pattern(600_000));
  assert.equal((await world.proxy.flush()).outcome, 'done');
  world.memory.restart();
  sameBytes(world.content(object), pattern(600_000));
  assert.equal(world.proxy.files.get(object)?.conflict, undefined);
});

test('what a WRITE reply leaves out is sent again', async () => {
  const world = await World.start();
  const object = world.make('disk');
  world.origin.on('write', (args, _proceed, call) => {
    const count = Math.max(1, Math.floor(args.count / 3));
    return world.memory.write(call, { ...args, count, data: [Buffer.concat(args.data).subarray(0, count)] });
  });
  await world.proxy.write(object, 0, pattern(100_000));
  assert.equal((await world.proxy.flush()).outcome, 'done');
  sameBytes(world.content(object), pattern(100_000));
});

test('a refusal is told, kept and tried again; what was taken is not sent twice', async () => {
  const world = await World.start();
  const object = world.make('disk');
  let refusing = true;
  const sent = new Map<number, number>();
  world.origin.on('write', (args, proceed) => {
    if (refusing && args.offset >= 200_000) return { status: Status.NOSPC, wcc: {} };
    sent.set(args.offset, (sent.get(args.offset) ?? 0) + 1);
    return proceed();
  });
  await world.proxy.write(object, 0, pattern(400_000));
  const result = await world.proxy.flush();
  assert.equal(result.outcome, 'refused');
  assert.match(result.problems.join(), /disk: the origin refuses WRITE with NFS3ERR_NOSPC/);
  await settle();
  assert.equal(world.proxy.drain.status().state, 'refused');
  assert.match(world.proxy.drain.status().problem ?? '', /NOSPC/);
  refusing = false;
  await world.clock.advance(5_000);
  sameBytes(world.content(object), pattern(400_000));
  assert.equal(world.proxy.drain.status().state, 'idle');
  assert.equal(world.proxy.drain.status().problem, undefined);
  assert.deepEqual(
    [...sent.values()].filter((times) => times > 1),
    [],
  );
});

test('a writer who is refused now is replaced by the owner', async () => {
  const world = await World.start();
  const object = world.make('disk');
  const bob = vfs.credential(1002, 1002);
  await world.proxy.write(object, 0, pattern(300_000), bob);
  assert.equal((await world.proxy.flush()).outcome, 'done');
  sameBytes(world.content(object), pattern(300_000));
});

test('an origin that does not answer is waited for, without sending anything twice', async () => {
  const world = await World.start();
  const object = world.make('disk');
  const held = world.origin.hold('write');
  await world.proxy.write(object, 0, pattern(50_000));
  world.proxy.log.seal();
  const request = world.proxy.drain.request();
  await world.clock.advance(3_600_000);
  assert.equal(world.proxy.drain.status().state, 'origin-away');
  assert.equal(world.proxy.drain.status().secondsLeft, undefined);
  const calls = world.origin.calls('write');
  held.release();
  assert.equal((await world.until(request)).outcome, 'done');
  assert.equal(calls, 1);
  assert.equal(world.origin.calls('write'), 1);
  sameBytes(world.content(object), pattern(50_000));
});

test('the rate cap holds', async () => {
  const world = await World.start({ rateBytesPerSecond: 100_000 });
  const object = world.make('disk');
  await world.proxy.write(object, 0, pattern(900_000));
  const beganMs = world.clock.now();
  assert.equal((await world.proxy.flush()).outcome, 'done');
  const tookMs = world.clock.now() - beganMs;
  assert.ok(tookMs > 8_000 && tookMs < 10_000, `${tookMs} ms`);
});

test('a full log is drained without delay, and the writer goes on', async () => {
  const world = await World.start({ writeBackAfterMs: 3_600_000, limitBytes: 16 * 1024 * 1024 });
  const object = world.make('disk');
  const data = pattern(1024 * 1024);
  for (let i = 0; i < 40; i++) await world.proxy.write(object, i * data.length, data);
  assert.ok(world.proxy.drain.status().movedBytes > 20 * data.length);
  assert.equal((await world.proxy.flush()).outcome, 'done');
});

test('nothing is written without the lease, and everything is kept', async () => {
  const world = await World.start();
  const object = world.make('disk');
  world.lease = { state: 'lost', holder: 'other', sinceMs: 0 };
  await world.proxy.write(object, 0, pattern(5_000));
  const result = await world.proxy.flush();
  assert.equal(result.outcome, 'lease-lost');
  assert.match(result.problems.join(), /other/);
  assert.equal(world.proxy.drain.status().state, 'lease-lost');
  await world.clock.advance(60_000);
  assert.equal(world.origin.calls('write'), 0);
  world.lease = { state: 'held' };
  await world.clock.advance(10_000);
  sameBytes(world.content(object), pattern(5_000));
});

test('a lease lost in the middle of an epoch ends it there', async () => {
  const world = await World.start();
  const object = world.make('disk');
  await world.proxy.write(object, 0, pattern(800_000));
  const held = world.origin.hold('write');
  world.proxy.log.seal();
  const request = world.proxy.drain.request();
  await world.clock.advance(20);
  world.lease = { state: 'lost', holder: 'other', sinceMs: 0 };
  const under = world.origin.calls('write');
  held.release();
  assert.equal((await world.until(request)).outcome, 'lease-lost');
  assert.equal(world.origin.calls('write'), under);
  assert.ok(world.proxy.log.state(world.proxy.files.get(object)!.number) !== undefined);
});

test('only a request drains in the manual mode', async () => {
  const world = await World.start({ isManual: true });
  const object = world.make('disk');
  await world.proxy.write(object, 0, pattern(5_000));
  await world.clock.advance(3_600_000);
  assert.equal(world.origin.calls('write'), 0);
  assert.equal((await world.proxy.flush()).outcome, 'done');
  sameBytes(world.content(object), pattern(5_000));
});

test('times that a client set are sent when the file is clean', async () => {
  const world = await World.start();
  const object = world.make('disk');
  await world.proxy.write(object, 0, pattern(5_000));
  const mtime = { seconds: 1_000_000, nanoseconds: 5 };
  world.proxy.files.update(object, { times: { mtime } });
  await world.proxy.commit();
  await world.proxy.write(object, 5_000, pattern(5_000));
  assert.equal((await world.proxy.flush()).outcome, 'done');
  assert.deepEqual(world.attributes(object).mtime, mtime);
  assert.equal(world.origin.calls('setattr'), 1);
  assert.deepEqual(world.proxy.files.get(object)?.times, undefined);
  assert.deepEqual(world.proxy.files.get(object)?.base?.mtime, mtime);
});

test('each file that is clean at the origin is told with what it shows there', async () => {
  const world = await World.start();
  const object = world.make('disk');
  await world.proxy.write(object, 0, pattern(5_000));
  await world.proxy.flush();
  assert.deepEqual(world.proxy.settled, [object]);
  const { size, mtime, ctime } = world.attributes(object);
  assert.deepEqual(world.proxy.files.get(object)?.base, { size, mtime, ctime });
  assert.equal(world.proxy.files.get(object)?.intent, undefined);
});

test('close answers who waits, and sends nothing more', async () => {
  const world = await World.start();
  const object = world.make('disk');
  world.origin.hold('write');
  await world.proxy.write(object, 0, pattern(500_000), alice);
  world.proxy.log.seal();
  const request = world.proxy.drain.request();
  await world.clock.advance(20);
  const closing = world.proxy.drain.close();
  assert.equal((await request).outcome, 'closed');
  await world.until(closing);
  const calls = world.origin.calls('write');
  await world.clock.advance(60_000);
  assert.equal(world.origin.calls('write'), calls);
  assert.equal((await world.proxy.drain.request()).outcome, 'closed');
});

test('one small extent is one WRITE wherever it lies, and what it shows is the base', async () => {
  const world = await World.start();
  const object = world.make('disk', pattern(200_000));
  let late = 200;
  // Answers overtake each other.
  world.origin.on('write', async (_args, proceed) => {
    const reply = await proceed();
    late -= 90;
    await new Promise<void>((resolve) => world.clock.after(Math.max(late, 1), resolve));
    return reply;
  });
  await world.proxy.write(object, 60_000, pattern(20_000, 2));
  assert.equal((await world.proxy.flush()).outcome, 'done');
  const { size, mtime, ctime } = world.attributes(object);
  assert.equal(world.origin.calls('write'), 1);
  assert.deepEqual(world.proxy.files.get(object)?.base, { size, mtime, ctime });
});

test('a WRITE that was carried out twice is not taken for somebody else', async () => {
  for (const isTold of [true, false]) {
    let repetitions = 0;
    const world = await World.start({ restarts: () => repetitions });
    const object = world.make('disk', pattern(10_000));
    world.origin.on('write', async (_args, proceed) => {
      await proceed();
      if (isTold) repetitions++;
      await new Promise<void>((resolve) => world.clock.after(50, resolve));
      return proceed();
    });
    await world.proxy.write(object, 0, stamp(1));
    assert.equal((await world.proxy.flush()).outcome, isTold ? 'done' : 'conflict');
    assert.equal(world.proxy.files.get(object)?.conflict?.kind, isTold ? undefined : 'interleaved');
  }
});

test('attributes in an answer of ours are not believed once a change was passed on to the origin since', async () => {
  const world = await World.start();
  const object = world.make('disk', pattern(10_000));
  await world.proxy.write(object, 0, stamp(1));
  await world.proxy.flush();
  // A client's SETATTR of a clean file goes through; its answer shows the new base.
  const set = { mtime: { seconds: 1_000_000, nanoseconds: 0 } };
  ok(await world.origin.setattr(callBy(root), { object, set }));
  const { size, mtime, ctime } = world.attributes(object);
  world.proxy.files.update(object, { base: { size, mtime, ctime } });
  await world.proxy.write(object, 0, stamp(2));
  assert.deepEqual(await world.proxy.flush(), { outcome: 'done', problems: [] });
});

test('what the origin lost at a restart is sent again, once, from the log', async () => {
  const world = await World.start();
  const object = world.make('disk');
  const bytes = new Map<number, number>();
  world.origin.on('write', (args, proceed, call) => {
    assert.equal(call.resendsItself, true);
    bytes.set(args.offset, (bytes.get(args.offset) ?? 0) + 1);
    return proceed();
  });
  let restarts = 0;
  world.origin.on('commit', (_args, proceed) => {
    if (restarts++ === 0) world.memory.restart();
    return proceed();
  });
  await world.proxy.write(object, 0, pattern(300_000));
  assert.deepEqual(await world.proxy.flush(), { outcome: 'done', problems: [] });
  assert.equal(world.memory.restart(), 0, 'everything is committed');
  sameBytes(world.content(object), pattern(300_000));
  assert.deepEqual([...new Set(bytes.values())], [2]);
});

for (const kind of ['refused', 'under way'] as const) {
  test(`a discard while the write-back is ${kind} ends it, and what is written afterwards waits for the next request`, async () => {
    const world = await World.start({ isManual: true });
    const object = world.make('disk', pattern(sector));
    await world.proxy.write(object, 0, stamp(1));
    let isBroken = true;
    let go = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      go = resolve;
    });
    world.origin.on('write', async (_args, proceed) => {
      if (isBroken && kind === 'refused') return { status: Status.NOSPC, wcc: {} };
      if (isBroken) await held;
      return proceed();
    });
    world.proxy.log.seal();
    const request = world.proxy.drain.request();
    await world.clock.advance(100);
    await world.until(world.proxy.log.discard());
    isBroken = false;
    await world.proxy.write(object, 0, stamp(2));
    await world.proxy.commit();
    go();
    await world.clock.advance(120_000);
    assert.equal((await world.until(request)).outcome, 'refused');
    assert.ok(world.proxy.log.state(world.proxy.files.get(object)!.number) !== undefined, 'it is still in the log');
    assert.equal(world.proxy.drain.status().pendingBytes, sector);
    assert.equal((await world.proxy.flush()).outcome, 'done');
    sameBytes(world.content(object), stamp(2));
  });
}

test('times of clean files that were left by a process before leave only when asked, in the manual mode', async () => {
  const world = await World.start({ isManual: true });
  const object = world.make('disk', pattern(sector));
  await world.proxy.write(object, 0, stamp(1));
  assert.equal((await world.proxy.flush()).outcome, 'done');
  const before = world.attributes(object).mtime;
  const mtime = { seconds: 1_000_000, nanoseconds: 0 };
  world.proxy.files.update(object, { times: { mtime } });
  await world.until(world.proxy.log.sync());
  await world.crash('kill');
  await world.clock.advance(60_000);
  assert.deepEqual(world.attributes(object).mtime, before);
  assert.equal((await world.proxy.flush()).outcome, 'done');
  assert.deepEqual(world.attributes(object).mtime, mtime);
});
