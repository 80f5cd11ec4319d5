/** Files that a client of ours removes while their changes wait, or are on their way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pattern } from '../../testing/mod.ts';
import { root, sameBytes, World } from './drain-fixture.test.ts';

test('changes of a file that was removed here never cross', async () => {
  const world = await World.start();
  const object = world.make('temporary');
  const other = world.make('other');
  await world.proxy.write(object, 0, pattern(500_000));
  await world.proxy.write(other, 0, pattern(100));
  const held = world.origin.hold('write');
  world.proxy.log.seal();
  const request = world.proxy.drain.request();
  await world.clock.advance(20);
  const before = world.origin.calls('write');
  world.proxy.log.drop(world.proxy.files.get(object)!.number);
  held.release();
  assert.equal((await world.until(request)).outcome, 'done');
  assert.ok(world.origin.calls('write') <= before + 1, 'nothing of it is sent after it was dropped');
  assert.equal(world.proxy.files.get(object)?.conflict, undefined);
});

test('a file that vanishes just before our own removal of it is answered is no conflict', async () => {
  const world = await World.start();
  const object = world.make('temporary');
  await world.proxy.write(object, 0, pattern(5_000));
  world.memory.remove(
    { credential: root, peer: 'test', priority: 'demand' },
    { directory: world.memory.root, name: 'temporary' },
  );
  world.clock.after(500, () => world.proxy.log.drop(world.proxy.files.get(object)!.number));
  assert.deepEqual(await world.proxy.flush(), { outcome: 'done', problems: [] });
  assert.deepEqual(world.names(), []);
});

test('what is gone because a client of ours removed it is dropped in silence, also after a crash', async () => {
  const world = await World.start();
  const object = world.make('temporary');
  await world.proxy.write(object, 0, pattern(5_000));
  world.proxy.files.update(object, { isLeaving: true });
  world.memory.remove(
    { credential: root, peer: 'test', priority: 'demand' },
    { directory: world.memory.root, name: 'temporary' },
  );
  assert.deepEqual(await world.proxy.flush(), { outcome: 'done', problems: [] });
  assert.deepEqual(world.names(), []);
  assert.equal(world.proxy.log.stats().dirtyFiles, 0);
  assert.equal(world.proxy.files.get(object), undefined);
});

test('a file that is removed while others of its epoch are looked at keeps none of them from the origin', async () => {
  const world = await World.start();
  const object = world.make('temporary');
  const other = world.make('other');
  await world.proxy.write(object, 0, pattern(5_000));
  await world.proxy.write(other, 0, pattern(5_000));
  world.origin.on('getattr', async (args, proceed) => {
    if (args.object === other) await new Promise<void>((resolve) => world.clock.after(50, resolve));
    return proceed();
  });
  world.clock.after(25, () => {
    world.proxy.log.drop(world.proxy.files.get(object)!.number);
    world.proxy.files.forget(object);
  });
  assert.deepEqual(await world.proxy.flush(), { outcome: 'done', problems: [] });
  assert.equal(world.content(object).length, 0);
  sameBytes(world.content(other), pattern(5_000));
});
