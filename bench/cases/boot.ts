/** The demo's boots over 40 ms and 100 Mbit/s: native NFS, Viaduct cold and Viaduct warm, each against the local file. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { prepareGuest, runStages, type StageName, stageNames } from '../../src/demo/mod.ts';
import type { BenchCase, Figure } from '../case.ts';

const roundTripMs = 40;
const bitsPerSecond = 100e6;
const guestOf = (signal: AbortSignal, kind: 'debian' | 'busybox') =>
  prepareGuest({ kind, signal, progress: { step() {}, detail() {} } });

export const bootCase: BenchCase = {
  name: 'boot',
  title: 'Boot to the ready line over 40 ms and 100 Mbit/s, against the local file',
  async prepare(signal) {
    await guestOf(signal, 'debian');
    await guestOf(signal, 'busybox');
  },
  async run({ scratch, signal, pairs, quick, say }) {
    const guest = await guestOf(signal, quick ? 'busybox' : 'debian');
    const samples: Record<StageName, number[]> = { local: [], native: [], cold: [], warm: [] };
    const traffic: Record<StageName, number[]> = { local: [], native: [], cold: [], warm: [] };
    const folder = join(scratch, 'stages');
    for (let pair = 0; pair < pairs; pair++) {
      const options = {
        guest,
        stages: stageNames,
        roundTripMs,
        bitsPerSecond,
        scratch: folder,
        accelerator: 'tcg',
      } as const;
      const results = await runStages(options, signal, () => {});
      await rm(folder, { recursive: true, force: true });
      for (const { stage, elapsedMs, downBytes } of results) {
        samples[stage].push(elapsedMs / 1000);
        traffic[stage].push(downBytes / 1e6);
        say(`${stage} ${(elapsedMs / 1000).toFixed(1)} s, ${(downBytes / 1e6).toFixed(1)} MB`);
      }
    }
    const figure = (stage: StageName, subjectName: string, target?: number): Figure => ({
      name: `boot: ${subjectName}`,
      unit: 's',
      better: 'lower',
      subjectName,
      baselineName: 'local file',
      subject: samples[stage],
      baseline: samples.local,
      ...(target === undefined ? {} : { target: { of: 'ratio', value: target } }),
    });
    const bytes = (stage: StageName, subjectName: string): Figure => ({
      name: `over the link: ${subjectName}`,
      unit: 'MB',
      better: 'lower',
      subjectName,
      baselineName: 'native NFS',
      subject: traffic[stage],
      baseline: traffic.native,
    });
    return [
      figure('native', 'native NFS'),
      figure('cold', 'Viaduct, cold', 2.2),
      figure('warm', 'Viaduct, warm', 1.05),
      bytes('cold', 'Viaduct, cold'),
      bytes('warm', 'Viaduct, warm'),
    ];
  },
};
