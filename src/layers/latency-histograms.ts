/**
 * Latencies in logarithmic buckets: four to a power of two, from a microsecond to an hour (longer counts as that), so that a figure read from it is
 * within 1/4 of the true one.
 *
 *     microseconds   0 1 2 3 | 4 5 6 7 | 8-9 10-11 12-13 14-15 | 16-19 ...
 *     bucket         0 1 2 3 | 4 5 6 7 | 8   9     10    11    | 12    ...
 */
const bucketCount = 128;

export interface LatencySummary {
  /** Milliseconds; 0 when nothing was recorded. Percentiles are upper bounds of their buckets. */
  readonly meanMs: number;
  readonly medianMs: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly maximumMs: number;
  /** Pairs, growing: so many milliseconds, and how many took less; absent when nothing was recorded. */
  readonly below?: readonly (readonly [boundMs: number, count: number])[] | undefined;
}

/** 64 microseconds to 17 seconds, by four: powers of two, where buckets end. */
const boundPowers = [6, 8, 10, 12, 14, 16, 18, 20, 22, 24] as const;

/** Several histograms in one block of memory. */
export class LatencyHistograms {
  readonly #buckets: Uint32Array;
  readonly #counts: Float64Array;
  readonly #sumsMs: Float64Array;
  readonly #maximaMs: Float64Array;

  constructor(count: number) {
    this.#buckets = new Uint32Array(count * bucketCount);
    this.#counts = new Float64Array(count);
    this.#sumsMs = new Float64Array(count);
    this.#maximaMs = new Float64Array(count);
  }

  record(index: number, elapsedMs: number): void {
    const bucket = bucketOf(elapsedMs * 1000);
    this.#buckets[index * bucketCount + bucket]!++;
    this.#counts[index]!++;
    this.#sumsMs[index]! += elapsedMs;
    if (elapsedMs > this.#maximaMs[index]!) this.#maximaMs[index] = elapsedMs;
  }

  summary(index: number): LatencySummary {
    const count = this.#counts[index]!;
    return {
      meanMs: count === 0 ? 0 : this.#sumsMs[index]! / count,
      medianMs: this.#percentile(index, 0.5),
      p95Ms: this.#percentile(index, 0.95),
      p99Ms: this.#percentile(index, 0.99),
      maximumMs: this.#maximaMs[index]!,
      below: count === 0 ? undefined : this.#below(index),
    };
  }

  #below(index: number): [number, number][] {
    const first = index * bucketCount;
    let bucket = 0;
    let seen = 0;
    return boundPowers.map((power) => {
      for (const end = bucketOf(2 ** power); bucket < end; bucket++) seen += this.#buckets[first + bucket]!;
      return [2 ** power / 1000, seen];
    });
  }

  #percentile(index: number, share: number): number {
    const wanted = Math.ceil(this.#counts[index]! * share);
    if (wanted === 0) return 0;
    let seen = 0;
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      seen += this.#buckets[index * bucketCount + bucket]!;
      if (seen >= wanted) return Math.min(upperBound(bucket) / 1000, this.#maximaMs[index]!);
    }
    return this.#maximaMs[index]!;
  }
}

function bucketOf(microseconds: number): number {
  const whole = Math.min(microseconds, 0xffff_ffff) >>> 0;
  if (whole < 4) return whole;
  const exponent = 31 - Math.clz32(whole);
  return (exponent - 1) * 4 + ((whole >>> (exponent - 2)) & 3);
}

/** The first microsecond behind the bucket. */
function upperBound(bucket: number): number {
  if (bucket < 4) return bucket + 1;
  const exponent = (bucket >>> 2) + 1;
  return (4 + (bucket & 3) + 1) * 2 ** (exponent - 2);
}
