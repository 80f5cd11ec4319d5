/** The block cache over a memory file system: what each behaviour promises, one by one; its changes are in block-cache/mutations.test.ts. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { seededRandom, silentLog, systemClock } from '../base/mod.ts';
import { CleanCache } from '../cache/mod.ts';
import {
  DelayLayer,
  FaultLayer,
  filesystemSuite,
  MemoryFilesystem,
  type SimulatedClock,
  settle,
} from '../testing/mod.ts';
import { type Filesystem, Status } from '../vfs/mod.ts';
import { AccessCache } from './access-cache.ts';
import { AttributeCache } from './attribute-cache.ts';
import {
  alice,
  bob,
  bytesOf,
  finish,
  house,
  KiB,
  MiB,
  makeFile,
  put,
  root,
  sameBytes,
} from './block-cache/house.test.ts';
import { MemoryCache } from './block-cache/memory-cache.test.ts';
import { BlockCache } from './block-cache.ts';
import { defaultReadAhead, noReadAhead } from './read-ahead/mod.ts';

filesystemSuite('the block cache over memory', async () => {
  const clock = { now: () => performance.now(), wallTimeMs: () => Date.now(), after: immediately };
  const cache = new MemoryCache({ clock, random: seededRandom(1), evictOneIn: 20, lateOneIn: 3 });
  const filesystem = new BlockCache(new MemoryFilesystem(), { cache, clock, log: silentLog });
  return { filesystem, cleanup: () => filesystem.close() };
});

function immediately(_delayMs: number, action: () => void): { cancel(): void } {
  const immediate = setImmediate(action);
  return { cancel: () => clearImmediate(immediate) };
}

describe('over the real cache', () => {
  test('what was read is there after a restart, and is hit through the caches below', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'viaduct-block-cache-'));
    const parts = { clock: systemClock, log: silentLog };
    const memory = new MemoryFilesystem();
    const origin = new FaultLayer(memory);
    const object = makeFile(memory, 5 * MiB + 1234);
    try {
      for (const round of ['cold', 'warm']) {
        const cache = await CleanCache.open({ directory, sizeBytes: 64 * MiB, random: seededRandom(7), ...parts });
        const layer = new BlockCache(new AccessCache(new AttributeCache(origin, parts), parts), { cache, ...parts });
        const before = origin.calls('read');
        for (let offset = 0; offset < 5 * MiB + 1234; offset += 300 * KiB) {
          const reply = await layer.read(root, { object, offset, count: 300 * KiB });
          assert.ok(reply.status === 0);
          assert.ok((reply.data as Uint8Array[]).every((slice) => slice.every((byte) => byte === 1)));
          reply.release?.();
        }
        await layer.close();
        await cache.close();
        assert.equal(origin.calls('read') - before > 0, round === 'cold', round);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('reading', () => {
  test('a second read is answered at once, without the origin', async () => {
    const at = house();
    const object = makeFile(at.memory, 200 * KiB);
    await bytesOf(at, object, 0, 200 * KiB);
    const calls = at.origin.calls('read');
    const reply = at.layer.read(root, { object, offset: 4096, count: 8192 });
    assert.ok(!(reply instanceof Promise) && reply.status === 0);
    assert.equal(reply.count, 8192);
    assert.equal(reply.attributes?.size, 200 * KiB);
    reply.release?.();
    assert.equal(at.origin.calls('read'), calls);
    assert.equal(at.layer.stats().hits, 1);
  });

  test('two readers of one block wait for one request', async () => {
    const at = house();
    const object = makeFile(at.memory, 200 * KiB);
    const held = at.origin.hold('read', 'after');
    const one = Promise.resolve(at.layer.read(root, { object, offset: 0, count: 4096 }));
    const two = Promise.resolve(at.layer.read(root, { object, offset: 8192, count: 4096 }));
    await settle();
    assert.equal(at.origin.calls('read'), 1);
    held.release();
    for (const reply of [await one, await two]) {
      assert.ok(reply.status === 0);
      assert.equal(reply.count, 4096);
      reply.release?.();
    }
    await at.clock.advance(10);
    assert.equal(at.layer.stats().joined, 1);
    assert.equal(at.memory.unreleased, 0);
  });

  test('adjacent missing blocks are one request, and what is there is not asked again', async () => {
    const at = house();
    const object = makeFile(at.memory, 1024 * KiB);
    await bytesOf(at, object, 256 * KiB, 64 * KiB);
    const asked: number[][] = [];
    at.origin.on('read', (args, proceed) => {
      asked.push([args.offset / KiB, args.count / KiB]);
      return proceed();
    });
    assert.equal((await bytesOf(at, object, 0, 1024 * KiB)).length, 1024 * KiB);
    assert.deepEqual(asked, [
      [0, 256],
      [320, 704],
    ]);
  });

  test('ends of files: short blocks, past the end, huge offsets', async () => {
    const at = house();
    const object = makeFile(at.memory, 70_000);
    assert.equal((await bytesOf(at, object, 69_000, 10_000)).length, 1000);
    const past = await finish(at, at.layer.read(root, { object, offset: 2 ** 53 - 1, count: 10 }));
    assert.ok(past.status === 0 && past.eof && past.count === 0);
    const hit = at.layer.read(root, { object, offset: 69_000, count: 10_000 });
    assert.ok(!(hit instanceof Promise) && hit.status === 0 && hit.eof);
    hit.release?.();
  });

  test('a server that answers short is asked again for the rest', async () => {
    const at = house();
    const object = makeFile(at.memory, 200 * KiB);
    at.origin.on('read', async (args, proceed) => {
      const reply = await proceed();
      if (reply.status !== 0 || args.count <= 10_000) return reply;
      const bytes = Buffer.concat(reply.data as Uint8Array[]).subarray(0, 10_000);
      const copy = Buffer.from(bytes);
      reply.release?.();
      return { ...reply, data: [copy], count: 10_000, eof: false, release: undefined };
    });
    sameBytes(await bytesOf(at, object, 0, 200 * KiB), Buffer.alloc(200 * KiB, 1));
  });

  test('without a grant the origin decides, under the name of the caller, and nothing is cached', async () => {
    const at = house();
    const object = makeFile(at.memory, 64 * KiB, 0o600);
    await bytesOf(at, object, 0, 64 * KiB, alice);
    const refused = await at.layer.read(bob, { object, offset: 0, count: 4096 });
    assert.equal(refused.status, Status.ACCES);
    assert.equal(at.layer.stats().passed, 1);
  });

  test('a failure reaches all who wait, and the next read tries again', async () => {
    const at = house();
    const object = makeFile(at.memory, 64 * KiB);
    const undo = at.origin.on('read', async () => ({ status: Status.IO }));
    const both = [0, 4096].map((offset) => Promise.resolve(at.layer.read(root, { object, offset, count: 100 })));
    for (const reply of await Promise.all(both)) assert.equal(reply.status, Status.IO);
    undo();
    assert.equal((await bytesOf(at, object, 0, 100)).length, 100);
  });

  test('a cache disk that fails costs only speed', async () => {
    const at = house({ readAhead: defaultReadAhead }, { fillFails: () => true });
    const object = makeFile(at.memory, 3 * MiB);
    for (let offset = 0; offset < 3 * MiB; offset += 64 * KiB) {
      sameBytes(await bytesOf(at, object, offset, 64 * KiB), Buffer.alloc(64 * KiB, 1));
    }
    assert.equal(at.layer.stats().fillBytes, 0);
  });

  test('a read that finds out by its own attributes that it may not read any more gets nothing', async () => {
    const at = house({}, {}, (origin, clock) => new AccessCache(new AttributeCache(origin, { clock }), { clock }));
    const object = makeFile(at.memory, 64 * KiB, 0o644);
    await bytesOf(at, object, 0, 64 * KiB, bob);
    at.memory.setattr(root, { object, set: { mode: 0o600 } });
    await at.clock.advance(10_000);
    // Another session of the same cache has the file as it is now.
    const other = new BlockCache(at.origin, {
      cache: at.cache,
      clock: at.clock,
      log: silentLog,
      readAhead: noReadAhead,
    });
    await bytesOf({ ...at, layer: other }, object, 0, 64 * KiB);
    at.origin.on('getattr', async (_args, proceed) => proceed());
    const reply = await finish(at, at.layer.read(bob, { object, offset: 0, count: 4096 }));
    assert.equal(reply.status, Status.ACCES);
  });

  test('a change made elsewhere is noticed with the next attributes', async () => {
    const at = house();
    const object = makeFile(at.memory, 200 * KiB);
    await bytesOf(at, object, 0, 200 * KiB);
    put(at.memory, object, 100 * KiB, 4096, 9);
    sameBytes(await bytesOf(at, object, 100 * KiB, 4096), Buffer.alloc(4096, 9));
    assert.equal(at.layer.stats().foreignChanges, 1);
  });

  test('a change while blocks are on their way never mixes two versions', async () => {
    const at = house();
    const object = makeFile(at.memory, 128 * KiB);
    await bytesOf(at, object, 0, 64 * KiB);
    const held = at.origin.hold('read', 'before');
    const reading = bytesOf(at, object, 0, 128 * KiB);
    await settle();
    put(at.memory, object, 0, 128 * KiB, 7);
    held.release();
    sameBytes(await reading, Buffer.alloc(128 * KiB, 7));
  });
});

describe('read-ahead in the layer', () => {
  const slow = (origin: Filesystem, clock: SimulatedClock): Filesystem =>
    new DelayLayer(origin, { clock, roundTripMs: (operation) => (operation === 'read' ? 40 : 0) });

  test('a sequential reader soon waits no more, and nothing is asked twice', async () => {
    const at = house({ readAhead: defaultReadAhead }, {}, slow);
    const object = makeFile(at.memory, 8 * MiB);
    const asked = new Set<number>();
    at.origin.on('read', (args, proceed) => {
      for (let block = args.offset / (64 * KiB); block * 64 * KiB < args.offset + args.count; block++) {
        assert.ok(!asked.has(block), `block ${block} asked twice`);
        asked.add(block);
      }
      return proceed();
    });
    const began = at.clock.now();
    for (let offset = 0; offset < 8 * MiB; offset += 64 * KiB) {
      assert.equal((await bytesOf(at, object, offset, 64 * KiB))[0], 1);
    }
    const spent = at.clock.now() - began;
    assert.ok(spent < 128 * 40, `${spent} ms for 128 reads`);
    const { prefetchBytes, prefetchUsedBytes } = at.layer.stats();
    assert.ok(prefetchBytes > 6 * MiB && prefetchUsedBytes > 6 * MiB, `${prefetchBytes} ${prefetchUsedBytes}`);
  });

  test('over a link that is known to be slow a large READ goes in pieces, which connections end one after the other', async () => {
    const known = { bytesPerMs: 12_500, roundTripMs: 300 };
    const pieces: number[] = [];
    for (const figures of [undefined, known]) {
      const at = house({ link: { load: () => figures, keep() {} } }, {}, slow);
      const object = makeFile(at.memory, 2 * MiB);
      at.origin.on('read', (args, proceed) => {
        pieces.push(args.count);
        return proceed();
      });
      await bytesOf(at, object, 0, MiB);
    }
    assert.deepEqual(pieces, [MiB, ...Array(4).fill(256 * KiB)]);
  });

  test('nothing is read ahead for a Viaduct, which does that itself', async () => {
    const at = house({ readAhead: defaultReadAhead }, {}, slow);
    const object = makeFile(at.memory, 8 * MiB);
    let asked = 0;
    at.origin.on('read', (args, proceed) => {
      asked += args.count;
      return proceed();
    });
    for (let offset = 0; offset < 2 * MiB; offset += 64 * KiB)
      await bytesOf(at, object, offset, 64 * KiB, { ...root, isViaduct: true });
    assert.equal(asked, 2 * MiB);
    // Nor does what it read begin a stream for others.
    await bytesOf(at, object, 7 * MiB, 4 * KiB, { ...root, isViaduct: true });
    assert.equal(asked, 2 * MiB + 64 * KiB);
    await bytesOf(at, object, 2 * MiB, 64 * KiB);
    assert.equal(asked, 2 * MiB + 128 * KiB);
  });

  test('close waits for nothing that cannot finish', async () => {
    const at = house({ readAhead: defaultReadAhead });
    const object = makeFile(at.memory, 8 * MiB);
    at.origin.hold('read', 'before');
    void at.layer.read(root, { object, offset: 0, count: 4096 });
    await settle();
    await finish(at, at.layer.close());
  });

  test('close does not wait for the reply to a write that fills wait for', async () => {
    const at = house();
    const object = makeFile(at.memory, 256 * KiB);
    await bytesOf(at, object, 0, 64 * KiB);
    const read = at.origin.hold('read', 'before');
    const reading = Promise.resolve(at.layer.read(root, { object, offset: 64 * KiB, count: 4096 }));
    at.origin.hold('write', 'after');
    const data = [Buffer.alloc(4096, 5)];
    void at.layer.write(root, { object, offset: 0, count: 4096, stable: 2, data });
    await at.clock.advance(10);
    read.release();
    await at.clock.advance(10);
    const early = await reading;
    if (early.status === 0) early.release?.();
    let isClosed = false;
    void at.layer.close().then(() => {
      isClosed = true;
    });
    await at.clock.advance(100);
    assert.ok(isClosed);
  });

  test('a cache that fails to keep ends neither the read nor the thread', async () => {
    const broken = (): boolean => {
      throw new Error('broken');
    };
    const at = house({}, { fillFails: broken });
    const object = makeFile(at.memory, 256 * KiB);
    for (let i = 0; i < 2; i++) sameBytes(await bytesOf(at, object, 0, 256 * KiB), Buffer.alloc(256 * KiB, 1));
    assert.equal(at.memory.unreleased, 0);
    await finish(at, at.layer.close());
  });

  test('files in use are bounded', async () => {
    const at = house({ openFiles: 10 });
    for (let i = 0; i < 40; i++) await bytesOf(at, makeFile(at.memory, 4096, 0o644, `f${i}`), 0, 4096);
    assert.ok(at.layer.stats().openFiles <= 10);
  });
});
