/**
 * The Linux kernel's own NFS client, in a microVM, through a proxy: the same script as on a local ext4 must see the same things.
 * `npm run proof -- kernel` does it with 10,000 small files.
 */
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { defaultCacheDirectory } from '../src/demo/mod.ts';
import { Comparison } from './kernel/comparison.ts';
import { fetchKernel } from './kernel/microvm.ts';
import { enterPrivateNetwork } from './support/namespace.ts';
import { scratchFolder } from './support/programs.ts';

// Before the network is gone: the kernel may have to be fetched.
const kernel = fetchKernel(join(defaultCacheDirectory(), 'microvm'));
enterPrivateNetwork(import.meta.filename);

const wholeMs = 480_000;
const scratch = await scratchFolder('kernel');
let comparison: Comparison;

before(
  async () => {
    comparison = await Comparison.run(kernel, { scratch: scratch.path, smallFiles: 2000, wholeMs });
  },
  { timeout: wholeMs + 60_000 },
);

after(() => scratch.remove());

test('the guest mounts the proxy, runs the script and unmounts', () => comparison.assertEnded());

test('every step gives on NFS what it gives on ext4', (t) => {
  t.diagnostic(`ms: ${JSON.stringify(comparison.times())}`);
  comparison.assertSame();
});

test('the kernel of the guest complains about nothing', () => comparison.assertNoComplaints());

test('what the guest wrote is what lies in the origin directory', () => comparison.assertAtOrigin());
