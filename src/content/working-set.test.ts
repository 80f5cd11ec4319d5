/** Working sets: as bytes, and merged. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { limits } from '../base/mod.ts';
import type { FileStamp } from '../vfs/mod.ts';
import { ContentError, decodeWorkingSet, encodeWorkingSet, mergeWorkingSets, type WorkingSet } from './mod.ts';

const seed = 20_251_105;
const stamp: FileStamp = {
  size: 1000 * limits.blockBytes + 1,
  mtimeSeconds: 1_700_000_000,
  mtimeNanoseconds: 1,
  ctimeSeconds: 1_700_000_001,
  ctimeNanoseconds: 2,
  fileid: 42n,
};

function setOf(blocks: readonly number[], weights?: readonly number[], runs = 1): WorkingSet {
  return {
    stamp,
    purpose: 'boot',
    blocks: Uint32Array.from(blocks),
    weights: Uint8Array.from(weights ?? blocks.map(() => 1)),
    runs,
  };
}

const anySet = fc
  .record({
    runs: fc.integer({ min: 1, max: 200 }),
    blocks: fc.uniqueArray(fc.integer({ min: 0, max: 1000 }), { maxLength: 300 }),
    weightSeed: fc.integer({ min: 1, max: 255 }),
    purpose: fc.constantFrom('boot', 'resume', 'written', 'x-9', 'a'.repeat(32)),
  })
  .map(({ runs, blocks, weightSeed, purpose }) => ({
    ...setOf(
      blocks,
      blocks.map((block) => 1 + ((block * weightSeed) % Math.min(runs, 255))),
      runs,
    ),
    purpose,
  }));

describe('a working set', () => {
  test(`comes back from its bytes (seed ${seed})`, () => {
    fc.assert(
      fc.property(anySet, (set) => assert.deepEqual(decodeWorkingSet(encodeWorkingSet(set)), set)),
      { seed, numRuns: 200 },
    );
  });

  test('shows any changed byte, and any cut', () => {
    const bytes = Buffer.from(encodeWorkingSet(setOf([5, 6, 7, 900, 3, 1000, 2, 11])));
    for (let at = 0; at < bytes.length; at++) {
      bytes[at]! ^= 0x20;
      assert.throws(() => decodeWorkingSet(bytes), ContentError, `byte ${at}`);
      bytes[at]! ^= 0x20;
      assert.throws(() => decodeWorkingSet(bytes.subarray(0, at)), ContentError, `cut at ${at}`);
    }
    assert.throws(() => decodeWorkingSet(Buffer.concat([bytes, Buffer.alloc(1)])), ContentError);
  });

  test('that is forged is refused: too many blocks, a purpose that is a path, no runs, another count', () => {
    const bytes = Buffer.from(encodeWorkingSet(setOf([5, 6, 7])));
    const forged = (offset: number, value: number): Buffer => {
      const copy = Buffer.from(bytes);
      copy.writeUInt32LE(value, offset);
      copy.writeUInt32LE(crc32(copy.subarray(0, 124)), 124);
      return copy;
    };
    const cases: [number, number][] = [
      [96, 0xffff_ffff],
      [96, 2],
      [96, 4],
      [60, 0x2f2e2e],
      [60, 0],
      [92, 0],
      [20, 1],
      [24, 0x10_0000],
    ];
    for (const [offset, value] of cases) {
      assert.throws(() => decodeWorkingSet(forged(offset, value)), ContentError, `${value} at ${offset}`);
    }
  });

  test('of the most blocks that there may be fits one transfer, whatever they are', () => {
    const blocks = new Uint32Array(limits.workingSetBlocks);
    // An odd factor permutes the numbers below a power of two.
    for (let index = 0; index < blocks.length; index++) blocks[index] = Math.imul(index, 0x9e37_79b1) >>> 5;
    const large = { ...stamp, size: limits.contentFileBytes };
    const unique = Uint32Array.from(new Set(blocks));
    const set: WorkingSet = {
      stamp: large,
      purpose: 'boot',
      blocks: unique,
      weights: new Uint8Array(unique.length).fill(1),
      runs: 1,
    };
    assert.ok(encodeWorkingSet(set).length <= limits.transferBytes);
    const tooMany = { ...set, blocks: new Uint32Array(limits.workingSetBlocks + 1) };
    assert.throws(() => encodeWorkingSet(tooMany), { name: 'AssertionError' });
  });
});

describe('merged working sets', () => {
  test('of one set are that set', () => {
    const set = setOf([9, 1, 5], [1, 3, 2], 3);
    assert.deepEqual(mergeWorkingSets([set], { mostBlocks: 10 }), set);
  });

  test('have the newest stamp, the sum of weights and runs, and the mean order', () => {
    const newest = { ...setOf([1, 2, 3, 50]), stamp: { ...stamp, mtimeSeconds: 1_800_000_000 } };
    const older = setOf([3, 1, 2], [2, 2, 1], 2);
    const merged = mergeWorkingSets([newest, older], { mostBlocks: 10 });
    assert.deepEqual(merged.stamp, newest.stamp);
    assert.equal(merged.runs, 3);
    // Mean positions: 1: (0 + 2*1)/3, 2: (1 + 2)/2, 3: (2 + 0)/3, 50: 3. Of equals the lower block is first.
    assert.deepEqual([...merged.blocks], [1, 3, 2, 50]);
    assert.deepEqual([...merged.weights], [3, 3, 2, 1]);
  });

  test('keep what most runs wanted when there is no room for all, in the order in which it is wanted', () => {
    const merged = mergeWorkingSets([setOf([10, 11, 12, 13]), setOf([13, 12, 20, 21]), setOf([12, 22])], {
      mostBlocks: 3,
    });
    assert.deepEqual([...merged.blocks], [10, 12, 13]);
    assert.deepEqual([...merged.weights], [1, 3, 2]);
  });

  test('drop blocks beyond the end of the newest version', () => {
    const shorter = { ...setOf([1]), stamp: { ...stamp, size: 2 * limits.blockBytes } };
    assert.deepEqual([...mergeWorkingSets([shorter, setOf([0, 1, 2, 900])], { mostBlocks: 10 }).blocks], [0, 1]);
  });

  test('forget what only runs of long ago wanted, but never what the newest wants', () => {
    let merged = setOf([7, 8]);
    for (let run = 0; run < 400; run++)
      merged = mergeWorkingSets([setOf(run < 1 ? [7, 8, 9] : [7, 8]), merged], { mostBlocks: 10 });
    assert.deepEqual([...merged.blocks], [7, 8], 'block 9 was wanted once, hundreds of runs ago');
    assert.ok(merged.runs <= 64);
    merged = mergeWorkingSets([setOf([7, 8, 30]), { ...merged, runs: 64, weights: Uint8Array.of(64, 64) }], {
      mostBlocks: 10,
    });
    assert.deepEqual([...merged.blocks], [7, 8, 30]);
  });

  test(`are a working set whatever they are made of (seed ${seed})`, () => {
    fc.assert(
      fc.property(
        fc.array(anySet, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 0, max: 400 }),
        (sets, mostBlocks) => {
          const merged = mergeWorkingSets(sets, { mostBlocks });
          assert.ok(merged.blocks.length <= mostBlocks);
          assert.deepEqual(decodeWorkingSet(encodeWorkingSet(merged)), merged);
          const known = new Set(sets.flatMap((set) => [...set.blocks]));
          assert.ok(merged.blocks.every((block) => known.has(block)));
        },
      ),
      { seed, numRuns: 100 },
    );
  });
});
