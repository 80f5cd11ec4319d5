/**
 * One daemon for each state directory: `daemon.lock` in it, locked as long as the daemon lives, with its process number inside. The kernel
 * drops the lock with the process, however that ends.
 */
import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { ViaductError } from '../../base/mod.ts';
import { flockExclusive } from '../../native/mod.ts';

export interface DaemonLock {
  release(): void;
}

/** The directory is there. Throws DAEMON_RUNNING, or what the system says. */
export function lockDaemon(stateDirectory: string): DaemonLock {
  const path = join(stateDirectory, 'daemon.lock');
  const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  if (flockExclusive(descriptor) !== 0) {
    closeSync(descriptor);
    const holder = readFileSync(path, 'latin1').trim() || 'unknown';
    throw new ViaductError('DAEMON_RUNNING', {
      cause: `the state directory ${stateDirectory} is in use by the daemon with process number ${holder}`,
      remedy: `Use that daemon (\`viaduct session list\`), end it (kill ${holder}), or name another state directory.`,
    });
  }
  ftruncateSync(descriptor, 0);
  writeSync(descriptor, `${process.pid}\n`, 0);
  return { release: () => closeSync(descriptor) };
}
