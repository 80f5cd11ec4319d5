/**
 * Runs a whole test file (or bench) again in private namespaces: a network with nothing but loopback, so that ports 111 and 2049 and
 * rpcbind never meet the host's or another file's; a process namespace, so that nothing survives the file; an empty /run; a state
 * directory that goes with it, so that no session of an earlier run is found, looked at and told about.
 *
 * Call it first in the file: in the outer process it does not return.
 */
import { spawnSync } from 'node:child_process';

const mark = 'VIADUCT_TEST_NAMESPACE';
const stateDirectory = '/run/viaduct-state';
const path = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;

export function enterPrivateNetwork(filename: string): void {
  process.env.PATH = path;
  if (process.env[mark] === filename) return;
  const user = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const prepare = 'ip link set lo up && mount -t tmpfs tmpfs /run && exec "$@"';
  const wrapped = [...user, ...namespaces, 'sh', '-c', prepare, 'sh'];
  const trial = spawnSync('unshare', [...wrapped, 'true'], { encoding: 'utf8' });
  if (trial.status !== 0) {
    console.error(
      `${filename}: no private network here (${trial.stderr.trim()}); run as root, or allow user namespaces`,
    );
    process.exit(1);
  }
  const script = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  // A runner that kills a file at its time limit kills only the outer process: the inner ones end with it.
  const inner = spawnSync('setpriv', ['--pdeathsig', 'KILL', 'unshare', ...wrapped, ...script], {
    stdio: 'inherit',
    env: { ...process.env, VIADUCT_STATE_DIR: stateDirectory, [mark]: filename },
  });
  process.exit(inner.status ?? 1);
}

/** Whether this user is root of the machine, not only of a user namespace: what needs real privilege asks. */
export function isRealRoot(): boolean {
  return process.getuid?.() === 0 && spawnSync('grep', ['-q', '4294967295', '/proc/self/uid_map']).status === 0;
}
