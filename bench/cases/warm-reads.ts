/**
 * Reads of cached data by `qemu-img bench` over nfs://: Viaduct's proxy with a warm cache against nfs-ganesha (VFS back end, data
 * in the page cache), the same file, each in a network namespace with loopback only.
 *
 * qemu-img has no random mode: a step of 0.618 of the file, in odd multiples of 4 KiB, taken modulo the file's size, visits every
 * block once before any twice and no two neighbours in a row.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { startGanesha } from '../../test/support/ganesha.ts';
import { run } from '../../test/support/programs.ts';
import { proxy, serve } from '../../test/support/viaduct.ts';
import { type BenchCase, type BenchContext, type Figure, interleave } from '../case.ts';
import { randomFile } from '../files.ts';
import { separateNetwork } from '../separate-network.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

interface Pattern {
  readonly name: string;
  readonly bytes: number;
  readonly depth: number;
  readonly requests: number;
  readonly random: boolean;
  readonly unit: string;
  readonly target: number;
}

const patterns: readonly Pattern[] = [
  {
    name: '4 KiB random, depth 1',
    bytes: 4 * KiB,
    depth: 1,
    requests: 20_000,
    random: true,
    unit: 'reads/s',
    target: 0.8,
  },
  {
    name: '4 KiB random, depth 16',
    bytes: 4 * KiB,
    depth: 16,
    requests: 80_000,
    random: true,
    unit: 'reads/s',
    target: 1.5,
  },
  {
    name: '4 KiB random, depth 64',
    bytes: 4 * KiB,
    depth: 64,
    requests: 80_000,
    random: true,
    unit: 'reads/s',
    target: 1.5,
  },
  {
    name: '64 KiB sequential, depth 16',
    bytes: 64 * KiB,
    depth: 16,
    requests: 32_768,
    random: false,
    unit: 'MB/s',
    target: 1,
  },
  { name: '1 MiB sequential, depth 4', bytes: MiB, depth: 4, requests: 2048, random: false, unit: 'MB/s', target: 1 },
  { name: '1 MiB sequential, depth 8', bytes: MiB, depth: 8, requests: 2048, random: false, unit: 'MB/s', target: 1 },
];

export const warmReads: BenchCase = {
  name: 'warm-reads',
  title: 'Warm reads over nfs://, against nfs-ganesha',
  async run(context) {
    const { scratch, quick } = context;
    const exported = join(scratch, 'exported');
    await mkdir(exported, { recursive: true });
    const fileBytes = (quick ? 256 : 1024) * MiB;
    await randomFile(join(exported, 'image.raw'), fileBytes);
    const place = await separateNetwork();
    const ganesha = await startGanesha({ exported, scratch, within: place.within });
    const origin = await serve(exported, '127.0.0.2');
    const near = await proxy({
      origin: 'nfs://127.0.0.2:2049/',
      listen: '127.0.0.3',
      cache: join(scratch, 'cache'),
      cacheSize: `${(fileBytes * 4) / MiB}M`,
    });
    try {
      const far = { within: place.within, url: `${ganesha.url}/image.raw` };
      return await measure(context, fileBytes, { within: [], url: 'nfs://127.0.0.3//image.raw' }, far);
    } finally {
      await near.stop();
      await origin.stop();
      await ganesha.stop();
      await place.close();
    }
  },
};

interface Place {
  readonly within: readonly string[];
  readonly url: string;
}

async function measure(
  context: BenchContext,
  fileBytes: number,
  subject: Place,
  baseline: Place,
): Promise<readonly Figure[]> {
  const warm = { ...patterns[4]!, requests: fileBytes / MiB };
  // Twice: what the first pass fetched, the second proves to be there.
  for (const place of [subject, subject, baseline]) await benchOnce(place, warm, fileBytes);
  const figures: Figure[] = [];
  for (const pattern of patterns) {
    const scaled = { ...pattern, requests: Math.round(pattern.requests / (context.quick ? 8 : 1)) };
    const samples = { subject: [] as number[], baseline: [] as number[] };
    await interleave(context.pairs, [
      async () => void samples.subject.push(await benchOnce(subject, scaled, fileBytes)),
      async () => void samples.baseline.push(await benchOnce(baseline, scaled, fileBytes)),
    ]);
    figures.push({
      name: pattern.name,
      unit: pattern.unit,
      better: 'higher',
      subjectName: 'Viaduct proxy, warm',
      baselineName: 'nfs-ganesha',
      ...samples,
      target: { of: 'ratio', value: pattern.target },
    });
    context.say(`${pattern.name}: ${samples.subject.map(Math.round)} against ${samples.baseline.map(Math.round)}`);
  }
  return figures;
}

/** One run: reads a second, or MB a second. */
async function benchOnce(place: Place, pattern: Pattern, fileBytes: number): Promise<number> {
  const blocks = fileBytes / pattern.bytes;
  const step = pattern.random ? (Math.floor(blocks * 0.618) | 1) * pattern.bytes : pattern.bytes;
  const command = [
    ...place.within,
    ...['qemu-img', 'bench', '-f', 'raw', '-c', String(pattern.requests), '-d', String(pattern.depth)],
    ...['-s', String(pattern.bytes), '-S', String(step), place.url],
  ];
  const said = (await run(command[0]!, command.slice(1), 300_000)).toString();
  const seconds = Number(/completed in ([\d.]+) seconds/.exec(said)?.[1]);
  if (!(seconds > 0)) throw new Error(`qemu-img bench said: ${said}`);
  return pattern.unit === 'MB/s' ? (pattern.requests * pattern.bytes) / 1e6 / seconds : pattern.requests / seconds;
}
