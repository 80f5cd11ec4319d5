/** The content layer below the block cache and over a memory origin that has meta-data and packs. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seededRandom, silentLog, sleep, systemClock } from '../base/mod.ts';
import { MemoryHintIndex } from '../content/mod.ts';
import { DelayLayer, describeFile, filesystemSuite, MemoryFilesystem, SimulatedClock } from '../testing/mod.ts';
import {
  type Call,
  type Filesystem,
  type PathWalker,
  type ReadArguments,
  type ReadReply,
  Status,
  type WalkReply,
  type WalkStep,
} from '../vfs/mod.ts';
import { MemoryCache } from './block-cache/memory-cache.test.ts';
import { ahead, alice, House, imageBytes, root, WatchedDecoder } from './content/content-house.test.ts';
import { Content } from './content.ts';
import { defaultReadAhead } from './read-ahead/mod.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

filesystemSuite('the content layer over memory', async () => {
  const clock = systemClock;
  const store = new MemoryCache({ clock, random: seededRandom(1) });
  const hints = new MemoryHintIndex({ entries: 1024 });
  const filesystem = new Content(new MemoryFilesystem(), { store, hints, clock, log: silentLog });
  return { filesystem, cleanup: () => filesystem.close() };
});

describe('a described file', () => {
  test('is read from zeros and its pack alone, and is right', async () => {
    await using house = await House.open();
    const bytes = imageBytes(5 * MiB + 1234);
    const object = await house.file('disk', bytes);
    const plain = house.countReads(object);
    assert.equal(await house.lookup('disk'), object);
    await house.check(object, bytes);
    assert.equal(plain(), 0, 'bytes of the file itself');
    const stats = house.content.stats();
    assert.ok(stats.zeroBytes >= 1.5 * MiB, `${stats.zeroBytes} zeros`);
    assert.ok(stats.packBytes < 2.2 * MiB, `${stats.packBytes} bytes of the pack`);
    assert.equal(stats.damaged + stats.plainBytes, 0);
    // And from the cache.
    await house.check(object, bytes, 100 * KiB);
    assert.equal(plain(), 0);
  });

  for (const step of [4 * KiB, 60 * KiB + 77, 1 * MiB]) {
    test(`is right in READs of ${step} bytes by whoever asks`, async () => {
      await using house = await House.open();
      const bytes = imageBytes(2 * MiB + 4097);
      const object = await house.file('disk', bytes);
      await house.lookup('disk');
      await house.check(object, bytes, step);
      // Past the block cache: every READ is composed anew.
      for (let offset = 0; offset < bytes.length; offset += step) {
        const got = await house.read(object, offset, step, ahead, house.content);
        assert.ok(got.equals(bytes.subarray(offset, offset + step)), `bytes from ${offset} on`);
      }
    });
  }

  for (const isNear of [false, true]) {
    test(`gives a lone sector from ${isNear ? 'its group if a proxy has the pack' : 'the file if its group is large'}`, async () => {
      await using house = await House.open({ isPackNear: () => isNear });
      const bytes = imageBytes(2 * MiB);
      const object = await house.file('disk', bytes);
      const plain = house.countReads(object);
      await house.lookup('disk');
      const got = await house.read(object, 68 * KiB, 4 * KiB, ahead, house.content);
      assert.ok(got.equals(bytes.subarray(68 * KiB, 72 * KiB)));
      const { packBytes, plainBytes } = house.content.stats();
      assert.deepEqual([plain() > 0, plainBytes > 0, packBytes > 0], [!isNear, !isNear, isNear]);
    });
  }

  test('zeros need neither origin nor cache once the head is here', async () => {
    await using house = await House.open();
    const bytes = Buffer.alloc(64 * MiB);
    bytes.fill(7, 33 * MiB, 33 * MiB + 10_000);
    const object = await house.file('memory', bytes);
    await house.lookup('memory');
    await house.read(object, 0, 4096);
    const before = house.origin.calls('read');
    for (let offset = 0; offset < 32 * MiB; offset += MiB) {
      const reply = house.top.read(alice, { object, offset, count: MiB });
      assert.ok(!(reply instanceof Promise) && reply.status === 0 && reply.count === MiB, 'answered at once');
      assert.ok(Buffer.concat(reply.data as Uint8Array[]).equals(Buffer.alloc(MiB)));
    }
    assert.equal(house.origin.calls('read'), before);
  });

  test('chunks that are on this host cross the link once, whichever file they are of', async () => {
    await using house = await House.open();
    const disk = imageBytes(4 * MiB);
    const memory = Buffer.concat([imageBytes(MiB, 2), disk.subarray(MiB, 3 * MiB + 8192)]);
    const first = await house.file('disk', disk);
    const second = await house.file('memory', memory);
    await house.lookup('disk');
    await house.check(first, disk);
    const before = house.content.stats();
    await house.lookup('memory');
    await house.check(second, memory);
    const after = house.content.stats();
    assert.ok(after.dedupeBytes - before.dedupeBytes > 0.6 * MiB, `${after.dedupeBytes - before.dedupeBytes}`);
    assert.ok(after.packBytes - before.packBytes < 0.5 * MiB, `${after.packBytes - before.packBytes}`);
    assert.equal(after.plainBytes, 0);
  });

  test('what was cached before the meta-data were there is found by other files too', async () => {
    await using house = await House.open();
    const bytes = imageBytes(4 * MiB);
    const object = await house.file('disk', bytes, false);
    await house.lookup('disk');
    await house.check(object, bytes);
    await house.stop();
    await describeFile(house.memory, house.memory.root, 'disk', bytes);
    const copy = await house.file('copy', bytes);
    await house.start();
    // One block that was not cached makes the page come, and that tells of all that is.
    await house.lookup('disk');
    await house.read(object, 64 * KiB, 64 * KiB, ahead, house.content);
    const before = house.content.stats().packBytes;
    await house.lookup('copy');
    await house.check(copy, bytes);
    assert.equal(house.content.stats().packBytes, before);
  });

  test('is left to a Viaduct in front that looked for its meta-data, and composed for one that did not', async () => {
    for (const looks of [true, false]) {
      await using house = await House.open();
      const bytes = imageBytes(MiB + 4097);
      const object = await house.file('disk', bytes);
      const viaduct = { ...alice, isViaduct: true };
      const found = await house.top.lookup(viaduct, { directory: house.origin.root, name: 'disk' });
      assert.equal(found.status, 0);
      if (looks) await house.top.lookup(viaduct, { directory: house.origin.root, name: '.viaduct' });
      const got = await house.read(object, 0, bytes.length, viaduct);
      assert.ok(got.equals(bytes.subarray(0, got.length)));
      assert.equal(house.content.stats().heads, looks ? 0 : 1);
      // An ordinary client beside it.
      await house.lookup('disk');
      await house.read(object, 0, 4096, alice, house.content);
      assert.equal(house.content.stats().heads, 1);
    }
  });

  test('after a restart nothing of what was read is asked for, zeros and meta-data included', async () => {
    await using house = await House.open();
    const bytes = imageBytes(4 * MiB);
    const object = await house.file('disk', bytes);
    await house.lookup('disk');
    await house.check(object, bytes);
    await house.stop();
    await house.start();
    const reads = house.origin.calls('read');
    await house.lookup('disk');
    await house.check(object, bytes);
    // The header of the pack is looked at: another may be in its place.
    assert.ok(house.origin.calls('read') - reads <= 1, `${house.origin.calls('read') - reads} READs`);
  });

  test('is shown only to those whom the origin lets read', async () => {
    await using house = await House.open();
    const bytes = imageBytes(2 * MiB);
    const object = await house.file('disk', bytes);
    house.memory.setattr(root, { object, set: { mode: 0o600 } });
    await describeFile(house.memory, house.memory.root, 'disk2', bytes).catch(() => {});
    await house.lookup('disk');
    const bob = { ...alice, credential: { ...alice.credential, uid: 2000, gid: 2000, key: '2000:2000:' } };
    const refused = await house.content.read(bob, { object, offset: 0, count: 4096 });
    assert.equal(refused.status, Status.ACCES);
    assert.ok((await house.read(object, 0, 4096)).equals(bytes.subarray(0, 4096)));
  });
});

describe('round trips', () => {
  const decoder = new WatchedDecoder();

  async function delayed(work: (house: House, clock: SimulatedClock) => Promise<void>): Promise<void> {
    const clock = new SimulatedClock();
    let isSlow = false;
    const between = (origin: ConstructorParameters<typeof DelayLayer>[0]): DelayLayer =>
      new DelayLayer(origin, { clock, roundTripMs: () => (isSlow ? 40 : 0) });
    await using house = await House.open({ between, isLight: true, decode: decoder.decode });
    isSlow = true;
    await work(house, clock);
    isSlow = false;
    await clock.advance(1000);
  }

  async function timeOf<T>(clock: SimulatedClock, work: Promise<T>): Promise<number> {
    const begin = clock.now();
    let isDone = false;
    void work.finally(() => {
      isDone = true;
    });
    while (!isDone) {
      await clock.advance(5);
      await decoder.rest();
    }
    return clock.now() - begin;
  }

  test('a directory without .viaduct costs one LOOKUP, and READs wait for nothing', async () => {
    await delayed(async (house, clock) => {
      const bytes = imageBytes(2 * MiB);
      const object = await house.file('disk', bytes, false);
      await house.file('other', bytes, false);
      await timeOf(clock, house.lookup('disk'));
      await clock.advance(200);
      const lookups = house.origin.calls('lookup');
      await timeOf(clock, house.lookup('other'));
      await clock.advance(200);
      assert.equal(house.origin.calls('lookup') - lookups, 1, 'only that of the file');
      await timeOf(clock, house.read(object, 0, 4096));
      const took = await timeOf(clock, house.read(object, MiB, 4096));
      assert.ok(took <= 45, `${took} ms`);
    });
  });

  test('a first read waits for at most three round trips of meta-data', async () => {
    await delayed(async (house, clock) => {
      const bytes = imageBytes(2 * MiB);
      const object = await house.file('disk', bytes);
      await timeOf(clock, house.lookup('disk'));
      // The grant and the attributes are known, as they are to a client that opened the file.
      await timeOf(clock, Promise.resolve(house.top.access(alice, { object, access: 1 })));
      house.content.invalidate();
      const took = await timeOf(clock, house.read(object, 100 * KiB, 4096));
      assert.ok(took <= 4 * 40 + 10, `${took} ms`);
    });
  });
});

describe('an origin that walks', () => {
  /** `fault`: what it answers instead. */
  function walkerOf(house: House, clock: SimulatedClock, fault?: (reply: WalkReply) => WalkReply): PathWalker {
    return {
      canWalk: () => true,
      walkNames: 32,
      async walk(call, { directory, names }) {
        await sleep(clock, 40);
        const steps: WalkStep[] = [];
        let status: WalkReply['status'] = 0;
        for (const name of names) {
          const found = house.memory.lookup(call, { directory: steps.at(-1)?.object ?? directory, name });
          status = found.status;
          if (found.status !== 0) break;
          steps.push({ object: found.object, attributes: found.attributes });
        }
        const reply = { status, steps };
        return fault?.(reply) ?? reply;
      },
    };
  }

  async function timeOfFirstRead(fault?: (reply: WalkReply) => WalkReply, walks = true): Promise<number> {
    const clock = new SimulatedClock();
    let took = 0;
    const between = (origin: Filesystem): DelayLayer => new DelayLayer(origin, { clock, roundTripMs: () => slowMs });
    let slowMs = 0;
    const walker = walks ? (house: House): PathWalker => walkerOf(house, clock, fault) : undefined;
    const decoder = new WatchedDecoder();
    await using house = await House.open({ between, clock, isLight: true, walker, decode: decoder.decode });
    const bytes = imageBytes(2 * MiB);
    await house.file('disk', bytes);
    slowMs = 40;
    const begin = clock.now();
    let isDone = false;
    const work = (async () => {
      const object = await house.lookup('disk');
      assert.ok((await house.read(object, MiB, 64 * KiB)).equals(bytes.subarray(MiB, MiB + 64 * KiB)));
      took = clock.now() - begin;
    })().finally(() => {
      isDone = true;
    });
    while (!isDone) {
      await clock.advance(5);
      await decoder.rest();
    }
    await work;
    assert.equal(house.content.stats().heads, 1);
    // The layers below know the names as well, for an outage.
    assert.ok(house.origin.calls('lookup') >= 4);
    slowMs = 0;
    await clock.advance(1000);
    return took;
  }

  test('brings the meta-data a round trip sooner, and what it says wrong costs that at most', async () => {
    const plain = await timeOfFirstRead(undefined, false);
    const walked = await timeOfFirstRead();
    assert.ok(walked <= plain - 35, `${walked} ms with, ${plain} ms without`);
    for (const fault of [
      (): WalkReply => ({ status: Status.NOTSUPP, steps: [] }),
      (reply: WalkReply): WalkReply => ({ ...reply, steps: reply.steps.map(({ object }) => ({ object })) }),
      (reply: WalkReply): WalkReply => ({ ...reply, steps: [{ object: 'another' }, ...reply.steps.slice(1)] }),
    ]) {
      const took = await timeOfFirstRead(fault);
      assert.ok(took <= plain + 5, `${took} ms with a fault, ${plain} ms without`);
    }
  });
});

/** How many READs are under way at a time. */
class CountingLink extends DelayLayer {
  most = 0;
  #underWay = 0;

  override async read(call: Call, args: ReadArguments): Promise<ReadReply> {
    this.most = Math.max(this.most, ++this.#underWay);
    try {
      return await super.read(call, args);
    } finally {
      this.#underWay--;
    }
  }
}

describe('sequential reading', () => {
  test('of a file that is on this host or zero for the most part keeps the link busy with the rest', async () => {
    let link: CountingLink | undefined;
    await using house = await House.open({
      cache: { readAhead: defaultReadAhead },
      between: (origin) => {
        link = new CountingLink(origin, { clock: systemClock, roundTripMs: (op) => (op === 'read' ? 30 : 0) });
        return link;
      },
    });
    // One block of sixteen is new, all else is zero or of the other file.
    const disk = imageBytes(16 * MiB);
    const memory = Buffer.from(disk);
    let fresh = 0;
    for (let offset = 3 * 64 * KiB; offset < memory.length; offset += 16 * 64 * KiB) {
      imageBytes(128 * KiB, offset).copy(memory, offset, 64 * KiB);
      fresh++;
    }
    const first = await house.file('disk', disk);
    const second = await house.file('memory', memory);
    await house.lookup('disk');
    await house.check(first, disk, MiB);
    await house.lookup('memory');
    link!.most = 0;
    await house.check(second, memory, 64 * KiB);
    // Without reading ahead over what is known, each new block would be asked for when the one before it is here.
    assert.ok(link!.most >= 4, `at most ${link!.most} READs at a time for ${fresh} new blocks`);
  });
});
