/**
 * The way in: claim frames, sum, write uncopied through the thread pool, publish.
 *
 *   claim (sectors busy, frame cannot be reused) ─► pwritev ─► publish (valid, sums) if version and guards are as before
 *                                                        └─ error ─► sectors absent, fills pause for a while
 *
 * Invariant: a sector has one writer at a time, so no late write lands under a newer checksum.
 */
import { limits, systemCode } from '../base/mod.ts';
import { writeAll } from './disk.ts';
import type { Engine, Version } from './engine.ts';
import { frameBytes, sectorBytes, sectorsPerFrame } from './geometry.ts';
import { sectorSeed } from './hash.ts';
import { bitCount } from './memory.ts';
import { SliceView } from './slices.ts';
import type { Claim } from './tags.ts';
import type { WriteGuard } from './write-guard.ts';

const firstPauseMs = 1000;
const longestPauseMs = 60_000;

export interface StoreRequest {
  readonly version: Version;
  readonly guard: WriteGuard;
  readonly offset: number;
  readonly slices: readonly Uint8Array[];
  readonly count: number;
  /** Size of the file: a last sector that ends there is kept, padded with zeros. */
  readonly size: number;
  /** Whether the data may be kept; asked once more when the places are claimed. */
  readonly stillGood: () => boolean;
  /** Valid sectors are replaced: the data are newer, not the same. */
  readonly replace: boolean;
}

/** Neighbouring bytes on their way to one place of one bank. */
interface Segment {
  readonly bank: number;
  readonly position: number;
  readonly start: number;
  end: number;
}

interface Piece {
  readonly claim: Claim;
  readonly sums: Uint32Array;
  readonly guardOffset: number;
  readonly guardCount: number;
  readonly guardSequence: number;
}

export class Store {
  private readonly engine: Engine;
  private readonly zeros = new Uint8Array(sectorBytes);
  private flyingBytes = 0;
  private pausedUntil = 0;
  private pauseMs = 0;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** Bytes kept. */
  put(request: StoreRequest): Promise<number> | number {
    const { engine } = this;
    const paused = engine.parts.clock.now() < this.pausedUntil;
    if (paused || this.flyingBytes + request.count > limits.cacheFillBytes) {
      engine.counters.add('fillsDropped');
      return 0;
    }
    const { start, end, padding } = wholeSectors(request);
    if (start >= end) return 0;
    const data = new SliceView(padding > 0 ? [...request.slices, this.zeros.subarray(0, padding)] : request.slices);
    const pieces: Piece[] = [];
    const segments: Segment[] = [];
    this.claimAll(request, data, start, end, pieces, segments);
    if (pieces.length === 0) return 0;
    return engine.during(this.write(request, data, pieces, segments));
  }

  private claimAll(
    request: StoreRequest,
    data: SliceView,
    start: number,
    end: number,
    pieces: Piece[],
    segments: Segment[],
  ): void {
    const { engine } = this;
    const { version, offset } = request;
    let nearWay = -1;
    for (let block = Math.floor(start / frameBytes); block * frameBytes < end; block++) {
      const blockStart = block * frameBytes;
      const from = Math.max(start, blockStart);
      const to = Math.min(end, blockStart + frameBytes);
      const wanted = maskOf(from - blockStart, to - blockStart);
      const set = engine.setOf(version, block);
      if (nearWay < 0 && block > 0)
        nearWay = engine.tags.find(engine.setOf(version, block - 1), version.owner, block - 1);
      const { sequence } = request.guard.state(from, to - from);
      const claim = engine.tags.claim(set, version.owner, block, wanted, request.replace, nearWay, version.holder);
      nearWay = claim === undefined ? engine.tags.find(set, version.owner, block) : claim.way;
      if (claim === undefined) continue;
      if (claim.evicted) {
        engine.counters.add('evictions');
        engine.index.noteSet(set);
      }
      const sums = new Uint32Array(bitCount(claim.mask));
      let next = 0;
      for (let sector = 0; sector < sectorsPerFrame; sector++) {
        if ((claim.mask & (1 << sector)) === 0) continue;
        const at = blockStart + sector * sectorBytes - offset;
        sums[next++] = data.crc32(at, at + sectorBytes, sectorSeed(version.seed, block, sector));
        const position = engine.position(set, claim.way) + sector * sectorBytes;
        addSector(segments, engine.bankOf(set), position, at);
      }
      pieces.push({ claim, sums, guardOffset: from, guardCount: to - from, guardSequence: sequence });
    }
  }

  private async write(request: StoreRequest, data: SliceView, pieces: Piece[], segments: Segment[]): Promise<number> {
    const { engine } = this;
    // Asked after the guards' sequences were noted for each piece: no write slips in between.
    if (!request.stillGood()) {
      for (const { claim, sums } of pieces) engine.tags.publish(claim, request.version.owner, sums, () => false);
      engine.counters.add('fillsRefused');
      return 0;
    }
    this.flyingBytes += request.count;
    const results = await Promise.allSettled(segments.map((segment) => this.writeSegment(data, segment)));
    this.flyingBytes -= request.count;
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) this.pause(failed.reason);
    else if (this.pauseMs !== 0) this.resume();
    let kept = 0;
    for (const piece of pieces) {
      const allowed = (): boolean =>
        failed === undefined &&
        engine.records.isLive(request.version.owner) &&
        request.guard.state(piece.guardOffset, piece.guardCount).sequence === piece.guardSequence;
      if (engine.tags.publish(piece.claim, request.version.owner, piece.sums, allowed)) {
        kept += piece.sums.length * sectorBytes;
      }
      engine.index.noteSet(piece.claim.set);
    }
    engine.counters.add('fills');
    engine.counters.add('fillBytes', kept);
    engine.accounts.filled(request.version.holder.number, kept);
    return Math.min(kept, request.count);
  }

  private async writeSegment(data: SliceView, segment: Segment): Promise<void> {
    const descriptor = this.engine.banks.descriptor(segment.bank);
    await writeAll(this.engine.parts.disk, descriptor, data.range(segment.start, segment.end), segment.position);
  }

  /** The disk is full or broken: say so once, keep nothing for a while, try again. */
  private pause(error: unknown): void {
    const { log, clock } = this.engine.parts;
    this.engine.counters.add('diskErrors');
    if (this.pauseMs === 0) {
      const code = systemCode(error) ?? String(error);
      log.warn(
        { error: code },
        'the cache disk does not take more data; going on without keeping it, with a try now and then',
      );
    }
    this.pauseMs = Math.min(longestPauseMs, this.pauseMs === 0 ? firstPauseMs : this.pauseMs * 2);
    this.pausedUntil = clock.now() + this.pauseMs;
  }

  private resume(): void {
    this.pauseMs = 0;
    this.engine.parts.log.info({}, 'the cache disk takes data again');
  }
}

/** The part of the range that is whole sectors; a partial one at the end of the file is made whole by `padding` zeros. */
function wholeSectors(request: StoreRequest): { start: number; end: number; padding: number } {
  const last = request.offset + request.count;
  const start = Math.ceil(request.offset / sectorBytes) * sectorBytes;
  if (last < request.size) return { start, end: Math.floor(last / sectorBytes) * sectorBytes, padding: 0 };
  const end = Math.ceil(last / sectorBytes) * sectorBytes;
  return { start, end, padding: end - last };
}

function maskOf(from: number, to: number): number {
  const first = from / sectorBytes;
  const count = (to - from) / sectorBytes;
  return (0xffff >>> (sectorsPerFrame - count)) << first;
}

function addSector(segments: Segment[], bank: number, position: number, start: number): void {
  const last = segments.at(-1);
  if (
    last !== undefined &&
    last.bank === bank &&
    last.end === start &&
    last.position + (last.end - last.start) === position
  ) {
    last.end = start + sectorBytes;
  } else {
    segments.push({ bank, position, start, end: start + sectorBytes });
  }
}
