/**
 * What the link to the origin can do, learned from the transfers that happen anyway.
 *
 * Rate, while it still grows: each finished request gives the sample (bytes delivered by anybody since it was issued) / (its
 * duration), as BBR takes it; a request alone on the link gives too low a sample, so the largest of the last seconds counts.
 * Such a sample is quick but may be twice too high, since a large request that ends counts as delivered in that moment: what is
 * put in flight by it makes demand reads queue. So when the pipe is full, the largest rate over windows of several request
 * durations counts. Round trip: the smallest duration of the last minutes, less what its own bytes need on the wire.
 *
 * At the start no such sample is high enough, and over a long link each costs a round trip. But the round trip is known from calls
 * that bring no data, and what was asked for at once needs no more time on the link than passes after it: a rate that is never too
 * high. The best of those is remembered (`figures`), for the next stream and the next life of the session.
 *
 * Invariants: never divides by zero; memory is constant (two buckets a filter); all times come in as arguments.
 *
 *     |--- bucket before ---|--- current bucket ---|      a filter's answer is the best of both buckets
 */
const rateBucketMs = 10_000;
const roundTripBucketMs = 60_000;
const capacityBucketMs = 600_000;
/** Below this the clock's own noise decides. */
const shortestMs = 0.05;
/** The rate still grows if a sample beats the plateau by this factor. */
const growthFactor = 1.2;
const plateauRounds = 3;
/** A window lasts at least this many durations of the request that ends it: what was half way at its edges then matters little. */
const windowDurations = 4;
const shortestWindowMs = 100;

/** Requests within this part of a round trip count as sent at once. */
const batchShare = 8;
/** How soon it is noticed that what is read is packed otherwise, and the best packing that is believed. */
const shareMemoryBytes = 512 * 1024;
const smallestShare = 1 / 8;

/** What was asked for at once. */
interface Batch {
  readonly beganMs: number;
  /** What of it came so far. */
  bytes: number;
}

function newBatch(beganMs: number): Batch {
  return { beganMs, bytes: 0 };
}

/** What a link was found to do. */
export interface LinkFigures {
  readonly bytesPerMs: number;
  readonly roundTripMs: number;
}

/** Kept at the issue of a request, handed back when it is done. */
export interface TransferMark {
  readonly atMs: number;
  readonly delivered: number;
  /** As much was in flight as the limit allows: only then does a missing growth mean that the pipe is full. */
  readonly atLimit: boolean;
  readonly batch: Batch;
}

export class LinkEstimator {
  #delivered = 0;
  /** By single requests, and over windows. */
  readonly #burstRate = new WindowedBest(rateBucketMs, Math.max);
  readonly #steadyRate = new WindowedBest(rateBucketMs, Math.max);
  /** By what came of requests that were sent at once: never too high, if the round trip is not. */
  readonly #batchRate = new WindowedBest(rateBucketMs, Math.max);
  #batch = newBatch(Number.NEGATIVE_INFINITY);
  /** The largest of what is never too high, for the next start. */
  readonly #capacity = new WindowedBest(capacityBucketMs, Math.max);
  /** Of calls that bring no data. */
  readonly #heardRoundTrip = new WindowedBest(roundTripBucketMs, Math.min);
  #share = 1;
  #openRequests = 0;
  #windowBeganMs = 0;
  #isWindowAtLimit = true;
  #windowDelivered = 0;
  readonly #roundTrip = new WindowedBest(roundTripBucketMs, Math.min);
  #plateauRate = 0;
  #roundsOnPlateau = 0;
  #roundEnds = 0;

  /** What it was found to do before; it may have changed since. */
  remember({ bytesPerMs, roundTripMs }: LinkFigures, nowMs: number): void {
    this.#capacity.add(bytesPerMs, nowMs);
    this.#heardRoundTrip.add(roundTripMs, nowMs);
  }

  /** Some call of few bytes was answered. */
  heard(durationMs: number, nowMs: number): void {
    this.#heardRoundTrip.add(Math.max(durationMs, shortestMs), nowMs);
  }

  begin(nowMs: number, atLimit: boolean): TransferMark {
    if (this.#openRequests++ === 0) this.#beginWindow(nowMs);
    if (!atLimit) this.#isWindowAtLimit = false;
    if (nowMs - this.#batch.beganMs > this.heardRoundTripMs / batchShare) this.#batch = newBatch(nowMs);
    return { atMs: nowMs, delivered: this.#delivered, atLimit, batch: this.#batch };
  }

  /** It was answered without the link: no sample. */
  cancel(): void {
    this.#openRequests--;
  }

  /** It waited for what another request had asked for: its bytes count, its duration does not. */
  joined(mark: TransferMark, bytes: number): void {
    this.#delivered += bytes;
    mark.batch.bytes += bytes;
    this.#openRequests--;
  }

  end(mark: TransferMark, bytes: number, nowMs: number): void {
    this.#delivered += bytes;
    const duration = Math.max(nowMs - mark.atMs, shortestMs);
    if (bytes > 0) this.#burstRate.add((this.#delivered - mark.delivered) / duration, nowMs);
    this.#openRequests--;
    mark.batch.bytes += bytes;
    this.#measureBatch(mark.batch, nowMs);
    const windowMs = nowMs - this.#windowBeganMs;
    if (windowMs >= Math.max(shortestWindowMs, windowDurations * duration)) this.#endWindow(windowMs, nowMs);
    // While the rate grows it is too low to be subtracted: the round trip would seem to vanish.
    const onWire = this.growing ? 0 : bytes / this.bytesPerMs;
    this.#roundTrip.add(Math.max(duration - onWire, duration / 2), nowMs);
    if (mark.delivered >= this.#roundEnds) this.#endRound(mark.atLimit);
  }

  /** Bytes per millisecond; 0 before the first transfer. */
  get bytesPerMs(): number {
    if (!this.growing) return this.steadyBytesPerMs;
    return Math.max(this.#burstRate.value ?? 0, this.#batchRate.value ?? 0);
  }
  /** By windows, if there was one: never too high by much, but late. */
  get steadyBytesPerMs(): number {
    const burst = this.#burstRate.value ?? 0;
    return Math.min(burst, this.#steadyRate.value ?? burst);
  }
  /** 0 before the first answer. */
  get roundTripMs(): number {
    return this.#roundTrip.value ?? this.#heardRoundTrip.value ?? 0;
  }
  /** Of calls that bring no data; 0: none was heard of. */
  get heardRoundTripMs(): number {
    return this.#heardRoundTrip.value ?? 0;
  }
  /** The best that it was found to do lately, also while little was asked of it; undefined: nothing is known. */
  get figures(): LinkFigures | undefined {
    const bytesPerMs = this.#capacity.value;
    return bytesPerMs === undefined
      ? undefined
      : { bytesPerMs, roundTripMs: this.heardRoundTripMs || this.roundTripMs };
  }
  /** What crosses of what is read, lately: compressed replies and packs need less. */
  get share(): number {
    return this.#share;
  }
  learnShare(crossed: number, bytes: number): void {
    const weight = bytes / (bytes + shareMemoryBytes);
    const learned = this.#share + (crossed / Math.max(bytes, 1) - this.#share) * weight;
    // What comes next may be packed less, and must not queue long for it.
    this.#share = Math.min(Math.max(learned, smallestShare), 1);
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

  /** What of a batch came needed no more than the time since its first byte can have been here. */
  #measureBatch({ beganMs, bytes }: Batch, nowMs: number): void {
    // One that was learned from data has their own time on the link in it.
    const roundTripMs = this.heardRoundTripMs;
    if (roundTripMs === 0) return;
    const onWireMs = Math.max(nowMs - beganMs - roundTripMs, roundTripMs / batchShare, shortestMs);
    this.#batchRate.add(bytes / onWireMs, nowMs);
    this.#capacity.add(bytes / onWireMs, nowMs);
  }

  #endWindow(windowMs: number, nowMs: number): void {
    const rate = (this.#delivered - this.#windowDelivered) / windowMs;
    this.#steadyRate.add(rate, nowMs);
    // More was asked of it all the time, and this is what it gave.
    if (this.#isWindowAtLimit && !this.growing) this.#capacity.forget();
    this.#capacity.add(rate, nowMs);
    this.#beginWindow(nowMs);
  }

  #beginWindow(nowMs: number): void {
    this.#windowBeganMs = nowMs;
    this.#windowDelivered = this.#delivered;
    this.#isWindowAtLimit = true;
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

  forget(): void {
    this.#before = undefined;
    this.#current = undefined;
  }

  get value(): number | undefined {
    if (this.#before === undefined) return this.#current;
    return this.#current === undefined ? this.#before : this.#best(this.#before, this.#current);
  }
}
