/** Files that are whole, old or new, whatever happens while they are written: put in place by rename(2). */
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { threadId } from 'node:worker_threads';

export interface ReplaceOptions {
  /** On the disk before it is in its place: after a power failure the file is whole, too. */
  readonly isSynced?: boolean;
  /** Nobody else writes this file: what a process left that was killed in the middle is replaced by the next one. */
  readonly isOnlyWriter?: boolean;
}

/**
 * Readable by its owner alone. Two sessions may write the same file at the same time, in one process or in two: the later one stays.
 * Throws the system's error; then the old file is as it was, and nothing of the new one is left unless the disk refuses that, too.
 */
export function replaceFile(
  path: string,
  bytes: string | Uint8Array,
  { isSynced = false, isOnlyWriter = false }: ReplaceOptions = {},
): void {
  const temporary = isOnlyWriter ? `${path}.new` : `${path}.${process.pid}-${threadId}.new`;
  try {
    writeFileSync(temporary, bytes, { mode: 0o600, flush: isSynced });
    renameSync(temporary, path);
  } catch (error) {
    removeIfPossible(temporary);
    throw error;
  }
}

/** For what is of no use any more, and does no harm where it is: on a disk that is read-only by now, it stays. */
export function removeIfPossible(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // The reason is the caller's, or nobody's.
  }
}
