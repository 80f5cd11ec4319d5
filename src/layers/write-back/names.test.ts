import { strict as assert } from 'node:assert';
import { it } from 'node:test';
import { ok, PlainDrain, pattern, refused, settle, type WriteBackFixture } from '../../testing/mod.ts';
import { type OperationName, Stability, Status } from '../../vfs/mod.ts';
import type { DirtyFiles, DrainContext } from './contract.ts';
import { root, start, stranger } from './front-fixture.test.ts';
import { isLater } from './times.ts';

/** The order in which these operations reach the origin. */
function record(fixture: WriteBackFixture, ...operations: OperationName[]): string[] {
  const seen: string[] = [];
  for (const operation of operations) {
    fixture.faults.on(operation, (_args, proceed) => {
      seen.push(operation);
      return proceed() as never;
    });
  }
  return seen;
}

it('never sends the data of a file that is removed', async (test) => {
  const { fixture, bench } = await start(test);
  await bench.file('temporary', pattern(5000));
  ok(await fixture.layer.remove(bench.call, bench.at('temporary')));
  await settle();
  assert.equal(fixture.log.stats().dirtyFiles, 0);
  assert.equal((await fixture.writeBack.writeBack()).outcome, 'done');
  assert.equal(fixture.faults.calls('write'), 0);
});

it('keeps the data of a file that has another name', async (test) => {
  const { fixture, bench, origin } = await start(test);
  const object = await bench.file('a', pattern(5000));
  ok(await fixture.layer.link(bench.call, { object, where: bench.at('b') }));
  ok(await fixture.layer.remove(bench.call, bench.at('a')));
  await settle();
  assert.ok((await bench.readAll(object)).equals(pattern(5000)));
  await fixture.writeBack.writeBack();
  assert.ok((await origin.readAll(object)).equals(pattern(5000)));
});

it('brings everything to the origin before a name is replaced there', async (test) => {
  const { fixture, bench, origin } = await start(test);
  await bench.file('config', pattern(100, 1));
  const object = await bench.file('config.new', pattern(200, 2));
  const seen = record(fixture, 'write', 'rename');
  ok(await fixture.layer.rename(bench.call, { from: bench.at('config.new'), to: bench.at('config') }));
  assert.deepEqual(seen, ['write', 'write', 'rename']);
  const found = ok(await origin.filesystem.lookup(root, origin.at('config')));
  assert.equal(found.object, object);
  assert.equal(found.attributes?.size, 200);
});

it('does not replace a name if the data behind the new one cannot be brought to the origin', async (test) => {
  const { fixture, bench, origin } = await start(test);
  const old = await bench.file('config', pattern(100, 1));
  await fixture.writeBack.writeBack();
  await bench.file('config.new', pattern(200, 2));
  fixture.faults.on('write', () => ({ status: Status.NOSPC, wcc: {} }));
  const args = { from: bench.at('config.new'), to: bench.at('config') };
  refused(await fixture.layer.rename(bench.call, args), Status.IO);
  assert.equal(ok(await origin.filesystem.lookup(root, origin.at('config'))).object, old);
});

it('renames at once where nothing is replaced, and where kernels hide an open file', async (test) => {
  const { fixture, bench } = await start(test);
  await bench.file('a', pattern(100));
  await bench.file('.nfs0001', pattern(100));
  const seen = record(fixture, 'write', 'rename');
  ok(await fixture.layer.rename(bench.call, { from: bench.at('a'), to: bench.at('b') }));
  ok(await fixture.layer.rename(bench.call, { from: bench.at('b'), to: bench.at('.nfs0001') }));
  assert.deepEqual(seen, ['rename', 'rename']);
  await settle();
  assert.equal(fixture.log.stats().dirtyFiles, 1, 'the replaced file had dirty data, which are void');
  assert.equal(fixture.writeBack.status().files[0]?.path, '.nfs0001');
});

it('keeps a rollback journal at the origin until what it protects is there', async (test) => {
  const { fixture, bench, origin } = await start(test);
  const database = await bench.file('db', pattern(8192, 1));
  await fixture.writeBack.writeBack();
  const journal = await bench.file('db-journal');
  const sync = (object: string) => fixture.layer.commit(bench.call, { object, offset: 0, count: 0 });
  await bench.write(journal, 0, pattern(4096, 1), Stability.UNSTABLE);
  ok(await sync(journal));
  await bench.write(database, 0, pattern(4096, 2), Stability.UNSTABLE);
  ok(await sync(database));
  const seen = record(fixture, 'write', 'remove');
  ok(await fixture.layer.remove(bench.call, bench.at('db-journal')));
  assert.deepEqual(seen, ['write', 'write', 'remove']);
  assert.ok((await origin.readAll(database, 0, 4096)).equals(pattern(4096, 2)));
});

it('keeps a clean journal, it may be an older one, until what was overwritten is at the origin', async (test) => {
  const { fixture, bench } = await start(test);
  const database = await bench.file('db', pattern(8192, 1));
  await bench.file('db-journal', pattern(4096, 1));
  await bench.file('db-old', pattern(4096, 1));
  await bench.folder('folder');
  await fixture.writeBack.writeBack();
  const seen = record(fixture, 'write', 'remove', 'rename');
  await bench.write(database, 4096, pattern(4096, 2), Stability.UNSTABLE);
  ok(await fixture.layer.rename(bench.call, { from: bench.at('folder'), to: bench.at('directory') }));
  ok(await fixture.layer.remove(bench.call, bench.at('db-journal')));
  assert.deepEqual(seen.splice(0), ['rename', 'write', 'remove']);
  ok(await fixture.layer.setattr(bench.call, { object: database, set: { size: 100 } }));
  ok(await fixture.layer.rename(bench.call, { from: bench.at('db-old'), to: bench.at('db-older') }));
  assert.equal(fixture.log.stats().dirtyFiles, 0, 'the truncation is at the origin');
  seen.splice(0);
  await bench.write(database, 100, pattern(100, 3), Stability.UNSTABLE);
  ok(await fixture.layer.remove(bench.call, bench.at('db-older')));
  assert.deepEqual(seen.splice(0), ['remove'], 'nothing was overwritten');
});

it('keeps a journal of bytes that themselves wait here', async (test) => {
  const { fixture, bench, origin } = await start(test);
  const sync = (object: string) => fixture.layer.commit(bench.call, { object, offset: 0, count: 0 });
  const database = await bench.file('db', pattern(8192, 1));
  ok(await sync(database));
  const journal = await bench.file('db-journal', pattern(4096, 1));
  ok(await sync(journal));
  await bench.write(database, 0, pattern(4096, 2), Stability.UNSTABLE);
  const seen = record(fixture, 'write', 'remove');
  ok(await fixture.layer.remove(bench.call, bench.at('db-journal')));
  assert.deepEqual(seen, ['write', 'write', 'write', 'remove']);
  assert.ok((await origin.readAll(database, 0, 4096)).equals(pattern(4096, 2)));
});

it('keeps a journal of which a part has been written back already', async (test) => {
  const { fixture, bench } = await start(test);
  const sync = (object: string) => fixture.layer.commit(bench.call, { object, offset: 0, count: 0 });
  const database = await bench.file('db', pattern(8192, 1));
  const journal = await bench.file('db-journal', pattern(4096, 1));
  await fixture.writeBack.writeBack();
  await bench.write(database, 0, pattern(4096, 2), Stability.UNSTABLE);
  await bench.write(journal, 4096, pattern(4096, 1), Stability.UNSTABLE);
  ok(await sync(journal));
  const seen = record(fixture, 'write', 'remove');
  ok(await fixture.layer.remove(bench.call, bench.at('db-journal')));
  assert.deepEqual(seen, ['write', 'write', 'remove']);
});

it('does not wait for the data of new files when another file is removed', async (test) => {
  const { fixture, bench } = await start(test);
  const one = await bench.file('a.s', pattern(4096, 1));
  ok(await fixture.layer.commit(bench.call, { object: one, offset: 0, count: 0 }));
  await bench.file('a.o', pattern(4096, 2));
  const seen = record(fixture, 'write', 'remove');
  ok(await fixture.layer.remove(bench.call, bench.at('a.s')));
  assert.deepEqual(seen, ['remove']);
});

it('refuses to remove a journal while what it protects cannot be brought to the origin', async (test) => {
  const { fixture, bench, origin } = await start(test);
  const database = await bench.file('db', pattern(8192, 1));
  await fixture.writeBack.writeBack();
  await bench.file('db-journal', pattern(4096, 1));
  await bench.write(database, 0, pattern(4096, 2));
  fixture.faults.on('write', () => ({ status: Status.NOSPC, wcc: {} }));
  refused(await fixture.layer.remove(bench.call, bench.at('db-journal')), Status.IO);
  ok(await origin.filesystem.lookup(root, origin.at('db-journal')));
});

it('truncates by CREATE here, in the order of the log, whatever is dirty', async (test) => {
  const { fixture, bench, origin } = await start(test);
  const object = await bench.file('a', pattern(5000));
  await fixture.layer.commit(bench.call, { object, offset: 0, count: 0 });
  await bench.write(object, 5000, pattern(100), Stability.UNSTABLE);
  const before = await bench.attributes(object);
  const how = { mode: 'unchecked', set: { size: 0, mode: 0o600 } } as const;
  const reply = ok(await fixture.layer.create(bench.call, { where: bench.at('a'), how }));
  assert.deepEqual([reply.object, reply.attributes?.size, reply.attributes?.mode], [object, 0, 0o644]);
  assert.ok(isLater(reply.attributes!.mtime, before.mtime));
  assert.deepEqual(await bench.attributes(object), reply.attributes);
  await bench.write(object, 10, pattern(10), Stability.UNSTABLE);
  const expected = Buffer.concat([Buffer.alloc(10), pattern(10)]);
  assert.ok((await bench.readAll(object)).equals(expected));
  await fixture.reopen('kill');
  assert.equal(ok(await fixture.layer.getattr(root, { object })).attributes.size, 20);
  await fixture.writeBack.writeBack();
  assert.ok((await origin.readAll(object)).equals(expected));
});

it('truncates by CREATE only for those who may write the file', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(500), { mode: 0o644 });
  const how = { mode: 'unchecked', set: { size: 0 } } as const;
  refused(await fixture.layer.create(stranger, { where: bench.at('a'), how }), Status.ACCES);
  assert.equal((await bench.attributes(object)).size, 500);
});

it('closes an epoch with each operation on names', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a');
  const epochs: number[] = [];
  const how = { mode: 'guarded', set: {} } as const;
  const operations = [
    () => fixture.layer.create(bench.call, { where: bench.at('new'), how }),
    () => fixture.layer.mkdir(bench.call, { where: bench.at('folder'), set: {} }),
    () => fixture.layer.link(bench.call, { object, where: bench.at('link') }),
    () => fixture.layer.rename(bench.call, { from: bench.at('link'), to: bench.at('moved') }),
    () => fixture.layer.remove(bench.call, bench.at('moved')),
    () => fixture.layer.rmdir(bench.call, bench.at('folder')),
  ];
  for (const operation of operations) {
    await bench.write(object, 0, pattern(1), Stability.UNSTABLE);
    ok(await operation());
    epochs.push(fixture.log.epochs().filter((epoch) => epoch.sealedMs !== undefined).length);
  }
  assert.deepEqual(epochs, [1, 2, 3, 4, 5, 6]);
});

it('removes no dirty file while the log cannot note it', async (test) => {
  const { fixture, bench } = await start(test);
  await bench.file('temporary', pattern(5000));
  await bench.file('other', pattern(5000));
  const seen = record(fixture, 'remove');
  const sync = fixture.log.sync;
  fixture.log.sync = () => Promise.reject(new Error('the disk fails'));
  refused(await fixture.layer.remove(bench.call, bench.at('temporary')), Status.IO);
  fixture.log.sync = sync;
  assert.deepEqual(seen, []);
  ok(await fixture.layer.remove(bench.call, bench.at('temporary')));
});

it('notes durably that a dirty file is removed before it is, until it is known whether it is gone', async (test) => {
  let files: DirtyFiles | undefined;
  const createDrain = (context: DrainContext) => {
    files = context.files;
    return new PlainDrain(context);
  };
  const { fixture, bench } = await start(test, { createDrain });
  const isLeaving = (object: string) => files?.get(object)?.isLeaving;
  const kept = await bench.file('kept', pattern(500));
  ok(await fixture.layer.link(bench.call, { object: kept, where: bench.at('also') }));
  ok(await fixture.layer.remove(bench.call, bench.at('kept')));
  await settle();
  assert.equal(isLeaving(kept), undefined, 'it has another name');
  const object = await bench.file('temporary', pattern(5000));
  ok(await fixture.layer.commit(bench.call, { object, offset: 0, count: 0 }));
  // The proof that it is gone never comes.
  fixture.faults.on('getattr', () => new Promise(() => {}));
  ok(await fixture.layer.remove(bench.call, bench.at('temporary')));
  await fixture.reopen('power');
  assert.equal(fixture.log.stats().dirtyFiles, 2);
  assert.deepEqual([isLeaving(kept), isLeaving(object)], [undefined, true]);
});

it('lets nothing join an epoch of a life before, whose end may be lost', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(500));
  for (const how of ['kill', 'power', 'close'] as const) {
    ok(await fixture.layer.setattr(bench.call, { object, set: { size: 100 } }));
    assert.equal(fixture.log.epochs().at(-1)?.sealedMs, undefined);
    const count = fixture.log.epochs().length;
    await fixture.reopen(how);
    assert.notEqual(fixture.log.epochs().at(-1)?.sealedMs, undefined, how);
    assert.equal(fixture.log.epochs().length, count);
  }
});

it('remembers a name of a dirty file over renames and restarts', async (test) => {
  const { fixture, bench } = await start(test);
  const folder = await bench.folder('folder');
  await bench.file('a', pattern(10));
  const path = () => fixture.writeBack.status().files[0]?.path;
  assert.equal(path(), 'a');
  ok(await fixture.layer.rename(bench.call, { from: bench.at('a'), to: bench.at('b', folder) }));
  assert.equal(path(), 'folder/b');
  await fixture.reopen('kill');
  assert.equal(path(), 'folder/b', 'though nobody has looked the folder up since');
  ok(await fixture.layer.lookup(bench.call, bench.at('folder')));
  assert.equal(path(), 'folder/b');
});

it('knows the new name of a file that was renamed while it was clean', async (test) => {
  const { fixture, bench } = await start(test);
  const object = await bench.file('a', pattern(10));
  await fixture.writeBack.writeBack();
  assert.equal(fixture.writeBack.status().dirtyFiles, 0);
  ok(await fixture.layer.rename(bench.call, { from: bench.at('a'), to: bench.at('b') }));
  ok(await fixture.layer.lookup(bench.call, bench.at('b')));
  await bench.write(object, 0, pattern(5, 2), Stability.UNSTABLE);
  assert.equal(fixture.writeBack.status().files[0]?.path, 'b');
});
