/** Looks at the origin at random moments while something runs: each look must hold, and nothing may go back. */
import type { Random } from '../../src/base/mod.ts';

export class Sampler {
  looks = 0;
  readonly #look: () => Promise<void>;
  readonly #random: Random;
  readonly #spreadMs: number;
  #running = false;
  #ended: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};

  constructor(look: () => Promise<void>, random: Random, spreadMs: number) {
    this.#look = look;
    this.#random = random;
    this.#spreadMs = spreadMs;
  }

  start(): void {
    this.#running = true;
    this.#ended = this.#run();
    // Whoever stops it hears of it.
    this.#ended.catch(() => {});
  }

  /** Rejects with what a look has found. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#wake();
    await this.#ended;
  }

  async #run(): Promise<void> {
    while (this.#running) {
      await this.#look();
      this.looks++;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, this.#random.uint32() % this.#spreadMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}
