/** Delays between attempts: doubling from `firstMs` to `maximumMs`, each made shorter by up to a half at random. */
import type { Random } from '../base/mod.ts';

const firstMs = 50;
const maximumMs = 5000;

export class Backoff {
  readonly #random: Random;
  #delayMs = firstMs;

  constructor(random: Random) {
    this.#random = random;
  }

  nextDelayMs(): number {
    const delayMs = this.#delayMs;
    this.#delayMs = Math.min(2 * delayMs, maximumMs);
    return delayMs * (0.5 + this.#random.uint32() / 2 ** 33);
  }

  /** It works again. */
  reset(): void {
    this.#delayMs = firstMs;
  }
}
