/**
 * One round of one case as a program, in a private network: `main.ts CASE ROUND`. Prints the figures as JSON; exits with 1 and the
 * reason on the standard error output. What it started ends with it: its process namespace ends too.
 */
import { join } from 'node:path';
import { defaultCacheDirectory } from '../../src/demo/mod.ts';
import { fetchKernel } from '../kernel/microvm.ts';
import { enterPrivateNetwork } from '../support/namespace.ts';
import { killedDaemon } from './killed.ts';
import { restartUnderLoad } from './restart.ts';

/** No round takes as long. */
const limitMs = 560_000;

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const [name = '', round = ''] = process.argv.slice(2);
if (!['restart', 'killed'].includes(name) || !/^\d+$/.test(round)) {
  say('usage: main.ts restart|killed ROUND');
  process.exit(2);
}
// Before the network is gone: the kernel may have to be fetched.
const kernel = fetchKernel(join(defaultCacheDirectory(), 'microvm'));
enterPrivateNetwork(import.meta.filename);
setTimeout(() => {
  say(`not over after ${limitMs / 1000} s`);
  process.exit(1);
}, limitMs).unref();
const seed = Number(round);
try {
  const figures =
    name === 'killed'
      ? await killedDaemon({ kills: 5, users: 4, seed })
      : await restartUnderLoad({
          ...{ disks: 10, readers: 7, benches: 2, kernel, seed, say },
          signals: ['SIGTERM', 'SIGKILL', 'SIGTERM', 'SIGKILL'],
        });
  process.stdout.write(`${JSON.stringify(figures)}\n`);
  process.exit(0);
} catch (error) {
  say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.exit(1);
}
