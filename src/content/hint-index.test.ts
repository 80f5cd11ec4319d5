/** The hint index against a model: it may forget, but what it says was told, and it stays within its bounds. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { seededRandom } from '../base/mod.ts';
import { ContentError, digestBytes, MemoryHintIndex } from './mod.ts';

const seed = 20_251_106;

function digestNumber(number: number): Uint8Array {
  return seededRandom(number + 1).bytes(new Uint8Array(digestBytes));
}

function keyNumber(number: number): string {
  return String(number).padStart(16, '\xff');
}

const anyAdd = fc.record({
  digest: fc.integer({ min: 0, max: 60 }),
  file: fc.integer({ min: 0, max: 12 }),
  sector: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constant(0xffff_ffff)),
});

describe('the hint index', () => {
  test(`says only what it was told, the last told first, also after a restart (seed ${seed})`, () => {
    fc.assert(
      fc.property(fc.array(anyAdd, { maxLength: 300 }), fc.integer({ min: 2, max: 20 }), (adds, files) => {
        let index = new MemoryHintIndex({ entries: 64, files });
        const told = new Map<number, Set<string>>();
        for (const [step, { digest, file, sector }] of adds.entries()) {
          index.add(digestNumber(digest), keyNumber(file), sector);
          if (!told.has(digest)) told.set(digest, new Set());
          told.get(digest)!.add(`${keyNumber(file)} ${sector}`);
          assert.deepEqual(index.find(digestNumber(digest))[0], { key: keyNumber(file), sector });
          if (step % 50 === 49) index = restarted(index, files);
        }
        assert.ok(index.fileCount <= files);
        for (let digest = 0; digest <= 60; digest++) {
          const found = index.find(digestNumber(digest)).map(({ key, sector }) => `${key} ${sector}`);
          assert.ok(found.length <= 4);
          assert.equal(new Set(found).size, found.length, 'a candidate twice');
          for (const place of found) assert.ok(told.get(digest)?.has(place), `${digest} was never at ${place}`);
        }
      }),
      { seed, numRuns: 150 },
    );

    function restarted(index: MemoryHintIndex, files: number): MemoryHintIndex {
      const again = MemoryHintIndex.decode(index.encode(), { files });
      for (let digest = 0; digest <= 60; digest++) {
        assert.deepEqual(again.find(digestNumber(digest)), index.find(digestNumber(digest)));
      }
      return again;
    }
  });

  test('remembers nearly all that there is room for', () => {
    const index = new MemoryHintIndex({ entries: 4096 });
    for (let number = 0; number < 2048; number++) index.add(digestNumber(number), 'k', number);
    let known = 0;
    for (let number = 0; number < 2048; number++) if (index.find(digestNumber(number))[0]?.sector === number) known++;
    assert.ok(known > 1950, `${known} of 2048`);
  });

  test('keeps to its memory however many files and chunks it is told of', () => {
    const index = new MemoryHintIndex({ entries: 1024, files: 100 });
    const atFirst = index.memoryBytes;
    for (let number = 0; number < 20_000; number++) index.add(digestNumber(number % 5000), keyNumber(number), number);
    assert.ok(index.fileCount <= 100);
    assert.ok(index.memoryBytes <= atFirst + 100 * 200, `${index.memoryBytes} bytes`);
  });

  test('forgets first the files of which it knows least', () => {
    const index = new MemoryHintIndex({ entries: 1024, files: 4 });
    for (let number = 0; number < 50; number++) index.add(digestNumber(number), 'large', number);
    for (const file of ['a', 'b', 'c', 'd', 'e']) index.add(digestNumber(file.charCodeAt(0)), file, 1);
    assert.equal(index.find(digestNumber(7))[0]?.key, 'large');
    assert.equal(index.find(digestNumber(101))[0]?.key, 'e');
    assert.deepEqual(index.find(digestNumber(97)), []);
  });

  test('can come back smaller than it was', () => {
    const index = new MemoryHintIndex({ entries: 4096 });
    for (let number = 0; number < 100; number++) index.add(digestNumber(number), 'k', number);
    const smaller = MemoryHintIndex.decode(index.encode(), { entries: 1024 });
    assert.ok(smaller.memoryBytes < index.memoryBytes);
    for (let number = 0; number < 100; number++) assert.equal(smaller.find(digestNumber(number))[0]?.sector, number);
  });

  test('shows any changed byte of what was kept, and any cut', () => {
    const index = new MemoryHintIndex({ entries: 64 });
    for (let number = 0; number < 10; number++) index.add(digestNumber(number), keyNumber(number % 3), number);
    const bytes = Buffer.from(index.encode());
    for (let at = 0; at < bytes.length; at++) {
      bytes[at]! ^= 4;
      assert.throws(() => MemoryHintIndex.decode(bytes), ContentError, `byte ${at}`);
      bytes[at]! ^= 4;
      assert.throws(() => MemoryHintIndex.decode(bytes.subarray(0, at)), ContentError, `cut at ${at}`);
    }
  });
});
