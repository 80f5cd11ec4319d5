/** Packs: what is stored comes back, and whatever else comes costs no more than a group. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { seededRandom } from '../base/mod.ts';
import {
  ContentError,
  chunkBytes,
  decodeGroup,
  decodePackHeader,
  encodeGroup,
  encodePackHeader,
  type GroupPlace,
  groupChunks,
  newPackId,
  packHeaderBytes,
} from './mod.ts';

const seed = 20_251_104;

function placeOf(chunkCount: number, count: number): GroupPlace {
  return { group: 3, offset: packHeaderBytes, count, firstChunk: 96, chunkCount };
}

/** Chunks that compress as memory does: words of few kinds, and some noise. */
function chunksOf(count: number, noise: number): Buffer[] {
  const random = seededRandom(count);
  return Array.from({ length: count }, () => {
    const chunk = Buffer.alloc(chunkBytes);
    for (let at = 0; at < chunkBytes; at += 4) {
      chunk.writeUInt32LE(random.uint32() / 2 ** 32 < noise ? random.uint32() : random.uint32() % 7, at);
    }
    return chunk;
  });
}

/** How many bytes come out, if any do. */
async function attempt(place: GroupPlace, bytes: Uint8Array): Promise<number | undefined> {
  try {
    return (await decodeGroup(place, bytes)).length;
  } catch (error) {
    if (error instanceof ContentError) return undefined;
    throw error;
  }
}

test('groups of any size come back, at any level, smaller if they can be', async () => {
  for (const count of [1, 2, 31, groupChunks]) {
    for (const noise of [0, 0.5, 1]) {
      for (const level of [undefined, 1, 9]) {
        const chunks = chunksOf(count, noise);
        const stored = await encodeGroup(chunks, level);
        const whole = Buffer.concat(chunks);
        if (noise < 1) assert.ok(stored.length < whole.length);
        else assert.equal(stored.length, whole.length, 'noise is stored as it is');
        const plain = await decodeGroup(placeOf(count, stored.length), stored);
        assert.ok(whole.equals(plain), `${count} chunks, noise ${noise}, level ${level}`);
      }
    }
  }
});

test('a group that is cut, or of another length than its place says, is refused', async () => {
  const stored = await encodeGroup(chunksOf(4, 0.1));
  for (let count = 0; count < stored.length; count += 37) {
    assert.equal(await attempt(placeOf(4, stored.length), stored.subarray(0, count)), undefined);
    assert.equal(await attempt(placeOf(4, count), stored.subarray(0, count)), undefined, `cut at ${count}`);
  }
  assert.equal(await attempt(placeOf(3, stored.length), stored), undefined);
  assert.equal(await attempt(placeOf(5, stored.length), stored), undefined);
});

test(`a damaged group is refused, or has the right size for its digests to fail (seed ${seed})`, async () => {
  const chunks = chunksOf(3, 0.2);
  const stored = Buffer.from(await encodeGroup(chunks));
  const anyByte = fc.integer({ min: 0, max: stored.length - 1 });
  const anyDamage = fc.array(fc.tuple(anyByte, fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(anyDamage, async (damage) => {
      const copy = Buffer.from(stored);
      for (const [at, bits] of damage) copy[at]! ^= bits;
      const count = await attempt(placeOf(3, copy.length), copy);
      if (count !== undefined) assert.equal(count, 3 * chunkBytes);
    }),
    { seed, numRuns: 400 },
  );
});

test('a frame that expands to too much, wants too large a window, or is none costs no more than a group', async () => {
  const bomb = zstdCompressSync(Buffer.alloc(64 * 1024 * 1024), { params: { [constants.ZSTD_c_windowLog]: 17 } });
  assert.ok(bomb.length < 32 * chunkBytes);
  // Not "67108864 bytes instead of": it was stopped on the way.
  await assert.rejects(decodeGroup(placeOf(32, bomb.length), bomb), {
    name: 'ContentError',
    message: /larger than 131072/,
  });
  // Not told its size, zstd announces the window that it was allowed.
  const params = { [constants.ZSTD_c_windowLog]: 24 };
  const wide = await promisify(zstdCompress)(Buffer.alloc(32 * chunkBytes), { params });
  assert.equal(await attempt(placeOf(32, wide.length), wide), undefined);
  const noise = seededRandom(seed).bytes(Buffer.alloc(1000));
  assert.equal(await attempt(placeOf(1, noise.length), noise), undefined);
  assert.equal(await attempt(placeOf(200, 100), noise.subarray(0, 100)), undefined);
  // Less than a group, and a second frame behind the first.
  const half = zstdCompressSync(Buffer.alloc(2048));
  assert.equal(await attempt(placeOf(1, half.length), half), undefined);
  const two = Buffer.concat([half, half]);
  assert.equal(await attempt(placeOf(1, two.length), two), undefined);
});

test('a header carries the id of its pack, and any changed byte or cut of it shows', () => {
  const id = newPackId(seededRandom(seed));
  assert.equal(id.length, 16);
  const header = Buffer.from(encodePackHeader(id));
  assert.equal(header.length, packHeaderBytes);
  assert.deepEqual(decodePackHeader(header), id);
  assert.deepEqual(decodePackHeader(Buffer.concat([header, Buffer.alloc(10)])), id);
  for (let at = 0; at < header.length; at++) {
    header[at]! ^= 0x10;
    assert.throws(() => decodePackHeader(header), ContentError, `byte ${at}`);
    header[at]! ^= 0x10;
    assert.throws(() => decodePackHeader(header.subarray(0, at)), ContentError, `cut at ${at}`);
  }
});
