/** How fast the drain is: bytes that the origin took, and a rate that forgets within seconds. Time comes in as an argument. */

/** The weight of a sample halves in about two thirds of this. */
const memoryMs = 3_000;
/** Samples are at least so long: single replies come in bursts. */
const sampleMs = 200;

export class DrainMeter {
  movedBytes = 0;
  #rate = 0;
  /** How much of the memory is filled: a young average is taken at its worth. */
  #weight = 0;
  #sampledMs: number | undefined;
  #sampleBytes = 0;

  /** The drain begins to move data after a pause. */
  start(nowMs: number): void {
    this.#sampledMs ??= nowMs;
  }

  stop(): void {
    this.#sampledMs = undefined;
    this.#sampleBytes = 0;
    this.#rate = 0;
    this.#weight = 0;
  }

  moved(bytes: number, nowMs: number): void {
    this.movedBytes += bytes;
    this.#sampleBytes += bytes;
    this.#sample(nowMs);
  }

  /** Bytes a second; 0 while nothing moves. */
  rate(nowMs: number): number {
    this.#sample(nowMs);
    return this.#weight === 0 ? 0 : (this.#rate / this.#weight) * 1000;
  }

  #sample(nowMs: number): void {
    if (this.#sampledMs === undefined) return;
    const elapsedMs = nowMs - this.#sampledMs;
    if (elapsedMs < sampleMs) return;
    const keep = Math.exp(-elapsedMs / memoryMs);
    this.#rate = this.#rate * keep + (this.#sampleBytes / elapsedMs) * (1 - keep);
    this.#weight = this.#weight * keep + (1 - keep);
    this.#sampledMs = nowMs;
    this.#sampleBytes = 0;
  }
}
