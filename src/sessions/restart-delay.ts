/** How long what failed is left alone before it is started again: 0.1 s, doubling to 10 s, and 0.1 s again after it was well for a minute. */
const firstDelayMs = 100;
const longestDelayMs = 10_000;
/** What ran this long was well: the next restart is quick again. */
const wellAfterMs = 60_000;

export class RestartDelay {
  #delayMs = firstDelayMs;
  #startedAt = 0;

  started(now: number): void {
    this.#startedAt = now;
  }

  /** It failed: milliseconds to wait. */
  next(now: number): number {
    if (now - this.#startedAt > wellAfterMs) this.#delayMs = firstDelayMs;
    const delayMs = this.#delayMs;
    this.#delayMs = Math.min(longestDelayMs, delayMs * 2);
    return delayMs;
  }
}
