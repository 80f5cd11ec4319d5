/** The workload of test/kernel.test.ts with five times as many small files. */
import { join } from 'node:path';
import { defaultCacheDirectory } from '../../src/demo/mod.ts';
import { Comparison } from '../kernel/comparison.ts';
import { fetchKernel } from '../kernel/microvm.ts';
import { scratchFolder } from '../support/programs.ts';
import type { Proof } from './proof.ts';

const smallFiles = 10_000;

export const proof: Proof = {
  claim: `a guest whose kernel mounts the proxy sees what it sees on ext4, ${smallFiles} small files included`,
  rounds: 3,
  async run(_round, say) {
    const scratch = await scratchFolder('kernel-proof');
    try {
      const comparison = await Comparison.run(fetchKernel(join(defaultCacheDirectory(), 'microvm')), {
        scratch: scratch.path,
        smallFiles,
        wholeMs: 1_200_000,
        onLine: (line) => {
          if (/ (TIME|PROGRESS) /.test(line)) say(line);
        },
      });
      comparison.assertEnded();
      comparison.assertSame();
      comparison.assertNoComplaints();
      await comparison.assertAtOrigin();
      return { 'small files, ms': comparison.times().smallFiles ?? 0 };
    } finally {
      await scratch.remove();
    }
  },
};
