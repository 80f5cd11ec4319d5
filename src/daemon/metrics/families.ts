/**
 * What there is to scrape: names, types, labels, help. Units are those of SI (seconds, bytes), shares are 0 to 1; what ends in `_total` only
 * grows, until its session or the daemon begins anew.
 *
 * Labels have few values: a session's name, a layer, a procedure of NFS, a thread. Sessions are bounded (`limits.metricSessions`).
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

interface Spec {
  readonly help: string;
  readonly labels: readonly string[];
}

const ofSession = ['session'] as const;
const ofLayer = ['session', 'layer'] as const;
const ofProcedure = ['session', 'procedure'] as const;
const ofCache = ['cache'] as const;
const ofThread = ['thread'] as const;

export const counters = {
  viaduct_session_restarts_total: { help: 'Times that the session was opened again.', labels: ofSession },
  viaduct_cache_hits_total: { help: 'Requests that a layer answered by what it kept.', labels: ofLayer },
  viaduct_cache_misses_total: { help: 'Requests for which a layer had to ask the origin.', labels: ofLayer },
  viaduct_cache_hit_bytes_total: { help: 'Payload of READs that a layer answered.', labels: ofLayer },
  viaduct_cache_miss_bytes_total: { help: 'Payload of READs that waited for the origin.', labels: ofLayer },
  viaduct_content_bytes_total: {
    help: 'Payload of files with content meta-data, by where it came from: zero, local, pack, plain.',
    labels: ['session', 'source'],
  },
  viaduct_link_bytes_total: {
    help: 'Bytes on the connections to clients and to the origin; in: received here.',
    labels: ['session', 'link', 'direction'],
  },
  viaduct_payload_bytes_total: { help: 'Payload that clients read and wrote.', labels: ['session', 'direction'] },
  viaduct_prefetched_bytes_total: { help: 'Bytes fetched before they were asked for.', labels: ['session', 'cause'] },
  viaduct_prefetched_used_bytes_total: { help: 'Of those, bytes that were read later.', labels: ['session', 'cause'] },
  viaduct_written_back_bytes_total: { help: 'Bytes of changes that the origin got.', labels: ofSession },
  viaduct_written_back_known_bytes_total: {
    help: 'Of those, bytes that the origin had already: digests were sent.',
    labels: ofSession,
  },
  viaduct_call_errors_total: { help: 'Calls answered by an error, ENOENT and the like included.', labels: ofProcedure },
  viaduct_origin_reconnects_total: { help: 'Connections to the origin that were made again.', labels: ofSession },
  viaduct_origin_retransmissions_total: { help: 'Calls that were sent to the origin again.', labels: ofSession },
  viaduct_clean_cache_hits_total: {
    help: 'Reads that the clean cache answered, of all its sessions.',
    labels: ofCache,
  },
  viaduct_clean_cache_misses_total: { help: 'Reads that it could not answer.', labels: ofCache },
  viaduct_clean_cache_fill_bytes_total: { help: 'Bytes that entered it.', labels: ofCache },
  viaduct_clean_cache_evictions_total: { help: 'Blocks that made room for others.', labels: ofCache },
  viaduct_clean_cache_corrupt_sectors_total: { help: 'Sectors whose checksum did not verify.', labels: ofCache },
  viaduct_thread_restarts_total: { help: 'Times that a worker thread was started again.', labels: ofThread },
  viaduct_api_streams_cut_off_total: { help: 'Followers of events that did not read them.', labels: [] },
  viaduct_api_streams_cut_off_bytes_total: { help: 'What those had not taken.', labels: [] },
  viaduct_process_cpu_seconds_total: { help: 'Processor time of the daemon, all threads.', labels: ['mode'] },
} as const satisfies Record<string, Spec>;

export const gauges = {
  viaduct_sessions: { help: 'Sessions by state.', labels: ['state'] },
  viaduct_session_info: { help: 'Always 1: what a session is.', labels: ['session', 'id', 'kind', 'policy', 'origin'] },
  viaduct_session_up: { help: '1: the worker of the session answered this scrape.', labels: ofSession },
  viaduct_dirty_bytes: { help: 'Bytes of changes that the origin does not have.', labels: ofSession },
  viaduct_dirty_files: { help: 'Files with changes that the origin does not have.', labels: ofSession },
  viaduct_dirty_age_seconds: { help: 'Age of the oldest of those changes; 0: there is none.', labels: ofSession },
  viaduct_dirty_log_bytes: { help: 'What the dirty log takes on its disk.', labels: ofSession },
  viaduct_dirty_log_limit_bytes: { help: 'What it may take at most.', labels: ofSession },
  viaduct_conflicts: { help: 'Files in a conflict that nobody has cleared.', labels: ofSession },
  viaduct_calls_in_flight: { help: 'Calls of clients without an answer yet.', labels: ofSession },
  viaduct_origin_away_seconds: { help: 'How long the origin has not answered; 0: it does.', labels: ofSession },
  viaduct_origin_round_trip_seconds: { help: 'The round trip to the origin, as measured.', labels: ofSession },
  viaduct_origin_rate_bytes_per_second: { help: 'What the link to the origin was found to carry.', labels: ofSession },
  viaduct_cache_occupied_bytes: {
    help: 'What the session has of its clean cache, in whole blocks.',
    labels: ofSession,
  },
  viaduct_cache_quota_bytes: { help: 'What it may have of it; absent: all.', labels: ofSession },
  viaduct_clean_cache_size_bytes: { help: 'The size of a clean cache.', labels: ofCache },
  viaduct_clean_cache_valid_bytes: { help: 'What of it is filled.', labels: ofCache },
  viaduct_thread_sessions: { help: 'Sessions that a thread serves.', labels: ofThread },
  viaduct_thread_utilization_ratio: {
    help: 'Share of a core that a thread has used since it began.',
    labels: ofThread,
  },
  viaduct_event_loop_delay_seconds: {
    help: 'How late the event loop of a thread was since the last report: mean, p99, max.',
    labels: ['thread', 'statistic'],
  },
  viaduct_api_streams: { help: 'Clients that follow events or tasks.', labels: [] },
  viaduct_scrape_silent_sessions: { help: 'Sessions that did not answer this scrape in time.', labels: [] },
  viaduct_scrape_sessions_left_off: { help: 'Sessions beyond those with series of their own.', labels: [] },
  viaduct_process_resident_memory_bytes: { help: 'Memory of the daemon.', labels: [] },
  viaduct_process_heap_bytes: { help: 'Heap of the main thread in use.', labels: [] },
  viaduct_process_open_files: { help: 'Open file descriptors.', labels: [] },
  viaduct_process_start_time_seconds: { help: 'When the daemon began, in seconds since 1970.', labels: [] },
} as const satisfies Record<string, Spec>;

export const callDurations = 'viaduct_call_duration_seconds';

export type CounterName = keyof typeof counters;
export type GaugeName = keyof typeof gauges;
type Labels = Readonly<Record<string, string>>;

/** As counted since the session's start; `below` as in `LatencySummary`. */
export interface Durations {
  readonly labels: Labels;
  readonly count: number;
  readonly sumSeconds: number;
  readonly below: readonly (readonly [boundMs: number, count: number])[];
}

/** A histogram that was counted elsewhere. */
class CountedHistogram extends Histogram {
  readonly #rows: Durations[] = [];

  take(row: Durations): void {
    this.#rows.push(row);
  }

  override reset(): void {
    super.reset();
    // The base calls it before there are any.
    if (#rows in this) this.#rows.length = 0;
  }

  /** What the registry asks histograms for their text. */
  getForPromString() {
    return { name: callDurations, help: durationsHelp, type: 'histogram', values: this.#rows.flatMap(seriesOf) };
  }
}

const durationsHelp = 'How long calls of clients took, by procedure.';

function seriesOf({ labels, count, sumSeconds, below }: Durations) {
  const buckets = below.map(([boundMs, value]) => ({
    metricName: `${callDurations}_bucket`,
    labels: { ...labels, le: boundMs / 1000 },
    value,
  }));
  return [
    ...buckets,
    { metricName: `${callDurations}_bucket`, labels: { ...labels, le: '+Inf' }, value: count },
    { metricName: `${callDurations}_sum`, labels, value: sumSeconds },
    { metricName: `${callDurations}_count`, labels, value: count },
  ];
}

/** The registry of one daemon, and what is written into it before each scrape. */
export class Families {
  readonly #registry = new Registry();
  readonly #counters = new Map<CounterName, Counter>();
  readonly #gauges = new Map<GaugeName, Gauge>();
  readonly #durations: CountedHistogram;

  constructor() {
    const registers = [this.#registry];
    for (const name of Object.keys(counters) as CounterName[]) {
      const { help, labels } = counters[name];
      this.#counters.set(name, new Counter({ name, help, labelNames: labels, registers }));
    }
    for (const name of Object.keys(gauges) as GaugeName[]) {
      const { help, labels } = gauges[name];
      this.#gauges.set(name, new Gauge({ name, help, labelNames: labels, registers }));
    }
    this.#durations = new CountedHistogram({
      name: callDurations,
      help: durationsHelp,
      labelNames: ofProcedure,
      registers,
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  reset(): void {
    this.#registry.resetMetrics();
  }

  /** A figure that is not known is left out. */
  count(name: CounterName, labels: Labels, value: number | undefined): void {
    if (isFigure(value) && value >= 0) this.#counters.get(name)!.inc(labels, value);
  }

  gauge(name: GaugeName, labels: Labels, value: number | undefined): void {
    if (isFigure(value)) this.#gauges.get(name)!.set(labels, value);
  }

  durations(row: Durations): void {
    this.#durations.take(row);
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

function isFigure(value: number | undefined): value is number {
  return value !== undefined && Number.isFinite(value);
}
