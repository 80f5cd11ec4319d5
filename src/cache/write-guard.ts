/**
 * Which ranges have a write under way to the origin, and which had one lately, for all threads. A READ that was sent before a
 * write of the same sectors may bring old data after it; two writes of the same sectors in flight may land in either order.
 *
 *   sector counters: (hash of the file + sector) mod 2^18, so that one write's sectors do not meet each other
 *   file counters:   for ranges too long to count by sector (truncations)
 *   each: a sequence (moves when a write begins) and the number in flight
 *
 * What a thread has in flight it counts for itself, too: a thread that ends in the middle leaves no sector that is never kept again.
 *
 * Keyed by the file's key and not by its version: a write is one whatever version the cache gives the file meanwhile.
 */
import { sectorBytes } from './geometry.ts';
import { type CacheMemory, fileGuardCount, guardCount, type OwnMemory } from './memory.ts';

/** Longer ranges use the file's counter. */
const longRangeBytes = 16 * 1024 * 1024;

export interface GuardState {
  readonly sequence: number;
  /** No write is in flight. */
  readonly quiet: boolean;
}

export class WriteGuard {
  private readonly sequence: Uint32Array;
  private readonly inFlight: Int32Array;
  /** Of this thread. */
  private readonly own: Uint16Array;
  private readonly hash: number;
  private readonly fileIndex: number;

  constructor(memory: CacheMemory, hash: number) {
    this.sequence = memory.guardSequence;
    this.inFlight = memory.guardInFlight;
    this.own = memory.own.guardInFlight;
    this.hash = hash;
    this.fileIndex = guardCount + (hash & (fileGuardCount - 1));
  }

  /** A write begins: true if it met no other one in flight. */
  begin(offset: number, count: number): boolean {
    let alone = Atomics.load(this.inFlight, this.fileIndex) === 0;
    this.each(offset, count, (index) => {
      if (Atomics.add(this.inFlight, index, 1) !== 0) alone = false;
      Atomics.add(this.sequence, index, 1);
      this.own[index]! += 1;
    });
    return alone;
  }

  end(offset: number, count: number): void {
    this.each(offset, count, (index) => {
      this.own[index]! -= 1;
      Atomics.sub(this.inFlight, index, 1);
    });
  }

  /** The range changed by something that is over already. */
  touch(offset: number, count: number): void {
    this.each(offset, count, (index) => {
      Atomics.add(this.sequence, index, 1);
    });
  }

  /** Ranges that are asked about are those of a transfer, never long. */
  state(offset: number, count: number): GuardState {
    let sequence = Atomics.load(this.sequence, this.fileIndex);
    let flying = Atomics.load(this.inFlight, this.fileIndex);
    const first = Math.floor(offset / sectorBytes);
    const end = Math.ceil((offset + count) / sectorBytes);
    for (let sector = first; sector < end; sector++) {
      const index = (this.hash + sector) & (guardCount - 1);
      flying |= Atomics.load(this.inFlight, index);
      sequence += Atomics.load(this.sequence, index);
    }
    return { sequence, quiet: flying === 0 };
  }

  private each(offset: number, count: number, action: (index: number) => void): void {
    if (count > longRangeBytes) {
      action(this.fileIndex);
      return;
    }
    const first = Math.floor(offset / sectorBytes);
    const end = Math.ceil((offset + count) / sectorBytes);
    for (let sector = first; sector < end; sector++) action((this.hash + sector) & (guardCount - 1));
  }
}

/**
 * The thread is known to have ended: what it had in flight is over as far as anybody will learn. The origin may still get it, which shows
 * in the stamp as a foreign change does; sequences move for what was asked for before.
 */
export function endGuards({ guardInFlight, guardSequence }: CacheMemory, { guardInFlight: own }: OwnMemory): void {
  for (let index = 0; index < own.length; index++) {
    const count = own[index]!;
    if (count === 0) continue;
    own[index] = 0;
    Atomics.add(guardSequence, index, 1);
    Atomics.sub(guardInFlight, index, count);
  }
}
