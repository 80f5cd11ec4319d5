/** Counters: each attachment has a row of its own in shared memory, so that counting needs no atomics; readers add up the rows. */
import { attachments, type CacheMemory, counterCount } from './memory.ts';

export const counterNames = [
  ...(['hits', 'hitBytes', 'misses', 'slowReads', 'fills', 'fillBytes', 'fillsRefused', 'fillsDropped'] as const),
  ...(['evictions', 'corruptSectors', 'diskErrors'] as const),
] as const;
export type CounterName = (typeof counterNames)[number];

export class Counters {
  private readonly rows: Float64Array;
  private readonly start: number;

  constructor(memory: Pick<CacheMemory, 'counters'>, attachment: number) {
    this.rows = memory.counters;
    this.start = attachment * counterCount;
  }

  add(name: CounterName, amount = 1): void {
    const index = this.start + position[name];
    this.rows[index] = this.rows[index]! + amount;
  }

  /** One read served: two counters in one call, for the hot path. */
  hit(count: number): void {
    this.rows[this.start]! += 1;
    this.rows[this.start + 1]! += count;
  }

  sums(): Record<CounterName, number> {
    const sums = Object.fromEntries(counterNames.map((name) => [name, 0])) as Record<CounterName, number>;
    for (let row = 0; row < attachments; row++) {
      for (const name of counterNames) sums[name] += this.rows[row * counterCount + position[name]] ?? 0;
    }
    return sums;
  }
}

const position = Object.fromEntries(counterNames.map((name, index) => [name, index])) as Record<CounterName, number>;
