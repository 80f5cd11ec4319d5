/**
 * How busy the thread is that asks: how late its event loop comes to what is due, and its share of a core.
 *
 *     coarse (a look each 1 s) ──asked──► fine (each 50 ms) ──not asked for 2 minutes──► coarse
 *
 * Each look wakes the thread: a hundred idle sessions must not cost more by being watched than by being there.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Clock, Timer } from '../base/mod.ts';

/** Plain data. */
export interface Load {
  /** Milliseconds later than wanted, since this was asked last. */
  readonly eventLoopDelayMs: { readonly mean: number; readonly p99: number; readonly max: number };
  /** Of one core, since the thread began to measure. */
  readonly utilization: number;
}

const coarseMs = 1_000;
const fineMs = 50;
const watchedMs = 2 * 60_000;

export class ThreadLoad {
  readonly #clock: Clock;
  readonly #beganMs: number;
  readonly #beganCpu = process.threadCpuUsage();
  #resolutionMs = coarseMs;
  #delay = monitorEventLoopDelay({ resolution: coarseMs });
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#beganMs = clock.now();
    this.#delay.enable();
  }

  /** Between two looks at it. */
  get resolutionMs(): number {
    return this.#resolutionMs;
  }

  take(): Load {
    const { user, system } = process.threadCpuUsage(this.#beganCpu);
    const utilization = (user + system) / 1000 / Math.max(1, this.#clock.now() - this.#beganMs);
    const { mean, max, count } = this.#delay;
    const p99 = this.#delay.percentile(99);
    const late = (ns: number): number => (count === 0 ? 0 : Math.max(0, ns / 1e6 - this.#resolutionMs));
    const load = { eventLoopDelayMs: { mean: late(mean), p99: late(p99), max: late(max) }, utilization };
    this.#look(fineMs);
    this.#timer?.cancel();
    this.#timer = this.#clock.after(watchedMs, () => this.#look(coarseMs));
    return load;
  }

  close(): void {
    this.#timer?.cancel();
    this.#delay.disable();
  }

  /** From now on so often, with nothing seen yet. */
  #look(resolutionMs: number): void {
    if (resolutionMs === this.#resolutionMs) {
      this.#delay.reset();
      return;
    }
    this.#delay.disable();
    this.#resolutionMs = resolutionMs;
    this.#delay = monitorEventLoopDelay({ resolution: resolutionMs });
    this.#delay.enable();
  }
}
