/** Resident memory while serving, and the time to open, with a cache of 100 GiB configured; against one of 1 GiB. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../test/support/programs.ts';
import { proxy, serve } from '../../test/support/viaduct.ts';
import { type BenchCase, interleave } from '../case.ts';
import { randomFile } from '../files.ts';
import { residentMebibytes } from '../resident.ts';

const MiB = 1024 * 1024;

interface Samples {
  readonly openSeconds: number[];
  readonly residentMebibytes: number[];
}

export const largeCache: BenchCase = {
  name: 'large-cache',
  title: 'A cache of 100 GiB: memory while serving, time to open; against one of 1 GiB',
  async run({ scratch, quick, pairs, say }) {
    const exported = join(scratch, 'exported');
    await mkdir(exported, { recursive: true });
    const bytes = (quick ? 64 : 512) * MiB;
    await randomFile(join(exported, 'image.raw'), bytes);
    const origin = await serve(exported, '127.0.0.2');
    const turn = (cacheSize: string, samples: Samples, counted: boolean) => async (): Promise<void> => {
      const started = performance.now();
      const cache = join(scratch, `cache-${cacheSize}`);
      const near = await proxy({ origin: 'nfs://127.0.0.2:2049/', listen: '127.0.0.3', cache, cacheSize });
      const openSeconds = (performance.now() - started) / 1000;
      try {
        const reads = ['-f', 'raw', '-c', String(bytes / MiB), '-d', '8', '-s', String(MiB)];
        await run('qemu-img', ['bench', ...reads, 'nfs://127.0.0.3//image.raw'], 300_000);
        const resident = await residentMebibytes(near.child.pid!);
        if (!counted) return;
        samples.openSeconds.push(openSeconds);
        samples.residentMebibytes.push(resident);
        say(`${cacheSize}: opened in ${openSeconds.toFixed(2)} s, ${resident.toFixed(0)} MiB resident`);
      } finally {
        await near.stop();
      }
    };
    const large: Samples = { openSeconds: [], residentMebibytes: [] };
    const small: Samples = { openSeconds: [], residentMebibytes: [] };
    try {
      // The first start makes the cache and fills it; what is measured is the opening of one that exists.
      await turn('100G', large, false)();
      await turn('1G', small, false)();
      await interleave(pairs, [turn('100G', large, true), turn('1G', small, true)]);
    } finally {
      await origin.stop();
    }
    const names = { better: 'lower', subjectName: 'cache of 100 GiB', baselineName: 'cache of 1 GiB' } as const;
    return [
      {
        ...names,
        name: 'resident while serving',
        unit: 'MiB',
        subject: large.residentMebibytes,
        baseline: small.residentMebibytes,
        target: { of: 'subject', value: 350 },
      },
      {
        ...names,
        name: 'command started to ready line',
        unit: 's',
        subject: large.openSeconds,
        baseline: small.openSeconds,
        target: { of: 'subject', value: 2 },
      },
    ];
  },
};
