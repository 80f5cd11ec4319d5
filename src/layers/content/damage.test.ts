/** Meta-data and packs that are damaged, old, foreign or gone: the file's bytes are right all the same, and come from the file. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { contentDirectory, groupChunks, metaName, packName } from '../../content/mod.ts';
import { makeContent } from '../../testing/mod.ts';
import { type Attributes, type FileHandle, Status, stampOfAttributes } from '../../vfs/mod.ts';
import { ahead, House, imageBytes, root } from './content-house.test.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const bytes = imageBytes(MiB + 12_345);

function attributesOf(house: House, object: FileHandle): Attributes {
  const got = house.memory.getattr(root, { object });
  assert.ok(got.status === 0);
  return got.attributes;
}

async function withFile<T>(work: (house: House, object: FileHandle) => Promise<T>): Promise<T> {
  await using house = await House.open({ isLight: true });
  const object = await house.file('disk', bytes, false);
  return await work(house, object);
}

/** Read through the layer, once in large READs ahead of need and once through the cache. */
async function isRight(house: House, object: FileHandle, wanted = bytes): Promise<void> {
  await house.lookup('disk');
  for (let offset = 0; offset < wanted.length; offset += 300 * KiB) {
    const got = await house.read(object, offset, 300 * KiB, ahead, house.content);
    assert.ok(got.equals(wanted.subarray(offset, offset + 300 * KiB)), `bytes from ${offset} on`);
  }
  await house.check(object, wanted, 128 * KiB);
}

function hiddenFile(house: House, name: string): FileHandle {
  const hidden = house.memory.lookup(root, { directory: house.memory.root, name: contentDirectory });
  assert.ok(hidden.status === 0);
  const found = house.memory.lookup(root, { directory: hidden.object, name });
  assert.ok(found.status === 0);
  return found.object;
}

describe('damage', () => {
  test('a bit flipped anywhere in the meta-data', async () => {
    const { length } = await withFile(async (house, object) => {
      const { meta } = await makeContent(bytes, stampOfAttributes(attributesOf(house, object)));
      return meta;
    });
    // All of the header's fields, and places all over the rest.
    const positions = Array.from({ length: 150 }, (_, index) => (index < 60 ? index * 3 : (index * 7919) % length));
    for (const [index, position] of positions.entries()) {
      await withFile(async (house, object) => {
        const made = await makeContent(bytes, stampOfAttributes(attributesOf(house, object)));
        made.meta[position]! ^= 1 << (index & 7);
        await house.put('disk', made);
        await isRight(house, object).catch((error: unknown) => {
          throw new Error(`bit ${index & 7} of byte ${position}`, { cause: error });
        });
      });
    }
  });

  test('a bit flipped anywhere in the pack', async () => {
    const { length } = await withFile(async (house, object) => {
      const { pack } = await makeContent(bytes, stampOfAttributes(attributesOf(house, object)));
      return pack;
    });
    const positions = Array.from({ length: 90 }, (_, index) => (index < 20 ? index : (index * 104_729) % length));
    let damaged = 0;
    for (const [index, position] of positions.entries()) {
      await withFile(async (house, object) => {
        const made = await makeContent(bytes, stampOfAttributes(attributesOf(house, object)));
        made.pack[position]! ^= 1 << (index & 7);
        await house.put('disk', made);
        await isRight(house, object).catch((error: unknown) => {
          throw new Error(`bit ${index & 7} of byte ${position}`, { cause: error });
        });
        damaged += house.content.stats().damaged;
      });
    }
    assert.ok(damaged > 60, `${damaged} of ${positions.length} seen`);
  });

  test('a pack cut short, and one that is longer', async () => {
    for (const share of [0, 0.01, 0.3, 0.999, 1.5]) {
      await withFile(async (house, object) => {
        const made = await makeContent(bytes, stampOfAttributes(attributesOf(house, object)));
        const count = Math.floor(made.pack.length * share);
        const pack = share > 1 ? Buffer.concat([made.pack, made.pack]) : made.pack.subarray(0, count);
        await house.put('disk', { meta: made.meta, pack });
        await isRight(house, object);
      });
    }
  });

  test('a pack that is cut short while it is used', async () => {
    await withFile(async (house, object) => {
      await house.put('disk', await makeContent(bytes, stampOfAttributes(attributesOf(house, object))));
      await house.lookup('disk');
      await house.read(object, 64 * KiB, 4 * KiB, ahead, house.content);
      house.memory.setattr(root, { object: hiddenFile(house, packName('disk')!), set: { size: 5000 } });
      await isRight(house, object);
      assert.ok(house.content.stats().damaged > 0);
      assert.ok(house.log.has('damaged'));
    });
  });

  test('meta-data cut short', async () => {
    for (const count of [0, 1, 4095, 4096, 4200, -1]) {
      await withFile(async (house, object) => {
        const made = await makeContent(bytes, stampOfAttributes(attributesOf(house, object)));
        await house.put('disk', { ...made, meta: made.meta.subarray(0, count) });
        await isRight(house, object);
      });
    }
  });

  test('a group that decompresses to too much, to too little, and to something else', async () => {
    const whole = groupChunks * 4096;
    for (const count of [64 * MiB, whole + 1, whole - 1, whole, 0]) {
      await withFile(async (house, object) => {
        const bomb = zstdCompressSync(Buffer.alloc(count, 1));
        const stamp = stampOfAttributes(attributesOf(house, object));
        await house.put('disk', await makeContent(bytes, stamp, 1, (group, index) => (index === 1 ? bomb : group)));
        await isRight(house, object);
        assert.ok(house.content.stats().damaged > 0, `${count} bytes`);
      });
    }
  });

  test('a server that answers a wrong chunk', async () => {
    await withFile(async (house, object) => {
      await house.put('disk', await makeContent(bytes, stampOfAttributes(attributesOf(house, object))));
      const pack = hiddenFile(house, packName('disk')!);
      let count = 0;
      house.origin.on('read', async (args, proceed) => {
        const reply = await proceed();
        if (args.object !== pack || args.offset === 0 || reply.status !== 0 || count++ % 2 === 0) return reply;
        const data = [Buffer.concat(reply.data as Uint8Array[]).reverse()];
        reply.release?.();
        return { ...reply, data, release: undefined };
      });
      await isRight(house, object);
      assert.ok(count > 1);
    });
  });

  test('a pack whose handle is stale, or that the origin fails to read', async () => {
    for (const status of [Status.STALE, Status.IO, Status.ACCES]) {
      await withFile(async (house, object) => {
        await house.put('disk', await makeContent(bytes, stampOfAttributes(attributesOf(house, object))));
        const pack = hiddenFile(house, packName('disk')!);
        let asked = 0;
        house.origin.on('read', (args, proceed) => {
          if (args.object !== pack || args.offset === 0) return proceed();
          asked++;
          return { status };
        });
        await isRight(house, object);
        assert.ok(asked > 0 && asked <= 8, `${asked} READs of the pack`);
      });
    }
  });

  test('a pack of another meta-data, and none', async () => {
    await withFile(async (house, object) => {
      const stamp = stampOfAttributes(attributesOf(house, object));
      const [one, other] = [await makeContent(bytes, stamp, 1), await makeContent(bytes, stamp, 2)];
      await house.put('disk', { meta: one.meta, pack: other.pack });
      await isRight(house, object);
      assert.equal(house.content.stats().packBytes, 0);
      assert.ok(house.content.stats().zeroBytes > 0);
    });
    await withFile(async (house, object) => {
      const { meta } = await makeContent(bytes, stampOfAttributes(attributesOf(house, object)));
      await house.put('disk', { meta });
      await isRight(house, object);
    });
  });
});

describe('trust', () => {
  test('meta-data of an older version of the file are not used', async () => {
    await withFile(async (house, object) => {
      const made = await makeContent(bytes, stampOfAttributes(attributesOf(house, object)));
      await house.put('disk', made);
      const other = imageBytes(bytes.length, 99);
      for (let offset = 0; offset < other.length; offset += MiB) {
        const data = [other.subarray(offset, offset + MiB)];
        house.memory.write(root, { object, offset, count: data[0]!.length, stable: 2, data });
      }
      await isRight(house, object, other);
      const { stale, heads } = house.content.stats();
      assert.deepEqual({ stale, heads }, { stale: 1, heads: 0 });
    });
  });

  for (const [what, like] of [
    ['of another user', { uid: 2000 }],
    ['that others may write', { mode: 0o646 }],
    ['that a group may write', { mode: 0o664 }],
  ] as const) {
    test(`meta-data ${what} are not used`, async () => {
      await withFile(async (house, object) => {
        // They would be believed: they say that all is zero.
        const stamp = stampOfAttributes(attributesOf(house, object));
        await house.put('disk', await makeContent(Buffer.alloc(bytes.length), stamp), like);
        await isRight(house, object);
        assert.equal(house.content.stats().heads, 0);
      });
    });
  }

  test('a directory that others may write, or of another user, is not used', async () => {
    for (const set of [{ mode: 0o777 }, { uid: 3000 }]) {
      await withFile(async (house, object) => {
        const stamp = stampOfAttributes(attributesOf(house, object));
        await house.put('disk', await makeContent(Buffer.alloc(bytes.length), stamp));
        const hidden = house.memory.lookup(root, { directory: house.memory.root, name: contentDirectory });
        assert.ok(hidden.status === 0);
        house.memory.setattr(root, { object: hidden.object, set });
        await isRight(house, object);
        assert.equal(house.content.stats().heads, 0);
      });
    }
  });

  test('a symbolic link or a directory in the place of the meta-data is not used', async () => {
    await withFile(async (house, object) => {
      await house.put('disk', {});
      const hidden = house.memory.lookup(root, { directory: house.memory.root, name: contentDirectory });
      assert.ok(hidden.status === 0);
      const where = { directory: hidden.object, name: metaName('disk')! };
      house.memory.symlink(root, { where, set: { uid: 1000 }, target: '../disk' });
      await isRight(house, object);
      assert.equal(house.content.stats().heads, 0);
    });
  });
});
