/**
 * A session's own clock: what its timers throw is that session's failure, and when it has ended they do nothing any more.
 *
 * A part that could not be closed may have set them; nothing of it may go on in a worker that others use.
 */
import type { Clock, Timer } from '../base/mod.ts';

export class SessionClock implements Clock {
  readonly #clock: Clock;
  readonly #fail: (error: unknown) => void;
  #isStopped = false;

  constructor(clock: Clock, fail: (error: unknown) => void) {
    this.#clock = clock;
    this.#fail = fail;
  }

  now(): number {
    return this.#clock.now();
  }

  wallTimeMs(): number {
    return this.#clock.wallTimeMs();
  }

  after(delayMs: number, action: () => void): Timer {
    return this.#clock.after(delayMs, () => {
      if (this.#isStopped) return;
      try {
        action();
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  stop(): void {
    this.#isStopped = true;
  }
}
