/** Learned prefetch of many files, and with origins that take or answer nothing. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type FileHandle, Status, type WorkingSetPublisher } from '../../vfs/mod.ts';
import { alice, KiB, MiB, makeFile, root } from '../block-cache/house.test.ts';
import { boot, minute, Place, type Session, sparseFile } from './place.test.ts';

describe('however many files there are', () => {
  const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `file ${index}`);
  const write = async (session: Session, object: FileHandle): Promise<void> => {
    const args = { object, offset: 0, count: 4096, stable: 0, data: [Buffer.alloc(4096, 1)] } as const;
    assert.equal((await session.wait(session.layer.write(alice, args))).status, 0);
  };

  test('those that were written and removed are forgotten, and keep nothing from being learned', async () => {
    const at = new Place();
    sparseFile(at.memory, 200 * MiB);
    const session = at.session();
    for (const name of names(70)) {
      await write(session, makeFile(at.memory, 0, 0o666, name));
      void at.memory.remove(root, { directory: at.memory.root, name });
    }
    // While they are remembered, too.
    await session.read(await session.open('file'), boot);
    await at.clock.advance(10 * minute);
    assert.equal(at.clock.timers(), 0, 'nothing is looked at any more');
    assert.deepEqual(at.shelf.of('boot'), boot);
    await session.close();
  });

  test('what is remembered of them is bounded: a recording ends before its time, and is kept', async () => {
    const at = new Place();
    for (const name of names(3)) sparseFile(at.memory, 200 * MiB, name);
    const session = at.session({ memoryBytes: 500 });
    const objects: FileHandle[] = [];
    for (const name of names(3)) objects.push(await session.open(name));
    for (const object of objects) await session.read(object, boot);
    await at.clock.advance(11_000);
    assert.equal(at.told.length, 2);
    assert.equal(session.layer.stats().recording, 1);
    await session.close();
    assert.equal(at.told.length, 3);
    for (const { set } of at.told) assert.deepEqual([...set.blocks], boot);
  });

  test('the end tells a bounded number of them at a time', async () => {
    const at = new Place();
    let [now, most, all] = [0, 0, 0];
    const publisher: WorkingSetPublisher = {
      canPublish: () => true,
      async publishWorkingSet() {
        most = Math.max(most, ++now);
        all++;
        await new Promise<void>((resolve) => at.clock.after(10, resolve));
        now--;
        return { status: 0 };
      },
    };
    const session = at.session({ publisher }, 0);
    for (const name of names(30)) {
      sparseFile(at.memory, 200 * MiB, name);
      await session.read(await session.open(name), boot.slice(0, 10));
    }
    await session.close();
    assert.deepEqual([most, all], [8, 30]);
  });
});

test('an origin whose answer is none ends what was wanted, and nothing else', async () => {
  const at = new Place();
  sparseFile(at.memory, 200 * MiB);
  const first = at.session();
  await first.read(await first.open('file'), boot);
  await first.close();
  const session = at.session();
  const object = await session.open('file');
  at.origin.on('access', () => Promise.reject(new Error('no answer')));
  await assert.rejects(session.wait(session.layer.read(alice, { object, offset: 0, count: 4 * KiB })), /no answer/);
  await at.clock.advance(1_000);
  assert.equal(session.layer.stats().leftBytes, 0);
  await session.close();
});

test('what the origin does not take, it is told once more at the end', async () => {
  for (const isRefused of [true, false]) {
    const at = new Place();
    sparseFile(at.memory, 200 * MiB);
    let isBack = false;
    const publisher: WorkingSetPublisher = {
      canPublish: () => isRefused || isBack,
      publishWorkingSet: async (call, args) =>
        isBack ? at.publisher.publishWorkingSet(call, args) : { status: Status.JUKEBOX },
    };
    const session = at.session({ publisher });
    const object = await session.open('file');
    await session.read(object, boot);
    await at.clock.advance(3 * minute);
    // No part of it.
    await session.read(object, [5, 15, 25]);
    isBack = true;
    await session.close();
    assert.deepEqual(
      at.told.map(({ set }) => [...set.blocks]),
      [boot],
    );
  }
});
