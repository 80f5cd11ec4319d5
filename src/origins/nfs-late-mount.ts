/**
 * The mount of an origin that was away when its session started.
 *
 *     trying ──reached, mounted──► mounted        every call waits until then (nfs-root-guard.ts checks the root first)
 *       │  ^
 *       └──┘ unreachable, refused: tried again after 0.05 s, doubling to 2 s
 *
 * Invariant: one attempt at a time; none after `close`.
 */
import { type Clock, type Log, sleep, ViaductError } from '../base/mod.ts';

const firstPauseMs = 50;
const longestPauseMs = 2_000;

export interface LateMountOptions<Opened> {
  /** The attempt that is under way already. */
  readonly first: Promise<Opened>;
  readonly attempt: () => Promise<Opened>;
  readonly clock: Clock;
  readonly log: Log;
  /** For messages. */
  readonly name: string;
}

export class LateMount<Opened> {
  /** Stays pending while the origin is away, and after `close`. */
  readonly mounted: Promise<Opened>;
  readonly #options: LateMountOptions<Opened>;
  #closed = false;

  constructor(options: LateMountOptions<Opened>) {
    this.#options = options;
    this.mounted = this.#try();
  }

  close(): void {
    this.#closed = true;
  }

  async #try(): Promise<Opened> {
    const { attempt, clock, log, name } = this.#options;
    let attempted = this.#options.first;
    let told: string | undefined;
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
      try {
        const opened = await attempted;
        if (!this.#closed) return opened;
      } catch (error) {
        if (!(error instanceof ViaductError)) throw error;
        // Silence and refusals may take turns; each cause is told once in a row.
        if (error.message !== told)
          log.warn({ origin: name, cause: error.message }, 'the origin cannot be mounted yet');
        told = error.message;
      }
      if (this.#closed) return new Promise<Opened>(() => {});
      await sleep(clock, pauseMs);
      if (this.#closed) return new Promise<Opened>(() => {});
      attempted = attempt();
    }
  }
}
