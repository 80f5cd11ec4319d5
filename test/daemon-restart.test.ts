/**
 * A daemon that ends and comes back under clients at work: nobody sees an error, and nothing is lost. `npm run proof -- daemon-restart` does
 * it with twenty sessions and the kernel's own client.
 */
import { test } from 'node:test';
import { restartUnderLoad } from './daemon/restart.ts';
import { enterPrivateNetwork } from './support/namespace.ts';

enterPrivateNetwork(import.meta.filename);

test('six sessions under load survive SIGTERM and SIGKILL of their daemon without an error', async (t) => {
  const say = (line: string): void => t.diagnostic(line);
  const signals = ['SIGTERM', 'SIGKILL', 'SIGTERM'] as const;
  const figures = await restartUnderLoad({ disks: 3, readers: 2, benches: 1, signals, seed: 1, say });
  say(JSON.stringify(figures));
});
