/**
 * The hit path: tags, one system call a run of neighbouring frames, checksums, bytes.
 *
 *   find frames ─► preadv2(RWF_NOWAIT) ─► verified? ─► hit                    synchronous, from the page cache
 *                        │ EAGAIN, short            no ─► drop the sector, absent
 *                        └─► forget "verified" ─► fs.read ─► verify all ─► hit
 *
 * Reads of up to `alwaysVerifiedBytes` verify every sector they return. Longer ones trust the `verified` bits: the sector was
 * verified since its page came into the page cache (no kernel read-ahead on banks, bits dropped before a page is read from the
 * disk again and whenever the sector is written). The bits are looked at after the bytes were read, with an unchanged
 * generation of the frame; so no lock is taken. docs/cache-format.md names the window that remains.
 */
import { crc32 } from 'node:zlib';
import type { Eventual } from '../base/mod.ts';
import { errno, NoWaitReader } from '../native/mod.ts';
import type { CacheHit } from './contract.ts';
import type { Engine, Version } from './engine.ts';
import { sectorMask } from './engine.ts';
import { frameBytes, sectorBytes, sectorsPerFrame, ways } from './geometry.ts';
import { sectorSeed } from './hash.ts';
import { checksumIndex } from './memory.ts';
import { type LentBuffer, LentHit } from './read-buffers.ts';

const alwaysVerifiedBytes = 16 * 1024;
const maximumBlocks = 66;

/** What a read found before it read: one entry a block. */
class Plan {
  version: Version | undefined;
  offset = 0;
  end = 0;
  firstBlock = 0;
  blocks = 0;
  readonly sets = new Uint32Array(maximumBlocks);
  readonly foundWays = new Uint8Array(maximumBlocks);
  readonly masks = new Uint16Array(maximumBlocks);
  readonly generations = new Uint32Array(maximumBlocks);
}

export class Reader {
  private readonly engine: Engine;
  private readonly noWait = new NoWaitReader();
  private plan = new Plan();
  private noWaitWorks = true;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** `count` is at least 1. */
  read(version: Version, offset: number, count: number): Eventual<CacheHit | undefined> {
    const engine = this.engine;
    const plan = this.plan;
    if (!this.look(plan, version, offset, count)) {
      engine.miss(version.holder);
      return undefined;
    }
    const start = offset % sectorBytes;
    const spanBytes = Math.ceil((start + count) / sectorBytes) * sectorBytes;
    const buffer = engine.buffers.take(spanBytes);
    if (!this.readNow(plan, buffer, spanBytes)) {
      this.plan = new Plan();
      return engine.during(this.readSlowly(plan, buffer, start, count));
    }
    if (!this.verify(plan, buffer, spanBytes <= alwaysVerifiedBytes)) {
      engine.buffers.give(buffer);
      engine.miss(version.holder);
      return undefined;
    }
    engine.hit(version.holder, count);
    return new LentHit(engine.buffers, buffer, start, count);
  }

  private look(plan: Plan, version: Version, offset: number, count: number): boolean {
    const { tags, memory, accounts } = this.engine;
    const firstBlock = Math.floor(offset / frameBytes);
    const blocks = Math.ceil((offset + count) / frameBytes) - firstBlock;
    if (blocks > maximumBlocks) return false;
    for (let index = 0; index < blocks; index++) {
      const block = firstBlock + index;
      const set = this.engine.setOf(version, block);
      const way = tags.find(set, version.owner, block);
      if (way < 0) return false;
      const frame = set * ways + way;
      const generation = Atomics.load(memory.generation, frame);
      const mask = sectorMask(block, offset, offset + count);
      // Looked at again after the generation: from here on, another user of the frame shows in it.
      if (!tags.holds(set, way, version.owner, block) || (tags.validMask(set, way) & mask) !== mask) return false;
      accounts.touch(frame, version.holder, version.owner.slot);
      plan.sets[index] = set;
      plan.foundWays[index] = way;
      plan.masks[index] = mask;
      plan.generations[index] = generation;
    }
    plan.version = version;
    plan.offset = offset;
    plan.end = offset + count;
    plan.firstBlock = firstBlock;
    plan.blocks = blocks;
    return true;
  }

  /** Reads what is in the page cache; false if that is not all. */
  private readNow(plan: Plan, buffer: LentBuffer, spanBytes: number): boolean {
    if (!this.noWaitWorks) return false;
    return this.eachRun(plan, spanBytes, (bank, start, count, position) => {
      let descriptor: number;
      try {
        descriptor = this.engine.banks.descriptor(bank);
      } catch {
        return false;
      }
      const result = this.noWait.read(descriptor, buffer, start, count, position);
      if (result === -errno.EOPNOTSUPP) this.noWaitWorks = false;
      return result === count;
    });
  }

  private async readSlowly(plan: Plan, buffer: LentBuffer, start: number, count: number) {
    const { engine } = this;
    engine.counters.add('slowReads');
    const spanBytes = Math.ceil((start + count) / sectorBytes) * sectorBytes;
    for (let index = 0; index < plan.blocks; index++) {
      engine.tags.clearVerified(plan.sets[index]!, plan.foundWays[index]!, plan.masks[index]!);
    }
    const reads: Promise<boolean>[] = [];
    this.eachRun(plan, spanBytes, (bank, at, length, position) => {
      reads.push(this.readRun(bank, buffer, at, length, position));
      return true;
    });
    const read = (await Promise.all(reads)).every((good) => good);
    if (read && this.verify(plan, buffer, true)) {
      engine.hit(plan.version!.holder, count);
      return new LentHit(engine.buffers, buffer, start, count);
    }
    engine.buffers.give(buffer);
    engine.miss(plan.version!.holder);
    return undefined;
  }

  /** False on a disk error; what lies beyond the end of the file is filled with a pattern that does not verify. */
  private async readRun(bank: number, buffer: LentBuffer, start: number, count: number, position: number) {
    try {
      const bytes = await this.engine.banks.read(bank, buffer.buffer, start, count, position);
      if (bytes < 0) this.engine.counters.add('diskErrors');
      else if (bytes < count) buffer.buffer.fill(0xa5, start + bytes, start + count);
      return bytes >= 0;
    } catch {
      this.engine.counters.add('diskErrors');
      return false;
    }
  }

  /** Calls for each run of frames that are neighbours in a bank, until one returns false. */
  private eachRun(
    plan: Plan,
    spanBytes: number,
    action: (bank: number, start: number, count: number, position: number) => boolean,
  ): boolean {
    const { engine } = this;
    const inside = Math.floor((plan.offset % frameBytes) / sectorBytes) * sectorBytes;
    let runStart = 0;
    let bank = engine.bankOf(plan.sets[0]!);
    let runPosition = engine.position(plan.sets[0]!, plan.foundWays[0]!) + inside;
    let next = runPosition - inside + frameBytes;
    for (let index = 1; index < plan.blocks; index++) {
      const blockBank = engine.bankOf(plan.sets[index]!);
      const position = engine.position(plan.sets[index]!, plan.foundWays[index]!);
      if (blockBank !== bank || position !== next) {
        const start = index * frameBytes - inside;
        if (!action(bank, runStart, start - runStart, runPosition)) return false;
        bank = blockBank;
        runStart = start;
        runPosition = position;
      }
      next = position + frameBytes;
    }
    return action(bank, runStart, spanBytes - runStart, runPosition);
  }

  private verify(plan: Plan, buffer: LentBuffer, all: boolean): boolean {
    const { memory, tags } = this.engine;
    let good = true;
    let at = 0;
    for (let index = 0; index < plan.blocks; index++) {
      const set = plan.sets[index]!;
      const way = plan.foundWays[index]!;
      const mask = plan.masks[index]!;
      const frame = set * ways + way;
      const verified =
        (memory.verified[frame]! & mask) === mask &&
        Atomics.load(memory.generation, frame) === plan.generations[index] &&
        tags.holds(set, way, plan.version!.owner, plan.firstBlock + index);
      if (!verified || all) {
        const bad = this.verifyBlock(plan, index, buffer.buffer, at);
        if (bad !== 0) good = false;
        if (!verified) tags.setVerified(set, way, mask & ~bad, plan.generations[index]!);
      }
      for (let rest = mask; rest !== 0; rest &= rest - 1) at += sectorBytes;
    }
    return good;
  }

  /** The sectors that did not verify; they are dropped unless they changed since. */
  private verifyBlock(plan: Plan, index: number, bytes: Buffer, start: number): number {
    const { memory, tags, counters } = this.engine;
    const set = plan.sets[index]!;
    const way = plan.foundWays[index]!;
    const mask = plan.masks[index]!;
    const block = plan.firstBlock + index;
    const { seed, owner } = plan.version!;
    const sums = checksumIndex(set, way);
    let bad = 0;
    let at = start;
    for (let sector = 0; sector < sectorsPerFrame; sector++) {
      if ((mask & (1 << sector)) === 0) continue;
      const sum = memory.tags[sums + sector]!;
      if (crc32(bytes.subarray(at, at + sectorBytes), sectorSeed(seed, block, sector)) !== sum) {
        bad |= 1 << sector;
        const unchanged = Atomics.load(memory.generation, set * ways + way) === plan.generations[index];
        if (unchanged && tags.dropUnverified(set, way, owner, block, sector, sum)) {
          counters.add('corruptSectors');
          this.engine.index.noteSet(set);
        }
      }
      at += sectorBytes;
    }
    return bad;
  }
}
