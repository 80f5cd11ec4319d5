/**
 * How much of an upload may be in flight: enough to fill the link, little enough that a demand read hardly queues behind it.
 *
 * A WRITE's latency is base + queue. By Little's law, bytes in flight when it was sent / its latency = the rate that the
 * path gives, so `rate x (base + target queue)` in flight leaves the target queue, whatever rate and base are: nothing else need be
 * known, and a link that becomes slower, a slow disk of the server and a TCP window that still opens all show in the latency.
 *
 *     latency  base ------ base + target/4 ---------- base + target ------------>
 *     limit     doubles a round        moves half the way to rate x (base + target)
 *
 * Only rounds in which the limit held something back change it: a latency says nothing about a limit that is not used. The base is
 * the smallest latency; every `probeEveryMs` the limit is halved below the bandwidth-delay product for one round, and what
 * that shows replaces the base, so that neither a standing queue nor a longer way is taken for the wrong thing for ever.
 *
 * Stalls (a busy host, a server's disk) make latencies long without a queue at the link. So the limit does not fall below what the best
 * rate of the last seconds needs, measured over spans that a burst after a stall hardly shows in.
 *
 * Invariants: the limit stays between smallest and most; a request that is larger than the limit goes when nothing is in
 * flight; memory is constant; time comes in as an argument.
 */
export interface UploadWindowOptions {
  readonly smallestBytes: number;
  readonly mostBytes: number;
  /** Longest queue that is aimed at; on paths shorter than this, the base is (a read in a LAN waits for little). */
  readonly queueMs: number;
}

/** What was in flight when a request left. */
export interface FlightMark {
  readonly bytes: number;
  readonly sentMs: number;
  readonly inFlightBytes: number;
  readonly sequence: number;
}

const startBytes = 64 * 1024;
const shortestQueueMs = 5;
const shortestLatencyMs = 0.05;
const probeEveryMs = 10_000;
/** One request takes at most this part of a window, and keeps the link busy for about this long. */
const requestsPerWindow = 8;
const requestMs = 8;
const smallestRequestBytes = 16 * 1024;
/** A latency counts as at most so many times (base + target): one stall of the server says little about the queue. */
const outlierFactor = 4;
/** The best rate is that of the last one or two of these, over spans of at least `spanMs` and of some round trips. */
const bestRateMs = 2_000;
const spanMs = 400;
const spanRoundTrips = 4;
/** Of the way to what the last round computes. */
const smoothing = 0.5;

export class UploadWindow {
  readonly #options: UploadWindowOptions;
  #limit: number;
  /** What of the limit may be used yet: it grows with what is answered, so that a larger limit makes no burst. */
  #open: number;
  #inFlight = 0;
  #sequence = 0;
  #baseMs = Number.POSITIVE_INFINITY;
  /** The round under way: of what was sent since the limit was open, until half a limit of it was answered. */
  #roundSequence = 0;
  #sumFlight = 0;
  #sumLatencyMs = 0;
  #smallestMs = Number.POSITIVE_INFINITY;
  #answers = 0;
  #answeredBytes = 0;
  #wasFull = false;
  /** Bytes a millisecond. */
  #bestRate = 0;
  #bestRateBefore = 0;
  #bestRateBeganMs = 0;
  #spanBeganMs: number | undefined;
  #spanBytes = 0;
  #probedMs: number | undefined;
  #probeSequence: number | undefined;

  constructor(options: UploadWindowOptions) {
    this.#options = options;
    this.#limit = Math.min(Math.max(startBytes, options.smallestBytes), options.mostBytes);
    this.#open = this.#limit;
  }

  /** Bytes that may be in flight now. */
  get limitBytes(): number {
    return this.#open;
  }
  get inFlightBytes(): number {
    return this.#inFlight;
  }
  /** Milliseconds; infinite before the first answer. */
  get baseMs(): number {
    return this.#baseMs;
  }
  /** How large a request should be at most, if the server takes it: a power of two. */
  get requestBytes(): number {
    const rate = this.#limit / (this.#baseMs + this.#targetMs());
    const wanted = Math.max(Math.min(this.#limit / requestsPerWindow, rate * requestMs), smallestRequestBytes);
    return 2 ** Math.floor(Math.log2(Math.min(wanted, this.#options.mostBytes)));
  }

  /** Whether so much may be added; a no is remembered, as a sign that the limit limits. */
  hasRoom(bytes: number): boolean {
    if (this.#inFlight === 0 || this.#inFlight + bytes <= this.#open) return true;
    if (this.#probeSequence === undefined) this.#wasFull = true;
    return false;
  }

  /** Takes room for a request that is being prepared. */
  reserve(bytes: number): void {
    this.#inFlight += bytes;
  }

  unreserve(bytes: number): void {
    this.#inFlight -= bytes;
  }

  /** The reserved request leaves now. */
  sent(bytes: number, nowMs: number): FlightMark {
    this.#probedMs ??= nowMs;
    return { bytes, sentMs: nowMs, inFlightBytes: this.#inFlight, sequence: ++this.#sequence };
  }

  /** It was answered; its room is free. */
  answered(mark: FlightMark, nowMs: number): void {
    this.#inFlight -= mark.bytes;
    this.#measure(mark.bytes, nowMs);
    const latencyMs = Math.max(nowMs - mark.sentMs, shortestLatencyMs);
    if (this.#probeSequence !== undefined) {
      // What left before the probe began still saw the queue.
      if (mark.sequence > this.#probeSequence) this.#endProbe(latencyMs, nowMs);
      else this.#baseMs = Math.min(this.#baseMs, latencyMs);
      return;
    }
    this.#baseMs = Math.min(this.#baseMs, latencyMs);
    if (this.#open < this.#limit) {
      this.#open = Math.min(this.#limit, this.#open + mark.bytes);
      this.#beginRound();
      return;
    }
    if (mark.sequence <= this.#roundSequence) return;
    this.#answers++;
    this.#answeredBytes += mark.bytes;
    this.#smallestMs = Math.min(this.#smallestMs, latencyMs);
    this.#sumFlight += mark.inFlightBytes;
    this.#sumLatencyMs += Math.min(latencyMs, outlierFactor * (this.#baseMs + this.#targetMs()));
    if (this.#answeredBytes * 2 < this.#limit) return;
    if (this.#wasFull) this.#adjust();
    if (this.#wasFull && nowMs - (this.#probedMs ?? nowMs) > probeEveryMs) this.#beginProbe();
    this.#beginRound();
  }

  #adjust(): void {
    const targetMs = this.#targetMs();
    // A queue that stands shows in every latency of the round; what a busy host adds, in some.
    const latencyMs = (this.#sumLatencyMs / this.#answers + this.#smallestMs) / 2;
    const queueMs = latencyMs - this.#baseMs;
    if (queueMs < targetMs / 4) {
      this.#setLimit(2 * this.#limit);
      return;
    }
    const fitting = (this.#sumFlight / this.#answers / latencyMs) * (this.#baseMs + targetMs);
    this.#setLimit(this.#limit + smoothing * (fitting - this.#limit));
  }

  #setLimit(bytes: number): void {
    const bestRate = Math.max(this.#bestRate, this.#bestRateBefore);
    const needed = bestRate * (this.#baseMs + this.#targetMs());
    this.#limit = Math.min(Math.max(bytes, needed, this.#options.smallestBytes), this.#options.mostBytes);
    this.#open = Math.min(this.#open, this.#limit);
  }

  #measure(bytes: number, nowMs: number): void {
    this.#spanBytes += bytes;
    const beganMs = (this.#spanBeganMs ??= nowMs);
    const elapsedMs = nowMs - beganMs;
    if (elapsedMs < Math.max(spanMs, spanRoundTrips * this.#baseMs)) return;
    if (nowMs - this.#bestRateBeganMs > bestRateMs) {
      this.#bestRateBefore = this.#bestRate;
      this.#bestRate = 0;
      this.#bestRateBeganMs = nowMs;
    }
    this.#bestRate = Math.max(this.#bestRate, this.#spanBytes / elapsedMs);
    this.#spanBeganMs = nowMs;
    this.#spanBytes = 0;
  }

  #beginRound(): void {
    this.#roundSequence = this.#sequence;
    this.#sumFlight = 0;
    this.#sumLatencyMs = 0;
    this.#smallestMs = Number.POSITIVE_INFINITY;
    this.#answers = 0;
    this.#answeredBytes = 0;
    this.#wasFull = false;
  }

  #beginProbe(): void {
    this.#probeSequence = this.#sequence;
    const pipe = (this.#limit * this.#baseMs) / (this.#baseMs + this.#targetMs());
    this.#open = Math.max(this.#options.smallestBytes / 2, pipe / 2);
  }

  #endProbe(latencyMs: number, nowMs: number): void {
    this.#probeSequence = undefined;
    this.#probedMs = nowMs;
    this.#baseMs = latencyMs;
    this.#beginRound();
  }

  #targetMs(): number {
    return Math.min(Math.max(this.#baseMs, shortestQueueMs), this.#options.queueMs);
  }
}
