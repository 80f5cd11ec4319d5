/** The cases of write-back in reality, at two scales: a moment of each in `npm test`, long and often in `npm run proof`. */
import { join } from 'node:path';
import { defaultCacheDirectory } from '../../src/demo/mod.ts';
import { fetchKernel, type Kernel } from '../kernel/microvm.ts';
import { policies } from './bed.ts';
import { crashAmidDrain, foreignChange } from './conflict.ts';
import { guestClient } from './guest-client.ts';
import { guestDisk } from './guest-disk.ts';
import { killedProxy } from './killed.ts';
import { linkCut } from './link-cut.ts';
import { logFull } from './log-full.ts';
import { type Failure, failUnder } from './matrix.ts';
import { originRestart } from './origin-restart.ts';
import type { Round } from './round.ts';
import { twoDisks } from './two-disks.ts';

export interface Case {
  /** One sentence: what holds if all rounds pass. */
  readonly claim: string;
  /** A round of the proof; the number seeds all randomness. */
  readonly prove: (round: number) => Promise<Round>;
}

const failures: readonly Failure[] = ['kill', 'host crash', 'log disk lost', 'link cut', 'origin crash'];

/** Where there is no network this must have been called before. */
export const microvmKernel = (): Kernel => fetchKernel(join(defaultCacheDirectory(), 'microvm'));

export const cases = {
  kill: {
    claim: 'a proxy killed amid qemu-io’s writes, several times, brings every answered write to the origin',
    prove: (round) => killedProxy(round, { lives: 5 }),
  },
  client: {
    claim:
      'a guest whose kernel mounts the proxy sees no error when it is killed, and its SQLite database at the origin opens clean at every moment',
    prove: (round) => guestClient(round, { kernel: microvmKernel(), seconds: 30, kills: 5 }),
  },
  disk: {
    claim: 'a guest’s disk over nfs:// is a clean file system at the origin at every moment while the proxy is killed',
    prove: (round) => guestDisk(round, { kernel: microvmKernel(), seconds: 20, kills: 5 }),
  },
  link: {
    claim: 'while the link is cut, for a minute too, writes and cached reads go on; write-back resumes by itself',
    prove: (round) => linkCut(round, { cutsMs: round % 5 === 1 ? [60_000] : [3000, 8000] }),
  },
  origin: {
    claim: 'an origin that is killed and restarted amid write-back, nfs-ganesha or Viaduct, has everything in the end',
    prove: (round) => originRestart(round, { kind: round % 2 === 0 ? 'nfs-ganesha' : 'viaduct serve', restarts: 4 }),
  },
  full: {
    claim: 'a dirty log whose disk fills up, by a foreign file too, slows writers and loses and tears nothing',
    prove: (round) => logFull(round, { mebibytes: 24 + 8 * (round % 4), writes: 24_000 }),
  },
  order: {
    claim: 'two disks whose writes are ordered by flushes are a prefix of the epochs at the origin at every moment',
    prove: (round) => twoDisks(round, { lives: 5, lifeMs: 2500 }),
  },
  conflict: {
    claim: 'a foreign change is never overwritten and both versions are kept; a crash amid write-back is no conflict',
    prove: async (round) => ({
      ...(await foreignChange(round)),
      ...(await crashAmidDrain(round, { lives: 4 })),
    }),
  },
  matrix: {
    claim: 'each failure under each policy costs what docs/durability.md says, and no more',
    prove: async (round) => {
      const sum: Record<string, number> = {};
      for (const failure of failures)
        for (const policy of policies) {
          const { promised } = await failUnder(failure, policy, round);
          sum[failure] = (sum[failure] ?? 0) + Number(promised);
        }
      return sum;
    },
  },
} as const satisfies Record<string, Case>;

export type CaseName = keyof typeof cases;
