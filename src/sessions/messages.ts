/**
 * What the main thread and a worker say to each other. All of it is plain data. A worker has many sessions: what is of one of them carries
 * its number, and what one of them says also which life of it says so (a session that is opened again begins another).
 *
 *   main ── WorkerStart (workerData) ──► worker
 *   main ── open ──► worker ── ready ──► main ...    or    failed, closed
 *   main ── stats ──► worker ── stats ──► main          worker ── log ──► main
 *   main ── task ──► worker ── task (progress ... result or error) ──► main
 *   main ── rules ──► worker
 *   main ── close ──► worker ── closed ──► main         worker ── failed (an error that nobody expected), stats (the last, number 0) ... closed ──► main
 *   main ── detach ──► worker ── detached ──► main      main ── ping ──► worker ── pong ──► main
 *   worker ── broken ──► main, and it ends
 *
 * `closed` is the last word of a session. A cache is attached when the first session that has its ticket is opened, and detached when told to.
 */
import type { Log } from '../base/mod.ts';
import type { CacheShare } from '../cache/mod.ts';
import type { FileRuleSet } from '../vfs/mod.ts';
import type { ChainStatus } from './chain.ts';
import type { ErrorRecord } from './error-record.ts';
import type { SessionPlan } from './plan.ts';
import type { SessionTask, TaskEvent } from './tasks.ts';
import type { Load } from './thread-load.ts';
import type { LeftBehind, WriteBackStatus } from './write-back-status.ts';

export type LogLevel = keyof Log;

/** Given by the pool, and by whoever begins threads for it before it is loaded (`begun`). */
export interface WorkerStart {
  /** An unexpected error of one session ends that session; else the worker. */
  readonly isolates: boolean;
}

/** A worker's share of a clean cache, under a number of its own. */
export interface CacheTicket {
  readonly id: number;
  readonly share: CacheShare;
}

export interface SessionOpening {
  readonly plan: SessionPlan;
  /** Counted by its keeper: what an earlier one still says is not of this one. */
  readonly life: number;
  /** The port that the session had before it was opened again: clients know it by now. */
  readonly port: number | undefined;
  /** The session's last life had its log open: a new one must not take its place. */
  readonly hadLog?: boolean | undefined;
  /** A socket of this process that listens there already, until the session is `ready` or `failed`: clients wait in it. */
  readonly listener?: HeldAddress | undefined;
}

export interface HeldAddress {
  readonly host: string;
  readonly port: number;
  readonly descriptor: number;
}

/** Where the session listens. */
export interface ListeningPlace {
  readonly host: string;
  readonly port: number;
  /** Who tells clients about the port: our own portmapper, the host's rpcbind, or nobody (clients must name the port). */
  readonly portmapper: 'own' | 'rpcbind' | 'none';
}

interface OfSession {
  readonly session: number;
}

export type OpenOrder = OfSession & SessionOpening & { readonly kind: 'open'; readonly cache: CacheTicket | undefined };

/** To a session that is open, or being opened. */
export type SessionOrder =
  | (OfSession & { readonly kind: 'stats'; readonly id: number })
  | (OfSession & { readonly kind: 'task'; readonly id: number; readonly task: SessionTask })
  /** Settings by file, in place of those that held so far. */
  | (OfSession & { readonly kind: 'rules'; readonly files: FileRuleSet })
  /** `isLast`: the process ends with it, and its clients ask whoever comes next. */
  | (OfSession & { readonly kind: 'close'; readonly isLast?: boolean | undefined });

export type WorkerOrder =
  | OpenOrder
  | SessionOrder
  | { readonly kind: 'detach'; readonly id: number }
  /** `wantsLoad`: since this was asked last. */
  | { readonly kind: 'ping'; readonly id: number; readonly wantsLoad?: boolean | undefined };

/** What a session says, before it is told which life of it that is. */
export type SessionWord =
  | (OfSession & { readonly kind: 'ready'; readonly place: ListeningPlace })
  | (OfSession & { readonly kind: 'failed'; readonly error: ErrorRecord })
  | (OfSession & { readonly kind: 'stats'; readonly id: number; readonly stats: WorkerStats })
  | (OfSession & { readonly kind: 'task'; readonly id: number; readonly event: TaskEvent })
  | (OfSession & {
      readonly kind: 'closed';
      readonly left: LeftBehind | undefined;
      /** False: some part of it could not be closed, and may still hold what it had open. */
      readonly isClean: boolean;
    });

export type SessionReport =
  | (SessionWord & { readonly life: number })
  /** Without a number it is of the worker itself. */
  | (LogLine & { readonly session: number | undefined });

export type WorkerReport =
  | SessionReport
  /** `wasAttached`: it has been given back by closing it; else no session of its came so far. */
  | { readonly kind: 'detached'; readonly id: number; readonly wasAttached: boolean }
  | { readonly kind: 'pong'; readonly id: number; readonly load?: Load | undefined }
  | { readonly kind: 'broken'; readonly error: ErrorRecord };

interface LogLine {
  readonly kind: 'log';
  readonly level: LogLevel;
  readonly fields: object;
  readonly message: string;
}

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
