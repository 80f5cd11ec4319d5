/**
 * Random 4 KiB writes by `qemu-img bench -w` through a write-back proxy over 40 ms and 100 Mbit/s: without sync against
 * nfs-ganesha on a local disk over loopback, with flushes against a local file with the same flushes.
 *
 * What a run has left is written back before the next one. qemu-img has no random mode: the step visits every block once, as in
 * warm-reads.ts. "no drain" flushes while writes are under way (`qemu-img bench --no-drain`).
 */
import { join } from 'node:path';
import { startGanesha } from '../../test/support/ganesha.ts';
import { run } from '../../test/support/programs.ts';
import { type BenchCase, type BenchContext, type Figure, interleave } from '../case.ts';
import { type FarProxy, startFarProxy } from '../far-proxy.ts';
import { randomFile } from '../files.ts';
import { separateNetwork } from '../separate-network.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

interface Pattern {
  readonly name: string;
  readonly depth: number;
  readonly requests: number;
  readonly against: 'ganesha' | 'file';
  readonly target: number;
  /** More arguments of `qemu-img bench`. */
  readonly more: readonly string[];
}

const flush = ['--flush-interval', '1000'];
const patterns: readonly Pattern[] = [
  { name: '4 KiB random writes, depth 16', depth: 16, requests: 40_000, against: 'ganesha', target: 1, more: [] },
  { name: '4 KiB random writes, depth 1', depth: 1, requests: 16_000, against: 'ganesha', target: 0.7, more: [] },
  { name: 'depth 16, flush each 1,000', depth: 16, requests: 40_000, against: 'file', target: 0.5, more: flush },
  {
    name: 'the same, no drain',
    depth: 16,
    requests: 40_000,
    against: 'file',
    target: 0.5,
    more: [...flush, '--no-drain'],
  },
];

interface Place {
  readonly within: readonly string[];
  readonly file: string;
}

export const writes: BenchCase = {
  name: 'writes',
  title:
    'Writes through a write-back proxy over 40 ms and 100 Mbit/s, against nfs-ganesha and a file on the local disk',
  async run(context) {
    const { scratch, quick } = context;
    const [exported, local] = ['exported', 'local'].map((name) => join(scratch, name)) as [string, string];
    const fileBytes = (quick ? 128 : 512) * MiB;
    const far = await startFarProxy({ scratch, exported });
    const place = await separateNetwork();
    try {
      await run('mkdir', [local]);
      for (const folder of [exported, local]) await randomFile(join(folder, 'image.raw'), fileBytes);
      const ganesha = await startGanesha({ exported: local, scratch, within: place.within });
      try {
        const baselines = {
          ganesha: { within: place.within, file: `${ganesha.url}/image.raw` },
          file: { within: [], file: join(local, 'image.raw') },
        };
        return await measure(context, far, fileBytes, baselines);
      } finally {
        await ganesha.stop();
      }
    } finally {
      await place.close();
      await far.stop();
    }
  },
};

async function measure(
  context: BenchContext,
  far: FarProxy,
  fileBytes: number,
  baselines: Readonly<Record<Pattern['against'], Place>>,
): Promise<readonly Figure[]> {
  const subject: Place = { within: [], file: `${far.url}/image.raw` };
  const figures: Figure[] = [];
  for (const pattern of patterns) {
    const scaled = { ...pattern, requests: Math.round(pattern.requests / (context.quick ? 4 : 1)) };
    const samples = { subject: [] as number[], baseline: [] as number[] };
    await interleave(context.pairs, [
      async () => {
        samples.subject.push(await benchOnce(subject, scaled, fileBytes));
        await far.writeBack();
      },
      async () => {
        samples.baseline.push(await benchOnce(baselines[pattern.against], scaled, fileBytes));
        // Its pages must not be written while the other one is measured.
        await run('sync', []);
      },
    ]);
    figures.push({
      name: pattern.name,
      unit: 'writes/s',
      better: 'higher',
      subjectName: 'Viaduct proxy, write-back',
      baselineName: pattern.against === 'file' ? 'local file' : 'nfs-ganesha',
      ...samples,
      target: { of: 'ratio', value: pattern.target },
    });
    context.say(`${pattern.name}: ${samples.subject.map(Math.round)} against ${samples.baseline.map(Math.round)}`);
  }
  return figures;
}

/** Writes a second. */
async function benchOnce(place: Place, { depth, requests, more }: Pattern, fileBytes: number): Promise<number> {
  const step = (Math.floor((fileBytes / (4 * KiB)) * 0.618) | 1) * 4 * KiB;
  const command = [
    ...place.within,
    ...['qemu-img', 'bench', '-w', '--pattern', '90', '-f', 'raw', '-c', String(requests), '-d', String(depth)],
    ...['-s', String(4 * KiB), '-S', String(step), ...more, place.file],
  ];
  const said = (await run(command[0]!, command.slice(1), 600_000)).toString();
  const seconds = Number(/completed in ([\d.]+) seconds/.exec(said)?.[1]);
  if (!(seconds > 0)) throw new Error(`qemu-img bench said: ${said}`);
  return requests / seconds;
}
