/** The one answer: is everything at the origin, and if not, what is missing. */
import { limits } from '../../base/mod.ts';
import type { DirtyLogStats } from '../../dirty/mod.ts';
import type { Conflict, DrainStatus, FileRecord, LeaseState } from './contract.ts';
import type { Workings, WriteBackOptions } from './workings.ts';

export interface DirtyFileStatus {
  /** As far as names are known: `golden/disk.raw`, `.../disk.raw`; undefined if none is. */
  readonly path: string | undefined;
  /** Hexadecimal. */
  readonly handle: string;
  readonly dirtyBytes: number;
  readonly size: number;
  readonly oldestAgeMs: number;
}

export interface ConflictStatus {
  readonly path: string | undefined;
  readonly handle: string;
  readonly conflict: Conflict;
}

export interface WriteBackStatus {
  readonly mode: WriteBackOptions['mode'];
  readonly commit: WriteBackOptions['commit'];
  /** Nothing is dirty, nothing has to be told to the origin, and no conflict waits for somebody. */
  readonly isAtOrigin: boolean;
  readonly dirtyBytes: number;
  readonly dirtyFiles: number;
  /** Clean ones whose times the origin has to be told of. */
  readonly owedFiles: number;
  /** The largest, at most `limits.listedDirtyFiles`. */
  readonly files: readonly DirtyFileStatus[];
  readonly oldestAgeMs: number | undefined;
  readonly drain: DrainStatus;
  readonly conflicts: readonly ConflictStatus[];
  readonly lease: LeaseState;
  readonly log: DirtyLogStats;
}

export function statusOf(workings: Workings, drain: DrainStatus): WriteBackStatus {
  const { log, files, options, clock, origin } = workings;
  const stats = log.stats();
  const nowMs = clock.wallTimeMs();
  const dirty: DirtyFileStatus[] = [];
  const conflicts: ConflictStatus[] = [];
  let owedFiles = 0;
  for (const record of files.all()) {
    const name = { path: pathOf(workings, record), handle: Buffer.from(record.handle, 'latin1').toString('hex') };
    if (record.conflict !== undefined) conflicts.push({ ...name, conflict: record.conflict });
    const state = log.state(record.number);
    if (state === undefined && record.times !== undefined) owedFiles++;
    if (state === undefined) continue;
    const { dirtyBytes, size, oldestMs } = state;
    dirty.push({ ...name, dirtyBytes, size, oldestAgeMs: Math.max(0, nowMs - oldestMs) });
  }
  dirty.sort((a, b) => b.dirtyBytes - a.dirtyBytes);
  return {
    mode: options.mode,
    commit: options.commit,
    isAtOrigin: dirty.length === 0 && stats.epochs === 0 && conflicts.length === 0 && owedFiles === 0,
    dirtyBytes: stats.dirtyBytes,
    dirtyFiles: dirty.length,
    owedFiles,
    files: dirty.slice(0, limits.listedDirtyFiles),
    oldestAgeMs: stats.oldestMs === undefined ? undefined : Math.max(0, nowMs - stats.oldestMs),
    drain,
    conflicts,
    lease: origin.lease(),
    log: stats,
  };
}

function pathOf({ places }: Workings, { handle, place, path }: FileRecord): string | undefined {
  const known = place ?? places.of(handle);
  if (known === undefined) return undefined;
  // What was noted of a life before stands in for names that nobody has looked up since.
  if (path === undefined || places.wholePath(known) !== undefined) return places.path(known);
  return Buffer.from(path.slice(1), 'latin1').toString();
}
