/**
 * The disk under a dirty log: how much room it has, and what follows when that is less than the log may take.
 *
 *     free:   enough for all that the log may grow ──► roomy      little is left ──► short      not even a segment ──► full
 */
import { statfs } from 'node:fs/promises';
import type { Log } from '../base/mod.ts';
import type { LoggedPolicy } from './write-policy.ts';

const MiB = 1024 * 1024;
/** The smallest segment, and what its names take. */
const fullBelow = 4 * MiB;
/** Of a disk that anything else may fill within a minute. */
const shortBelow = 128 * MiB;

export interface LogDisk {
  readonly sizeBytes: number;
  /** For this user. */
  readonly freeBytes: number;
}

export type DiskState = 'roomy' | 'short' | 'full';

/** Undefined: it cannot be asked. */
export async function logDisk(directory: string): Promise<LogDisk | undefined> {
  try {
    const { bsize, blocks, bavail } = await statfs(directory);
    return { sizeBytes: blocks * bsize, freeBytes: bavail * bsize };
  } catch {
    return undefined;
  }
}

/** `takenBytes`: what the log has of the disk already. */
export function diskState({ sizeBytes, freeBytes }: LogDisk, limitBytes: number, takenBytes: number): DiskState {
  const growsBytes = limitBytes - takenBytes;
  if (freeBytes >= growsBytes) return 'roomy';
  if (freeBytes < fullBelow) return 'full';
  return freeBytes < Math.max(shortBelow, sizeBytes / 20) ? 'short' : 'roomy';
}

export interface RoomAsked {
  readonly directory: string;
  readonly policy: LoggedPolicy;
  readonly limitBytes: number;
  readonly takenBytes: number;
  readonly disk: LogDisk | undefined;
  readonly log: Log;
}

/** At the start: a limit that the disk cannot keep is no limit. */
export function warnOfRoom({ directory, policy, limitBytes, takenBytes, disk, log }: RoomAsked): void {
  if (disk === undefined || disk.freeBytes + takenBytes >= limitBytes) return;
  const room = inMiB(disk.freeBytes + takenBytes);
  log.warn(
    {
      ...{ directory, limitBytes, roomBytes: disk.freeBytes + takenBytes },
      remedy: `make room on that disk, have the log on a larger one (--dirty-log; for a daemon its state-directory), or set a dirty-limit below ${room}`,
    },
    `the dirty log may take ${inMiB(limitBytes)} (dirty-limit), and its disk has room for ${room}: when that is full, ${whenFull(policy)}`,
  );
}

export function whenFull(policy: LoggedPolicy): string {
  return policy === 'redirect'
    ? 'writes that need room are answered with "no space"'
    : 'writers wait until the origin has taken what is there';
}

function inMiB(bytes: number): string {
  return `${Math.floor(bytes / MiB)} MiB`;
}
