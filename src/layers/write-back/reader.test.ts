import { strict as assert } from 'node:assert';
import { it, type TestContext } from 'node:test';
import { ok, pattern, refused, type WriteBackFixtureOptions } from '../../testing/mod.ts';
import type * as vfs from '../../vfs/mod.ts';
import { ForwardingFilesystem, type ReadReply, Stability, Status } from '../../vfs/mod.ts';
import { start as startFront, stranger } from './front-fixture.test.ts';

/** A file with 10,000 bytes at the origin and nothing dirty. */
async function start(test: TestContext, options: WriteBackFixtureOptions = {}, size = 10_000) {
  const { fixture, bench, origin } = await startFront(test, options);
  test.after(() => assert.equal(fixture.memory.unreleased, 0, 'replies of the base were not released'));
  const object = await origin.file('a', pattern(size));
  return { fixture, bench, object, model: Buffer.from(pattern(size)) };
}

it('lays written bytes over those of the origin, and zeros between its end and the new one', async (test) => {
  const { fixture, bench, object, model } = await start(test);
  await bench.write(object, 5000, pattern(100, 7), Stability.UNSTABLE);
  await bench.write(object, 20_000, pattern(100, 8), Stability.UNSTABLE);
  const expected = Buffer.alloc(20_100);
  model.copy(expected);
  pattern(100, 7).copy(expected, 5000);
  pattern(100, 8).copy(expected, 20_000);
  assert.ok((await bench.readAll(object)).equals(expected));
  for (const [offset, count] of [
    [4999, 3],
    [5050, 100],
    [9990, 100],
    [19_999, 200],
    [12_000, 10],
  ] as const) {
    assert.ok((await bench.readAll(object, offset, count)).equals(expected.subarray(offset, offset + count)));
  }
  const before = fixture.faults.calls('read');
  await bench.read(object, 5010, 50);
  assert.equal(fixture.faults.calls('read'), before, 'bytes of the log alone ask nobody');
});

it('answers a read of the log in the same turn if the data are there', async (test) => {
  const { fixture, bench, object } = await start(test);
  await bench.write(object, 0, pattern(4096, 3), Stability.UNSTABLE);
  let quick = 0;
  for (let i = 0; i < 50; i++) {
    const reply = fixture.layer.read(bench.call, { object, offset: 0, count: 4096 });
    if (!(reply instanceof Promise)) quick++;
    ok(await reply).release?.();
  }
  assert.ok(quick > 0, 'no read was answered at once');
});

it('reads zeros where the file was cut and made longer again', async (test) => {
  const { bench, object, model } = await start(test);
  await bench.set(object, { size: 3000 });
  await bench.set(object, { size: 8000 });
  const expected = Buffer.concat([model.subarray(0, 3000), Buffer.alloc(5000)]);
  assert.ok((await bench.readAll(object)).equals(expected));
});

it('goes on where a server answered less than it was asked for', async (test) => {
  const { fixture, bench, object, model } = await start(test, {}, 100_000);
  fixture.faults.on('read', async (_args, proceed) => {
    const reply = await proceed();
    if (reply.status !== 0 || reply.count <= 1000) return reply;
    const data = [Buffer.concat(reply.data).subarray(0, 1000)];
    reply.release?.();
    return { ...reply, data, count: 1000, eof: false, release: undefined } as ReadReply;
  });
  await bench.write(object, 50_000, pattern(10, 5), Stability.UNSTABLE);
  pattern(10, 5).copy(model, 50_000);
  const got: Buffer[] = [];
  for (let offset = 0; offset < 100_000; ) {
    const { bytes, eof } = await bench.read(object, offset, 65_536);
    got.push(bytes);
    offset += bytes.length;
    assert.equal(eof, offset === 100_000);
    assert.ok(bytes.length > 0);
  }
  assert.ok(Buffer.concat(got).equals(model));
});

it('says IO, not older bytes, when bytes of the log do not verify', async (test) => {
  const { fixture, bench, object } = await start(test);
  await bench.write(object, 0, pattern(4096, 3));
  for (const name of await fixture.disk.list()) {
    const content = Buffer.from(fixture.disk.contentOf(name)!);
    const at = content.indexOf(pattern(64, 3));
    if (at >= 0) fixture.disk.damage(name, at + 10, Buffer.from('damage'));
  }
  const reply = refused(await fixture.layer.read(bench.call, { object, offset: 0, count: 100 }), Status.IO);
  assert.equal(reply.status === Status.IO && 'attributes' in reply && reply.attributes?.size, 10_000);
  assert.equal((await bench.read(object, 5000, 10)).bytes.length, 10, 'the rest is still read');
});

it('leaks nothing of a dirty file to whom the origin lets not read', async (test) => {
  const { fixture, bench, object } = await start(test);
  await bench.set(object, { mode: 0o600 });
  await bench.write(object, 0, pattern(100, 3), Stability.UNSTABLE);
  const reply = await fixture.layer.read(stranger, { object, offset: 0, count: 100 });
  refused(reply, Status.ACCES);
});

it('gives its owner and who may execute it the newest bytes, though ACCESS grants no reading', async (test) => {
  const { fixture, bench, object } = await start(test);
  await bench.write(object, 0, pattern(100, 3), Stability.UNSTABLE);
  await bench.set(object, { mode: 0o001 });
  for (const call of [bench.call, stranger]) {
    assert.ok((await bench.read(object, 0, 100, call)).bytes.equals(pattern(100, 3)));
  }
  const before = fixture.faults.calls('read');
  await bench.read(object, 0, 100);
  assert.equal(fixture.faults.calls('read'), before, 'the owner was asked about again');
});

it('reads again when the file is cut while the base is being read', async (test) => {
  const { fixture, bench, object } = await start(test);
  await bench.write(object, 0, pattern(10, 3), Stability.UNSTABLE);
  const held = fixture.faults.hold('read', 'after');
  const reading = bench.read(object, 0, 10_000);
  await bench.set(object, { size: 100 });
  held.release();
  const { bytes, eof, attributes } = await reading;
  assert.deepEqual([bytes.length, eof, attributes?.size], [100, true, 100]);
});

it('reads again when a cut reaches the log after the read began', async (test) => {
  const { fixture, bench, object } = await start(test);
  await bench.write(object, 0, pattern(100), Stability.UNSTABLE);
  const { promise: room, resolve: makeRoom } = Promise.withResolvers<void>();
  const resize = fixture.log.resize.bind(fixture.log);
  fixture.log.resize = async (change) => {
    await room;
    return resize(change);
  };
  const cut = fixture.layer.setattr(bench.call, { object, set: { size: 0 } });
  const { promise: base, resolve: answer } = Promise.withResolvers<void>();
  fixture.faults.on('read', async (_args, proceed) => {
    await base;
    return proceed();
  });
  const reading = fixture.layer.read(bench.call, { object, offset: 0, count: 8000 });
  makeRoom();
  ok(await cut);
  answer();
  const { count, eof, attributes } = ok(await reading);
  assert.deepEqual([count, eof, attributes?.size], [0, true, 0]);
});

it('shows a write that was answered while a read of the clean file was on its way', async (test) => {
  const { fixture, bench, object } = await start(test);
  const held = fixture.faults.hold('read', 'after');
  const reading = bench.read(object, 9990, 100);
  await bench.write(object, 10_000, pattern(50, 3), Stability.UNSTABLE);
  held.release();
  const { bytes, eof, attributes } = await reading;
  assert.deepEqual([bytes.length, eof, attributes?.size], [60, true, 10_050]);
});

it('finds each byte in the log or at the origin while the drain moves it', async (test) => {
  const { fixture, bench, object, model } = await start(test, { isEager: true }, 60_000);
  for (let round = 0; round < 30; round++) {
    const offset = (round * 7919) % 55_000;
    pattern(3000, round + 10).copy(model, offset);
    await bench.write(object, offset, pattern(3000, round + 10), Stability.UNSTABLE);
    const committed = fixture.layer.commit(bench.call, { object, offset: 0, count: 0 });
    for (let i = 0; i < 5; i++) assert.ok((await bench.readAll(object)).equals(model), `round ${round}, read ${i}`);
    ok(await committed);
  }
});

it('passes reads of files that are clean on as they are', async (test) => {
  class Marked extends ForwardingFilesystem {
    seen: vfs.ReadArguments[] = [];
    override read(call: vfs.Call, args: vfs.ReadArguments) {
      this.seen.push(args);
      return super.read(call, args);
    }
  }
  let marked: Marked | undefined;
  const { bench, object } = await start(test, {
    below: (next) => {
      marked = new Marked(next);
      return marked;
    },
  });
  await bench.read(object, 5, 50);
  assert.deepEqual(marked?.seen, [{ object, offset: 5, count: 50 }]);
});

it('releases what came of a read that broke in another place', async (test) => {
  const { fixture, bench, object } = await start(test);
  await bench.write(object, 4000, pattern(100, 7), Stability.UNSTABLE);
  let held = 0;
  const remove = fixture.faults.on('read', async ({ offset }, proceed) => {
    if (offset === 0) throw new Error('the layer below broke');
    await new Promise((resolve) => setImmediate(resolve));
    const reply = await proceed();
    held++;
    return reply;
  });
  const reading = async () => fixture.layer.read(bench.call, { object, offset: 0, count: 8000 });
  await assert.rejects(reading(), /broke/);
  assert.equal(held, 1, 'the other place was read');
  assert.equal(fixture.memory.unreleased, 0);
  remove();
});
