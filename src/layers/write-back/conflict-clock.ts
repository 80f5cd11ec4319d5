/**
 * The origin's clock, as its answers show it: a WRITE's mtime is some moment between its sending and its answer.
 *
 * `now` is never earlier than the origin's clock by more than jitter: of all answers of the last minutes, the one that says least
 * counts (mtime - time of sending, the smallest). Before the first one the two clocks are taken as equal. Moments of sending are
 * those of the monotonic clock: this host's wall clock may be set at any time.
 */
import type { Clock } from '../../base/mod.ts';
import type { Time } from '../../vfs/mod.ts';
import { timeMs } from './conflict.ts';

const bucketMs = 5 * 60_000;

export class OriginClock {
  readonly #clock: Clock;
  #before: number | undefined;
  #current: number | undefined;
  #beganMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isKnown(): boolean {
    return this.#current !== undefined || this.#before !== undefined;
  }

  /** Milliseconds since 1970. */
  now(): number {
    const offset = Math.min(this.#before ?? Number.POSITIVE_INFINITY, this.#current ?? Number.POSITIVE_INFINITY);
    return Number.isFinite(offset) ? this.#clock.now() + offset : this.#clock.wallTimeMs();
  }

  /** A change that was sent at `sentMs` (monotonic) made this mtime. */
  learn(mtime: Time, sentMs: number): void {
    const now = this.#clock.now();
    if (now - this.#beganMs > bucketMs) {
      this.#before = this.#current;
      this.#current = undefined;
      this.#beganMs = now;
    }
    const offset = timeMs(mtime) - sentMs;
    this.#current = Math.min(this.#current ?? offset, offset);
  }
}
