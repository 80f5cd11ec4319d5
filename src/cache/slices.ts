/** Byte ranges of a list of slices, without copying. Each slice's start is computed once. */
import { crc32 } from 'node:zlib';

export class SliceView {
  private readonly slices: readonly Uint8Array[];
  private readonly starts: number[];
  readonly count: number;

  constructor(slices: readonly Uint8Array[]) {
    this.slices = slices;
    this.starts = [];
    let total = 0;
    for (const slice of slices) {
      this.starts.push(total);
      total += slice.length;
    }
    this.count = total;
  }

  range(start: number, end: number): Uint8Array[] {
    const parts: Uint8Array[] = [];
    for (let index = this.indexAt(start); index < this.slices.length && this.starts[index]! < end; index++) {
      const slice = this.slices[index]!;
      const from = Math.max(0, start - this.starts[index]!);
      const to = Math.min(slice.length, end - this.starts[index]!);
      if (from < to) parts.push(slice.subarray(from, to));
    }
    return parts;
  }

  crc32(start: number, end: number, seed: number): number {
    let sum = seed;
    for (const part of this.range(start, end)) sum = crc32(part, sum);
    return sum;
  }

  /** The last slice that starts at or before the position. */
  private indexAt(position: number): number {
    let low = 0;
    let high = this.slices.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.starts[middle]! <= position) low = middle;
      else high = middle;
    }
    return low;
  }
}
