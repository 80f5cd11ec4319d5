/** Meta-data against what it was made of: any file, any damage. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { crc32, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { limits, seededRandom } from '../base/mod.ts';
import type { FileStamp } from '../vfs/mod.ts';
import { GroupTable } from './group-table.ts';
import {
  ContentError,
  type ContentTable,
  chunkBytes,
  decodeHead,
  decodePage,
  digestBytes,
  encodeMeta,
  groupChunks,
  headBytes,
  type MetaHead,
  metaHeaderBytes,
  pageSectors,
} from './mod.ts';

const seed = 20_251_103;

function stampOfSize(size: number): FileStamp {
  return {
    size,
    mtimeSeconds: 1_700_000_000,
    mtimeNanoseconds: 123_456_789,
    ctimeSeconds: -5,
    ctimeNanoseconds: 999_999_999,
    fileid: 0xffff_ffff_ffff_fff0n,
  };
}

/** Runs of zero sectors, new chunks and chunks seen before. */
interface Run {
  readonly kind: 'zero' | 'new' | 'old';
  readonly count: number;
}

function tableOf(runs: readonly Run[], cut: number, withPack: boolean): ContentTable {
  const random = seededRandom(seed);
  const sectorCount = runs.reduce((sum, run) => sum + run.count, 0);
  const dataMap = new Uint8Array(Math.ceil(sectorCount / 8));
  const chunks: number[] = [];
  let sector = 0;
  let next = 0;
  for (const run of runs) {
    for (let index = 0; index < run.count; index++, sector++) {
      if (run.kind === 'zero') continue;
      dataMap[sector >>> 3]! |= 1 << (sector & 7);
      chunks.push(run.kind === 'new' || next === 0 ? next++ : random.uint32() % next);
    }
  }
  const groups: number[] = [];
  for (let left = next; left > 0; left -= groups.at(-1)!)
    groups.push(Math.min(left, 1 + (random.uint32() % groupChunks)));
  return {
    isWantedWhole: random.uint32() % 2 === 1,
    stamp: stampOfSize(Math.max(0, sectorCount * chunkBytes - (sectorCount > 0 ? cut : 0))),
    dataMap,
    chunks: Uint32Array.from(chunks),
    digests: random.bytes(new Uint8Array(chunks.length * digestBytes)),
    pack: withPack
      ? {
          id: random.bytes(new Uint8Array(16)),
          groupBytes: Uint32Array.from(groups, (count) => 1 + (random.uint32() % (count * chunkBytes))),
          groupChunks: Uint8Array.from(groups),
        }
      : undefined,
  };
}

function encoded(table: ContentTable): Buffer {
  return Buffer.concat([...encodeMeta(table)]);
}

/** All that head and pages say must be what the table says. */
function checkAll(table: ContentTable, file: Buffer): void {
  const count = headBytes(file.subarray(0, metaHeaderBytes));
  const head = decodeHead(file.subarray(0, count));
  assert.deepEqual(head.stamp, table.stamp);
  assert.deepEqual(head.packId, table.pack?.id);
  assert.equal(head.isWantedWhole, table.isWantedWhole === true);
  assert.equal(head.metaBytes, file.length);
  assert.equal(head.dataSectorCount, table.chunks.length);
  let index = 0;
  for (let number = 0; number < head.pageCount; number++) {
    const place = head.page(number);
    const page = decodePage(head, number, file.subarray(place.offset, place.offset + place.count));
    const end = Math.min((number + 1) * pageSectors, head.sectorCount);
    for (let sector = number * pageSectors; sector < end; sector++) {
      const isData = ((table.dataMap[sector >>> 3]! >>> (sector & 7)) & 1) === 1;
      assert.equal(head.isZero(sector), !isData);
      assert.equal(page.chunkOf(sector), isData ? table.chunks[index] : undefined);
      if (!isData) continue;
      assert.deepEqual(
        Buffer.from(page.digestOf(sector)),
        Buffer.from(table.digests.subarray(index * 16, index * 16 + 16)),
      );
      index++;
    }
  }
  checkScans(head);
  checkGroups(table, head);
}

function checkScans(head: MetaHead): void {
  let nextData = head.sectorCount;
  let nextZero = head.sectorCount;
  for (let sector = head.sectorCount - 1; sector >= 0; sector--) {
    if (head.isZero(sector)) nextZero = sector;
    else nextData = sector;
    assert.equal(head.nextData(sector), nextData);
    assert.equal(head.nextZero(sector), nextZero);
  }
  assert.equal(head.nextData(head.sectorCount), head.sectorCount);
  assert.equal(head.nextZero(head.sectorCount + 7), head.sectorCount);
}

function checkGroups(table: ContentTable, head: MetaHead): void {
  assert.equal(head.groupCount, table.pack?.groupBytes.length ?? 0);
  if (table.pack === undefined) return;
  let offset = 4096;
  let chunk = 0;
  for (const [group, count] of table.pack.groupBytes.entries()) {
    const chunkCount: number = table.pack.groupChunks[group]!;
    const place = { group, offset, count, firstChunk: chunk, chunkCount };
    assert.deepEqual(head.groupAt(group), place);
    assert.deepEqual(head.groupOf(chunk), place);
    assert.deepEqual(head.groupOf(chunk + chunkCount - 1), place);
    offset += count;
    chunk += chunkCount;
  }
  assert.equal(head.packBytes, offset);
  assert.equal(head.chunkCount, chunk);
}

const anyRun: fc.Arbitrary<Run> = fc.record({
  kind: fc.constantFrom('zero', 'new', 'old'),
  count: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 6000 })),
});
const anyTable = fc
  .tuple(fc.array(anyRun, { maxLength: 12 }), fc.integer({ min: 0, max: chunkBytes - 1 }), fc.boolean())
  .map(([runs, cut, withPack]) => tableOf(runs, cut, withPack));

/** What a decoder says of bytes: a value, or a ContentError; anything else is a failure. */
function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof ContentError) return undefined;
    throw error;
  }
}

function decodeAll(file: Uint8Array): MetaHead | undefined {
  return attempt(() => {
    const head = decodeHead(file.subarray(0, headBytes(file.subarray(0, metaHeaderBytes))));
    for (let number = 0; number < head.pageCount; number++) {
      const { offset, count } = head.page(number);
      decodePage(head, number, file.subarray(offset, offset + count));
    }
    return head;
  });
}

/** As a forger would: all checksums of the head are made right again, where the sections are still inside the file. */
function forged(file: Buffer, offset: number, value: number): Buffer {
  const copy = Buffer.from(file);
  copy.writeUInt32LE(value, offset);
  let at = metaHeaderBytes;
  for (let section = 120; section < 152 && at < copy.length; section += 8) {
    const stored = copy.subarray(at, (at += copy.readUInt32LE(section)));
    copy.writeUInt32LE(crc32(stored), section + 4);
  }
  copy.writeUInt32LE(crc32(copy.subarray(0, 4092)), 4092);
  return copy;
}

const small = tableOf(
  [
    { kind: 'new', count: 5 },
    { kind: 'zero', count: 4 },
    { kind: 'old', count: 9 },
    { kind: 'zero', count: 5000 },
    { kind: 'new', count: 3 },
  ],
  100,
  true,
);

describe('meta-data', () => {
  test(`says of any file what it was made of (seed ${seed})`, () => {
    fc.assert(
      fc.property(anyTable, (table) => checkAll(table, encoded(table))),
      { seed, numRuns: 60 },
    );
  });

  test('of an empty file, and of one that is all zeros, is little more than its header', () => {
    for (const runs of [[], [{ kind: 'zero', count: 100_000 } as const]]) {
      for (const withPack of [false, true]) {
        const table = tableOf(runs, 17, withPack);
        const file = encoded(table);
        checkAll(table, file);
        assert.ok(file.length < metaHeaderBytes + 100, `${file.length} bytes`);
      }
    }
  });

  test('takes at most 0.5 % of the file and 8 KiB, also where nothing of it compresses', () => {
    const random = seededRandom(seed);
    const sectors = 100_000;
    for (const zeros of [0, 0.01, 0.5]) {
      const dataMap = new Uint8Array(sectors / 8);
      let data = 0;
      for (let sector = 0; sector < sectors; sector++) {
        if (random.uint32() / 2 ** 32 < zeros) continue;
        dataMap[sector >>> 3]! |= 1 << (sector & 7);
        data++;
      }
      const chunks = Uint32Array.from({ length: data }, (_, index) => index);
      for (let index = data - 1; index > 0; index--) {
        const other = random.uint32() % (index + 1);
        [chunks[index], chunks[other]] = [chunks[other]!, chunks[index]!];
      }
      const groups = Math.ceil(data / groupChunks);
      const file = encoded({
        stamp: stampOfSize(sectors * chunkBytes),
        dataMap,
        chunks,
        digests: random.bytes(new Uint8Array(data * digestBytes)),
        pack: {
          id: new Uint8Array(16),
          groupBytes: Uint32Array.from({ length: groups }, () => 1 + (random.uint32() % 4096)),
          groupChunks: Uint8Array.from({ length: groups }, (_, group) =>
            Math.min(groupChunks, data - group * groupChunks),
          ),
        },
      });
      assert.ok(file.length <= sectors * chunkBytes * 0.005 + 8192, `${file.length} bytes at ${zeros} zeros`);
    }
  });

  test('of 100 GiB is bounded in memory', () => {
    const sectors = 25 * 1024 * 1024;
    const dataMap = new Uint8Array(sectors / 8);
    // Each page is mixed: the bitmaps are as large as they get.
    const data = sectors / pageSectors;
    for (let page = 0; page < data; page++) dataMap[page * (pageSectors / 8) + (page % 511)] = 1 << (page & 7);
    const file = encoded({
      stamp: stampOfSize(sectors * chunkBytes),
      dataMap,
      chunks: Uint32Array.from({ length: data }, (_, index) => index),
      digests: new Uint8Array(data * digestBytes),
      pack: undefined,
    });
    const head = decodeHead(file);
    assert.ok(head.memoryBytes < 4 * 1024 * 1024, `${head.memoryBytes} bytes`);
    assert.ok(file.length < 1024 * 1024, `${file.length} bytes stored`);
    let found = 0;
    for (let at = head.nextData(0); at < head.sectorCount; at = head.nextData(at + 1)) {
      assert.ok(!head.isZero(at) && head.nextZero(at) === at + 1);
      found++;
    }
    assert.equal(found, data);
  });

  test('keeps nothing of the bytes that it came in', () => {
    // A zero map that does not compress, so that it is stored as it is.
    const random = seededRandom(seed);
    const runs = Array.from({ length: 4000 }, (): Run => ({ kind: random.uint32() % 2 ? 'new' : 'zero', count: 1 }));
    const table = tableOf([{ kind: 'new', count: 1 }, ...runs], 0, true);
    const file = encoded(table);
    const head = decodeHead(file);
    const place = head.page(0);
    const page = decodePage(head, 0, file.subarray(place.offset, place.offset + place.count));
    const digest = Buffer.from(page.digestOf(0));
    file.fill(0xff);
    for (const [index, run] of runs.entries()) assert.equal(head.isZero(index + 1), run.kind === 'zero');
    assert.deepEqual(Buffer.from(page.digestOf(0)), digest);
    assert.deepEqual(head.packId, table.pack!.id);
  });

  test('shows any changed byte, and any cut', () => {
    const file = encoded(small);
    for (let at = 0; at < file.length; at++) {
      file[at]! ^= 1 << (at & 7);
      assert.equal(decodeAll(file), undefined, `byte ${at}`);
      file[at]! ^= 1 << (at & 7);
    }
    for (let count = 0; count < file.length; count++) {
      assert.equal(decodeAll(file.subarray(0, count)), undefined, `cut at ${count}`);
    }
    assert.ok(decodeAll(file) !== undefined);
  });

  test('of another version is refused by name', () => {
    assert.throws(() => headBytes(forged(encoded(small), 16, 2)), { name: 'ContentError', message: 'meta: version 2' });
  });

  test(`that is forged is refused or consistent, in bounded memory (seed ${seed})`, () => {
    const file = encoded(small);
    const count = headBytes(file);
    const offset = fc.oneof(
      fc.integer({ min: 5, max: 38 }).map((word) => 4 * word),
      fc.integer({ min: metaHeaderBytes, max: count - 4 }),
    );
    const value = fc.oneof(fc.integer({ min: 0, max: 64 }), fc.integer({ min: 0, max: 0xffff_ffff }));
    fc.assert(
      fc.property(offset, value, (at, word) => {
        const head = decodeAll(forged(file, at, word));
        if (head === undefined) return;
        assert.ok(head.memoryBytes <= limits.contentHeadBytes);
        assert.ok(head.nextData(0) <= head.sectorCount && head.nextZero(0) <= head.sectorCount);
        for (let chunk = 0; chunk < head.chunkCount && head.groupCount > 0; chunk++) {
          const place = head.groupOf(chunk);
          assert.ok(place.firstChunk <= chunk && chunk < place.firstChunk + place.chunkCount);
          assert.ok(place.count <= place.chunkCount * chunkBytes && place.offset + place.count <= head.packBytes);
        }
      }),
      { seed, numRuns: 2000 },
    );
  });

  test('that announces more than a head may have is refused by its header', () => {
    const file = encoded(small);
    const cases: [number, number][] = [
      [28, 0x10_0000], // a size of petabytes
      [96, 0xffff_ffff], // groups
      [100, 0xffff_ffff], // bitmaps
      [104, 0xffff_ffff], // bytes of the head
      [120, 0xffff_ffff], // bytes of a section
    ];
    for (const [at, value] of cases) {
      assert.throws(() => headBytes(forged(file, at, value).subarray(0, 4096)), ContentError, `word at ${at}`);
    }
  });

  test('whose head would be too large in memory is refused by its header', () => {
    let file = encoded(small);
    const dataSectors = 2 ** 28;
    const metaBytes = file.readUInt32LE(104) + dataSectors * digestBytes;
    const words: [number, number][] = [
      [24, 0],
      [28, 256], // 1 TiB
      [88, dataSectors],
      [92, dataSectors],
      [96, dataSectors / 32],
      [112, metaBytes % 2 ** 32],
      [116, Math.floor(metaBytes / 2 ** 32)],
    ];
    for (const [at, value] of words) file = forged(file, at, value);
    assert.throws(() => headBytes(file), { name: 'ContentError', message: 'meta: the head is too large' });
    assert.ok(headBytes(forged(file, 96, dataSectors / 256)) > 0, 'fewer groups are allowed');
  });

  test('that contradicts itself is refused', () => {
    const file = encoded(small);
    const withoutPack = encoded({ ...small, pack: undefined });
    const cases: [string, Buffer][] = [
      ['data behind the end', forged(file, 24, 5010 * chunkBytes)],
      ['another length', forged(file, 112, file.length + 1)],
      ['fewer data sectors than the zero map', forged(file, 88, file.readUInt32LE(88) - 1)],
      ['another length of the pack', forged(file, 80, file.readUInt32LE(80) + 1)],
      ['fewer chunks than the groups', forged(file, 92, file.readUInt32LE(92) - 1)],
      ['no pack, and groups', forged(file, 20, 0)],
    ];
    for (const [what, forgery] of cases) assert.throws(() => decodeHead(forgery), ContentError, what);
    const beyond = forged(withoutPack, 92, withoutPack.readUInt32LE(92) - 1);
    assert.ok(decodeHead(beyond).chunkCount > 0);
    assert.equal(decodeAll(beyond), undefined, 'a chunk number beyond all chunks');
    assert.ok(decodeAll(withoutPack) !== undefined);
  });

  test('has no group that is empty, or larger than its chunks', () => {
    const table = (...planes: number[]): GroupTable => new GroupTable(Uint8Array.from(planes), 1);
    assert.equal(table(0, 0, 2, groupChunks).packBytes, 4096 + 0x20000);
    for (const planes of [
      [1, 0, 2, groupChunks],
      [1, 0x10, 0, 1],
      [0, 0, 0, 1],
      [1, 0, 0, 0],
      [1, 0, 0, groupChunks + 1],
    ]) {
      assert.throws(() => table(...planes), ContentError, String(planes));
    }
  });

  test('whose sections expand to more than announced is refused before they do', () => {
    const file = encoded(small);
    const bomb = zstdCompressSync(Buffer.alloc(64 * 1024 * 1024));
    const kindsBytes = file.readUInt32LE(120);
    const headCount = file.readUInt32LE(104) - kindsBytes + bomb.length;
    let copy: Buffer = Buffer.concat([file.subarray(0, 4096), bomb, file.subarray(4096 + kindsBytes)]);
    copy = forged(copy, 120, bomb.length);
    copy = forged(copy, 104, headCount);
    copy = forged(copy, 112, copy.length);
    assert.equal(headBytes(copy), headCount);
    assert.throws(() => decodeHead(copy), ContentError);
  });

  test('is not made of a file that is too large for it', () => {
    const table = { ...tableOf([], 0, false), stamp: stampOfSize(limits.contentFileBytes + 1) };
    assert.throws(() => encodeMeta(table), ContentError);
  });
});
