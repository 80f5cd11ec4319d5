/** Learned prefetch over a block cache and a memory origin, on a simulated clock. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { silentLog } from '../base/mod.ts';
import { filesystemSuite, MemoryFilesystem } from '../testing/mod.ts';
import { type FileHandle, Status, stampOfAttributes } from '../vfs/mod.ts';
import { alice, KiB, MiB, makeFile, root } from './block-cache/house.test.ts';
import { attributesOf, block, boot, minute, Place, Shelf, sparseFile } from './working-sets/place.test.ts';
import { WorkingSets } from './working-sets.ts';

filesystemSuite('working sets over memory', async () => {
  const clock = { now: () => performance.now(), wallTimeMs: () => Date.now(), after: () => ({ cancel() {} }) };
  const fetcher = { want: () => 0 as const, stats: () => ({ wantedBytes: 0, lastDemandMs: undefined }) };
  const store = new Shelf();
  const options = {
    fetcher,
    store,
    publisher: undefined,
    purpose: 'boot',
    mode: 'working-set',
    cacheBytes: MiB,
  } as const;
  const filesystem = new WorkingSets(new MemoryFilesystem(), { ...options, clock, log: silentLog });
  return { filesystem, cleanup: () => filesystem.close() };
});

describe('what a run touches', () => {
  test('is kept in its order when two minutes are quiet, and told to the origin once', async () => {
    const at = new Place();
    sparseFile(at.memory, 200 * MiB);
    const session = at.session();
    const object = await session.open('file');
    await session.read(object, boot);
    await session.read(object, boot.slice(0, 10));
    await at.clock.advance(3 * minute);
    assert.deepEqual(at.shelf.of('boot'), boot);
    assert.deepEqual(
      at.told.map(({ name, set }) => [name, set.purpose, set.runs, [...set.blocks]]),
      [['file', 'boot', 1, boot]],
    );
    // What comes later is no part of it.
    await session.read(object, [5, 15, 25]);
    await session.close();
    assert.deepEqual(at.shelf.of('boot'), boot);
    assert.equal(at.told.length, 1);
    assert.equal(at.clock.timers(), 0);
  });

  test('is kept every minute while it grows, and at the end', async () => {
    const at = new Place();
    sparseFile(at.memory, 200 * MiB);
    const session = at.session();
    const object = await session.open('file');
    await session.read(object, boot.slice(0, 20));
    await at.clock.advance(61_000);
    assert.equal(at.shelf.of('boot')?.length, 20);
    assert.equal(at.told.length, 0);
    await session.read(object, boot.slice(20, 30));
    await session.close();
    assert.deepEqual(at.shelf.of('boot'), boot.slice(0, 30));
    assert.equal(at.told.length, 1);
  });

  test('ends after ten minutes however busy the file is', async () => {
    const at = new Place();
    sparseFile(at.memory, 2000 * MiB);
    const session = at.session();
    const object = await session.open('file');
    for (let count = 0; count < 30; count++) {
      await session.read(object, [count * 1000]);
      await at.clock.advance(30_000);
    }
    await session.close();
    const kept = at.shelf.of('boot')!;
    assert.ok(kept.length >= 20 && kept.length <= 22, `${kept.length} blocks`);
  });

  for (const [what, blocks] of [
    ['a copy of the whole file', Array.from({ length: 3200 }, (_, index) => index)],
    ['a look at its head', [0, 1, 2]],
  ] as const) {
    test(`teaches nothing if it is ${what}`, async () => {
      const at = new Place();
      sparseFile(at.memory, 200 * MiB);
      const session = at.session({}, 0);
      const object = await session.open('file');
      for (const one of blocks) {
        const reply = await session.wait(session.layer.read(alice, { object, offset: one * block, count: block }));
        assert.ok(reply.status === 0);
        reply.release?.();
      }
      await session.close();
      assert.equal(at.shelf.sets.size + at.told.length, 0);
    });
  }

  test('by another Viaduct, in small files and in `.viaduct` teaches nothing', async () => {
    const at = new Place();
    sparseFile(at.memory, 200 * MiB);
    sparseFile(at.memory, 900 * KiB, 'small');
    const session = at.session();
    const viaduct = { ...alice, isViaduct: true };
    const object = await session.open('file');
    for (const one of boot) await session.wait(session.layer.read(viaduct, { object, offset: one * block, count: 1 }));
    await session.read(await session.open('small'), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    await session.close();
    assert.equal(at.shelf.sets.size + at.told.length, 0);
  });

  test('and what it writes is a set of its own, of the last run only', async () => {
    const at = new Place();
    const name = sparseFile(at.memory, 200 * MiB);
    for (const first of [100, 500]) {
      const session = at.session();
      const object = await session.open('file');
      assert.equal(object, name);
      for (let index = 0; index < 12; index++) {
        const args = {
          object,
          offset: (first + 2 * index) * block,
          count: 4096,
          stable: 0,
          data: [Buffer.alloc(4096, 1)],
        } as const;
        assert.equal((await session.wait(session.layer.write(alice, args))).status, 0);
      }
      await session.close();
      assert.deepEqual(
        at.shelf.of('written'),
        Array.from({ length: 12 }, (_, index) => first + 2 * index),
      );
    }
    assert.deepEqual(
      at.told.map(({ set }) => set.purpose),
      ['written', 'written'],
    );
  });
});

describe('the next run', () => {
  test('finds what the last one touched fetched in its order, once, at its first read', async () => {
    const at = new Place();
    const file = sparseFile(at.memory, 200 * MiB);
    const first = at.session();
    await first.read(await first.open('file'), boot);
    await first.close();

    const second = at.session();
    const blocks = at.watch(file);
    const object = await second.open('file');
    assert.deepEqual(blocks(), [], 'a look-up fetches nothing');
    await second.read(object, boot.slice(0, 1));
    await at.clock.advance(1000);
    assert.deepEqual(blocks(), boot);
    const before = second.fetcher.stats().misses;
    await second.read(object, boot);
    assert.equal(second.fetcher.stats().misses, before);
    assert.equal(blocks().length, boot.length);
    const { fetchedBytes, usedBytes, known, knownOlder, leftBytes, lastDemandAfterMs } = second.layer.stats();
    assert.equal(fetchedBytes, (boot.length - 1) * block);
    assert.equal(usedBytes, (boot.length - 1) * block);
    assert.deepEqual([known, knownOlder, leftBytes], [1, 0, 0]);
    assert.ok(lastDemandAfterMs! < 200, `${lastDemandAfterMs} ms until the last demand`);
    await second.close();
  });

  test('fetches no block twice that a reader asked for first', async () => {
    const at = new Place();
    const file = sparseFile(at.memory, 200 * MiB);
    const first = at.session();
    await first.read(await first.open('file'), boot);
    await first.close();
    const second = at.session();
    const blocks = at.watch(file);
    const object = await second.open('file');
    await second.read(object, boot.toReversed());
    await at.clock.advance(1000);
    assert.deepEqual(blocks().toSorted(), boot.toSorted());
    await second.close();
  });

  test('uses what another host told the origin, also of an older version, as far as the file goes', async () => {
    const at = new Place();
    const file = sparseFile(at.memory, 200 * MiB);
    const stamp = { ...stampOfAttributes(attributesOf(at.memory, file)), size: 400 * MiB };
    const gone = [5000, 5010];
    const set = {
      stamp,
      purpose: 'boot',
      blocks: Uint32Array.from([...boot, ...gone]),
      weights: new Uint8Array(62).fill(1),
      runs: 1,
    };
    await at.putSet('file', set);
    const session = at.session();
    const object = await session.open('file');
    const blocks = at.watch(file);
    await session.read(object, [7]);
    await at.clock.advance(1000);
    assert.deepEqual(blocks(), [7, ...boot]);
    const { known, knownOlder, fetchedBytes } = session.layer.stats();
    assert.deepEqual([known, knownOlder, fetchedBytes], [1, 1, boot.length * block]);
    await session.close();

    // What is asked for by name is found where nothing is fetched by itself, too.
    const quiet = at.session({ mode: 'on-demand', store: new Shelf() });
    const same = await quiet.open('file');
    const warming = await quiet.wait(quiet.layer.warm(alice, same, attributesOf(at.memory, file), false));
    assert.ok(warming.status === 0);
    assert.equal(warming.blocks, boot.length);
    await quiet.close();
  });

  test('fetches nothing on demand only, and all of it as a whole, after the set', async () => {
    const at = new Place();
    const file = sparseFile(at.memory, 100 * MiB);
    const blocksOfSet = boot.map((one) => one - 1000);
    const first = at.session();
    await first.read(await first.open('file'), blocksOfSet);
    await first.close();
    for (const mode of ['on-demand', 'whole'] as const) {
      const session = at.session({ mode });
      const blocks = at.watch(file);
      await session.read(await session.open('file'), blocksOfSet.slice(0, 1));
      await at.clock.advance(60_000);
      if (mode === 'on-demand') assert.deepEqual(session.layer.stats().fetchedBytes, 0);
      else {
        const asked = blocks();
        assert.deepEqual(asked.slice(0, boot.length), blocksOfSet);
        assert.deepEqual(
          asked.toSorted((a, b) => a - b),
          Array.from({ length: 1600 }, (_, index) => index),
        );
      }
      await session.close();
    }
  });

  test('does not fetch a file as a whole that the cache cannot hold', async () => {
    const at = new Place();
    const file = sparseFile(at.memory, 100 * MiB);
    const session = at.session({ mode: 'whole', cacheBytes: 120 * MiB });
    const object = await session.open('file');
    await session.read(object, [3]);
    await at.clock.advance(10_000);
    assert.equal(session.layer.stats().fetchedBytes, 0);
    const warming = await session.layer.warm(alice, object, attributesOf(at.memory, file), true);
    assert.equal(warming.status, 'too-large');
    await session.close();
  });
});

test('a file that is gone, or was not fetched, leaves its room to others that are wanted as a whole', async () => {
  const at = new Place();
  const [first, second, empty] = ['first', 'second', 'empty'].map((name) =>
    sparseFile(at.memory, name === 'empty' ? 0 : 80 * MiB, name),
  );
  const session = at.session({ mode: 'whole', cacheBytes: 120 * MiB });
  await session.read(await session.open('first'), [3]);
  await at.clock.advance(minute);
  const bytes = session.layer.stats().fetchedBytes;
  assert.equal(bytes, 80 * MiB - block);
  const warm = async (object: FileHandle | undefined) =>
    session.wait(session.layer.warm(alice, object!, attributesOf(at.memory, object!), true));
  assert.equal((await warm(second)).status, 'too-large');
  assert.equal((await warm(empty)).status, 0);
  const remove = { directory: at.memory.root, name: 'first' };
  assert.equal((await session.wait(session.layer.remove(root, remove))).status, 0);
  assert.ok(first !== second);
  const begun = await warm(second);
  assert.equal(begun.status, 0);
  if (begun.status === 0) {
    // Nobody wants it any more: what came of it is all that counts.
    begun.wanted.giveUp();
    await session.wait(begun.wanted.ended);
  }
  const third = sparseFile(at.memory, 80 * MiB, 'third');
  assert.equal((await warm(third)).status, 0);
  await session.close();
});

describe('warming', () => {
  test('brings a whole file that nobody has read, and ends', async () => {
    const at = new Place();
    const file = sparseFile(at.memory, 50 * MiB);
    const session = at.session();
    const warming = await session.wait(session.layer.warm(alice, file, attributesOf(at.memory, file), true));
    assert.ok(warming.status === 0);
    assert.equal(warming.blocks, 800);
    await session.wait(warming.wanted.ended);
    assert.deepEqual([warming.wanted.failedBlocks, warming.wanted.isGivenUp, warming.wanted.leftBlocks], [0, false, 0]);
    const calls = at.origin.calls('read');
    await session.read(await session.open('file'), [1, 500, 799]);
    assert.equal(at.origin.calls('read'), calls);
    await session.close();
  });

  test('says so if no working set is known, or the caller may not read', async () => {
    const at = new Place();
    const file = makeFile(at.memory, 2 * MiB, 0o600);
    const session = at.session();
    const attributes = attributesOf(at.memory, file);
    assert.equal((await session.wait(session.layer.warm(alice, file, attributes, false))).status, 'no-set');
    const stranger = { ...alice, credential: { ...alice.credential, uid: 77, gid: 77, key: '77' } };
    assert.equal((await session.wait(session.layer.warm(stranger, file, attributes, true))).status, Status.ACCES);
    await session.close();
  });
});
