/** What clean files are still owed is not forgotten while the origin refuses it, and who asks is told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Status } from '../../vfs/mod.ts';
import { World } from './drain-fixture.test.ts';

const mtime = { seconds: 1_000_000, nanoseconds: 5 };
const content = Buffer.alloc(5_000, 3);

/** A file with changes that wait, and times that a client set after them. */
async function withTimes(world: World, name = 'disk'): Promise<string> {
  const object = world.make(name);
  await world.proxy.write(object, 0, content);
  world.proxy.files.update(object, { times: { mtime } });
  return object;
}

test('times that the origin refuses for now are sent again, and told of until it takes them', async () => {
  for (const status of [Status.NOSPC, Status.DQUOT, Status.IO]) {
    const world = await World.start();
    const object = await withTimes(world);
    const heal = world.origin.on('setattr', () => ({ status, wcc: {} }));
    const refused = await world.proxy.flush();
    assert.equal(refused.outcome, 'refused');
    assert.match(refused.problems.join(), /disk.*SETATTR \(times\)/);
    assert.deepEqual(world.content(object), content, 'the content is there');
    assert.deepEqual(world.proxy.files.get(object)?.times, { mtime });
    const { state, problem, secondsLeft } = world.proxy.drain.status();
    assert.deepEqual([state, secondsLeft], ['refused', undefined]);
    assert.match(problem!, /disk/);
    heal();
    await world.clock.advance(5_000);
    assert.deepEqual(world.attributes(object).mtime, mtime);
    assert.equal(world.proxy.files.get(object)?.times, undefined);
    assert.equal(world.proxy.drain.status().state, 'idle');
    assert.equal((await world.proxy.flush()).outcome, 'done');
  }
});

test('they are not tried for ever by themselves, but whenever somebody asks', async () => {
  const world = await World.start();
  const object = await withTimes(world);
  const heal = world.origin.on('setattr', () => ({ status: Status.NOSPC, wcc: {} }));
  await world.proxy.flush();
  await world.clock.advance(3_600_000);
  const calls = world.origin.calls('setattr');
  assert.ok(calls >= 8 && calls <= 12, `${calls} times`);
  assert.equal(world.proxy.drain.status().state, 'refused');
  assert.equal((await world.proxy.flush()).outcome, 'refused');
  assert.equal(world.origin.calls('setattr'), calls + 1);
  // Nor as often as somebody asks.
  for (let at = 0; at < 20; at++) assert.equal((await world.proxy.flush()).outcome, 'refused');
  assert.ok(world.origin.calls('setattr') <= calls + 3);
  heal();
  await world.clock.advance(1_000);
  assert.equal((await world.proxy.flush()).outcome, 'done');
  assert.deepEqual(world.attributes(object).mtime, mtime);
});

test('other files go on meanwhile, and the times with them once they are taken', async () => {
  const world = await World.start();
  const object = await withTimes(world);
  const heal = world.origin.on('setattr', () => ({ status: Status.DQUOT, wcc: {} }));
  await world.proxy.flush();
  await world.clock.advance(3_600_000);
  const other = world.make('other');
  await world.proxy.write(other, 0, content);
  await world.proxy.commit();
  await world.clock.advance(5_100);
  assert.deepEqual(world.content(other), content);
  heal();
  await world.clock.advance(3_600_000);
  assert.notDeepEqual(world.attributes(object).mtime, mtime);
  await world.proxy.write(other, 0, Buffer.alloc(5_000, 4));
  await world.proxy.commit();
  await world.clock.advance(6_000);
  assert.deepEqual(world.attributes(object).mtime, mtime);
});

test('times that the origin refuses for good are given up', async () => {
  const world = await World.start();
  const object = await withTimes(world);
  world.origin.on('setattr', () => ({ status: Status.ROFS, wcc: {} }));
  assert.equal((await world.proxy.flush()).outcome, 'done');
  assert.equal(world.proxy.files.get(object)?.times, undefined);
  assert.ok(world.lines.lines.some(({ message }) => message.includes('times were not taken')));
});

test('a look that fails leaves the times of a life before owed, and who asks is not told that all is done', async () => {
  const world = await World.start();
  const object = world.make('disk', content);
  await world.proxy.write(object, 0, Buffer.alloc(5_000, 4));
  await world.proxy.flush();
  world.proxy.files.update(object, { times: { mtime } });
  await world.until(world.proxy.log.sync());
  const heal = world.origin.on('getattr', () => ({ status: Status.IO }));
  await world.crash('kill');
  await world.clock.advance(100);
  const refused = await world.proxy.flush();
  assert.equal(refused.outcome, 'refused');
  assert.match(refused.problems.join(), /GETATTR/);
  assert.deepEqual(world.proxy.files.get(object)?.times, { mtime });
  heal();
  await world.clock.advance(10_000);
  assert.deepEqual(world.attributes(object).mtime, mtime);
  assert.equal((await world.proxy.flush()).outcome, 'done');
});

test('times that a client sets while those before them are on their way go after them', async () => {
  const world = await World.start({ isManual: true });
  const object = await withTimes(world);
  const last = { seconds: 2_000_000, nanoseconds: 6 };
  assert.equal((await world.proxy.flush()).outcome, 'done');
  world.proxy.files.update(object, { times: { mtime } });
  let sent = 0;
  world.origin.on('setattr', (_args, proceed) => {
    if (sent++ === 0) world.proxy.files.update(object, { times: { mtime: last } });
    return proceed();
  });
  assert.equal((await world.proxy.flush()).outcome, 'done');
  assert.equal(sent, 2);
  assert.deepEqual(world.attributes(object).mtime, last);
  assert.equal(world.proxy.files.get(object)?.times, undefined);
});

test('who asks while they are on their way is told when those of another file have gone, too', async () => {
  const world = await World.start({ isManual: true });
  const [first, second] = [await withTimes(world), world.make('other')];
  assert.equal((await world.proxy.flush()).outcome, 'done');
  world.proxy.files.update(first, { times: { mtime } });
  let asked: Promise<{ readonly outcome: string }> | undefined;
  world.origin.on('setattr', (_args, proceed) => {
    if (asked === undefined) {
      world.proxy.files.update(second, { place: undefined, times: { mtime } });
      asked = world.proxy.flush();
    }
    return proceed();
  });
  assert.equal((await world.proxy.flush()).outcome, 'done');
  assert.equal((await asked)?.outcome, 'done');
  assert.deepEqual(world.attributes(second).mtime, mtime);
});
