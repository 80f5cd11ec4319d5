/**
 * How old the first change of each waiting epoch is, by the monotonic clock: somebody may set the wall clock at any time.
 *
 *     looked ───── the epoch was not there ─────► looks again: it is there      its age: by the wall clock, but 0 .. since the look before
 *     the first look of a process: only the wall clock knows                    its age: by the wall clock, but at least 0
 *
 * Invariant: after an epoch was seen, its age grows as time passes. Memory: a number for each waiting epoch.
 */
import type { Clock } from '../../base/mod.ts';
import type { DirtyLogFace, EpochInfo, EpochNumber } from '../../dirty/mod.ts';

export class EpochAges {
  readonly #log: DirtyLogFace;
  readonly #clock: Clock;
  /** Moments of first changes; oldest epoch first. */
  readonly #began = new Map<EpochNumber, number>();
  #newest: EpochNumber = 0;
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(log: DirtyLogFace, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
    this.#look();
  }

  /** Of an epoch that is not drained. */
  ageMs({ number }: EpochInfo): number {
    this.#look();
    const now = this.#clock.now();
    return now - (this.#began.get(number) ?? now);
  }

  #look(): void {
    const epochs = this.#log.epochs();
    const now = this.#clock.now();
    const wallMs = this.#clock.wallTimeMs();
    let index = epochs.length;
    while (index > 0 && epochs[index - 1]!.number > this.#newest) index--;
    for (; index < epochs.length; index++) {
      const { number, firstMs } = epochs[index]!;
      this.#began.set(number, now - Math.max(0, Math.min(wallMs - firstMs, now - this.#lookedMs)));
      this.#newest = number;
    }
    this.#lookedMs = now;
    const oldest = epochs[0]?.number ?? Number.POSITIVE_INFINITY;
    for (const number of this.#began.keys()) {
      if (number >= oldest) return;
      this.#began.delete(number);
    }
  }
}
