import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { limits } from '../base/mod.ts';
import { sectorMask } from './engine.ts';
import { bankOf, frameBytes, framePosition, geometryFor, ways } from './geometry.ts';
import { sectorSeed, versionSeed } from './hash.ts';
import { decodeHeader, encodeHeader } from './index-format.ts';
import { SliceView } from './slices.ts';

const seed = 424_242;
const size = fc.integer({ min: limits.cacheBytes, max: 8 * 2 ** 40 });

test('index and full banks stay below the size, and little of it is left unused', () => {
  fc.assert(
    fc.property(size, (sizeBytes) => {
      const geometry = geometryFor(sizeBytes);
      const used = geometry.indexBytes + geometry.bankCount * geometry.bankBytes;
      assert.ok(used <= sizeBytes && geometry.bankCount <= 512 && geometry.frameCount === geometry.setCount * ways);
      assert.ok(used > sizeBytes * (sizeBytes < 2 ** 30 ? 0.85 : 0.97), `${used} of ${sizeBytes}`);
    }),
    { seed },
  );
});

test('each frame has a place of its own, inside its bank', () => {
  const geometry = geometryFor(70 * 2 ** 20);
  const places = new Set<string>();
  for (let set = 0; set < geometry.setCount; set++) {
    for (let way = 0; way < ways; way++) {
      const position = framePosition(geometry, set, way);
      assert.ok(position + frameBytes <= geometry.bankBytes && bankOf(geometry, set) < geometry.bankCount);
      places.add(`${bankOf(geometry, set)} ${position}`);
    }
  }
  assert.equal(places.size, geometry.frameCount);
});

test('neighbouring sets of one bank are neighbours on the disk in each way', () => {
  const geometry = geometryFor(2 ** 30);
  for (let set = 1; set < geometry.setsPerBank; set++) {
    assert.equal(framePosition(geometry, set, 5) - framePosition(geometry, set - 1, 5), frameBytes);
  }
});

test('a header survives encoding, and every flipped bit of it is noticed', () => {
  const uuid = Uint8Array.from({ length: 16 }, (_, index) => index * 7);
  const bytes = encodeHeader(uuid, geometryFor(100 * 2 ** 30));
  const decoded = decodeHeader(bytes);
  assert.ok(decoded.kind === 'good' && decoded.header.geometry.sizeBytes === 100 * 2 ** 30);
  for (let bit = 0; bit < 80 * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    assert.notEqual(decodeHeader(bytes).kind, 'good', `bit ${bit}`);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
  }
  for (let count = 0; count < 80; count++) assert.notEqual(decodeHeader(bytes.subarray(0, count)).kind, 'good');
});

test('seeds differ in each of their parts', () => {
  const base = { uuid: [1, 2, 3, 4], key: [5, 6, 7, 8], version: 9, nonce: 10, block: 11, sector: 12 };
  const of = (one: typeof base): number =>
    sectorSeed(versionSeed(one.uuid, one.key, one.version, one.nonce), one.block, one.sector);
  const others = [
    ...[{ uuid: [1, 2, 3, 5] }, { key: [4, 6, 7, 8] }, { version: 10 }, { nonce: 11 }, { block: 12 }, { sector: 13 }],
    { block: 11 + 2 ** 28 },
  ].map((change) => of({ ...base, ...change }));
  assert.equal(new Set([of(base), ...others]).size, others.length + 1);
});

test('ranges of slices are those of the joined bytes', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 8 }),
      fc.nat(160),
      fc.nat(160),
      (slices, a, b) => {
        const all = Buffer.concat(slices);
        const start = Math.min(a, b, all.length);
        const end = Math.min(Math.max(a, b), all.length);
        const view = new SliceView(slices);
        assert.deepEqual(Buffer.concat(view.range(start, end)), all.subarray(start, end));
        assert.equal(view.crc32(start, end, 3), crc32(all.subarray(start, end), 3));
      },
    ),
    { seed },
  );
});

test('the sector mask of a block holds exactly the sectors that the range touches', () => {
  fc.assert(
    fc.property(fc.nat(200_000), fc.integer({ min: 1, max: 200_000 }), (offset, count) => {
      for (let block = 0; block < 7; block++) {
        for (let sector = 0; sector < 16; sector++) {
          const start = block * 65_536 + sector * 4096;
          const touched = start < offset + count && start + 4096 > offset;
          assert.equal((sectorMask(block, offset, offset + count) >> sector) & 1, touched ? 1 : 0);
        }
      }
    }),
    { seed, numRuns: 60 },
  );
});
