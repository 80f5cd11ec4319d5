/** Changes through the block cache: no read after them shows what was before, and what is cached survives them. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { seededRandom, silentLog, sleep, systemClock } from '../../base/mod.ts';
import { CleanCache } from '../../cache/mod.ts';
import { DelayLayer, FaultLayer, MemoryFilesystem, settle } from '../../testing/mod.ts';
import type { Filesystem } from '../../vfs/mod.ts';
import { BlockCache } from '../block-cache.ts';
import { noReadAhead } from '../read-ahead/mod.ts';
import { bytesOf, finish, house, KiB, MiB, makeFile, put, root, sameBytes } from './house.test.ts';

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
