/** Packed data: what goes in comes out, however it is cut; damage and lies of a peer give nothing, in bounded memory. */
import { strict as assert } from 'node:assert';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { constants, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { pattern } from '../testing/mod.ts';
import { Cutter, looksCompressible, type Packed, pack, packedBytes, sift, unpack } from './packed.ts';

const seed = 81;
const text = (bytes: number): Buffer => Buffer.alloc(bytes, 'all work and no play makes it small. ');

async function throughPacking(parts: readonly { offset: number; data: readonly Uint8Array[] }[]): Promise<Buffer> {
  const whole = await pack(sift(parts));
  const data = await unpack(whole);
  assert.ok(data !== undefined);
  const bytes = Buffer.concat(data);
  assert.equal(bytes.length, packedBytes(whole));
  return bytes;
}

describe(`packed data (seed ${seed})`, () => {
  it('comes out as it went in', async () => {
    const kinds = [
      (bytes: number) => Buffer.alloc(bytes),
      (bytes: number) => text(bytes),
      (bytes: number) => pattern(bytes, 3),
    ];
    const piece = fc.tuple(fc.nat({ max: 2 }), fc.nat({ max: 20_000 })).map(([kind, bytes]) => kinds[kind]!(bytes));
    const part = fc.record({ offset: fc.nat({ max: 10_000 }), data: fc.array(piece, { maxLength: 5 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 6 }), async (parts) => {
        const bytes = await throughPacking(parts);
        assert.ok(bytes.equals(Buffer.concat(parts.flatMap((one) => one.data))));
      }),
      { seed, numRuns: 60 },
    );
  });

  it('does not carry zero sectors, and carries text compressed and noise as it is', async () => {
    const sparse = Buffer.alloc(1024 * 1024);
    text(4096).copy(sparse, 8192);
    const packed = await pack(sift([{ offset: 0, data: [sparse] }]));
    assert.deepEqual(packed.runs, [0, 8192, 4096, 1024 * 1024 - 12_288]);
    assert.ok(packed.stored[0]!.length < 200 && packed.isCompressed);
    const noise = randomBytes(300_000);
    const dense = sift([{ offset: 0, data: [noise] }]);
    assert.equal(looksCompressible(dense), false);
    const carried = await pack(dense);
    assert.equal(carried.isCompressed, false);
    // No copy either.
    assert.equal(carried.stored[0]!.buffer, noise.buffer);
    assert.equal(looksCompressible(sift([{ offset: 0, data: [text(100_000)] }])), true);
    assert.equal(looksCompressible(sift([{ offset: 0, data: [Buffer.concat([noise, text(200_000)])] }])), true);
  });

  it('finds sectors where the file has them, also in data that begins between', () => {
    const data = Buffer.concat([Buffer.alloc(96, 1), Buffer.alloc(4096), Buffer.alloc(100, 2)]);
    assert.deepEqual(sift([{ offset: 4000, data: [data] }]).runs, [96, 4096, 100]);
    assert.deepEqual(sift([{ offset: 4000, data: [Buffer.alloc(9000)] }]).runs, [0, 9000]);
    assert.deepEqual(sift([]).runs, [0]);
  });

  it('has no more runs than the protocol allows, whatever comes', async () => {
    const parts = Array.from({ length: 3000 }, (_, i) => ({ offset: i * 8192, data: [Buffer.alloc(8, i % 2)] }));
    const sifted = sift(parts);
    assert.ok(sifted.runs.length <= 1024);
    assert.ok((await throughPacking(parts)).equals(Buffer.concat(parts.flatMap((part) => part.data))));
  });

  it('of a frame that holds more, or less, than its runs say gives nothing', async () => {
    const frame = (bytes: Buffer, params = {}): Buffer => zstdCompressSync(bytes, { params });
    const lie = (count: number, stored: Uint8Array): Packed => ({
      runs: [count],
      isCompressed: true,
      stored: [stored],
    });
    const bomb = frame(Buffer.alloc(64 * 1024 * 1024));
    assert.equal(await unpack(lie(100_000, bomb)), undefined);
    assert.equal(await unpack(lie(4097, frame(text(4096)))), undefined);
    assert.equal(await unpack(lie(4095, frame(text(4096)))), undefined);
    assert.equal(await unpack(lie(100, Buffer.from('no frame'))), undefined);
    const good = frame(text(4096));
    assert.equal(await unpack(lie(4096, good.subarray(0, good.length - 1))), undefined);
    assert.ok(Buffer.concat((await unpack(lie(4096, good)))!).equals(text(4096)));
    const wide = zstdCompressSync(Buffer.concat([randomBytes(100), Buffer.alloc(9_000_000)]), {
      params: { [constants.ZSTD_c_windowLog]: 26, [constants.ZSTD_c_contentSizeFlag]: 0 },
    });
    assert.equal(await unpack(lie(1024 * 1024, wide)), undefined);
  });

  it('notices a flipped bit in what it compressed itself', async () => {
    const { runs, stored } = await pack(sift([{ offset: 0, data: [text(50_000)] }]));
    const frame = Buffer.concat(stored);
    for (let at = 0; at < frame.length; at++) {
      const damaged = Buffer.from(frame);
      damaged[at]! ^= 0x10;
      const data = await unpack({ runs, isCompressed: true, stored: [damaged] });
      // A few bits of a header say nothing about the content.
      if (data !== undefined) assert.ok(Buffer.concat(data).equals(text(50_000)), `byte ${at}`);
    }
  });
});

describe('a cutter', () => {
  it('cuts slices into pieces of given lengths', () => {
    const cutter = new Cutter([Buffer.from('ab'), Buffer.from(''), Buffer.from('cdef')]);
    const take = (count: number): string => Buffer.concat(cutter.take(count)).toString();
    assert.deepEqual([take(1), take(3), take(0), take(1), take(9)], ['a', 'bcd', '', 'e', 'f']);
  });
});
