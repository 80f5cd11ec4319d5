/** Meta-data against what it was made of: any file, any damage. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { seededRandom } from '../base/mod.ts';
import type { FileStamp } from '../vfs/mod.ts';
import {
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

describe('meta-data', () => {
  test(`says of any file what it was made of (seed ${seed})`, () => {
    fc.assert(
      fc.property(anyTable, (table) => checkAll(table, encoded(table))),
      { seed, numRuns: 60 },
    );
  });
});
