/** Reads every valid sector from the disk and checks it; what does not verify is dropped. For `viaduct cache verify`. */
import { crc32 } from 'node:zlib';
import type { BankReport, VerifyReport } from './contract.ts';
import type { Engine } from './engine.ts';
import { frameBytes, recordWords, sectorBytes, sectorsPerFrame, setWords, ways } from './geometry.ts';
import { sectorSeed, type VersionSeed, versionSeed } from './hash.ts';
import { bitCount, checksumIndex, recordWord, tagWord } from './memory.ts';

export async function verifyCache(
  engine: Engine,
  onProgress: (done: BankReport) => void,
): Promise<Omit<VerifyReport, 'indexDamage'>> {
  const { geometry } = engine.memory;
  const banks: BankReport[] = [];
  const seeds = new Map<number, VersionSeed>();
  for (let bank = 0; bank < geometry.bankCount; bank++) {
    let goodSectors = 0;
    let badSectors = 0;
    for (let way = 0; way < ways; way++) {
      for (let index = 0; index < geometry.setsPerBank; index++) {
        const set = bank * geometry.setsPerBank + index;
        const mask = engine.tags.validMask(set, way);
        if (mask === 0 || engine.tags.eviction.isDead(set, way)) continue;
        const bad = await verifyFrame(engine, set, way, mask, seeds);
        badSectors += bad;
        goodSectors += bitCount(mask) - bad;
      }
    }
    if (goodSectors + badSectors === 0) continue;
    const report = { bank, goodSectors, badSectors };
    banks.push(report);
    onProgress(report);
  }
  const sum = (of: (report: BankReport) => number): number => banks.reduce((total, report) => total + of(report), 0);
  return { banks, goodSectors: sum((report) => report.goodSectors), badSectors: sum((report) => report.badSectors) };
}

async function verifyFrame(
  engine: Engine,
  set: number,
  way: number,
  mask: number,
  seeds: Map<number, VersionSeed>,
): Promise<number> {
  const { memory, tags } = engine;
  const at = set * setWords + way;
  const owner = { slot: memory.tags[at + tagWord.slot]!, version: memory.tags[at + tagWord.version]! };
  const block = memory.tags[at + tagWord.block]!;
  const sums = memory.tags.slice(checksumIndex(set, way), checksumIndex(set, way) + sectorsPerFrame);
  let seed = seeds.get(owner.slot);
  if (seed === undefined) {
    const record = memory.records.subarray(owner.slot * recordWords, (owner.slot + 1) * recordWords);
    seed = versionSeed(memory.uuid, record.slice(0, 4), owner.version, record[recordWord.nonce]!);
    seeds.set(owner.slot, seed);
  }
  const buffer = engine.buffers.take(frameBytes);
  const bytes = await engine.banks.read(engine.bankOf(set), buffer.buffer, 0, frameBytes, engine.position(set, way));
  buffer.buffer.fill(0xa5, Math.max(0, bytes), frameBytes);
  let bad = 0;
  for (let sector = 0; sector < sectorsPerFrame; sector++) {
    if ((mask & (1 << sector)) === 0) continue;
    const data = buffer.buffer.subarray(sector * sectorBytes, (sector + 1) * sectorBytes);
    if (crc32(data, sectorSeed(seed, block, sector)) === sums[sector]) continue;
    if (!tags.dropUnverified(set, way, owner, block, sector, sums[sector]!)) continue;
    bad++;
    engine.counters.add('corruptSectors');
    engine.index.noteSet(set);
  }
  engine.buffers.give(buffer);
  return bad;
}
