/**
 * One scrape: each session is asked once, all at the same time, and has a second to answer. Who asks while a scrape is under way gets that
 * one: however many ask, the workers are asked once.
 *
 *     text ──► sessions (show, 1 s) ┬─► families ──► text format 0.0.4
 *     text ──► the same             └─ threads, process
 */
import { readdirSync } from 'node:fs';
import { type Clock, limits } from '../../base/mod.ts';
import {
  type SessionDetail,
  type SessionManager,
  type SessionView,
  sessionStates,
  type ThreadReport,
} from '../contract.ts';
import { Families } from './families.ts';
import { figure, takeSession } from './session-figures.ts';

export interface MetricsOptions {
  readonly manager: Pick<SessionManager, 'list' | 'show' | 'threads'>;
  readonly clock: Clock;
}

export interface StreamFigures {
  readonly open: number;
  readonly cutOff: number;
  readonly cutOffBytes: number;
}

const patienceMs = 1_000;

export class Metrics {
  readonly #options: MetricsOptions;
  readonly #families = new Families();
  readonly #startedMs: number;
  #scrape: Promise<string> | undefined;

  constructor(options: MetricsOptions) {
    this.#options = options;
    this.#startedMs = options.clock.wallTimeMs() - process.uptime() * 1000;
  }

  get contentType(): string {
    return this.#families.contentType;
  }

  text(streams: StreamFigures): Promise<string> {
    this.#scrape ??= this.#collect(streams).finally(() => {
      this.#scrape = undefined;
    });
    return this.#scrape;
  }

  close(): void {
    this.#families.reset();
  }

  async #collect(streams: StreamFigures): Promise<string> {
    const { manager } = this.#options;
    const views = manager.list();
    const shown = views.slice(0, limits.metricSessions);
    const [details, threads] = await Promise.all([
      Promise.all(shown.map(({ id }) => this.#within(manager.show(id)))),
      this.#within(manager.threads()),
    ]);
    const families = this.#families;
    families.reset();
    this.#takeSessions(views, shown, details);
    for (const thread of threads ?? []) takeThread(families, thread);
    families.gauge('viaduct_api_streams', {}, streams.open);
    families.count('viaduct_api_streams_cut_off_total', {}, streams.cutOff);
    families.count('viaduct_api_streams_cut_off_bytes_total', {}, streams.cutOffBytes);
    this.#takeProcess();
    return families.text();
  }

  #takeSessions(
    views: readonly SessionView[],
    shown: readonly SessionView[],
    details: readonly (SessionDetail | undefined)[],
  ): void {
    const families = this.#families;
    for (const state of sessionStates)
      families.gauge('viaduct_sessions', { state }, views.filter((view) => view.state === state).length);
    families.gauge('viaduct_scrape_sessions_left_off', {}, views.length - shown.length);
    const caches = new Map<string, object>();
    let silent = 0;
    for (const [index, { id, name: session, kind, policy, origin, restarts }] of shown.entries()) {
      const detail = details[index];
      const isUp = detail?.status?.data !== undefined;
      if (!isUp) silent++;
      families.gauge('viaduct_session_info', { session, id, kind, policy, origin }, 1);
      families.gauge('viaduct_session_up', { session }, isUp ? 1 : 0);
      families.count('viaduct_session_restarts_total', { session }, restarts);
      if (detail === undefined) continue;
      takeSession(families, detail);
      const data = detail.status?.data;
      const sinceMs = data?.writeBack?.originAwaySinceMs ?? figure(data?.layers.presence, 'sinceMs');
      const awayMs = sinceMs === undefined ? 0 : Math.max(0, this.#options.clock.wallTimeMs() - sinceMs);
      if (isUp) families.gauge('viaduct_origin_away_seconds', { session }, awayMs / 1000);
      if (detail.status?.cache !== undefined) caches.set(detail.status.cache.directory, detail.status.cache);
    }
    families.gauge('viaduct_scrape_silent_sessions', {}, silent);
    for (const [cache, counted] of caches) takeCleanCache(families, cache, counted);
  }

  #takeProcess(): void {
    const families = this.#families;
    const { user, system } = process.cpuUsage();
    families.count('viaduct_process_cpu_seconds_total', { mode: 'user' }, user / 1e6);
    families.count('viaduct_process_cpu_seconds_total', { mode: 'system' }, system / 1e6);
    const { rss, heapUsed } = process.memoryUsage();
    families.gauge('viaduct_process_resident_memory_bytes', {}, rss);
    families.gauge('viaduct_process_heap_bytes', {}, heapUsed);
    families.gauge('viaduct_process_open_files', {}, openFiles());
    families.gauge('viaduct_process_start_time_seconds', {}, this.#startedMs / 1000);
  }

  /** Undefined: no answer in time, or it has just gone. */
  #within<T>(answer: Promise<T>): Promise<T | undefined> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(patienceMs, () => resolve(undefined));
      const settle = (value: T | undefined): void => {
        timer.cancel();
        resolve(value);
      };
      answer.then(settle, () => settle(undefined));
    });
  }
}

function takeThread(families: Families, { name: thread, ...report }: ThreadReport): void {
  const { sessions, restarts, eventLoopDelayMs, utilization } = report;
  families.gauge('viaduct_thread_sessions', { thread }, sessions);
  families.count('viaduct_thread_restarts_total', { thread }, restarts);
  families.gauge('viaduct_thread_utilization_ratio', { thread }, utilization);
  for (const [statistic, delayMs] of Object.entries(eventLoopDelayMs ?? {}))
    families.gauge('viaduct_event_loop_delay_seconds', { thread, statistic }, delayMs / 1000);
}

function takeCleanCache(families: Families, cache: string, counted: object): void {
  families.gauge('viaduct_clean_cache_size_bytes', { cache }, figure(counted, 'sizeBytes'));
  families.gauge('viaduct_clean_cache_valid_bytes', { cache }, figure(counted, 'validBytes'));
  families.count('viaduct_clean_cache_hits_total', { cache }, figure(counted, 'hits'));
  families.count('viaduct_clean_cache_misses_total', { cache }, figure(counted, 'misses'));
  families.count('viaduct_clean_cache_fill_bytes_total', { cache }, figure(counted, 'fillBytes'));
  families.count('viaduct_clean_cache_evictions_total', { cache }, figure(counted, 'evictions'));
  families.count('viaduct_clean_cache_corrupt_sectors_total', { cache }, figure(counted, 'corruptSectors'));
}

function openFiles(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return undefined;
  }
}
