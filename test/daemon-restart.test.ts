/**
 * A daemon that ends and comes back under clients at work, libnfs and a guest's kernel: nobody sees an error, and nothing is lost.
 * `npm run proof -- daemon-restart` does it with twenty sessions.
 */
import { join } from 'node:path';
import { test } from 'node:test';
import { defaultCacheDirectory } from '../src/demo/mod.ts';
import { restartUnderLoad } from './daemon/restart.ts';
import { fetchKernel } from './kernel/microvm.ts';
import { enterPrivateNetwork } from './support/namespace.ts';

// Before the network is gone: the kernel may have to be fetched.
const kernel = fetchKernel(join(defaultCacheDirectory(), 'microvm'));
enterPrivateNetwork(import.meta.filename);

test('six sessions under load survive SIGTERM and SIGKILL of their daemon without an error', async (t) => {
  const say = (line: string): void => t.diagnostic(line);
  const signals = ['SIGTERM', 'SIGKILL'] as const;
  const figures = await restartUnderLoad({ disks: 2, readers: 2, benches: 1, kernel, signals, seed: 1, say });
  say(JSON.stringify(figures));
});
