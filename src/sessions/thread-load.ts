/** How busy the thread is that asks: how late its event loop comes to what is due, and its share of a core. */
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';

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
  readonly #beganMs = performance.now();
  readonly #beganCpu = process.threadCpuUsage();

  constructor() {
    this.#delay.enable();
  }

  take(): Load {
    const { user, system } = process.threadCpuUsage(this.#beganCpu);
    const utilization = (user + system) / 1000 / Math.max(1, performance.now() - this.#beganMs);
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
