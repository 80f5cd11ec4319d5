import { strict as assert } from 'node:assert';
import { it } from 'node:test';
import { ok, pattern } from '../../testing/mod.ts';
import { type Attributes, Stability, timeEquals, type WccAttributes } from '../../vfs/mod.ts';
import { root, start } from './front-fixture.test.ts';
import { isLater, wccOf } from './times.ts';

it('shows a dirty file as it was written in every reply that carries attributes', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a');
  await bench.write(object, 1000, pattern(500), Stability.UNSTABLE);
  const shown = await bench.attributes(object);
  assert.equal(shown.size, 1500);
  assert.equal(((await fixture.memory.getattr(root, { object })) as { attributes: Attributes }).attributes.size, 0);
  const { layer } = fixture;
  const call = bench.call;
  assert.deepEqual(ok(await layer.lookup(call, bench.at('a'))).attributes, shown);
  assert.deepEqual(ok(await layer.access(call, { object, access: 63 })).attributes, shown);
  assert.deepEqual((await bench.read(object, 0, 10)).attributes, shown);
  assert.deepEqual((await bench.read(object, 1000, 10)).attributes, shown);
  const [entry] = await bench.entries(layer.root, { plus: true });
  assert.deepEqual(entry?.attributes, shown);
  const { wcc } = ok(await layer.commit(call, { object, offset: 0, count: 0 }));
  assert.deepEqual(wcc, { before: wccOf(shown), after: shown });
  const linked = ok(await layer.link(call, { object, where: bench.at('b') })).attributes!;
  assert.deepEqual([linked.size, linked.mtime, linked.nlink], [1500, shown.mtime, 2]);
  assert.ok(isLater(linked.ctime, shown.ctime), 'a link moves ctime');
});

it('keeps times when the origin has the file, whatever times the origin gave it, and over restarts', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(5000));
  const shown = await bench.attributes(object);
  assert.equal((await fixture.writeBack.writeBack()).outcome, 'done');
  assert.equal(fixture.log.state(fixture.log.file(object)), undefined);
  const atOrigin = ok(fixture.memory.getattr(root, { object })).attributes;
  assert.ok(!timeEquals(atOrigin.mtime, shown.mtime), 'the origin has times of its own');
  for (const how of [undefined, 'close', 'kill', 'power'] as const) {
    if (how !== undefined) await fixture.reopen(how);
    const now = ok(await fixture.layer.getattr(root, { object })).attributes;
    assert.deepEqual(wccOf(now), wccOf(shown), `after ${how}`);
  }
});

it('shows what the origin has once somebody else changed a file that is clean here', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(5000));
  await fixture.writeBack.writeBack();
  ok(fixture.memory.setattr(root, { object, set: { size: 10 } }));
  const atOrigin = ok(fixture.memory.getattr(root, { object })).attributes;
  assert.deepEqual(await bench.attributes(object), atOrigin);
  await fixture.reopen('kill');
  assert.deepEqual(ok(await fixture.layer.getattr(root, { object })).attributes, atOrigin);
});

it('shows a ctime that moved alone at the origin, and never an earlier one after it', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(50));
  await bench.pause();
  ok(fixture.memory.setattr(root, { object, set: { mode: 0o600 } }));
  const changed = ok(fixture.memory.getattr(root, { object })).attributes;
  const shown = await bench.attributes(object);
  assert.deepEqual([shown.mode, shown.size, shown.ctime], [0o600, 50, changed.ctime]);
  const after = (await bench.write(object, 0, pattern(1))).wcc.after!;
  assert.ok(isLater(after.ctime, changed.ctime));
});

it('shows a ctime that moved alone after a restart, too, when its own write-back has hidden it', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(50));
  await bench.pause();
  ok(fixture.memory.setattr(root, { object, set: { mode: 0o600 } }));
  const { ctime } = await bench.attributes(object);
  await fixture.reopen('close');
  assert.equal((await fixture.writeBack.writeBack()).outcome, 'done');
  const { after } = ok(await fixture.layer.commit(root, { object, offset: 0, count: 0 })).wcc;
  assert.ok(!isLater(ctime, after!.ctime));
});

it('does not take the middle of its own write-back for a change of somebody else', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(5000));
  const shown = await bench.attributes(object);
  // Its reply was made before the write-back, and comes after it.
  let answer = (): void => {};
  const remove = fixture.faults.on('getattr', async (_args, proceed) => {
    const reply = await proceed();
    await new Promise<void>((resolve) => {
      answer = resolve;
    });
    return reply;
  });
  const late = Promise.resolve(fixture.layer.getattr(bench.call, { object }));
  remove();
  assert.equal((await fixture.writeBack.writeBack()).outcome, 'done');
  answer();
  assert.deepEqual(wccOf(ok(await late).attributes), wccOf(shown));
  assert.deepEqual(wccOf(await bench.attributes(object)), wccOf(shown));
});

it('does so though the times of a late reply look as new', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(5000));
  const shown = await bench.attributes(object);
  let answer = (): void => {};
  const remove = fixture.faults.on('getattr', async (_args, proceed) => {
    const reply = ok(await proceed());
    await new Promise<void>((resolve) => {
      answer = resolve;
    });
    // As an origin shows it that counts seconds.
    const { ctime } = ok(fixture.memory.getattr(root, { object })).attributes;
    return { ...reply, attributes: { ...reply.attributes, ctime } };
  });
  const late = Promise.resolve(fixture.layer.getattr(bench.call, { object }));
  remove();
  assert.equal((await fixture.writeBack.writeBack()).outcome, 'done');
  answer();
  assert.deepEqual(wccOf(ok(await late).attributes), wccOf(shown));
  const { wcc } = ok(await fixture.layer.commit(bench.call, { object, offset: 0, count: 0 }));
  assert.deepEqual(wccOf(wcc.after!), wccOf(shown));
  assert.deepEqual(wccOf(await bench.attributes(object)), wccOf(shown));
});

it('keeps what a client wrote when the answer to a change of mode comes after the write-back that overtook it', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(5000));
  let answer = (): void => {};
  let isShort = false;
  fixture.faults.on('setattr', async ({ set }, proceed) => {
    if (set.mode === undefined) return proceed();
    const { wcc, ...reply } = await proceed();
    await new Promise<void>((resolve) => {
      answer = resolve;
    });
    // RFC 1813 2.6: `before` may be left out.
    return { ...reply, wcc: isShort ? { after: wcc.after } : wcc };
  });
  for (isShort of [false, true]) {
    await bench.write(object, 0, pattern(isShort ? 7000 : 6000));
    const shown = await bench.attributes(object);
    const late = Promise.resolve(fixture.layer.setattr(bench.call, { object, set: { mode: isShort ? 0o600 : 0o640 } }));
    await bench.pause();
    assert.equal((await fixture.writeBack.writeBack()).outcome, 'done');
    answer();
    const { wcc } = ok(await late);
    const after = wccOf(wcc.after!);
    assert.deepEqual({ ...after, ctime: undefined }, { ...wccOf(shown), ctime: undefined });
    assert.ok(isLater(after.ctime, shown.ctime));
    assert.deepEqual([wcc.before, wcc.after!.mode], [wccOf(shown), isShort ? 0o600 : 0o640]);
    assert.deepEqual(wccOf(await bench.attributes(object)), after);
  }
});

it('takes a change of its own that was carried out twice for no other, though the origin counts seconds', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(50));
  await fixture.writeBack.writeBack();
  await bench.set(object, { mode: 0o640 });
  const shown = await bench.attributes(object);
  const { ctime } = fixture.base(object)!;
  fixture.faults.on('setattr', async (_args, proceed) => {
    const { wcc, ...reply } = await proceed();
    fixture.restarts++;
    const after = { ...wcc.after!, ctime };
    return { ...reply, wcc: { before: wccOf(after), after } };
  });
  const mtime = { seconds: 1_000_000, nanoseconds: 0 };
  const { wcc } = await bench.set(object, { mtime });
  assert.deepEqual([wcc.before, wcc.after!.mtime], [wccOf(shown), mtime]);
  assert.ok(isLater(wcc.after!.ctime, shown.ctime));
});

it('shows no middle of its own write-back in a COMMIT that was asked of a clean file', async (test) => {
  const { fixture, bench } = await start(test);
  const made = fixture.memory.create(root, { where: bench.at('a'), how: { mode: 'unchecked', set: { mode: 0o666 } } });
  const object = ok(made).object!;
  let answer = (): void => {};
  fixture.faults.on('commit', async (_args, proceed) => {
    await new Promise<void>((resolve) => {
      answer = resolve;
    });
    return proceed();
  });
  const late = Promise.resolve(fixture.layer.commit(bench.call, { object, offset: 0, count: 0 }));
  const { after } = (await bench.write(object, 0, pattern(5000))).wcc;
  ok(fixture.memory.write(root, { object, offset: 0, count: 10, stable: 0, data: [pattern(10)] }));
  answer();
  assert.deepEqual(wccOf(ok(await late).wcc.after!), wccOf(after!));
});

it('is not misled by a cache below that lags behind its own write-back', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(5000));
  const before = ok(fixture.memory.getattr(root, { object }));
  const shown = await bench.attributes(object);
  assert.equal((await fixture.writeBack.writeBack()).outcome, 'done');
  const base = ok(fixture.memory.getattr(root, { object })).attributes;
  const remove = fixture.faults.on('getattr', () => before);
  assert.deepEqual(wccOf(await bench.attributes(object)), wccOf(shown));
  await bench.write(object, 5000, pattern(10));
  assert.equal((await bench.attributes(object)).size, 5010);
  remove();
  assert.deepEqual(fixture.base(object), wccOf(base));
});

it('gives pipelined writes wcc data that form one chain', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a');
  const start0 = wccOf(await bench.attributes(object));
  const replies = await Promise.all(
    Array.from({ length: 32 }, (_, index) => bench.write(object, index * 100, pattern(100), Stability.UNSTABLE)),
  );
  let last: WccAttributes = start0;
  for (const { wcc } of replies) {
    assert.deepEqual(wcc.before, last);
    assert.ok(isLater(wcc.after!.mtime, last.mtime) && isLater(wcc.after!.ctime, last.ctime));
    last = wccOf(wcc.after!);
  }
  assert.deepEqual(wccOf(await bench.attributes(object)), last);
  assert.equal(last.size, 3200);
  assert.equal(fixture.faults.calls('write'), 0, 'nothing was written through');
});

it('does not say that a file with data uses no space', async (test) => {
  const { bench } = await start(test);
  const object = await bench.file('a', pattern(100_000));
  const { used } = await bench.attributes(object);
  assert.ok(used >= 100_000 && used < 110_000, `${used}`);
});

it('forgets the presented times of files that were clean for longest, beyond a limit', async (test) => {
  const { fixture, bench } = await start(test, { records: 3 });
  const objects: string[] = [];
  const shown: WccAttributes[] = [];
  for (let i = 0; i < 5; i++) {
    objects.push(await bench.file(`f${i}`, pattern(10)));
    shown.push(wccOf(await bench.attributes(objects[i]!)));
    await fixture.writeBack.writeBack();
  }
  const isKept = [];
  for (const [index, object] of objects.entries()) {
    isKept.push(timeEquals((await bench.attributes(object)).mtime, shown[index]!.mtime));
  }
  assert.deepEqual(isKept, [false, false, true, true, true]);
  assert.equal([...fixture.log.notes('file:')].length, 3);
});
