/** How busy the thread is that asks: how late its event loop comes to what is due, and its share of a core. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Clock } from '../base/mod.ts';

/** Plain data. */
export interface Load {
  /** Milliseconds later than wanted, since this was asked last. */
  readonly eventLoopDelayMs: { readonly mean: number; readonly p99: number; readonly max: number };
  /** Of one core, since the thread began to measure. */
  readonly utilization: number;
}

/** A timer that finds out how late it is; more often would cost idle threads more than it tells. */
const resolutionMs = 50;

export class ThreadLoad {
  readonly #delay = monitorEventLoopDelay({ resolution: resolutionMs });
  readonly #clock: Clock;
  readonly #beganMs: number;
  readonly #beganCpu = process.threadCpuUsage();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#beganMs = clock.now();
    this.#delay.enable();
  }

  take(): Load {
    const { user, system } = process.threadCpuUsage(this.#beganCpu);
    const utilization = (user + system) / 1000 / Math.max(1, this.#clock.now() - this.#beganMs);
    const { mean, max, count } = this.#delay;
    const p99 = this.#delay.percentile(99);
    this.#delay.reset();
    const late = (ns: number): number => (count === 0 ? 0 : Math.max(0, ns / 1e6 - resolutionMs));
    return { eventLoopDelayMs: { mean: late(mean), p99: late(p99), max: late(max) }, utilization };
  }

  close(): void {
    this.#delay.disable();
  }
}
