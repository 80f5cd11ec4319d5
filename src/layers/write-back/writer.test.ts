import { strict as assert } from 'node:assert';
import { it, type TestContext } from 'node:test';
import { sleep, systemClock } from '../../base/mod.ts';
import {
  fullCapabilities,
  KeptLog,
  ok,
  pattern,
  refused,
  SimulatedClock,
  settle,
  Workbench,
  WriteBackFixture,
  type WriteBackFixtureOptions,
} from '../../testing/mod.ts';
import { type FileHandle, Stability, Status } from '../../vfs/mod.ts';
import { root, start, stranger } from './front-fixture.test.ts';

async function startWriting(test: TestContext, options: WriteBackFixtureOptions = {}) {
  const started = await start(test, options);
  const { fixture, bench } = started;
  return {
    ...started,
    commit: (object: FileHandle) => fixture.layer.commit(bench.call, { object, offset: 0, count: 0 }),
  };
}

it('answers UNSTABLE and FILE_SYNC writes from the log alone, under its verifier', async (test) => {
  const { fixture, bench, origin, commit } = await startWriting(test);
  const object = await bench.file('a');
  const unstable = await bench.write(object, 0, pattern(100), Stability.UNSTABLE);
  assert.deepEqual([unstable.committed, unstable.verifier], [Stability.UNSTABLE, fixture.log.verifier]);
  const stable = await bench.write(object, 100, pattern(100), Stability.DATA_SYNC);
  assert.deepEqual([stable.committed, stable.verifier], [Stability.FILE_SYNC, fixture.log.verifier]);
  assert.equal(ok(await commit(object)).verifier, fixture.log.verifier);
  assert.equal(fixture.faults.calls('write') + fixture.faults.calls('commit'), 0);
  assert.equal((await origin.readAll(object)).length, 0);
  assert.ok(fixture.log.stats().syncs > 0);
});

it('asks the origin for nothing while a file is written, once it is known', async (test) => {
  const { fixture, bench } = await startWriting(test);
  const object = await bench.file('a');
  await bench.write(object, 0, pattern(100), Stability.UNSTABLE);
  const before = fixture.faults.calls('getattr');
  for (let i = 0; i < 10; i++) await bench.write(object, i, pattern(1), Stability.UNSTABLE);
  assert.equal(fixture.faults.calls('getattr'), before);
});

it('lets nobody write whom the origin does not let, and tells the origin of who is let by its own rules', async (test) => {
  const { fixture, bench, origin } = await startWriting(test);
  const object = await bench.file('a', pattern(100), { mode: 0o644 });
  const args = { object, offset: 0, count: 1, stable: Stability.UNSTABLE, data: [pattern(1, 9)] };
  refused(await fixture.layer.write(stranger, args), Status.ACCES);
  assert.ok((await bench.readAll(object)).equals(pattern(100)));
  // What was dirty has gone to the origin before it was asked to decide.
  assert.ok((await origin.readAll(object)).equals(pattern(100)));
});

it('lets the owner write a file of mode 0444 here, after asking the origin once', async (test) => {
  const { fixture, bench, origin } = await startWriting(test);
  const object = await bench.file('a', undefined, { mode: 0o444 });
  for (let i = 0; i < 5; i++) await bench.write(object, i * 10, pattern(10, i), Stability.UNSTABLE);
  assert.equal(fixture.faults.calls('write'), 1);
  assert.equal((await origin.attributes(object)).size, 0);
  assert.equal((await fixture.writeBack.writeBack()).outcome, 'done');
  assert.equal((await origin.attributes(object)).size, 50);
});

it('sends writes through that have to clear set-id bits', async (test) => {
  const { fixture, bench, origin } = await startWriting(test);
  const object = await bench.file('a', undefined, { mode: 0o777 });
  await bench.set(object, { mode: 0o4777 });
  const reply = await bench.write(object, 0, pattern(10), Stability.UNSTABLE);
  assert.deepEqual([reply.committed, reply.verifier], [Stability.FILE_SYNC, fixture.log.verifier]);
  assert.equal((await bench.attributes(object)).mode, 0o777);
  assert.equal((await origin.readAll(object)).length, 10);
});

it('keeps times going forward over writes that go through', async (test) => {
  const { fixture, bench } = await startWriting(test);
  const object = await bench.file('a', pattern(10), { mode: 0o666 });
  await fixture.writeBack.writeBack();
  await bench.set(object, { mode: 0o4666 });
  let last = await bench.attributes(object);
  for (let i = 0; i < 3; i++) {
    const { wcc } = ok(
      await fixture.layer.write(stranger, { object, offset: i, count: 1, stable: 0, data: [pattern(1)] }),
    );
    assert.deepEqual([wcc.before?.mtime, wcc.before?.ctime], [last.mtime, last.ctime]);
    const now = await bench.attributes(object);
    assert.deepEqual(wcc.after, now);
    last = now;
    await bench.set(object, { mode: 0o4666 });
    last = await bench.attributes(object);
  }
  await bench.write(object, 100, pattern(1), Stability.UNSTABLE);
  assert.equal((await fixture.writeBack.writeBack()).outcome, 'done');
});

it('refuses what the origin could never take', async (test) => {
  const { fixture, bench } = await startWriting(test);
  fixture.faults.on('fsinfo', async (_args, proceed) => {
    const reply = await proceed();
    return reply.status === 0 ? { ...reply, maximumFileBytes: 2 ** 40 } : reply;
  });
  const object = await bench.file('a');
  const args = { object, offset: 2 ** 40 - 1, count: 2, stable: Stability.UNSTABLE, data: [pattern(2)] };
  const answer = fixture.faults.on('fsinfo', () => ({ status: Status.SERVERFAULT }));
  refused(await fixture.layer.write(bench.call, args), Status.SERVERFAULT);
  answer();
  refused(await fixture.layer.write(bench.call, args), Status.FBIG);
  refused(await fixture.layer.setattr(bench.call, { object, set: { size: 2 ** 40 + 1 } }), Status.FBIG);
  await bench.write(object, 2 ** 40 - 2, pattern(2), Stability.UNSTABLE);
  await bench.write(object, 2 ** 35, pattern(2), Stability.UNSTABLE);
  assert.equal(fixture.faults.calls('fsinfo'), 2);
  await fixture.reopen('kill');
  refused(await fixture.layer.write(bench.call, args), Status.FBIG);
  assert.equal(fixture.faults.calls('fsinfo'), 2, 'the limit is remembered over restarts');
});

it('takes nothing more once the lease is lost', async (test) => {
  const { fixture, bench } = await startWriting(test);
  const object = await bench.file('a', pattern(10));
  fixture.lease = { state: 'lost', holder: 'other', sinceMs: 1 };
  const args = { object, offset: 0, count: 1, stable: Stability.UNSTABLE, data: [pattern(1)] };
  refused(await fixture.layer.write(bench.call, args), Status.ROFS);
  refused(await fixture.layer.setattr(bench.call, { object, set: { size: 0 } }), Status.ROFS);
  assert.ok((await bench.readAll(object)).equals(pattern(10)), 'what was written stays readable');
});

it('freezes the content of a file in conflict until somebody decides, and shows the version of the origin', async (test) => {
  const { fixture, bench, origin, commit } = await startWriting(test);
  const object = await bench.file('a', pattern(10));
  const other = await origin.write(object, 0, pattern(20, 5));
  await fixture.conflict(object, {
    atMs: 1,
    kind: 'changed',
    expected: undefined,
    found: other.wcc.after,
    savedAs: undefined,
  });
  const args = { object, offset: 0, count: 1, stable: Stability.UNSTABLE, data: [pattern(1)] };
  refused(await fixture.layer.write(bench.call, args), Status.IO);
  refused(await fixture.layer.setattr(bench.call, { object, set: { size: 1 } }), Status.IO);
  refused(await commit(object), Status.IO);
  assert.ok((await bench.readAll(object)).equals(pattern(20, 5)));
  await bench.set(object, { mode: 0o600 });
  assert.equal(fixture.writeBack.status().conflicts[0]?.path, 'a');
  assert.equal(fixture.writeBack.status().isAtOrigin, false);
  await fixture.reopen('kill');
  refused(await fixture.layer.write(bench.call, args), Status.IO);
  assert.equal(await fixture.writeBack.clearConflict(object), true);
  assert.equal(await fixture.writeBack.clearConflict(object), false);
  ok(await fixture.layer.write(bench.call, args));
  await fixture.reopen('power');
  assert.deepEqual(fixture.writeBack.status().conflicts, []);
});

it('says IO when the log cannot be made stable, and shows another verifier', async (test) => {
  const { fixture, bench, commit } = await startWriting(test);
  const object = await bench.file('a');
  const { verifier } = await bench.write(object, 0, pattern(100), Stability.UNSTABLE);
  fixture.disk.fail('datasync', Number.POSITIVE_INFINITY);
  refused(await commit(object), Status.IO);
  fixture.disk.heal();
  assert.ok((await bench.readAll(object)).equals(pattern(100)));
  const again = await bench.write(object, 0, pattern(100), Stability.UNSTABLE);
  assert.notEqual(again.verifier, verifier);
  assert.equal(ok(await commit(object)).verifier, again.verifier);
});

it('answers a commit only when the origin has the data, if the session promises that', async (test) => {
  const { fixture, bench, origin, commit } = await startWriting(test, { commit: 'origin' });
  const object = await bench.file('a');
  await bench.write(object, 0, pattern(100), Stability.UNSTABLE);
  assert.equal((await origin.attributes(object)).size, 0);
  ok(await commit(object));
  assert.ok((await origin.readAll(object)).equals(pattern(100)));
  await bench.write(object, 100, pattern(50, 2), Stability.FILE_SYNC);
  assert.equal((await origin.attributes(object)).size, 150);
  fixture.faults.on('write', () => ({ status: Status.NOSPC, wcc: {} }));
  await bench.write(object, 200, pattern(50, 2), Stability.UNSTABLE);
  refused(await commit(object), Status.IO);
  assert.equal((await bench.attributes(object)).size, 250, 'it is kept');
});

it('closes the epoch of a client that never syncs when its oldest change reaches the age', async (test) => {
  const clock = new SimulatedClock();
  const opening = WriteBackFixture.open({ clock, isEager: true, dirtyAgeMs: 5_000 });
  await clock.advance(100);
  const fixture = await opening;
  const run = async <T>(promise: T | Promise<T>): Promise<T> => {
    let isOver = false;
    const watched = Promise.resolve(promise).finally(() => {
      isOver = true;
    });
    await settle();
    while (!isOver) await clock.advance(1);
    return watched;
  };
  test.after(() => run(fixture.close()));
  const where = { directory: fixture.layer.root, name: 'a' };
  const made = ok(await run(fixture.layer.create(root, { where, how: { mode: 'guarded', set: {} } })));
  const object = made.object!;
  const write = (offset: number) =>
    run(fixture.layer.write(root, { object, offset, count: 10, stable: Stability.UNSTABLE, data: [pattern(10)] }));
  ok(await write(0));
  await clock.advance(3_000);
  ok(await write(10));
  await clock.advance(1_900);
  assert.equal(fixture.log.epochs().at(-1)?.sealedMs, undefined, 'too early');
  await clock.advance(400);
  assert.deepEqual(fixture.log.epochs(), []);
  assert.equal(ok(fixture.memory.getattr(root, { object })).attributes.size, 20);
});

it('slows writers down at the limit of the log, and loses nothing', async (test) => {
  const { fixture, bench, origin } = await startWriting(test, { isEager: true, limitBytes: 16 * 1024 * 1024 });
  const object = await bench.file('a');
  const mega = 1024 * 1024;
  for (let i = 0; i < 40; i++) await bench.write(object, i * mega, pattern(mega, i), Stability.UNSTABLE);
  for (let i = 0; i < 40; i += 13) assert.ok((await bench.readAll(object, i * mega, mega)).equals(pattern(mega, i)));
  assert.ok((await origin.attributes(object)).size > 0);
  assert.equal((await fixture.writeBack.writeBack()).outcome, 'done');
  assert.equal((await origin.attributes(object)).size, 40 * mega);
  assert.equal(fixture.writeBack.status().isAtOrigin, true);
});

it('tells what is not at the origin', async (test) => {
  const { fixture, bench } = await startWriting(test);
  const folder = await bench.folder('golden');
  const where = bench.at('disk.raw', folder);
  const object = await bench.made(
    await fixture.layer.create(bench.call, { where, how: { mode: 'guarded', set: {} } }),
    where,
  );
  await bench.write(object, 4096, pattern(5000));
  const status = fixture.writeBack.status();
  assert.equal(status.isAtOrigin, false);
  assert.deepEqual([status.dirtyBytes, status.dirtyFiles], [5000, 1]);
  const [file] = status.files;
  assert.deepEqual([file?.path, file?.dirtyBytes, file?.size], ['golden/disk.raw', 5000, 9096]);
  assert.ok(file!.oldestAgeMs >= 0 && status.oldestAgeMs! < 60_000);
  assert.deepEqual(await fixture.writeBack.writeBack(object), { outcome: 'done', problems: [] });
  assert.deepEqual([fixture.writeBack.status().isAtOrigin, fixture.writeBack.status().files], [true, []]);
});

it('leaves writers that wait for room unanswered when the session ends, and keeps what was answered', async (test) => {
  const logger = new KeptLog();
  const fixture = await WriteBackFixture.open({ limitBytes: 16 * 1024 * 1024, logger });
  ok(fixture.memory.setattr(root, { object: fixture.memory.root, set: { mode: 0o777 } }));
  const bench = new Workbench(fixture.layer, fullCapabilities, fixture.layer.root);
  const object = await bench.file('a');
  fixture.drain!.hold = new Promise(() => {});
  const mega = 1024 * 1024;
  let answered = 0;
  for (let i = 0; i < 24; i++) {
    void bench.write(object, i * mega, pattern(mega, i), Stability.UNSTABLE).then(() => answered++);
  }
  let before = -1;
  while (answered === 0 || answered !== before) {
    before = answered;
    await sleep(systemClock, 150);
  }
  assert.ok(before > 0 && before < 24, `${before}`);
  await fixture.reopen('close');
  test.after(() => fixture.close());
  assert.equal(answered, before);
  assert.deepEqual(
    logger.lines.filter((line) => line.level === 'error'),
    [],
  );
  const { attributes } = ok(await fixture.layer.getattr(root, { object }));
  assert.equal(attributes.size, before * mega);
});
