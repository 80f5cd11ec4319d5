import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/mod.ts';
import { pattern, SimulatedClock } from '../../testing/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { dieAtCall, EpochModel, sameBytes, sector, stamp, World } from './drain-fixture.test.ts';

/** Several epochs over two files: single writes, larger ones, a cut, times. */
async function fill(world: World): Promise<{ objects: string[]; expected: Buffer[]; mtime: vfs.Time }> {
  const objects = ['a', 'b'].map((name) => world.make(name, pattern(30_000)));
  const [a, b] = objects as [string, string];
  const { proxy } = world;
  await proxy.write(a, 0, stamp(1));
  await proxy.commit();
  await proxy.write(a, 8_192, pattern(150_000, 2));
  await proxy.write(b, 100, pattern(200, 3));
  await proxy.commit();
  await proxy.resize(b, 10_000);
  await proxy.write(b, 20_000, pattern(90_000, 4));
  await proxy.write(a, 8_192, stamp(3));
  await proxy.commit();
  await proxy.write(b, 0, stamp(4));
  const mtime = { seconds: 1_000_000, nanoseconds: 0 };
  proxy.files.update(b, { times: { mtime } });
  await proxy.commit();
  const wholeA = Buffer.alloc(158_192);
  pattern(30_000).copy(wholeA);
  stamp(1).copy(wholeA);
  pattern(150_000, 2).copy(wholeA, 8_192);
  stamp(3).copy(wholeA, 8_192);
  const wholeB = Buffer.alloc(110_000);
  pattern(30_000).copy(wholeB, 0, 0, 10_000);
  pattern(200, 3).copy(wholeB, 100);
  pattern(90_000, 4).copy(wholeB, 20_000);
  stamp(4).copy(wholeB);
  return { objects, expected: [wholeA, wholeB], mtime };
}

for (const kind of ['kill', 'power'] as const) {
  test(`a ${kind} at any call of a write-back is no conflict, and the next process brings it to its end`, async () => {
    let deaths = 0;
    // Odd steps: the call is lost; even ones: its answer.
    for (let step = kind === 'kill' ? 1 : 2; step <= 60; step += 3) {
      const world = await World.start({ writeBackAfterMs: 3_600_000 });
      const { objects, expected, mtime } = await fill(world);
      const died = await dieAtCall(world, step, kind);
      if (died) deaths++;
      assert.deepEqual(await world.proxy.flush(), { outcome: 'done', problems: [] }, `step ${step}`);
      await world.clock.advance(5_000);
      objects.forEach((object, i) => {
        sameBytes(world.content(object), expected[i]!);
      });
      assert.deepEqual(world.attributes(objects[1]!).mtime, mtime, `step ${step}`);
      const { size, mtime: shown, ctime } = world.attributes(objects[0]!);
      assert.deepEqual(world.proxy.files.get(objects[0]!)?.base, { size, mtime: shown, ctime });
      assert.equal(world.memory.restart(), 0, 'everything is committed');
      if (!died) break;
    }
    assert.ok(deaths >= 8, `${deaths} steps`);
  });
}

test('epochs reach the origin in their order over many crashes of proxy and origin', async () => {
  const seed = 77;
  const random = seededRandom(seed);
  const world = await World.start({ writeBackAfterMs: 0 });
  const model = new EpochModel();
  const objects = ['a', 'b'].map((name) => world.make(name));
  const written = new Map<string, Buffer>();
  world.origin.on('write', async (_args, proceed) => {
    const { proxy } = world;
    await new Promise<void>((resolve) => world.clock.after(random.uint32() % 30, resolve));
    if (proxy.isDead) return new Promise(() => undefined);
    const reply = await proceed();
    model.check(world);
    if (random.uint32() % 40 === 0) world.memory.changeVerifier();
    return reply;
  });
  for (; model.epoch <= 35; model.epoch++) {
    for (let i = random.uint32() % 6; i >= 0; i--) {
      const index = random.uint32() % 16;
      const object = objects[random.uint32() % objects.length]!;
      await world.proxy.write(object, index * sector, stamp(model.epoch, i));
      model.wrote(object, index);
      written.set(`${object}/${index}`, stamp(model.epoch, i));
    }
    await world.proxy.commit();
    world.proxy.drain.wake();
    await world.clock.advance(random.uint32() % 80);
    if (random.uint32() % 3 === 0) await world.crash(random.uint32() % 2 === 0 ? 'kill' : 'power');
  }
  assert.deepEqual(await world.proxy.flush(), { outcome: 'done', problems: [] }, `seed ${seed}`);
  for (const [key, bytes] of written) {
    const [object, index] = [key.slice(0, key.lastIndexOf('/')), Number(key.slice(key.lastIndexOf('/') + 1))];
    sameBytes(world.content(object).subarray(index * sector, (index + 1) * sector), bytes);
  }
});

for (const kind of ['kill', 'power'] as const) {
  test(`a ${kind} in the middle of a long epoch is no conflict, however the origin's clock goes`, async () => {
    for (const aheadMs of [-3_600_000, 0, 90_000]) {
      const clock = new SimulatedClock();
      const shifted = { now: () => clock.now(), wallTimeMs: () => clock.wallTimeMs() + aheadMs, after: clock.after };
      const world = await World.start({ rateBytesPerSecond: 50_000, memory: { clock: shifted, volatile: true } });
      // The origin's clock is another one that goes as ours does.
      const advance = world.clock.advance.bind(world.clock);
      world.clock.advance = async (ms) => {
        await clock.advance(0);
        await advance(ms);
        await clock.advance(world.clock.now() - clock.now());
      };
      const object = world.make('disk', pattern(10_000));
      await world.proxy.write(object, 0, pattern(1_000_000, 2));
      world.proxy.log.seal();
      void world.proxy.drain.request();
      for (let i = 0; i < 90; i++) await world.clock.advance(100);
      const moved = world.proxy.drain.status().movedBytes;
      assert.ok(moved > 300_000 && moved < 600_000, `${moved} bytes moved`);
      await world.crash(kind);
      await world.clock.advance(100);
      assert.deepEqual(
        await world.proxy.flush(),
        { outcome: 'done', problems: [] },
        `the origin's clock is ${aheadMs} ms ahead`,
      );
      sameBytes(world.content(object), pattern(1_000_000, 2));
    }
  });
}

test('a foreign change after the crash is a conflict', async () => {
  const world = await World.start({ rateBytesPerSecond: 50_000 });
  const object = world.make('disk', pattern(10_000));
  await world.proxy.write(object, 0, pattern(1_000_000, 2));
  world.proxy.log.seal();
  void world.proxy.drain.request();
  await world.clock.advance(5_000);
  await world.crash('kill');
  world.proxy.drain.close().catch(() => undefined);
  await world.clock.advance(20_000);
  world.foreignWrite(object, 0, pattern(100, 9));
  await world.crash('kill');
  const result = await world.proxy.flush();
  assert.equal(result.outcome, 'conflict');
  sameBytes(world.content(object).subarray(0, 100), pattern(100, 9));
  const { savedAs } = world.proxy.files.get(object)!.conflict!;
  sameBytes(world.content(world.find(savedAs!.name)!), pattern(1_000_000, 2));
});

for (const silentMs of [700, 3_000, 25_000, 3_600_000]) {
  test(`WRITEs that the origin carries out after ${silentMs} ms of silence, just before a crash, are no conflict`, async () => {
    const world = await World.start();
    const object = world.make('disk', pattern(10_000));
    await world.proxy.write(object, 0, pattern(300_000, 2));
    let isCut = true;
    let restore = (): void => undefined;
    const restored = new Promise<void>((resolve) => {
      restore = resolve;
    });
    const { proxy } = world;
    const off = world.origin.on('write', async (_args, proceed) => {
      if (isCut) await restored;
      const reply = proceed();
      // Its answer is lost.
      proxy.isDead = true;
      return reply;
    });
    proxy.log.seal();
    void proxy.drain.request();
    await world.clock.advance(silentMs);
    const notes = proxy.log.stats().syncs;
    isCut = false;
    restore();
    await world.clock.advance(0);
    off();
    await world.crash('kill');
    assert.deepEqual(await world.proxy.flush(), { outcome: 'done', problems: [] });
    sameBytes(world.content(object), pattern(300_000, 2));
    assert.ok(notes < 1_000, `${notes} notes in an hour`);
  });
}

test('nor are those after a power loss, though the disk did not take the promise at once', async () => {
  const world = await World.start();
  const object = world.make('disk', pattern(10_000));
  await world.proxy.write(object, 0, pattern(300_000, 2));
  const { proxy } = world;
  const restored = Promise.withResolvers<void>();
  const off = world.origin.on('write', async (_args, proceed) => {
    await restored.promise;
    const reply = proceed();
    proxy.isDead = true;
    return reply;
  });
  proxy.log.seal();
  void proxy.drain.request();
  await world.clock.advance(500);
  const { failedSyncs } = proxy.log.stats();
  // Neither the record, nor what is written again.
  world.disk.fail('datasync', 2);
  await world.clock.advance(4_000);
  assert.ok(proxy.log.stats().failedSyncs > failedSyncs);
  restored.resolve();
  await world.clock.advance(0);
  off();
  await world.crash('power');
  assert.deepEqual(await world.proxy.flush(), { outcome: 'done', problems: [] });
  sameBytes(world.content(object), pattern(300_000, 2));
});

for (const conditional of [false, true]) {
  // Without conditions, WRITEs that are sent again hide what came between.
  for (const isForeign of conditional ? [false, true] : [false]) {
    const what = isForeign ? 'somebody else changed the file before it was back: a conflict' : 'no conflict';
    test(`the origin dies amid ${conditional ? 'conditional' : 'plain'} WRITEs, one carried out and never answered; ${what}`, async () => {
      let repetitions = 0;
      const world = await World.start({ conditional, restarts: () => repetitions });
      const object = world.make('disk', pattern(40_000));
      const died: (() => void)[] = [];
      let calls = 0;
      let ours: vfs.WccAttributes | undefined;
      const isBack = { value: true };
      world.origin.on('write', async (args, proceed, call) => {
        if (call.peer !== 'write-back') return proceed();
        const execute = async (): Promise<vfs.WriteReply> => {
          const now = world.attributes(object);
          const chained = ours !== undefined && vfs.sameContent(now, ours);
          if (args.expected !== undefined && !vfs.sameContent(now, args.expected) && !chained)
            return { status: vfs.Status.NOT_SYNC, wcc: { after: now } };
          const reply = await proceed();
          ours = world.attributes(object);
          return reply;
        };
        if (!isBack.value || ++calls === 3) {
          if (isBack.value) {
            // Carried out; then the server is gone, and what it knew of our chain with it.
            isBack.value = false;
            await world.clock.after(0, () => undefined);
            await execute();
            world.lostMs = world.clock.now();
            ours = undefined;
            world.memory.changeVerifier();
          }
          await new Promise<void>((resolve) => died.push(resolve));
          return execute();
        }
        return execute();
      });
      await world.proxy.write(object, 0, pattern(300_000, 2));
      world.proxy.log.seal();
      const request = world.proxy.drain.request();
      await world.clock.advance(10_000);
      if (isForeign) world.foreignWrite(object, 5, pattern(10, 9));
      await world.clock.advance(1_000);
      isBack.value = true;
      repetitions++;
      for (const resend of died) resend();
      const { outcome, problems } = await world.until(request);
      assert.equal(outcome, isForeign ? 'conflict' : 'done', problems.join());
      if (!isForeign) sameBytes(world.content(object), pattern(300_000, 2));
      if (isForeign) sameBytes(world.content(object).subarray(5, 15), pattern(10, 9));
    });
  }
}

test('an origin whose answers show no attributes loses data at a restart: what is there is ours', async () => {
  const world = await World.start();
  const object = world.make('disk', pattern(69_632));
  for (const operation of ['write', 'commit', 'setattr'] as const) {
    const hook = async (_args: unknown, proceed: () => object | Promise<object>): Promise<object> => ({
      ...(await proceed()),
      wcc: {},
    });
    world.origin.on(operation, hook as never);
  }
  let commits = 0;
  world.origin.on('commit', async (_args, proceed) => {
    // Some of it is on the disk, and shows.
    if (commits++ === 0) world.memory.restart(() => true);
    return proceed();
  });
  await world.proxy.write(object, 0, pattern(300_000, 3));
  assert.deepEqual(await world.proxy.flush(), { outcome: 'done', problems: [] });
  sameBytes(world.content(object), pattern(300_000, 3));
  assert.equal(world.memory.restart(), 0, 'everything is committed');
});

test('what a process before sent may be lost at a restart of the origin under the next one: no conflict', async () => {
  const world = await World.start({ writeBackAfterMs: 3_600_000 });
  const object = world.make('a', pattern(1_000));
  const data = pattern(300_000, 5);
  await world.proxy.write(object, 0, data);
  await world.proxy.commit();
  const died = world.origin.on('commit', () => {
    world.proxy.isDead = true;
    return { status: vfs.Status.IO, wcc: {} };
  });
  world.proxy.drain.request().catch(() => undefined);
  while (!world.proxy.isDead) await world.clock.advance(10);
  died();
  await world.crash('kill');
  assert.equal(world.attributes(object).size, data.length);
  const restarting = world.origin.on('commit', (_args, proceed) => {
    restarting();
    world.memory.restart();
    assert.equal(world.attributes(object).size, 1_000);
    return proceed();
  });
  assert.deepEqual(await world.proxy.flush(), { outcome: 'done', problems: [] });
  sameBytes(world.content(object), data);
});
