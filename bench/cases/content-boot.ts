/**
 * The cold boot of a guest whose working set an earlier boot on another host has taught: against the local file in the same run, and over
 * the paper's link against what the working set needs there, compressed, plus the local boot.
 *
 * ```
 *  near link: one boot ──► working set at the site ──► packed again, in its order       far link: fresh host, boot, ready line
 * ```
 */
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { decodeWorkingSet, workingSetName } from '../../src/content/mod.ts';
import { boot, type DiskPlace, type Guest, prepareGuest } from '../../src/demo/mod.ts';
import { until } from '../../test/support/programs.ts';
import { type BenchCase, type BenchContext, type Figure, interleave } from '../case.ts';
import { type Cost, copyImages, ImageSite, type LinkShape, nearLink, thinLink, wideLink } from '../image-site.ts';
import { packImages } from '../pack-images.ts';

const bootTimeoutMs = 15 * 60_000;
const publishTimeoutMs = 60_000;
const blockBytes = 64 * 1024;

const guestOf = (signal: AbortSignal): Promise<Guest> =>
  prepareGuest({ kind: 'debian', signal, progress: { step() {}, detail() {} } });

export const contentBoot: BenchCase = {
  name: 'content-boot',
  title: 'Cold boot with a working set that another host has learned, against the local file and native NFS',
  limitMinutes: 120,
  async prepare(signal) {
    await guestOf(signal);
  },
  async run(context) {
    const guest = await guestOf(context.signal);
    const folder = join(context.scratch, 'images');
    await copyImages(folder, [guest.disk]);
    const disk = join(folder, basename(guest.disk));
    await packImages([disk]);
    const site = await ImageSite.open({ folder, scratch: context.scratch });
    try {
      const bench = new BootBench(context, site, guest, disk);
      await bench.learn();
      return await bench.measure();
    } finally {
      await site.close();
    }
  },
};

interface Samples {
  readonly local: Cost[];
  readonly cold: Cost[];
  readonly native: Cost[];
  /** The working set, compressed, over the bare link. */
  readonly bare: Cost[];
}

class BootBench {
  readonly #context: BenchContext;
  readonly #site: ImageSite;
  readonly #guest: Guest;
  readonly #disk: string;
  readonly #workingSet: string;
  #caches = 0;

  constructor(context: BenchContext, site: ImageSite, guest: Guest, disk: string) {
    this.#context = context;
    this.#site = site;
    this.#guest = guest;
    this.#disk = disk;
    this.#workingSet = join(context.scratch, 'working-set.raw');
  }

  async learn(): Promise<void> {
    await this.#site.useLink(nearLink);
    await this.#cold();
    const name = workingSetName(basename(this.#disk), 'boot')!;
    const learned = join(this.#site.folder, '.viaduct', name);
    const isThere = (): Promise<boolean> =>
      readFile(learned).then(
        () => true,
        () => false,
      );
    await until('the working set is at the site', isThere, publishTimeoutMs);
    const { blocks } = decodeWorkingSet(await readFile(learned));
    await packImages([this.#disk], ['--again']);
    await this.#extract(blocks);
    this.#context.say(`learned ${blocks.length} blocks, ${((blocks.length * blockBytes) / 1e6).toFixed(1)} MB`);
  }

  async measure(): Promise<Figure[]> {
    const shapes = this.#context.quick ? [wideLink] : [wideLink, thinLink];
    const samples = shapes.map((): Samples => ({ local: [], cold: [], native: [], bare: [] }));
    await interleave(
      this.#context.pairs,
      shapes.map((shape, index) => () => this.#round(shape, samples[index]!)),
    );
    return shapes.flatMap((shape, index) => figures(shape, samples[index]!));
  }

  async #round(shape: LinkShape, samples: Samples): Promise<void> {
    const keep = (what: keyof Samples, cost: Cost): void => {
      samples[what].push(cost);
      this.#context.say(`${shape.name}, ${what}: ${cost.seconds.toFixed(2)} s, ${cost.megabytes.toFixed(2)} MB`);
    };
    keep('local', { seconds: await this.#boot({ kind: 'file', path: this.#disk }), megabytes: 0 });
    await this.#site.useLink(shape);
    keep('cold', await this.#cold());
    const { seconds, streamBytes } = await this.#site.copy(this.#workingSet);
    keep('bare', { seconds, megabytes: streamBytes / 1e6 });
    keep('native', await this.#costed(() => this.#boot(this.#site.nativePlace(basename(this.#disk)))));
  }

  /** On a host with nothing cached. */
  #cold(): Promise<Cost> {
    const cache = join(this.#context.scratch, `cache-${this.#caches++}`);
    const place = { kind: 'nfs', host: '127.0.0.4', path: `//${basename(this.#disk)}` } as const;
    return this.#site.freshHost({ listen: '127.0.0.4', cache }, () => this.#costed(() => this.#boot(place)));
  }

  /** Seconds to the ready line. */
  async #boot(disk: DiskPlace): Promise<number> {
    const scratch = join(this.#context.scratch, 'boot');
    await mkdir(scratch, { recursive: true });
    const options = { guest: this.#guest, disk, scratch, accelerator: 'tcg', timeoutMs: bootTimeoutMs } as const;
    try {
      return (await boot({ ...options, signal: this.#context.signal })).elapsedMs / 1000;
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }

  async #costed(action: () => Promise<number>): Promise<Cost> {
    let seconds = 0;
    const { megabytes } = await this.#site.cost(async () => {
      seconds = await action();
    });
    return { seconds, megabytes };
  }

  /** The blocks of the working set as a file, in its order. */
  async #extract(blocks: Uint32Array): Promise<void> {
    const [from, to] = [await open(this.#disk), await open(this.#workingSet, 'wx')];
    try {
      const block = Buffer.alloc(blockBytes);
      for (const number of blocks) {
        const { bytesRead } = await from.read(block, 0, blockBytes, number * blockBytes);
        await to.write(block, 0, bytesRead);
      }
    } finally {
      await from.close();
      await to.close();
    }
  }
}

function figures({ name, bitsPerSecond = 0 }: LinkShape, { local, cold, native, bare }: Samples): Figure[] {
  const seconds = (costs: readonly Cost[]): number[] => costs.map((cost) => cost.seconds);
  const megabytes = (costs: readonly Cost[]): number[] => costs.map((cost) => cost.megabytes);
  const lower = { better: 'lower', subjectName: 'Viaduct, cold, working set known' } as const;
  const time = { ...lower, unit: 's', subject: seconds(cold) } as const;
  const bytes = { ...lower, unit: 'MB', subject: megabytes(cold) } as const;
  const isThin = bitsPerSecond === thinLink.bitsPerSecond;
  const bareAndLocal = local.map((cost, index) => cost.seconds + bare[index]!.seconds);
  const ratio = (value: number) => ({ target: { of: 'ratio', value } }) as const;
  const title = `${name}: cold boot, learned working set`;
  return [
    { ...time, name: title, baselineName: 'local file', baseline: seconds(local), ...(isThin ? {} : ratio(1.25)) },
    {
      ...time,
      name: title,
      baselineName: 'working set over the bare link, then local file',
      baseline: bareAndLocal,
      ...(isThin ? ratio(1.1) : {}),
    },
    { ...time, name: title, baselineName: 'native NFS', baseline: seconds(native) },
    { ...bytes, name: `over ${name}: cold boot`, baselineName: 'native NFS', baseline: megabytes(native) },
    {
      ...bytes,
      name: `over ${name}: cold boot`,
      baselineName: 'working set by zstd -3',
      baseline: megabytes(bare),
    },
  ];
}
