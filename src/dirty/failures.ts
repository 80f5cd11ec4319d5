/** What goes wrong with a dirty log's disk, as people are told. */
import { systemCode, ViaductError } from '../base/mod.ts';
import { isFull } from './segments.ts';

export function noRoom(): Error {
  return Object.assign(new Error('no room for the reserve'), { code: 'ENOSPC' });
}

/** As the contract says it: never a bare error of the disk. */
export function explained(from: unknown): unknown {
  if (from instanceof ViaductError || !(from instanceof Error) || systemCode(from) === undefined) return from;
  if (!isFull(from)) {
    return new ViaductError('LOG_FAILED', {
      cause: `the disk of the dirty log fails: ${String(from)}`,
      remedy: 'check the disk of --dirty-log; what the log holds is kept',
      from,
    });
  }
  return new ViaductError('DISK_FULL', {
    cause: 'the disk of the dirty log has no room for another segment',
    remedy: 'make some room on the disk of --dirty-log; what the log holds is kept',
    from,
  });
}

export function closedError(): Error {
  return new ViaductError('LOG_FAILED', {
    cause: 'the dirty log was closed while a write waited for room',
    remedy: 'repeat the write when the session runs again',
  });
}

export function notKept(from: unknown): ViaductError {
  return new ViaductError('LOG_FAILED', {
    cause: `the disk of the dirty log does not keep what is written to it: ${String(from)}`,
    remedy: 'check the disk of --dirty-log; clients are told that their data are not stable',
    from,
  });
}
