/**
 * The memory image of a guest, read whole through a proxy that uses content meta-data and packs: against native NFS, and against a
 * copy of the whole file as `ssh | zstd -3` makes it, over the paper's link and a good one of today.
 *
 * ```
 *  nothing cached:  first ──► again (other bytes cross?) ──► the image of a second boot
 *  disk cached:     first ──► the image of a second boot
 *  behind a LAN cache: one host, then another
 * ```
 */
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { prepareGuest } from '../../src/demo/mod.ts';
import { sha256File } from '../../test/support/programs.ts';
import { type BenchCase, type BenchContext, type Figure, interleave, median } from '../case.ts';
import { prepareGuestMemory } from '../guest-memory.ts';
import {
  type Cost,
  copyImages,
  digestThrough,
  forget,
  ImageSite,
  type LinkShape,
  nearLink,
  thinLink,
  wideLink,
} from '../image-site.ts';
import { packImages } from '../pack-images.ts';

const guestOf = (signal: AbortSignal) => prepareGuest({ kind: 'debian', signal, progress: { step() {}, detail() {} } });

export const content: BenchCase = {
  name: 'content',
  title: 'A guest’s memory image, read whole over thin links, against native NFS and a copy by zstd -3',
  limitMinutes: 120,
  async prepare(signal) {
    await prepareGuestMemory(await guestOf(signal), signal);
  },
  async run(context) {
    const guest = await guestOf(context.signal);
    const memory = await prepareGuestMemory(guest, context.signal);
    const folder = join(context.scratch, 'images');
    await copyImages(folder, [guest.disk, memory.first, memory.second]);
    const [disk, first, second] = await Promise.all(
      [guest.disk, memory.first, memory.second].map((source) => imageIn(folder, source)),
    );
    const images = { disk: disk!, first: first!, second: second! };
    const packing = await packImages([images.disk.path, images.first.path, images.second.path]);
    for (const { path, packBytes } of packing.images)
      context.say(`${basename(path)}: pack ${(packBytes / 1e6).toFixed(1)} MB`);
    const site = await ImageSite.open({ folder, scratch: context.scratch });
    try {
      const bench = new ContentBench(context, site, images);
      const figures: Figure[] = [];
      for (const shape of context.quick ? [wideLink] : [wideLink, thinLink]) figures.push(...(await bench.over(shape)));
      figures.push(...(await bench.secondHost()));
      return figures;
    } finally {
      await site.close();
    }
  },
};

interface Image {
  readonly name: string;
  readonly bytes: number;
  readonly path: string;
}

interface Images {
  readonly disk: Image;
  readonly first: Image;
  readonly second: Image;
}

async function imageIn(folder: string, source: string): Promise<Image> {
  const name = basename(source);
  const path = join(folder, name);
  return { name, path, bytes: (await stat(path)).size };
}

interface Samples {
  readonly zstd: Cost[];
  readonly native: Cost[];
  readonly first: Cost[];
  readonly again: Cost[];
  readonly second: Cost[];
  readonly firstAfterDisk: Cost[];
  readonly secondAfterDisk: Cost[];
}

/** What may cross when nothing of an image does: attributes, names, what proxies tell each other. */
const talkMegabytes = 0.05;

class ContentBench {
  readonly #context: BenchContext;
  readonly #site: ImageSite;
  readonly #images: Images;
  #caches = 0;

  constructor(context: BenchContext, site: ImageSite, images: Images) {
    this.#context = context;
    this.#site = site;
    this.#images = images;
  }

  async over(shape: LinkShape): Promise<Figure[]> {
    const samples: Samples = {
      zstd: [],
      native: [],
      first: [],
      again: [],
      second: [],
      firstAfterDisk: [],
      secondAfterDisk: [],
    };
    const { first } = this.#images;
    await interleave(this.#context.pairs, [
      async () => {
        await this.#site.useLink(shape);
        const { seconds, streamBytes } = await this.#site.copy(first.path);
        this.#keep(samples, 'zstd', { seconds, megabytes: streamBytes / 1e6 }, shape);
      },
      () => this.#cold(shape, samples),
      () => this.#afterDisk(shape, samples),
      async () => {
        await this.#site.useLink(shape);
        this.#keep(samples, 'native', await this.#site.readNative(first.name, first.bytes), shape);
      },
    ]);
    return this.#figures(shape, samples);
  }

  async #cold(shape: LinkShape, samples: Samples): Promise<void> {
    const { first, second } = this.#images;
    await this.#site.useLink(shape);
    await this.#site.freshHost({ listen: '127.0.0.4', cache: this.#cache() }, async (host) => {
      this.#keep(samples, 'first', await this.#site.read(host, first.name, first.bytes), shape);
      const again = await this.#site.cost(async () => {
        const digest = await digestThrough(host, first.name);
        if (digest !== (await sha256File(first.path))) throw new Error(`${first.name}: wrong bytes were read`);
      });
      this.#keep(samples, 'again', again, shape);
      this.#keep(samples, 'second', await this.#site.read(host, second.name, second.bytes), shape);
    });
  }

  async #afterDisk(shape: LinkShape, samples: Samples): Promise<void> {
    const { disk, first, second } = this.#images;
    const place = { listen: '127.0.0.4', cache: this.#cache() } as const;
    try {
      await this.#site.useLink(nearLink);
      const filling = await this.#site.host(place);
      await this.#site.read(filling, disk.name, disk.bytes);
      await filling.stop();
      await this.#site.useLink(shape);
      await this.#site.freshHost(place, async (host) => {
        this.#keep(samples, 'firstAfterDisk', await this.#site.read(host, first.name, first.bytes), shape);
        this.#keep(samples, 'secondAfterDisk', await this.#site.read(host, second.name, second.bytes), shape);
        const digest = await digestThrough(host, second.name);
        if (digest !== (await sha256File(second.path))) throw new Error(`${second.name}: wrong bytes were read`);
      });
    } finally {
      await forget(place.cache);
    }
  }

  /** Behind one LAN cache. */
  async secondHost(): Promise<Figure[]> {
    const { first } = this.#images;
    const [one, other] = [[], []] as [Cost[], Cost[]];
    for (let pair = 0; pair < this.#context.pairs; pair++) {
      await this.#site.useLink(wideLink);
      await this.#site.freshHost({ listen: '127.0.0.8', cache: this.#cache() }, async (behind) => {
        for (const [listen, costs] of [
          ['127.0.0.4', one],
          ['127.0.0.6', other],
        ] as const) {
          await this.#site.freshHost({ listen, cache: this.#cache(), behind }, async (host) => {
            costs.push(await this.#site.read(host, first.name, first.bytes));
            this.#context.say(`behind a LAN cache, ${listen}: ${text(costs.at(-1)!)}`);
          });
        }
      });
    }
    return [
      {
        name: 'over the link: second host behind a LAN cache',
        unit: 'MB',
        better: 'lower',
        subjectName: 'second host',
        baselineName: 'first host',
        subject: megabytes(other),
        baseline: megabytes(one),
        target: { of: 'subject', value: talkMegabytes },
      },
    ];
  }

  #figures(shape: LinkShape, samples: Samples): Figure[] {
    const { name, roundTripMs } = shape;
    const zstd = seconds(samples.zstd);
    const lower = { better: 'lower', subjectName: 'Viaduct proxy' } as const;
    const time = (what: string, costs: readonly Cost[], baselineName: string, baseline: readonly number[]) =>
      ({ ...lower, name: `${name}: ${what}`, unit: 's', subject: seconds(costs), baselineName, baseline }) as const;
    const bytes = (what: string, costs: readonly Cost[], baselineName: string, baseline: readonly Cost[]) =>
      ({
        ...lower,
        name: `over ${name}: ${what}`,
        unit: 'MB',
        subject: megabytes(costs),
        baselineName,
        baseline: megabytes(baseline),
      }) as const;
    const atMost = (value: number) => ({ target: { of: 'ratio', value } }) as const;
    // 1.15 times, and five round trips.
    const whole = Number((1.15 + (5 * roundTripMs) / 1000 / median(zstd)).toFixed(3));
    return [
      { ...time('memory image, nothing cached', samples.first, 'zstd -3 copy', zstd), ...atMost(whole) },
      { ...time('memory image, its disk cached', samples.firstAfterDisk, 'zstd -3 copy', zstd), ...atMost(0.7) },
      time('memory image, nothing cached', samples.first, 'native NFS', seconds(samples.native)),
      time('memory image, its disk cached', samples.firstAfterDisk, 'native NFS', seconds(samples.native)),
      bytes('memory image, nothing cached', samples.first, 'zstd -3 copy', samples.zstd),
      bytes('memory image, its disk cached', samples.firstAfterDisk, 'zstd -3 copy', samples.zstd),
      { ...bytes('second boot’s memory', samples.second, 'the first one’s', samples.first), ...atMost(0.4) },
      {
        ...bytes('second boot’s memory, disk cached too', samples.secondAfterDisk, 'the first one’s', samples.first),
        ...atMost(0.4),
      },
      {
        ...bytes('read again', samples.again, 'native NFS', samples.native),
        target: { of: 'subject', value: talkMegabytes },
      },
    ];
  }

  #keep(samples: Samples, what: keyof Samples, cost: Cost, shape: LinkShape): void {
    samples[what].push(cost);
    this.#context.say(`${shape.name}, ${what}: ${text(cost)}`);
  }

  #cache(): string {
    return join(this.#context.scratch, `cache-${this.#caches++}`);
  }
}

const seconds = (costs: readonly Cost[]): number[] => costs.map((cost) => cost.seconds);
const megabytes = (costs: readonly Cost[]): number[] => costs.map((cost) => cost.megabytes);
const text = (cost: Cost): string => `${cost.seconds.toFixed(2)} s, ${cost.megabytes.toFixed(3)} MB`;
