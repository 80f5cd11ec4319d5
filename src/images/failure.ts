/** What the system says of a file, as an error that a person can do something about. */
import { getSystemErrorName } from 'node:util';
import { type ErrorCode, systemCode, ViaductError } from '../base/mod.ts';

/** `error`: what was thrown, or a negative errno. One that is told already stays as it is. `doing`: "read /srv/images/disk.raw". */
export function failure(doing: string, error: unknown): ViaductError {
  if (error instanceof ViaductError) return error;
  const system = typeof error === 'number' ? getSystemErrorName(error) : systemCode(error);
  const { code, remedy } = meaningOf(system);
  return new ViaductError(code, {
    cause: `cannot ${doing}: ${system ?? String(error)}${system === 'EROFS' ? ', the file system is read-only' : ''}.`,
    remedy,
    from: typeof error === 'number' ? undefined : error,
  });
}

function meaningOf(system: string | undefined): { readonly code: ErrorCode; readonly remedy: string } {
  switch (system) {
    case 'ENOSPC':
    case 'EDQUOT':
      return { code: 'DISK_FULL', remedy: 'Make room on that disk and start again; nothing half-done was left there.' };
    case 'EACCES':
    case 'EPERM':
      return {
        code: 'PRIVILEGE_NEEDED',
        remedy: 'Run it as the owner of the image, or as root, where it may be written.',
      };
    case 'EROFS':
      return {
        code: 'CONFIGURATION_INVALID',
        remedy: 'Mount it so that it may be written, or pack the images on the host that writes them.',
      };
    case 'ENOENT':
    case 'ENOTDIR':
    case 'ELOOP':
    case 'ENAMETOOLONG':
      return { code: 'CONFIGURATION_INVALID', remedy: 'Check the path.' };
    default:
      return { code: 'IMAGE_UNREADABLE', remedy: 'Look after the disk or the server that it is on, and start again.' };
  }
}

/** Runs a system call that throws. */
export function attempt<T>(doing: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw failure(doing, error);
  }
}

/** Tidies up: what cannot be removed changes nothing of what was done, or of why it was not. */
export function ifPossible(action: () => void): void {
  try {
    action();
  } catch {
    // The next packer removes it, or says why it cannot.
  }
}

/** The result of a native call: what is not negative. */
export function succeeded(doing: string, result: number): number {
  if (result < 0) throw failure(doing, result);
  return result;
}
