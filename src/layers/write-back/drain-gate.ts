/**
 * Who may send to the origin now: the upload window and the rate cap, first come first served.
 *
 *     enter ──> [ waiting, in order ] ──room in the window, tokens──> entered ──sent──> answered
 *                                                                        └──left (never sent)
 *
 * Invariants: nobody overtakes; what entered leaves exactly once; after `close` everybody is let in at once and must look
 * whether to go on.
 */
import { type Clock, type Eventual, limits, type Timer } from '../../base/mod.ts';
import { type FlightMark, UploadWindow } from './window.ts';

/** A cold read meanwhile waits for its round trip, about this, and what the first moments overshoot: 2 round trips + 50 ms is the promise. */
const queueMs = 25;
const smallestWindowBytes = 32 * 1024;
/** What a capped drain may send at once after a pause, in milliseconds of its rate. */
const burstMs = 100;

export class DrainGate {
  readonly #clock: Clock;
  readonly #bytesPerMs: number;
  readonly #window: UploadWindow;
  readonly #waiting: { readonly bytes: number; readonly enter: () => void }[] = [];
  /** When the cap has caught up with what was let in. */
  #paidUntilMs = 0;
  #timer: Timer | undefined;
  #lastAnswerMs: number;
  #sentUnanswered = 0;
  #closed = false;

  constructor(clock: Clock, rateBytesPerSecond: number | undefined, mostBytes: number = limits.writeBackFlightBytes) {
    this.#clock = clock;
    this.#bytesPerMs = (rateBytesPerSecond ?? Number.POSITIVE_INFINITY) / 1000;
    this.#window = new UploadWindow({
      smallestBytes: smallestWindowBytes,
      mostBytes,
      queueMs,
    });
    this.#lastAnswerMs = clock.now();
  }

  /** How large a request should be at most. */
  get requestBytes(): number {
    return this.#window.requestBytes;
  }

  /** How long something has been sent without any answer; 0 if nothing is owed. */
  silentMs(): number {
    return this.#sentUnanswered === 0 ? 0 : this.#clock.now() - this.#lastAnswerMs;
  }

  /** Waits for its turn. */
  enter(bytes: number): Eventual<void> {
    if (this.#closed || (this.#waiting.length === 0 && this.#mayEnter(bytes))) {
      this.#entered(bytes);
      return;
    }
    return new Promise((resolve) => {
      this.#waiting.push({ bytes, enter: resolve });
      this.#arm();
    });
  }

  /** What entered will not be sent. */
  left(bytes: number): void {
    this.#window.unreserve(bytes);
    this.#admit();
  }

  sent(bytes: number): FlightMark {
    if (this.#sentUnanswered++ === 0) this.#lastAnswerMs = this.#clock.now();
    return this.#window.sent(bytes, this.#clock.now());
  }

  answered(mark: FlightMark): void {
    this.#sentUnanswered--;
    this.#lastAnswerMs = this.#clock.now();
    this.#window.answered(mark, this.#lastAnswerMs);
    this.#admit();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#admit();
  }

  #mayEnter(bytes: number): boolean {
    return this.#window.hasRoom(bytes) && this.#paidUntilMs <= this.#clock.now();
  }

  #entered(bytes: number): void {
    this.#window.reserve(bytes);
    const now = this.#clock.now();
    this.#paidUntilMs = Math.max(this.#paidUntilMs, now - burstMs) + bytes / this.#bytesPerMs;
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (!this.#closed && !this.#mayEnter(next.bytes)) break;
      this.#waiting.shift();
      this.#entered(next.bytes);
      next.enter();
    }
    this.#arm();
  }

  /** Answers admit by themselves; only the cap needs a timer. */
  #arm(): void {
    const [next] = this.#waiting;
    if (this.#closed || this.#timer !== undefined || next === undefined || !this.#window.hasRoom(next.bytes)) return;
    // Time goes on since the first one was held back: it may have been paid for by now, and nobody else would let it in.
    const waitMs = Math.max(this.#paidUntilMs - this.#clock.now(), 1);
    this.#timer = this.#clock.after(Math.ceil(waitMs), () => {
      this.#timer = undefined;
      this.#admit();
    });
  }
}
