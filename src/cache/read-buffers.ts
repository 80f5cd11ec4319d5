/**
 * Buffers that reads go into, reused after release. Sizes are powers of two from one sector up; memory of large ones is touched
 * only as far as it is read into. One pool a thread, no more than `keptBytes` of it idle.
 */
import { assert } from '../base/mod.ts';
import { type ReadTarget, readTarget } from '../native/mod.ts';
import type { CacheHit } from './contract.ts';
import { sectorBytes } from './geometry.ts';

const keptBytes = 32 * 1024 * 1024;
const classes = 12;

export interface LentBuffer extends ReadTarget {
  readonly sizeClass: number;
}

export class ReadBuffers {
  private readonly free: LentBuffer[][] = Array.from({ length: classes }, () => []);
  private idleBytes = 0;
  private lent = 0;

  take(count: number): LentBuffer {
    const sizeClass = count <= sectorBytes ? 0 : 32 - Math.clz32((count - 1) >>> 12);
    assert(sizeClass < classes, 'a read is not longer than a transfer');
    this.lent++;
    const idle = this.free[sizeClass]!.pop();
    if (idle === undefined) return { ...readTarget(Buffer.allocUnsafeSlow(sectorBytes << sizeClass)), sizeClass };
    this.idleBytes -= idle.buffer.length;
    return idle;
  }

  give(buffer: LentBuffer): void {
    this.lent--;
    if (this.idleBytes + buffer.buffer.length > keptBytes) return;
    this.idleBytes += buffer.buffer.length;
    this.free[buffer.sizeClass]!.push(buffer);
  }

  get lentCount(): number {
    return this.lent;
  }
}

export class LentHit implements CacheHit {
  readonly slices: Buffer[];
  private readonly pool: ReadBuffers;
  private buffer: LentBuffer | undefined;

  constructor(pool: ReadBuffers, buffer: LentBuffer, start: number, count: number) {
    this.pool = pool;
    this.buffer = buffer;
    const whole = buffer.buffer;
    this.slices = [start === 0 && count === whole.length ? whole : whole.subarray(start, start + count)];
  }

  release(): void {
    assert(this.buffer !== undefined, 'a hit is released once');
    this.pool.give(this.buffer);
    this.buffer = undefined;
  }
}
