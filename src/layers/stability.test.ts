import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { seededRandom, silentLog } from '../base/mod.ts';
import { callBy, FaultLayer, MemoryFilesystem, ok, pattern, SimulatedClock, settle } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import type { StabilityOptions } from './own-commits.ts';
import { Stability } from './stability.ts';

const { Stability: Stable, Status } = vfs;
const root = callBy(vfs.credential(0, 0));

function setup(options: Partial<StabilityOptions> = {}) {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock, volatile: true });
  const origin = new FaultLayer(memory);
  const layer = new Stability(origin, { clock, log: silentLog, random: seededRandom(7), options });
  const make = (name: string): string => {
    const where = { directory: memory.root, name };
    return ok(memory.create(root, { where, how: { mode: 'guarded', set: {} } })).object!;
  };
  const write = async (object: string, offset: number, data: Buffer, stable: vfs.StabilityCode = Stable.UNSTABLE) =>
    ok(await layer.write(root, { object, offset, count: data.length, stable, data: [data] }));
  const commit = (object: string) => layer.commit(root, { object, offset: 0, count: 0 });
  const read = async (from: vfs.Filesystem, object: string): Promise<Buffer> =>
    Buffer.concat(ok(await from.read(root, { object, offset: 0, count: 1_000_000 })).data);
  return { clock, memory, origin, layer, make, write, commit, read };
}

test('unstable data is kept until the origin has committed it, and the origin is never asked for more', async () => {
  const { origin, layer, make, write, commit } = setup();
  const object = make('a');
  await write(object, 0, pattern(5_000));
  assert(layer.stats().keptBytes >= 5_000);
  ok(await commit(object));
  assert.equal(layer.stats().keptBytes, 0);
  assert.equal(layer.stats().keptFiles, 0);
  assert.equal(origin.calls('write'), 1);
  assert.equal(origin.calls('commit'), 1);
});

test('data that the origin took as stable is not kept', async () => {
  const { origin, layer, make, write } = setup();
  const object = make('a');
  await write(object, 0, pattern(100), Stable.FILE_SYNC);
  assert.equal(layer.stats().keptBytes, 0);
  origin.on('write', async (_args, proceed) => {
    const reply = await proceed();
    return reply.status === 0 ? { ...reply, committed: Stable.FILE_SYNC } : reply;
  });
  await write(object, 0, pattern(100));
  assert.equal(layer.stats().keptBytes, 0);
});

test('who sends again by himself sees how stable the origin made it, and under which verifier', async () => {
  const { memory, origin, layer, make } = setup();
  const object = make('a');
  origin.on('write', (args) => memory.write(root, { ...args, stable: Stable.UNSTABLE }));
  const call = { ...root, resendsItself: true };
  const data = [pattern(100)];
  const reply = ok(await layer.write(call, { object, offset: 0, count: 100, stable: Stable.FILE_SYNC, data }));
  assert.equal(reply.committed, Stable.UNSTABLE);
  assert.equal(reply.verifier, memory.verifier);
  assert.equal(layer.stats().keptBytes, 0);
  assert.equal(origin.calls('commit'), 0);
});

test('clients see one verifier, through restarts of the origin', async () => {
  const { memory, make, write, commit } = setup();
  const object = make('a');
  const { verifier } = await write(object, 0, pattern(10));
  assert.notEqual(verifier, memory.verifier);
  memory.restart();
  assert.equal((await write(object, 10, pattern(10))).verifier, verifier);
  assert.equal(ok(await commit(object)).verifier, verifier);
});

test('what a restarted origin lost is sent again before COMMIT is answered', async () => {
  const { memory, layer, make, write, commit, read } = setup();
  const object = make('a');
  const data = pattern(10_000);
  await write(object, 0, data.subarray(0, 4_000));
  await write(object, 4_000, data.subarray(4_000));
  assert.equal(memory.restart(), 1);
  assert.equal((await read(memory, object)).length, 0);
  ok(await commit(object));
  assert.deepEqual(await read(memory, object), data);
  assert.equal(memory.restart(), 0);
  assert.equal(layer.stats().keptBytes, 0);
  assert.equal(layer.stats().resentBytes, 10_000);
});

test('a restart seen in the reply to a WRITE brings back the data of every file', async () => {
  const { memory, layer, make, write, read } = setup();
  const [a, b, c] = ['a', 'b', 'c'].map(make) as [string, string, string];
  await write(a, 0, pattern(1_000, 1));
  await write(b, 0, pattern(2_000, 2));
  memory.restart();
  await write(c, 0, pattern(10));
  await settle();
  assert.deepEqual(await read(memory, a), pattern(1_000, 1));
  assert.deepEqual(await read(memory, b), pattern(2_000, 2));
  assert.equal(layer.stats().originRestarts, 1);
});

test('reads of a file wait for the sending again once the restart is known', async () => {
  const { memory, origin, layer, make, write, read } = setup();
  const [a, b] = ['a', 'b'].map(make) as [string, string];
  await write(a, 0, pattern(1_000));
  memory.restart();
  const held = origin.hold('write');
  const other = write(b, 0, pattern(10));
  await settle();
  held.release();
  const holdAgain = origin.hold('commit');
  await other;
  const reading = read(layer, a);
  const attributes = layer.getattr(root, { object: a });
  await settle();
  assert.equal(origin.calls('read'), 0);
  holdAgain.release();
  assert.deepEqual(await reading, pattern(1_000));
  assert.equal(ok(await attributes).attributes.size, 1_000);
});

test('a read that was under way when the restart became known is repeated', async () => {
  const { memory, origin, layer, make, write, read } = setup();
  const object = make('a');
  await write(object, 0, pattern(1_000));
  memory.restart();
  const held = origin.hold('read', 'after');
  const reading = read(layer, object);
  await settle();
  const holdCommit = origin.hold('commit');
  layer.originMayHaveRestarted();
  held.release();
  await settle();
  holdCommit.release();
  assert.deepEqual(await reading, pattern(1_000));
});

test('a write that is at the origin when its file is to be sent again is awaited first', async () => {
  const { memory, origin, make, write, commit, read } = setup();
  const [a, b] = ['a', 'b'].map(make) as [string, string];
  await write(a, 0, Buffer.from('old old old'));
  memory.restart();
  const held = origin.hold('write', 'after');
  const newer = write(a, 0, Buffer.from('new'));
  await settle();
  const other = write(b, 0, pattern(10));
  await settle();
  held.releaseNewest();
  await other;
  await settle();
  held.release();
  await newer;
  ok(await commit(a));
  assert.equal((await read(memory, a)).toString(), 'new old old');
});

test('data written while a COMMIT is under way stays until the next one', async () => {
  const { memory, origin, layer, make, write, commit, read } = setup();
  const object = make('a');
  await write(object, 0, pattern(1_000, 1));
  const held = origin.hold('commit', 'after');
  const committing = commit(object);
  await settle();
  await write(object, 1_000, pattern(1_000, 2));
  held.release();
  ok(await committing);
  assert(layer.stats().keptBytes >= 1_000);
  memory.restart();
  ok(await commit(object));
  assert.deepEqual(await read(memory, object), Buffer.concat([pattern(1_000, 1), pattern(1_000, 2)]));
});

test('after a reconnect the restart is found without waiting for a WRITE', async () => {
  const { memory, layer, make, write, read } = setup();
  const object = make('a');
  await write(object, 0, pattern(1_000));
  memory.restart();
  layer.originMayHaveRestarted();
  assert.deepEqual(await read(layer, object), pattern(1_000));
});

test('newer data wins over older, whatever was stable in between', async () => {
  const { memory, make, write, commit, read } = setup();
  const object = make('a');
  const expected = pattern(12_000, 1);
  await write(object, 0, expected);
  for (const [offset, bytes, stable] of [
    [1_000, 3_000, Stable.UNSTABLE],
    [2_000, 500, Stable.FILE_SYNC],
    [3_500, 4_000, Stable.UNSTABLE],
    [11_000, 1_000, Stable.DATA_SYNC],
  ] as const) {
    const data = pattern(bytes, offset);
    data.copy(expected, offset);
    await write(object, offset, data, stable);
  }
  memory.restart();
  ok(await commit(object));
  assert.deepEqual(await read(memory, object), expected);
});

test('a write waits while older data of its file is sent again, so that it is not overwritten', async () => {
  const { memory, origin, make, write, commit, read } = setup();
  const [a, b] = ['a', 'b'].map(make) as [string, string];
  await write(a, 0, Buffer.from('old old old'));
  memory.restart();
  let resending = false;
  const let_go = Promise.withResolvers<void>();
  const remove = origin.on('write', async (args, proceed) => {
    if (args.object === a && !resending) {
      resending = true;
      await let_go.promise;
    }
    return proceed();
  });
  await write(b, 0, pattern(10));
  await settle();
  assert(resending);
  const newer = write(a, 0, Buffer.from('new'));
  await settle();
  let_go.resolve();
  await newer;
  remove();
  ok(await commit(a));
  assert.equal((await read(memory, a)).toString(), 'new old old');
});

test('truncated data is not sent again', async () => {
  const { memory, layer, make, write, commit, read } = setup();
  const object = make('a');
  await write(object, 0, pattern(8_000));
  ok(await layer.setattr(root, { object, set: { size: 3_000 } }));
  memory.restart();
  ok(await commit(object));
  assert.deepEqual(await read(memory, object), pattern(8_000).subarray(0, 3_000));
});

test('data of a removed file is dropped', async () => {
  const { memory, layer, make, write } = setup();
  const object = make('a');
  await layer.lookup(root, { directory: memory.root, name: 'a' });
  await write(object, 0, pattern(8_000));
  ok(await layer.remove(root, { directory: memory.root, name: 'a' }));
  await settle();
  assert.equal(layer.stats().keptBytes, 0);
});

test('when sending again fails, COMMIT fails with that status and our verifier changes; a later COMMIT tries again', async () => {
  const { memory, origin, layer, make, write, commit, read } = setup();
  const object = make('a');
  const { verifier } = await write(object, 0, pattern(1_000));
  memory.restart();
  const remove = origin.on('write', () => ({ status: Status.NOSPC, wcc: {} }));
  assert.equal((await commit(object)).status, Status.NOSPC);
  assert.equal(layer.stats().failedResends, 1);
  remove();
  const reply = ok(await commit(object));
  assert.notEqual(reply.verifier, verifier);
  assert.deepEqual(await read(memory, object), pattern(1_000));
});

test('an origin that restarts again while data is sent again gets it once more', async () => {
  const { clock, memory, origin, make, write, commit, read } = setup();
  const object = make('a');
  await write(object, 0, pattern(1_000));
  memory.restart();
  let commits = 0;
  origin.on('commit', (_args, proceed) => {
    if (++commits === 2 || commits === 3) memory.restart();
    return proceed();
  });
  const done = commit(object);
  await clock.advance(10_000);
  ok(await done);
  assert.deepEqual(await read(memory, object), pattern(1_000));
});

test('kept bytes are bounded: writers wait while the layer commits by itself, and none fails', async () => {
  const { origin, layer, make, write } = setup({ unstableBytes: 64 * 1024 });
  const object = make('a');
  const held = origin.hold('commit');
  let done = 0;
  const writing = Array.from({ length: 40 }, (_, i) =>
    write(object, i * 4_096, pattern(4_096, i)).then(() => {
      done++;
    }),
  );
  await settle();
  assert(done < 40, 'nobody waited');
  assert(layer.stats().waitingWriters > 0);
  assert(layer.stats().keptBytes <= 64 * 1024 + 4_096);
  held.release();
  let most = 0;
  origin.on('write', (_args, proceed) => {
    most = Math.max(most, layer.stats().keptBytes);
    return proceed();
  });
  await Promise.all(writing);
  assert(most <= 64 * 1024 + 4_096, `${most} bytes kept`);
  assert(layer.stats().ownCommits > 0);
});

test('when the origin refuses to commit, writers at the bound go on with stable writes', async () => {
  const { origin, layer, make, write } = setup({ unstableBytes: 16 * 1024 });
  const object = make('a');
  origin.on('commit', async () => {
    await settle();
    return { status: Status.IO, wcc: {} };
  });
  const stables: number[] = [];
  origin.on('write', (args, proceed) => {
    stables.push(args.stable);
    return proceed();
  });
  await Promise.all(Array.from({ length: 10 }, (_, i) => write(object, i * 4_096, pattern(4_096))));
  assert(stables.includes(Stable.FILE_SYNC));
  assert.equal(stables.length, 10);
  assert(layer.stats().keptBytes <= 16 * 1024 + 4_096);
});

test('overwriting the same block again and again keeps one copy', async () => {
  const { layer, make, write } = setup();
  const object = make('a');
  for (let i = 0; i < 100; i++) await write(object, 8_192, pattern(4_096, i));
  assert(layer.stats().keptBytes < 2 * 4_096);
});

test('a file that nobody commits is committed after a while', async () => {
  const { clock, layer, make, write } = setup();
  const object = make('a');
  await write(object, 0, pattern(1_000));
  await clock.advance(60_000);
  assert.equal(layer.stats().keptBytes, 0);
  assert.equal(clock.timers(), 0);
});

test('closing commits what is kept, and gives up on an origin that is away', async () => {
  const here = setup();
  const object = here.make('a');
  await here.write(object, 0, pattern(1_000));
  await here.layer.close();
  assert.equal(here.memory.restart(), 0);

  const away = setup();
  const lost = away.make('a');
  await away.write(lost, 0, pattern(1_000));
  away.origin.on('commit', () => new Promise(() => {}));
  const closing = away.layer.close();
  await away.clock.advance(5_000);
  await closing;
});

test('the data is copied: the caller may use its memory again after the reply', async () => {
  const { memory, make, write, commit, read } = setup();
  const object = make('a');
  const data = Buffer.from('before');
  await write(object, 0, data);
  data.fill(0);
  memory.restart();
  ok(await commit(object));
  assert.equal((await read(memory, object)).toString(), 'before');
});
