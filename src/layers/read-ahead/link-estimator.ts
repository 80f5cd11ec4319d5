/**
 * What the link to the origin can do, learned from the transfers that happen anyway.
 *
 * Rate, while it still grows: each finished request gives the sample (bytes delivered by anybody since it was issued) / (its
 * duration), as BBR takes it; a request alone on the link gives too low a sample, so the largest of the last seconds counts.
 * Such a sample is quick but may be twice too high, since a large request that ends counts as delivered in that moment: what is
 * put in flight by it makes demand reads queue. So when the pipe is full, the largest rate over windows of several request
 * durations counts. Round trip: the smallest duration of the last minutes, less what its own bytes need on the wire.
 *
 * Invariants: never divides by zero; memory is constant (two buckets a filter); all times come in as arguments.
 *
 *     |--- bucket before ---|--- current bucket ---|      a filter's answer is the best of both buckets
 */
const rateBucketMs = 10_000;
const roundTripBucketMs = 60_000;
/** Below this the clock's own noise decides. */
const shortestMs = 0.05;
/** The rate still grows if a sample beats the plateau by this factor. */
const growthFactor = 1.2;
const plateauRounds = 3;
/** A window lasts at least this many durations of the request that ends it: what was half way at its edges then matters little. */
const windowDurations = 4;
const shortestWindowMs = 100;

/** Kept at the issue of a request, handed back when it is done. */
export interface TransferMark {
  readonly atMs: number;
  readonly delivered: number;
  /** As much was in flight as the limit allows: only then does a missing growth mean that the pipe is full. */
  readonly atLimit: boolean;
}

export class LinkEstimator {
  #delivered = 0;
  /** By single requests, and over windows. */
  readonly #burstRate = new WindowedBest(rateBucketMs, Math.max);
  readonly #steadyRate = new WindowedBest(rateBucketMs, Math.max);
  #openRequests = 0;
  #windowBeganMs = 0;
  #windowDelivered = 0;
  readonly #roundTrip = new WindowedBest(roundTripBucketMs, Math.min);
  #plateauRate = 0;
  #roundsOnPlateau = 0;
  #roundEnds = 0;

  begin(nowMs: number, atLimit: boolean): TransferMark {
    if (this.#openRequests++ === 0) this.#beginWindow(nowMs);
    return { atMs: nowMs, delivered: this.#delivered, atLimit };
  }

  /** It was answered without the link: no sample. */
  cancel(): void {
    this.#openRequests--;
  }

  /** It waited for what another request had asked for: its bytes count, its duration does not. */
  joined(bytes: number): void {
    this.#delivered += bytes;
    this.#openRequests--;
  }

  end(mark: TransferMark, bytes: number, nowMs: number): void {
    this.#delivered += bytes;
    const duration = Math.max(nowMs - mark.atMs, shortestMs);
    if (bytes > 0) this.#burstRate.add((this.#delivered - mark.delivered) / duration, nowMs);
    this.#openRequests--;
    const windowMs = nowMs - this.#windowBeganMs;
    if (windowMs >= Math.max(shortestWindowMs, windowDurations * duration)) {
      this.#steadyRate.add((this.#delivered - this.#windowDelivered) / windowMs, nowMs);
      this.#beginWindow(nowMs);
    }
    // While the rate grows it is too low to be subtracted: the round trip would seem to vanish.
    const onWire = this.growing ? 0 : bytes / this.bytesPerMs;
    this.#roundTrip.add(Math.max(duration - onWire, duration / 2), nowMs);
    if (mark.delivered >= this.#roundEnds) this.#endRound(mark.atLimit);
  }

  /** Bytes per millisecond; 0 before the first transfer. */
  get bytesPerMs(): number {
    return this.growing ? (this.#burstRate.value ?? 0) : this.steadyBytesPerMs;
  }
  /** By windows, if there was one: never too high by much, but late. */
  get steadyBytesPerMs(): number {
    const burst = this.#burstRate.value ?? 0;
    return Math.min(burst, this.#steadyRate.value ?? burst);
  }
  /** 0 before the first transfer. */
  get roundTripMs(): number {
    return this.#roundTrip.value ?? 0;
  }
  /** The rate still grows with what is in flight: the pipe is not full yet. */
  get growing(): boolean {
    return this.#roundsOnPlateau < plateauRounds;
  }
  get bandwidthDelayBytes(): number {
    return this.bytesPerMs * this.roundTripMs;
  }

  /** A round is one flight of data: it ends when a request that was issued after its beginning is done. */
  #endRound(atLimit: boolean): void {
    this.#roundEnds = this.#delivered;
    const rate = this.#burstRate.value ?? 0;
    if (rate > this.#plateauRate * growthFactor) {
      this.#plateauRate = rate;
      this.#roundsOnPlateau = 0;
    } else if (atLimit) {
      this.#roundsOnPlateau++;
      // The filter forgot the best samples: measure anew from here.
      if (rate < this.#plateauRate / 2) this.#plateauRate = rate;
    }
  }

  #beginWindow(nowMs: number): void {
    this.#windowBeganMs = nowMs;
    this.#windowDelivered = this.#delivered;
  }
}

/** The best of a sliding window, in two buckets: at least one bucket's time, at most two. */
class WindowedBest {
  readonly #bucketMs: number;
  readonly #best: (a: number, b: number) => number;
  #before: number | undefined;
  #current: number | undefined;
  #beganMs = 0;

  constructor(bucketMs: number, best: (a: number, b: number) => number) {
    this.#bucketMs = bucketMs;
    this.#best = best;
  }

  add(sample: number, nowMs: number): void {
    if (nowMs - this.#beganMs >= this.#bucketMs) {
      this.#before = this.#current;
      this.#current = undefined;
      this.#beganMs = nowMs;
    }
    this.#current = this.#current === undefined ? sample : this.#best(this.#current, sample);
  }

  get value(): number | undefined {
    if (this.#before === undefined) return this.#current;
    return this.#current === undefined ? this.#before : this.#best(this.#before, this.#current);
  }
}
