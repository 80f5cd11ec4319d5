/**
 * How fast the link to the server is, by what arrives anyway: bytes that came in while a call was under way, by how long it was. Each
 * sample is at most the link's rate; the best of the last ones counts, and fades.
 */
export interface RateMark {
  readonly atMs: number;
  readonly received: number;
}

/** Less says more about the round trip than about the rate. */
const sampleBytes = 32 * 1024;
const fading = 0.98;
const shortestMs = 0.05;

export class LinkRate {
  #bytesPerSecond: number | undefined;

  /** Undefined before the first sample. */
  get bytesPerSecond(): number | undefined {
    return this.#bytesPerSecond;
  }

  /** `received`: all bytes that have come in so far. */
  begin(nowMs: number, received: number): RateMark {
    return { atMs: nowMs, received };
  }

  end(mark: RateMark, nowMs: number, received: number): void {
    const bytes = received - mark.received;
    if (bytes < sampleBytes) return;
    const sample = (1000 * bytes) / Math.max(nowMs - mark.atMs, shortestMs);
    this.#bytesPerSecond = Math.max(sample, fading * (this.#bytesPerSecond ?? 0));
  }
}
