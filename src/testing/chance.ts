/** What simulations ask of a random generator. */
import type { Random } from '../base/mod.ts';

export class Chance {
  readonly random: Random;

  constructor(random: Random) {
    this.random = random;
  }

  /** Uniform in [0, 1). */
  share(): number {
    return this.random.uint32() / 2 ** 32;
  }

  happens(probability: number): boolean {
    return this.share() < probability;
  }

  /** A whole number in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.share() * bound);
  }

  /** A whole number in [from, to]. */
  between(from: number, to: number): number {
    return from + this.below(to - from + 1);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }
}
