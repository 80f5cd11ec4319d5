/** The daemon's counters for Prometheus. */
export { Metrics, type MetricsOptions } from './metrics.ts';
