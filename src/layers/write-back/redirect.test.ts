import { strict as assert } from 'node:assert';
import { it, type TestContext } from 'node:test';
import { seededRandom, silentLog } from '../../base/mod.ts';
import {
  callBy,
  fullCapabilities,
  ok,
  pattern,
  refused,
  SimulatedClock,
  Workbench,
  WriteBackFixture,
} from '../../testing/mod.ts';
import { Access, credential, Stability, Status } from '../../vfs/mod.ts';
import { Drain } from './drain.ts';
import { isLater, wccOf } from './times.ts';

const root = callBy(credential(0, 0));
const stranger = callBy(credential(4242, 4242));
const mutations = ['write', 'setattr', 'create', 'remove', 'rename', 'commit'] as const;

/** A golden file that nobody but root may write. */
async function start(test: TestContext) {
  const fixture = await WriteBackFixture.open({ mode: 'redirect', limitBytes: 32 * 1024 * 1024 });
  test.after(() => fixture.close());
  const bench = new Workbench(fixture.layer, fullCapabilities, fixture.layer.root);
  const where = { directory: fixture.memory.root, name: 'golden.raw' };
  const { object } = ok(fixture.memory.create(root, { where, how: { mode: 'guarded', set: { mode: 0o444 } } }));
  const data = [pattern(10_000)];
  ok(fixture.memory.write(root, { object: object!, offset: 0, count: 10_000, stable: Stability.FILE_SYNC, data }));
  return { fixture, bench, object: object! };
}

it('lets who may read a file write it, and tells nobody at the origin', async (test) => {
  const { fixture, bench, object } = await start(test);
  const { layer } = fixture;
  const asked = Access.READ | Access.MODIFY | Access.EXTEND;
  assert.equal(ok(await layer.access(stranger, { object, access: asked })).access, asked);
  assert.equal(ok(await layer.access(stranger, { object, access: Access.MODIFY })).access, Access.MODIFY);
  const args = { object, offset: 100, count: 50, stable: Stability.FILE_SYNC, data: [pattern(50, 2)] };
  ok(await layer.write(stranger, args));
  ok(await layer.commit(stranger, { object, offset: 0, count: 0 }));
  ok(await layer.setattr(stranger, { object, set: { size: 20_000 } }));
  assert.equal(fixture.log.epochs().length, 1, 'epochs that nobody drains would pile up');
  const bytes = await bench.readAll(object);
  assert.equal(bytes.length, 20_000);
  assert.ok(bytes.subarray(100, 150).equals(pattern(50, 2)) && bytes.subarray(10_000).every((byte) => byte === 0));
  for (const operation of mutations) assert.equal(fixture.faults.calls(operation), 0, operation);
  assert.equal((await fixture.writeBack.writeBack()).outcome, 'refused');
});

it('keeps changes with a condition from the origin too', async (test) => {
  const { fixture, object } = await start(test);
  const expected = wccOf(ok(await fixture.layer.getattr(root, { object })).attributes);
  const args = { object, offset: 0, count: 50, stable: Stability.FILE_SYNC, data: [pattern(50, 2)], expected };
  ok(await fixture.layer.write(root, args));
  for (const operation of mutations) assert.equal(fixture.faults.calls(operation), 0, operation);
});

it('keeps files closed to those who may not read them', async (test) => {
  const { fixture, object } = await start(test);
  ok(fixture.memory.setattr(root, { object, set: { mode: 0o600 } }));
  const { layer } = fixture;
  assert.equal(ok(await layer.access(stranger, { object, access: Access.ALL })).access, 0);
  const args = { object, offset: 0, count: 1, stable: Stability.FILE_SYNC, data: [pattern(1)] };
  refused(await layer.write(stranger, args), Status.ACCES);
  refused(await layer.setattr(stranger, { object, set: { size: 0 } }), Status.ACCES, Status.PERM);
});

it('changes no names, modes and owners', async (test) => {
  const { fixture, bench, object } = await start(test);
  const { layer } = fixture;
  const where = bench.at('new');
  const from = bench.at('golden.raw');
  const how = { mode: 'unchecked', set: {} } as const;
  refused(await layer.create(root, { where, how }), Status.ROFS);
  refused(await layer.mkdir(root, { where, set: {} }), Status.ROFS);
  refused(await layer.symlink(root, { where, set: {}, target: 'x' }), Status.ROFS);
  refused(await layer.mknod(root, { where, type: 7, set: {}, deviceMajor: 0, deviceMinor: 0 }), Status.ROFS);
  refused(await layer.link(root, { object, where }), Status.ROFS);
  refused(await layer.remove(root, from), Status.ROFS);
  refused(await layer.rmdir(root, from), Status.ROFS);
  refused(await layer.rename(root, { from, to: where }), Status.ROFS);
  refused(await layer.setattr(root, { object, set: { mode: 0o777 } }), Status.ROFS);
  refused(await layer.setattr(root, { object, set: { uid: 7, size: 0 } }), Status.ROFS);
  refused(await layer.setattr(root, { object: layer.root, set: { mtime: 'server' } }), Status.ROFS);
  const changing = Access.MODIFY | Access.EXTEND | Access.DELETE;
  assert.equal(ok(await layer.access(root, { object: layer.root, access: changing })).access, 0);
  for (const operation of mutations) assert.equal(fixture.faults.calls(operation), 0, operation);
});

it('keeps times here', async (test) => {
  const { fixture, bench, object } = await start(test);
  const past = { seconds: 1_000_000, nanoseconds: 7 };
  ok(await fixture.layer.setattr(root, { object, set: { mtime: past } }));
  assert.deepEqual((await bench.attributes(object)).mtime, past);
  ok(await fixture.layer.setattr(root, { object, set: { mtime: 'server' } }));
  assert.ok(isLater((await bench.attributes(object)).mtime, past));
  refused(await fixture.layer.setattr(stranger, { object, set: { mtime: past } }), Status.PERM);
  assert.equal(fixture.faults.calls('setattr'), 0);
});

it('keeps what was written over restarts, and says NOSPC when the log is full', async (test) => {
  const { fixture, bench, object } = await start(test);
  const mega = 1024 * 1024;
  let written = 0;
  for (; written < 64; written++) {
    const data = [pattern(mega, written)];
    const args = { object, offset: written * mega, count: mega, stable: Stability.UNSTABLE, data };
    const reply = await fixture.layer.write(stranger, args);
    if (reply.status === 0) continue;
    refused(reply, Status.NOSPC);
    break;
  }
  assert.ok(written > 10 && written < 32, `${written} MiB`);
  const shown = wccOf(await bench.attributes(object));
  assert.equal(shown.size, written * mega);
  await fixture.reopen('kill');
  const again = new Workbench(fixture.layer, fullCapabilities, fixture.layer.root);
  assert.deepEqual(wccOf(await again.attributes(object)), shown);
  assert.ok((await again.readAll(object, 5 * mega, mega)).equals(pattern(mega, 5)));
});

it('commits or discards at its end', async (test) => {
  const { fixture, bench, object } = await start(test);
  const write = () =>
    fixture.layer.write(root, { object, offset: 0, count: 50, stable: Stability.FILE_SYNC, data: [pattern(50, 2)] });
  ok(await write());
  await fixture.writeBack.discardRedirect();
  assert.ok((await bench.readAll(object)).equals(pattern(10_000)));
  assert.equal(fixture.writeBack.status().isAtOrigin, true);
  assert.deepEqual(await bench.attributes(object), ok(fixture.memory.getattr(root, { object })).attributes);
  ok(await write());
  assert.equal((await fixture.writeBack.commitRedirect()).outcome, 'done');
  const reply = ok(fixture.memory.read(root, { object, offset: 0, count: 50 }));
  assert.ok(Buffer.concat(reply.data).equals(pattern(50, 2)));
  reply.release?.();
});

it('keeps a conflict that nobody has decided about when all is discarded', async (test) => {
  const { fixture, bench, object } = await start(test);
  await bench.write(object, 0, pattern(50, 2), Stability.UNSTABLE);
  const savedAs = { where: 'origin', name: '/golden.raw.viaduct-conflict' } as const;
  await fixture.conflict(object, { atMs: 1, kind: 'changed', expected: undefined, found: undefined, savedAs });
  await fixture.writeBack.discardRedirect();
  const { conflicts, isAtOrigin, dirtyFiles } = fixture.writeBack.status();
  assert.deepEqual([conflicts[0]?.conflict.savedAs, conflicts.length, isAtOrigin, dirtyFiles], [savedAs, 1, false, 0]);
  assert.ok((await bench.readAll(object)).equals(pattern(10_000)), 'it shows what the origin has');
  assert.deepEqual(await bench.attributes(object), ok(fixture.memory.getattr(root, { object })).attributes);
  assert.equal(await fixture.writeBack.clearConflict(object), true);
  assert.equal(fixture.writeBack.status().isAtOrigin, true);
});

it('does not take times back that were shown while a change that found no room was on its way', async (test) => {
  const { fixture, bench, object } = await start(test);
  await bench.write(object, 0, pattern(100), Stability.UNSTABLE);
  const full = Promise.withResolvers<'no-room'>();
  fixture.log.write = () => full.promise;
  const args = { object, offset: 0, count: 100, stable: Stability.UNSTABLE, data: [pattern(100)] };
  const reply = fixture.layer.write(stranger, args);
  const shown = wccOf(await bench.attributes(object));
  full.resolve('no-room');
  refused(await reply, Status.NOSPC);
  assert.deepEqual(wccOf(await bench.attributes(object)), shown);
  await fixture.log.sync();
  await fixture.reopen('kill');
  const again = new Workbench(fixture.layer, fullCapabilities, fixture.layer.root);
  assert.deepEqual(wccOf(await again.attributes(object)), shown);
});

it('says that a full log has no room, though a commit that was refused closed what cannot be cleaned', async (test) => {
  const clock = new SimulatedClock();
  const until = async <T>(eventual: T | Promise<T>): Promise<T> => {
    let isDone = false;
    const settled = Promise.resolve(eventual).finally(() => {
      isDone = true;
    });
    for (let ms = 0; !isDone && ms < 120_000; ms += 50) await clock.advance(50);
    assert.ok(isDone, 'answered in two minutes');
    return settled;
  };
  const options = {
    ...{ writeBackAfterMs: 5_000, rateBytesPerSecond: undefined, isManual: true },
    ...{ conflictDirectory: undefined, hostName: 'host' },
  };
  const tools = { clock, logger: silentLog, random: seededRandom(5), options };
  const fixture = await until(
    WriteBackFixture.open({
      ...{ clock, mode: 'redirect', limitBytes: 24 * 1024 * 1024 },
      createDrain: (context) => new Drain(context, tools),
    }),
  );
  test.after(() => until(fixture.close()));
  const where = { directory: fixture.memory.root, name: 'golden.raw' };
  const { object } = ok(fixture.memory.create(root, { where, how: { mode: 'guarded', set: { mode: 0o644 } } }));
  const count = 1_000_000;
  const write = (index: number) => {
    const data = [pattern(count, index)];
    const args = { object: object!, offset: (index % 4) * count, count, stable: Stability.UNSTABLE, data };
    return until(fixture.layer.write(root, args));
  };
  for (let index = 0; index < 8; index++) ok(await write(index));
  const heal = fixture.faults.on('write', () => ({ status: Status.NOSPC, wcc: {} }));
  assert.equal((await until(fixture.writeBack.commitRedirect())).outcome, 'refused');
  let index = 8;
  let status: number = 0;
  for (; status === 0 && index < 60; index++) status = (await write(index)).status;
  assert.equal(status, Status.NOSPC);
  // What was answered is whole, and the commit goes on when the origin takes it.
  heal();
  assert.deepEqual(await until(fixture.writeBack.commitRedirect()), { outcome: 'done', problems: [] });
  ok(await write(index));
});
