/**
 * Warnings about peers. A peer decides how often it misbehaves; that must not fill the disk that the log is on.
 *
 * Invariant: at most `mostLines` lines in a window of `windowMs`; the first line after lines were left out says how many.
 */
import type { Clock, Log } from '../base/mod.ts';

const mostLines = 20;
const windowMs = 10_000;

export class BoundedWarnings {
  readonly #clock: Clock;
  readonly #log: Log;
  #windowStart = Number.NEGATIVE_INFINITY;
  #lines = 0;
  #leftOut = 0;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  warn(fields: object, message: string): void {
    const now = this.#clock.now();
    if (now - this.#windowStart >= windowMs) {
      this.#windowStart = now;
      this.#lines = 0;
    }
    if (this.#lines >= mostLines) {
      this.#leftOut++;
      return;
    }
    this.#lines++;
    this.#log.warn(this.#leftOut > 0 ? { ...fields, leftOut: this.#leftOut } : fields, message);
    this.#leftOut = 0;
  }
}
