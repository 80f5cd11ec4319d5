import { strict as assert } from 'node:assert';
import { it } from 'node:test';
import { ok, pattern, refused } from '../../testing/mod.ts';
import { Stability, Status, timeEquals } from '../../vfs/mod.ts';
import { root, start, stranger } from './front-fixture.test.ts';
import { isLater, wccOf } from './times.ts';

const past = { seconds: 1_000_000, nanoseconds: 7 };

it('keeps a change of size here, durably, and brings it to the origin in order', async (test) => {
  const { fixture, bench, origin } = await start(test);
  const object = await origin.file('a', pattern(10_000));
  const before = wccOf(await bench.attributes(object));
  const { wcc } = await bench.set(object, { size: 4000 });
  assert.deepEqual(wcc.before, before);
  assert.ok(wcc.after!.size === 4000 && isLater(wcc.after!.mtime, before.mtime));
  assert.equal((await origin.attributes(object)).size, 10_000);
  await fixture.reopen('power');
  assert.deepEqual(wccOf(ok(await fixture.layer.getattr(root, { object })).attributes), wccOf(wcc.after!));
  assert.equal((await fixture.writeBack.writeBack()).outcome, 'done');
  assert.ok((await origin.readAll(object)).equals(pattern(10_000).subarray(0, 4000)));
});

it('changes mode and owner at the origin at once, and size here, of one call', async (test) => {
  const { fixture, bench, origin } = await start(test);
  const object = await bench.file('a', pattern(100));
  const before = wccOf(await bench.attributes(object));
  const { wcc } = await bench.set(object, { mode: 0o600, size: 50 });
  assert.deepEqual(wcc.before, before);
  assert.deepEqual([wcc.after?.mode, wcc.after?.size], [0o600, 50]);
  const there = await origin.attributes(object);
  assert.deepEqual([there.mode, there.size], [0o600, 0]);
  assert.deepEqual(await bench.attributes(object), wcc.after);
  assert.equal((await fixture.writeBack.writeBack()).outcome, 'done');
  assert.deepEqual(wccOf(await bench.attributes(object)), wccOf(wcc.after!));
});

it('changes nothing here if the origin refuses the mode', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(100), { mode: 0o666 });
  refused(await fixture.layer.setattr(stranger, { object, set: { mode: 0o777, size: 5 } }), Status.PERM);
  assert.equal((await bench.attributes(object)).size, 100);
});

it('lets only those change the size whom the origin lets', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(100), { mode: 0o644 });
  refused(await fixture.layer.setattr(stranger, { object, set: { size: 5 } }), Status.ACCES);
  assert.equal((await bench.attributes(object)).size, 100);
});

it('compares a guard with the ctime that clients are shown', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(100));
  for (const round of ['dirty', 'clean']) {
    const { ctime } = await bench.attributes(object);
    const wrong = { seconds: ctime.seconds, nanoseconds: (ctime.nanoseconds + 1) % 1e9 };
    for (const set of [{ size: 10 }, { mode: 0o600 }]) {
      refused(await fixture.layer.setattr(bench.call, { object, set, guard: wrong }), Status.NOT_SYNC);
    }
    ok(await fixture.layer.setattr(bench.call, { object, set: { mode: 0o640 }, guard: ctime }));
    assert.ok(isLater((await bench.attributes(object)).ctime, ctime), round);
    assert.equal((await fixture.writeBack.writeBack()).outcome, 'done');
  }
  const guard = (await bench.attributes(object)).ctime;
  ok(await fixture.layer.setattr(bench.call, { object, set: { size: 10 }, guard }));
});

it('keeps times that the owner chose for a dirty file, and tells the origin when it is clean', async (test) => {
  const { fixture, bench, origin } = await start(test);
  const object = await bench.file('a', pattern(100));
  await bench.set(object, { mtime: past, atime: past });
  const shown = await bench.attributes(object);
  assert.deepEqual([shown.mtime, shown.atime], [past, past]);
  assert.ok(!timeEquals((await origin.attributes(object)).mtime, past));
  assert.equal(fixture.writeBack.status().isAtOrigin, false);
  await fixture.reopen('power');
  const again = ok(await fixture.layer.getattr(root, { object })).attributes;
  assert.deepEqual(wccOf(again), wccOf(shown));
  assert.equal((await fixture.writeBack.writeBack()).outcome, 'done');
  assert.deepEqual((await origin.attributes(object)).mtime, past);
  assert.deepEqual(wccOf(ok(await fixture.layer.getattr(root, { object })).attributes), wccOf(shown));
  assert.equal(fixture.writeBack.status().isAtOrigin, true);
});

it('lets a write move on from times that were chosen before it', async (test) => {
  const { fixture, bench, origin } = await start(test);
  const object = await bench.file('a', pattern(100));
  await bench.set(object, { mtime: past });
  const { wcc } = await bench.write(object, 0, pattern(10, 2));
  assert.deepEqual(wcc.before?.mtime, past);
  assert.ok(isLater(wcc.after!.mtime, past));
  await fixture.writeBack.writeBack();
  assert.ok(isLater((await origin.attributes(object)).mtime, past));
});

it('asks the origin whether somebody else than the owner may choose times', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(100), { mode: 0o666 });
  refused(await fixture.layer.setattr(stranger, { object, set: { mtime: past } }), Status.PERM, Status.ACCES);
  ok(await fixture.layer.setattr(stranger, { object, set: { mtime: 'server' } }));
  await bench.write(object, 0, pattern(5));
  ok(await fixture.layer.setattr(root, { object, set: { mtime: past } }));
  assert.deepEqual((await bench.attributes(object)).mtime, past);
});

it('lets user 0 choose times here once the origin has shown that it does not squash him', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(100));
  ok(await fixture.layer.setattr(root, { object, set: { mtime: past } }));
  assert.equal(fixture.faults.calls('setattr') > 0, true, 'the origin was asked');
  const how = { mode: 'guarded', set: {} } as const;
  ok(await fixture.layer.create(root, { where: bench.at('b'), how }));
  await bench.write(object, 0, pattern(5));
  const before = fixture.faults.calls('setattr');
  ok(await fixture.layer.setattr(root, { object, set: { mtime: past } }));
  assert.equal(fixture.faults.calls('setattr'), before);
  assert.deepEqual((await bench.attributes(object)).mtime, past);
});

it('keeps a chosen time of a clean file as it was chosen, also if it lies before the one shown', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(100));
  await fixture.writeBack.writeBack();
  const before = await bench.attributes(object);
  await bench.set(object, { mtime: past });
  const after = await bench.attributes(object);
  assert.deepEqual(after.mtime, past);
  assert.ok(isLater(after.ctime, before.ctime));
});

it('dates a touch with the time of this host, after everything before it', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(100));
  const before = await bench.attributes(object);
  await bench.set(object, { mtime: 'server', atime: 'server' });
  const after = await bench.attributes(object);
  assert.ok(isLater(after.mtime, before.mtime) && timeEquals(after.mtime, after.ctime));
  assert.equal(after.size, 100);
  assert.equal(fixture.faults.calls('setattr'), 0);
});

it('orders truncations and pipelined writes as they were called', async (test) => {
  const { fixture, bench, origin } = await start(test);
  const object = await bench.file('a');
  const { layer } = fixture;
  await Promise.all([
    bench.write(object, 0, pattern(5000, 1), Stability.UNSTABLE),
    layer.setattr(bench.call, { object, set: { size: 100 } }),
    bench.write(object, 200, pattern(50, 2), Stability.UNSTABLE),
    layer.setattr(bench.call, { object, set: { size: 300 } }),
  ]);
  const expected = Buffer.alloc(300);
  pattern(5000, 1).copy(expected, 0, 0, 100);
  pattern(50, 2).copy(expected, 200);
  assert.ok((await bench.readAll(object)).equals(expected));
  await fixture.writeBack.writeBack();
  assert.ok((await origin.readAll(object)).equals(expected));
});

it('shows what the origin made of a change that passed through, though it does not say so itself', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(5000));
  await fixture.writeBack.writeBack();
  const before = await bench.attributes(object);
  fixture.faults.on('setattr', async (_args, proceed) => {
    const { status } = await proceed();
    return { status, wcc: {} };
  });
  const mtime = { seconds: 1000, nanoseconds: 1 };
  const { wcc } = ok(await fixture.layer.setattr(bench.call, { object, set: { mtime } }));
  assert.deepEqual(wcc.after?.mtime, mtime);
  assert.deepEqual(ok(await fixture.layer.commit(bench.call, { object, offset: 0, count: 0 })).wcc.after, wcc.after);
  ok(await fixture.layer.setattr(bench.call, { object, set: { mode: 0o600 } }));
  const { after } = ok(await fixture.layer.commit(bench.call, { object, offset: 0, count: 0 })).wcc;
  assert.deepEqual([after?.mode, after?.mtime], [0o600, mtime]);
  assert.ok(isLater(after!.ctime, before.ctime));
});

it('remembers the ctime of a chmod of a dirty file when the process is killed right after the answer', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(500));
  const { wcc } = ok(await fixture.layer.setattr(bench.call, { object, set: { mode: 0o600 } }));
  await fixture.reopen('kill');
  assert.deepEqual(ok(await fixture.layer.getattr(root, { object })).attributes, wcc.after);
});
