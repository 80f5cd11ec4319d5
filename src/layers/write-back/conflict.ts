/**
 * Whether somebody else changed a file at the origin while changes of ours waited for it.
 *
 * On plain NFS there is nothing but attributes, so a foreign change is seen by size and mtime (a ctime that moved alone is a chmod,
 * a link or a rename). Three ways to be ours:
 *
 *     shows base                                                nothing happened
 *     shows what an answer to this drain showed                 our own epoch, half written
 *     an intent is noted, and the mtime is not later than our   a write-back that was interrupted, by a crash or a refusal
 *     last sign of life at the origin (+ 2 s)
 *
 * What that cannot see: a change that puts size and mtime back; one in the moment between look and write (a round trip); one within two
 * seconds of a crash. The channel's conditional writes have none of these holes.
 */
import type { WccAttributes } from '../../vfs/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import type { FileRecord } from './contract.ts';
import { sameData } from './times.ts';

/** Sizes that an epoch, cut off anywhere, can leave behind. */
export interface SizeRange {
  readonly least: number;
  readonly most: number;
}

export const slackMs = 2_000;

/** `known`: what answers of this process showed. */
export function isOurs(
  record: FileRecord,
  found: WccAttributes,
  known: WccAttributes | undefined,
  sizes: SizeRange | undefined,
): boolean {
  const { base, intent, times } = record;
  if (base === undefined || sameData(found, base)) return true;
  if (known !== undefined && sameData(found, known)) return true;
  if (intent === undefined) return false;
  if (sameData(found, intent.base)) return true;
  if (sizes !== undefined && (found.size < sizes.least || found.size > sizes.most)) return false;
  const sent = times?.mtime;
  if (sent !== undefined && sent !== 'server' && vfs.timeEquals(found.mtime, sent)) return true;
  return timeMs(found.mtime) <= intent.aliveMs + slackMs;
}

export function timeMs(time: vfs.Time): number {
  return time.seconds * 1000 + time.nanoseconds / 1e6;
}

/** The file does not exist any more (at the origin). */
export function isGone(status: number): boolean {
  return status === vfs.Status.STALE || status === vfs.Status.BADHANDLE;
}

/** `NAME.viaduct-conflict-HOST-YYYYMMDDTHHMMSSZ`, shortened in NAME to what a name may have. */
export function conflictName(name: string, hostName: string, atMs: number, mostBytes: number): string {
  const time = `${new Date(atMs).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;
  const suffix = `.viaduct-conflict-${hostName.replace(/[^\w.-]/g, '_').slice(0, 64)}-${time}`;
  return name.slice(0, Math.max(1, mostBytes - suffix.length)) + suffix;
}
