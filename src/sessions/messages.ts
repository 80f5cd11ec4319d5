/**
 * What the main thread and a session's worker say to each other. All of it is plain data.
 *
 *   main ── WorkerStart (workerData) ──► worker ── ready | failed ──► main
 *   main ── stats ──► worker ── stats ──► main          worker ── log ──► main
 *   main ── task ──► worker ── task (progress ... result or error) ──► main
 *   main ── close ──► worker ── closed ──► main
 */
import type { Log } from '../base/mod.ts';
import type { CacheShare } from '../cache/mod.ts';
import type { ChainStatus } from './chain.ts';
import type { ErrorRecord } from './error-record.ts';
import type { SessionPlan } from './plan.ts';
import type { SessionTask, TaskEvent } from './tasks.ts';
import type { LeftBehind, WriteBackStatus } from './write-back-status.ts';

export type LogLevel = keyof Log;

export interface WorkerStart {
  readonly plan: SessionPlan;
  /** The port that the session had before its worker was restarted: clients know it by now. */
  readonly port: number | undefined;
  readonly cache: CacheShare | undefined;
}

/** Where the session listens. */
export interface ListeningPlace {
  readonly host: string;
  readonly port: number;
  /** Who tells clients about the port: our own portmapper, the host's rpcbind, or nobody (clients must name the port). */
  readonly portmapper: 'own' | 'rpcbind' | 'none';
}

export type WorkerOrder =
  | { readonly kind: 'stats'; readonly id: number }
  | { readonly kind: 'task'; readonly id: number; readonly task: SessionTask }
  | { readonly kind: 'close' };

export type WorkerReport =
  | { readonly kind: 'ready'; readonly place: ListeningPlace }
  | { readonly kind: 'failed'; readonly error: ErrorRecord }
  | { readonly kind: 'stats'; readonly id: number; readonly stats: WorkerStats }
  | { readonly kind: 'log'; readonly level: LogLevel; readonly fields: object; readonly message: string }
  | { readonly kind: 'task'; readonly id: number; readonly event: TaskEvent }
  | { readonly kind: 'closed'; readonly left: LeftBehind | undefined };

/** Counters of the data path, by part. Names are those of the parts' own counters. */
export interface WorkerStats {
  readonly server: object;
  readonly layers: Readonly<Record<string, object>>;
  /** Of a session with a dirty log. */
  readonly writeBack: WriteBackStatus | undefined;
  /** Of a session whose origin is a Viaduct that may keep changes. */
  readonly chain?: ChainStatus | undefined;
}

/** Fields of a log line as data that can be posted and printed: errors, bigints and buffers become readable, functions go. */
export function plainFields(fields: object): object {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, plainValue(value)]));
}

function plainValue(value: unknown): unknown {
  if (value instanceof Error)
    return { code: 'code' in value ? value.code : undefined, message: value.message, stack: value.stack };
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return typeof value === 'function' ? undefined : value;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value)) return value.map(plainValue);
  return plainFields(value);
}
