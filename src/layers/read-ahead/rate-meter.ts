/** Holds requests to a rate: each moves on the moment from which the next may leave. Without a rate nothing waits. */
export class RateMeter {
  readonly #bytesPerMs: number | undefined;
  #freeAtMs = 0;

  constructor(bytesPerSecond: number | undefined) {
    this.#bytesPerMs = bytesPerSecond === undefined ? undefined : bytesPerSecond / 1000;
  }

  /** How long the next request has to wait. */
  waitMs(nowMs: number): number {
    return this.#bytesPerMs === undefined ? 0 : Math.max(0, this.#freeAtMs - nowMs);
  }

  take(bytes: number, nowMs: number): void {
    if (this.#bytesPerMs !== undefined) this.#freeAtMs = Math.max(this.#freeAtMs, nowMs) + bytes / this.#bytesPerMs;
  }

  /** They came without the link. */
  giveBack(bytes: number): void {
    if (this.#bytesPerMs !== undefined) this.#freeAtMs -= bytes / this.#bytesPerMs;
  }
}
