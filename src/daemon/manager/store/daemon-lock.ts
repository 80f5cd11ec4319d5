/**
 * One daemon for each state directory: `daemon.lock` in it, locked as long as the daemon lives, with its process number inside. The kernel
 * drops the lock with the process, however that ends.
 */
import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { systemCode, ViaductError } from '../../../base/mod.ts';
import { flockExclusive } from '../../../native/mod.ts';

export interface DaemonLock {
  release(): void;
}

/** The directory is there. Throws DAEMON_RUNNING, DISK_FULL or STORE_FAILED. */
export function lockDaemon(stateDirectory: string): DaemonLock {
  const path = join(stateDirectory, 'daemon.lock');
  const descriptor = open(path);
  if (flockExclusive(descriptor) !== 0) {
    closeSync(descriptor);
    const holder = readFileSync(path, 'latin1').trim() || 'unknown';
    throw new ViaductError('DAEMON_RUNNING', {
      cause: `the state directory ${stateDirectory} is in use by the daemon with process number ${holder}`,
      remedy: `Use that daemon (\`viaduct session list\`), end it (kill ${holder}), or name another state directory.`,
    });
  }
  try {
    ftruncateSync(descriptor, 0);
    writeSync(descriptor, `${process.pid}\n`, 0);
  } catch (error) {
    closeSync(descriptor);
    throw unusable(path, error);
  }
  return { release: () => closeSync(descriptor) };
}

function open(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  } catch (error) {
    throw unusable(path, error);
  }
}

function unusable(path: string, error: unknown): ViaductError {
  const code = systemCode(error);
  const cause = `the state directory cannot be used: ${path} cannot be written (${code ?? String(error)}).`;
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new ViaductError('DISK_FULL', { cause, remedy: 'Make room on that disk.', from: error });
  const remedy =
    'Check that its disk is writable and that this user may write there, or name another --state-directory.';
  return new ViaductError('STORE_FAILED', { cause, remedy, from: error });
}
