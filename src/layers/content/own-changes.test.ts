/** Described files that are written: what is ours is never hidden by what was described, and the rest stays described. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seededRandom, systemClock } from '../../base/mod.ts';
import { chooser, describeFile, FaultLayer, MemoryFilesystem, patternBytes } from '../../testing/mod.ts';
import { type FileHandle, Status } from '../../vfs/mod.ts';
import { MemoryCache } from '../block-cache/memory-cache.test.ts';
import { BlockCache } from '../block-cache.ts';
import { Content } from '../content.ts';
import { noReadAhead } from '../read-ahead/mod.ts';
import { ahead, alice, House, imageBytes, root } from './content-house.test.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

async function write(house: House, object: FileHandle, image: Buffer, offset: number, data: Buffer): Promise<void> {
  const reply = await house.top.write(alice, { object, offset, count: data.length, stable: 0, data: [data] });
  assert.equal(reply.status, 0);
  data.copy(image, offset);
}

describe('own changes', () => {
  test('what was written is read back; what was not stays described', async () => {
    await using house = await House.open();
    const image = imageBytes(4 * MiB);
    const object = await house.file('disk', image);
    await house.lookup('disk');
    await house.read(object, 0, 4 * KiB);
    const plain = house.countReads(object);
    // Into zeros, into data, across both, a part of a sector.
    for (const [offset, count] of [
      [0, 4096],
      [100_000, 50_000],
      [3 * 64 * KiB - 10, 20],
      [2 * MiB + 17, 3],
    ] as const) {
      await write(house, object, image, offset, patternBytes(offset, offset, count));
      assert.ok((await house.read(object, offset, count)).equals(image.subarray(offset, offset + count)));
    }
    await house.check(object, image);
    assert.ok(plain() < 200 * KiB, `${plain()} bytes of the file itself`);
    assert.ok(house.content.stats().packBytes > 0.5 * MiB);
    assert.equal(house.content.stats().files, 1);
  });

  test('a file that is cut and grows again has zeros there, and nothing of before', async () => {
    await using house = await House.open();
    const image = imageBytes(2 * MiB);
    const object = await house.file('disk', image);
    await house.lookup('disk');
    await house.check(object, image);
    for (const size of [1 * MiB + 100, 2 * MiB, 3 * MiB]) {
      const reply = await house.top.setattr(alice, { object, set: { size } });
      assert.equal(reply.status, 0);
    }
    const wanted = Buffer.alloc(3 * MiB);
    image.copy(wanted, 0, 0, MiB + 100);
    await house.check(object, wanted);
  });

  test('a change by somebody else ends the description', async () => {
    await using house = await House.open();
    const image = imageBytes(2 * MiB);
    const object = await house.file('disk', image);
    await house.lookup('disk');
    await house.check(object, image);
    const data = [patternBytes(5, 0, 64 * KiB)];
    house.memory.write(root, { object, offset: 0, count: 64 * KiB, stable: 2, data });
    data[0]!.copy(image, 0);
    // Any reply that shows the new attributes will do.
    await house.top.setattr(alice, { object, set: { mode: 0o600 } });
    await house.check(object, image);
    assert.equal(house.content.stats().files, 0);
  });

  test('a write of another session of this host shows, also where zeros were described', async () => {
    const clock = systemClock;
    const memory = new MemoryFilesystem();
    const origin = new FaultLayer(memory);
    const store = new MemoryCache({ clock, random: seededRandom(1) });
    await using house = await House.open();
    const sessions = [1, 2].map(() => {
      const content = new Content(origin, { store, hints: house.hints, clock, log: house.log });
      const top = new BlockCache(content, { cache: content.blocks, clock, log: house.log, readAhead: noReadAhead });
      return { content, top };
    });
    const image = imageBytes(MiB + 5);
    const where = { directory: memory.root, name: 'disk' };
    const set = { mode: 0o644, uid: 1000, gid: 1000 };
    const made = memory.create(root, { where, how: { mode: 'guarded', set } });
    assert.ok(made.status === 0 && made.object !== undefined);
    const { object } = made;
    memory.write(root, { object, offset: 0, count: image.length, stable: 2, data: [image] });
    await describeFile(memory, memory.root, 'disk', image);
    for (const { top } of sessions) {
      await top.lookup(alice, where);
      assert.ok((await house.read(object, 0, 256 * KiB, alice, top)).equals(image.subarray(0, 256 * KiB)));
    }
    const [one, other] = sessions;
    for (const offset of [0, 6 * 64 * KiB + 5, 64 * KiB]) {
      const data = patternBytes(offset + 1, 0, 5000);
      const reply = await one!.top.write(alice, { object, offset, count: 5000, stable: 0, data: [data] });
      assert.equal(reply.status, 0);
      data.copy(image, offset);
      for (const { top } of [other!, one!]) {
        assert.ok((await house.read(object, offset, 5000, alice, top)).equals(data), `at ${offset}`);
      }
    }
    for (const { top } of sessions) await top.close();
  });
});

/** What the file held at each of its states, by the time of the change that made it. */
class History {
  readonly states = new Map<string, Buffer>();

  note(house: House, object: FileHandle): void {
    const got = house.memory.getattr(root, { object });
    assert.ok(got.status === 0);
    const content = house.memory.contentOf(object, 'now');
    this.states.set(timeOf(got.attributes), content.read(0, content.size));
  }
}

function timeOf({ ctime }: { readonly ctime: { readonly seconds: number; readonly nanoseconds: number } }): string {
  return `${ctime.seconds}.${ctime.nanoseconds}`;
}

test('whatever happens to the file while it is read, a reply holds one state of it: the one that it shows', async (t) => {
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    t.diagnostic(`seed ${seed}`);
    const choose = chooser(seed);
    const history = new History();
    let object: FileHandle | undefined;
    let isStormy = false;
    await using house = await House.open({ isLight: true });
    const foreignWrite = (): void => {
      if (object === undefined) return;
      const offset = choose(MiB);
      const count = 1 + choose(100 * KiB);
      house.memory.write(root, { object, offset, count, stable: 2, data: [patternBytes(choose(1000), 0, count)] });
      history.note(house, object);
    };
    house.origin.on('read', async (_args, proceed) => {
      if (isStormy && choose(12) === 0) foreignWrite();
      await new Promise((resolve) => setImmediate(resolve));
      const reply = await proceed();
      if (isStormy && choose(12) === 0) foreignWrite();
      return reply;
    });
    let image = imageBytes(MiB + 777, seed);
    object = await house.file('disk', image);
    history.note(house, object);
    await house.lookup('disk');
    for (let step = 0; step < 60; step++) {
      isStormy = step % 20 > 10;
      const what = choose(10);
      if (what === 0) {
        const offset = choose(MiB);
        const data = patternBytes(step, 0, 1 + choose(70 * KiB));
        await house.top.write(alice, { object, offset, count: data.length, stable: 0, data: [data] });
        history.note(house, object);
      } else if (what === 1) {
        const content = house.memory.contentOf(object, 'now');
        image = content.read(0, content.size);
        await describeFile(house.memory, house.memory.root, 'disk', image, step);
        house.content.invalidate();
        await house.lookup('disk');
      } else {
        const over = choose(2) === 0 ? house.top : house.content;
        const offset = choose(MiB);
        const count = 1 + choose(300 * KiB);
        const reply = await over.read(choose(2) === 0 ? alice : ahead, { object, offset, count });
        if (reply.status !== 0) assert.equal(reply.status, Status.OK);
        else {
          assert.ok(reply.attributes !== undefined);
          const state = history.states.get(timeOf(reply.attributes));
          assert.ok(state !== undefined, `step ${step}: a state that never was`);
          const got = Buffer.concat(reply.data as Uint8Array[]);
          assert.ok(got.equals(state.subarray(offset, offset + reply.count)), `step ${step}: bytes at ${offset}`);
          reply.release?.();
        }
      }
    }
  }
});
