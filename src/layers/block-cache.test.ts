/** The block cache over a memory file system: what each behaviour promises, one by one. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { seededRandom, silentLog, sleep, systemClock } from '../base/mod.ts';
import { CleanCache } from '../cache/mod.ts';
import { DelayLayer, FaultLayer, filesystemSuite, MemoryFilesystem, SimulatedClock, settle } from '../testing/mod.ts';
import { type Call, credential, type FileHandle, type Filesystem, Status } from '../vfs/mod.ts';
import { AccessCache } from './access-cache.ts';
import { AttributeCache } from './attribute-cache.ts';
import { MemoryCache, type MemoryCacheOptions } from './block-cache/memory-cache.test.ts';
import { BlockCache, type BlockCacheOptions } from './block-cache.ts';
import { defaultReadAhead, noReadAhead } from './read-ahead/mod.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const root: Call = { credential: credential(0, 0), peer: 'test', priority: 'demand' };
const alice: Call = { ...root, credential: credential(1000, 1000) };
const bob: Call = { ...root, credential: credential(2000, 2000) };

interface House {
  readonly clock: SimulatedClock;
  readonly memory: MemoryFilesystem;
  readonly origin: FaultLayer;
  readonly cache: MemoryCache;
  readonly layer: BlockCache;
}

function house(
  options: Partial<BlockCacheOptions> = {},
  cacheOptions: Partial<MemoryCacheOptions> = {},
  between: (origin: Filesystem, clock: SimulatedClock) => Filesystem = (origin) => origin,
): House {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock, poisonReleased: true });
  const origin = new FaultLayer(memory);
  const cache = new MemoryCache({ clock, random: seededRandom(1), ...cacheOptions });
  const layer = new BlockCache(between(origin, clock), {
    cache,
    clock,
    log: silentLog,
    readAhead: noReadAhead,
    ...options,
  });
  return { clock, memory, origin, cache, layer };
}

function makeFile(memory: MemoryFilesystem, bytes: number, mode = 0o644, name = 'file'): FileHandle {
  const where = { directory: memory.root, name };
  const made = memory.create(root, { where, how: { mode: 'guarded', set: { mode, uid: 1000, gid: 1000 } } });
  assert.ok(made.status === 0 && made.object !== undefined);
  for (let offset = 0; offset < bytes; offset += MiB)
    put(memory, made.object, offset, Math.min(MiB, bytes - offset), 1);
  return made.object;
}

function put(memory: Filesystem, object: FileHandle, offset: number, count: number, mark: number): void {
  void memory.write(root, { object, offset, count, stable: 2, data: [Buffer.alloc(count, mark)] });
}

async function finish<T>({ clock }: House, work: T | Promise<T>, ms = 1000): Promise<T> {
  let isDone = false;
  const done = Promise.resolve(work).finally(() => {
    isDone = true;
  });
  done.catch(() => {});
  await settle();
  for (let waited = 0; !isDone && waited < ms; waited += 5) await clock.advance(5);
  return done;
}

async function bytesOf(at: House, object: FileHandle, offset: number, count: number, call = root): Promise<Buffer> {
  const reply = await finish(at, at.layer.read(call, { object, offset, count }));
  assert.equal(reply.status, 0);
  assert.ok(reply.status === 0);
  const bytes = Buffer.concat(reply.data as Uint8Array[]);
  reply.release?.();
  await at.clock.advance(10);
  return bytes;
}

/** `deepEqual` would spend minutes on the difference of two large buffers. */
function sameBytes(got: Buffer, wanted: Buffer): void {
  assert.equal(got.length, wanted.length);
  const at = got.findIndex((byte, index) => byte !== wanted[index]);
  assert.equal(at, -1, `byte ${at} is ${got[at]}, not ${wanted[at]}`);
}

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

/** Writes are answered late while later ones are answered: the cache's version is behind what the origin has. */
async function behindReplies(
  writes: readonly (readonly [offset: number, count: number])[],
  check: (got: Buffer, wanted: Buffer) => void,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'viaduct-block-cache-'));
  const parts = { clock: systemClock, log: silentLog };
  const memory = new MemoryFilesystem();
  const origin = new FaultLayer(memory);
  const object = makeFile(memory, 4 * KiB);
  const cache = await CleanCache.open({ directory, sizeBytes: 64 * MiB, random: seededRandom(7), ...parts });
  const layer = new BlockCache(origin, { cache, ...parts, readAhead: noReadAhead });
  const readAll = async (from: Filesystem): Promise<Buffer> => {
    const reply = await from.read(root, { object, offset: 0, count: MiB });
    assert.ok(reply.status === 0);
    const bytes = Buffer.concat(reply.data as Uint8Array[]);
    reply.release?.();
    return bytes;
  };
  const write = ([offset, count]: readonly [number, number], mark: number) =>
    Promise.resolve(layer.write(root, { object, offset, count, stable: 0, data: [Buffer.alloc(count, mark)] }));
  try {
    await readAll(layer);
    const held = origin.hold('write', 'after');
    const late = write([0, 4 * KiB], 10);
    for (let i = 0; i < 100 && held.held() === 0; i++) await sleep(systemClock, 2);
    const [first, ...others] = writes;
    const done = write(first!, 11);
    for (let i = 0; i < 100 && held.held() === 1; i++) await sleep(systemClock, 2);
    held.releaseNewest();
    await done;
    for (const [index, one] of others.entries()) {
      const next = write(one, 12 + index);
      for (let i = 0; i < 100 && held.held() === 1; i++) await sleep(systemClock, 2);
      held.releaseNewest();
      await next;
    }
    held.release();
    await late;
    check(await readAll(layer), await readAll(memory));
  } finally {
    await layer.close();
    await cache.close();
    rmSync(directory, { recursive: true });
  }
}

describe('writes answered in another order', () => {
  test('the end of a write is not taken for the end of the file', () =>
    behindReplies(
      [
        [6000, 2192],
        [4096, 904],
      ],
      sameBytes,
    ));

  test('what was written beyond the old end of the file is not served after it was written again', () =>
    behindReplies(
      [
        [4096, 4096],
        [4096, 4],
      ],
      sameBytes,
    ));
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

describe('writing', () => {
  test('a read after the reply to a write never gets what was asked for before it', async () => {
    const at = house();
    const object = makeFile(at.memory, 128 * KiB);
    await bytesOf(at, object, 64 * KiB, 64 * KiB);
    const held = at.origin.hold('read', 'after');
    const before = Promise.resolve(at.layer.read(root, { object, offset: 0, count: 4096 }));
    await settle();
    // Less than a sector: the cache cannot keep it, so the reader depends on the origin.
    const data = [Buffer.alloc(100, 5)];
    const written = at.layer.write(root, { object, offset: 0, count: 100, stable: 2, data });
    assert.equal((await finish(at, written)).status, 0);
    const after = bytesOf(at, object, 0, 4096);
    await settle();
    held.release();
    sameBytes((await after).subarray(0, 100), Buffer.alloc(100, 5));
    const early = await before;
    assert.ok(early.status === 0);
    early.release?.();
    await at.clock.advance(20);
    sameBytes((await bytesOf(at, object, 0, 4096)).subarray(0, 100), Buffer.alloc(100, 5));
  });

  test('16 writes in flight, answered in any order, do not lose the cached file', async () => {
    const at = house({}, {}, (origin, clock) => {
      let turn = 0;
      return new DelayLayer(origin, {
        clock,
        roundTripMs: (operation) => (operation === 'write' ? 40 + ((turn++ * 7) % 16) : 0),
      });
    });
    const object = makeFile(at.memory, MiB);
    await bytesOf(at, object, 0, MiB);
    const writes = Array.from({ length: 16 }, (_, i) => {
      const data = [Buffer.alloc(4096, 50 + i)];
      return Promise.resolve(at.layer.write(root, { object, offset: i * 4096, count: 4096, stable: 0, data }));
    });
    const all = Promise.all(writes);
    for (let i = 0; i < 10; i++) await bytesOf(at, object, 512 * KiB, 4096);
    await finish(at, all);
    const calls = at.origin.calls('read');
    assert.equal(at.layer.stats().foreignChanges, 0);
    for (let i = 0; i < 16; i++) {
      sameBytes(await bytesOf(at, object, i * 4096, 4096), Buffer.alloc(4096, 50 + i));
    }
    await bytesOf(at, object, 64 * KiB, MiB - 64 * KiB);
    assert.equal(at.origin.calls('read'), calls, 'everything is still cached');
  });

  test('overlapping writes at once are asked from the origin, which knows the order', async () => {
    const at = house({}, {}, (origin, clock) => {
      let turn = 0;
      // The first one asked for reaches the origin last, but is answered first of all replies that arrive.
      return new DelayLayer(origin, {
        clock,
        roundTripMs: (operation) => (operation === 'write' ? 60 - turn++ * 40 : 0),
      });
    });
    const object = makeFile(at.memory, 64 * KiB);
    await bytesOf(at, object, 0, 64 * KiB);
    const writes = [6, 7].map((mark) => {
      const data = [Buffer.alloc(4096, mark)];
      return Promise.resolve(at.layer.write(root, { object, offset: 0, count: 4096, stable: 0, data }));
    });
    await finish(at, Promise.all(writes));
    const truth = at.memory.read(root, { object, offset: 0, count: 4096 });
    assert.ok(truth.status === 0);
    sameBytes(await bytesOf(at, object, 0, 4096), Buffer.concat(truth.data as Uint8Array[]));
  });

  test('truncating and growing again reads zeros', async () => {
    const at = house();
    const object = makeFile(at.memory, 64 * KiB);
    await bytesOf(at, object, 0, 64 * KiB);
    for (const size of [1000, 32 * KiB]) await finish(at, at.layer.setattr(root, { object, set: { size } }));
    const bytes = await bytesOf(at, object, 0, 64 * KiB);
    sameBytes(bytes, Buffer.concat([Buffer.alloc(1000, 1), Buffer.alloc(32 * KiB - 1000)]));
  });

  test('a read that crosses a change of size of a file not seen before is not kept', async () => {
    const at = house();
    const object = makeFile(at.memory, 64 * KiB);
    const held = at.origin.hold('setattr', 'before');
    const set = Promise.resolve(at.layer.setattr(root, { object, set: { size: 1000 } }));
    await settle();
    await bytesOf(at, object, 0, 64 * KiB);
    held.release();
    await finish(at, set);
    assert.equal(at.layer.stats().fillBytes, 0);
    assert.equal(at.layer.stats().passed, 1);
  });

  test('invalidated, everything is asked from the origin again, also what was on its way', async () => {
    const at = house();
    const object = makeFile(at.memory, 128 * KiB);
    await bytesOf(at, object, 0, 64 * KiB);
    const held = at.origin.hold('read', 'after');
    const early = at.layer.read(root, { object, offset: 64 * KiB, count: KiB });
    await settle();
    await at.layer.invalidate();
    held.release();
    const reply = await finish(at, early);
    assert.equal(reply.status, 0);
    const before = at.origin.calls('read');
    await bytesOf(at, object, 0, KiB);
    await bytesOf(at, object, 64 * KiB, KiB);
    assert.equal(at.origin.calls('read'), before + 2);
    await bytesOf(at, object, 0, KiB);
    assert.equal(at.origin.calls('read'), before + 2, 'and kept again');
  });

  test('a change of mode keeps what is cached', async () => {
    const at = house();
    const object = makeFile(at.memory, 64 * KiB);
    await bytesOf(at, object, 0, 64 * KiB);
    await finish(at, at.layer.setattr(root, { object, set: { mode: 0o640 } }));
    const calls = at.origin.calls('read');
    await bytesOf(at, object, 0, 64 * KiB);
    assert.equal(at.origin.calls('read'), calls);
  });

  test('CREATE that empties a file empties its cache', async () => {
    const at = house();
    const object = makeFile(at.memory, 64 * KiB);
    await bytesOf(at, object, 0, 64 * KiB);
    const where = { directory: at.memory.root, name: 'file' };
    await finish(at, at.layer.create(root, { where, how: { mode: 'unchecked', set: { size: 0 } } }));
    put(at.memory, object, 0, 64 * KiB, 3);
    sameBytes(await bytesOf(at, object, 0, 64 * KiB), Buffer.alloc(64 * KiB, 3));
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
