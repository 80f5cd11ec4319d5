/**
 * Time comes in as an argument, so that one seed replays a whole run.
 *
 * `now` is monotonic milliseconds with fractions and has no epoch; `wallTimeMs` is milliseconds since 1970.
 */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  now(): number;
  wallTimeMs(): number;
  /** Runs `action` once, `delayMs` from now. A pending timer does not keep the process alive. */
  after(delayMs: number, action: () => void): Timer;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wallTimeMs: () => Date.now(),
  after(delayMs, action) {
    const timeout = setTimeout(action, delayMs);
    timeout.unref();
    return { cancel: () => clearTimeout(timeout) };
  },
};

export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve);
  });
}
