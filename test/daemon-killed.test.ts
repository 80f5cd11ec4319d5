/**
 * A daemon that is killed while sessions are created, written to and closed. `npm run proof -- daemon-killed` does it fifty times; what
 * happens at each single step is in src/daemon/manager/killed.test.ts.
 */
import { test } from 'node:test';
import { killedDaemon } from './daemon/killed.ts';
import { enterPrivateNetwork } from './support/namespace.ts';

enterPrivateNetwork(import.meta.filename);

test('killed three times amid creation and close, it loses no change, no address and no session', async (t) => {
  t.diagnostic(JSON.stringify(await killedDaemon({ kills: 3, users: 3, seed: 1 })));
});
