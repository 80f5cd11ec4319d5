/** Guests that write while the proxy is killed, three times in each life of a guest. */
import { test } from 'node:test';
import { enterPrivateNetwork, isRealRoot } from './support/namespace.ts';
import { microvmKernel } from './write-back/cases.ts';
import { guestClient } from './write-back/guest-client.ts';
import { guestDisk } from './write-back/guest-disk.ts';

// Before the network is gone: the kernel may have to be fetched.
const kernel = microvmKernel();
enterPrivateNetwork(import.meta.filename);

const skip = isRealRoot() ? false : 'needs root: loop devices do';

test('a guest with dd, file trees and SQLite sees a pause and no error, and its database opens clean at every moment', async (t) => {
  t.diagnostic(JSON.stringify(await guestClient(1, { kernel, seconds: 12, kills: 3 })));
});

test('a guest’s disk over nfs:// is a clean file system at the origin at every moment', { skip }, async (t) => {
  t.diagnostic(JSON.stringify(await guestDisk(1, { kernel, seconds: 8, kills: 3 })));
});
