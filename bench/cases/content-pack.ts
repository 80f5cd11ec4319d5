/**
 * `viaduct image pack` of a mostly-zero image of 10 GB (the guest's disk, grown), against `zstd -3` of the same file by as many threads:
 * once with its zeros written, as a copy by an older tool has them, and once with holes. Also what it needs of memory, and the size of the
 * meta-data.
 */
import { truncate } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { prepareGuest } from '../../src/demo/mod.ts';
import { run } from '../../test/support/programs.ts';
import { type BenchCase, type Figure, interleave } from '../case.ts';
import { prepareGuestMemory } from '../guest-memory.ts';
import { copyImages } from '../image-site.ts';
import { type Packing, packImages } from '../pack-images.ts';

const GB = 1e9;
const zstdTimeoutMs = 30 * 60_000;

const guestOf = (signal: AbortSignal) => prepareGuest({ kind: 'debian', signal, progress: { step() {}, detail() {} } });

export const contentPack: BenchCase = {
  name: 'content-pack',
  title: 'Packing a mostly-zero image of 10 GB on all cores, against zstd -3',
  limitMinutes: 60,
  async prepare(signal) {
    await prepareGuestMemory(await guestOf(signal), signal);
  },
  async run({ scratch, quick, pairs, say, signal }) {
    const guest = await guestOf(signal);
    const memory = await prepareGuestMemory(guest, signal);
    const bytes = quick ? 3 * GB : 10 * GB;
    const [holes, written, others] = ['holes', 'written', 'others'].map((name) => join(scratch, name)) as [
      string,
      string,
      string,
    ];
    const name = basename(guest.disk);
    await copyImages(holes, [guest.disk]);
    await truncate(join(holes, name), bytes);
    await run('mkdir', [written]);
    await run('cp', ['--sparse=never', join(holes, name), written], zstdTimeoutMs);
    await copyImages(others, [guest.disk, memory.first]);
    // What is measured is packing, not the disk that still writes the copies.
    await run('sync', [], zstdTimeoutMs);
    const figures: Figure[] = [];
    for (const [folder, zeros] of [
      [written, 'zeros written'],
      [holes, 'holes'],
    ] as const) {
      const image = join(folder, name);
      const packings: Packing[] = [];
      const baseline: number[] = [];
      await interleave(pairs, [
        async () => {
          const packing = await packImages([image], ['--again']);
          packings.push(packing);
          const rate = (bytes / 1e6 / packing.seconds).toFixed(0);
          say(`${zeros}: ${rate} MB/s, ${packing.residentMebibytes.toFixed(0)} MiB resident`);
        },
        async () => {
          const started = performance.now();
          await run(
            'zstd',
            ['-3', '-q', `-T${availableParallelism()}`, '-c', '-o', '/dev/null', '-f', image],
            zstdTimeoutMs,
          );
          baseline.push(bytes / 1e6 / ((performance.now() - started) / 1000));
          say(`${zeros}: zstd ${baseline.at(-1)!.toFixed(0)} MB/s`);
        },
      ]);
      figures.push(...figuresOf(`${bytes / GB} GB, ${zeros}`, bytes, packings, baseline));
    }
    figures.push(...(await metaShares(join(others, name), join(others, basename(memory.first)))));
    return figures;
  },
};

function figuresOf(name: string, bytes: number, packings: readonly Packing[], baseline: readonly number[]): Figure[] {
  return [
    {
      name: `packing ${name}`,
      unit: 'MB/s',
      better: 'higher',
      subjectName: 'viaduct image pack',
      baselineName: 'zstd -3, all cores',
      subject: packings.map(({ seconds }) => bytes / 1e6 / seconds),
      baseline,
      target: { of: 'subject', value: 150 },
    },
    {
      name: `resident while packing ${name}`,
      unit: 'MiB',
      better: 'lower',
      subjectName: 'viaduct image pack',
      baselineName: 'size of the image',
      subject: packings.map(({ residentMebibytes }) => residentMebibytes),
      baseline: packings.map(() => bytes / 2 ** 20),
    },
    metaShare(
      `meta-data, ${name}`,
      packings.flatMap(({ images }) => images),
    ),
  ];
}

/** Of images that are not mostly zeros. */
async function metaShares(disk: string, memory: string): Promise<Figure[]> {
  const [ofDisk, ofMemory] = (await packImages([disk, memory])).images;
  return [metaShare('meta-data, disk of 1.7 GB', [ofDisk!]), metaShare('meta-data, memory image', [ofMemory!])];
}

function metaShare(name: string, images: readonly { metaBytes: number; sizeBytes: number }[]): Figure {
  return {
    name,
    unit: '% of the image',
    better: 'lower',
    subjectName: 'NAME.meta',
    baselineName: 'digests alone, 16 bytes each 4 KiB',
    subject: images.map(({ metaBytes, sizeBytes }) => (100 * metaBytes) / sizeBytes),
    baseline: images.map(() => (100 * 16) / 4096),
    target: { of: 'subject', value: 0.5 },
  };
}
