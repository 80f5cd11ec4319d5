/**
 * What long round trips cost where content meta-data are used: the share of the link of a first sequential read at 300 ms against that at
 * 40 ms, with and without a pack beside the file; and how many round trips a first small read takes, against the same without meta-data.
 *
 * The share is the time that the bare link needs for the file (random bytes, by `zstd -3`, which finds nothing to do) to the time that the
 * read takes.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from '../../test/write-back/client.ts';
import { type BenchCase, type BenchContext, type Figure, interleave, median } from '../case.ts';
import { randomFile } from '../files.ts';
import { ImageSite, type LinkShape, wideLink } from '../image-site.ts';
import { packImages } from '../pack-images.ts';

const MiB = 1024 * 1024;
const longLink: LinkShape = { ...wideLink, name: '300 ms', roundTripMs: 300 };
/** Round trips are told by the time that they take: no limit of the rate. */
const slowLink: LinkShape = { name: 'first read', roundTripMs: 100 };

export const contentLatency: BenchCase = {
  name: 'content-latency',
  title: 'First reads at 300 ms against 40 ms, with and without packs',
  limitMinutes: 90,
  async run(context) {
    const { scratch, quick } = context;
    const bytes = (quick ? 64 : 512) * MiB;
    const folder = join(scratch, 'images');
    await mkdir(folder, { recursive: true });
    for (const name of ['packed.raw', 'plain.raw']) await randomFile(join(folder, name), bytes);
    await packImages([join(folder, 'packed.raw')]);
    const site = await ImageSite.open({ folder, scratch });
    try {
      const bench = new LatencyBench(context, site, bytes);
      return [await bench.share('packed.raw'), await bench.share('plain.raw'), await bench.firstRead()];
    } finally {
      await site.close();
    }
  },
};

class LatencyBench {
  readonly #context: BenchContext;
  readonly #site: ImageSite;
  readonly #bytes: number;
  #caches = 0;

  constructor(context: BenchContext, site: ImageSite, bytes: number) {
    this.#context = context;
    this.#site = site;
    this.#bytes = bytes;
  }

  async share(name: string): Promise<Figure> {
    const [long, short] = [[], []] as [number[], number[]];
    await interleave(this.#context.pairs, [
      async () => void long.push(await this.#share(name, longLink)),
      async () => void short.push(await this.#share(name, wideLink)),
    ]);
    return {
      name: `first read of ${this.#bytes / MiB} MiB, ${name === 'plain.raw' ? 'no pack' : 'packed'}: share of the link`,
      unit: '%',
      better: 'higher',
      subjectName: 'at 300 ms',
      baselineName: 'at 40 ms',
      subject: long,
      baseline: short,
      target: { of: 'ratio', value: 0.95 },
    };
  }

  async firstRead(): Promise<Figure> {
    const [described, plain] = [[], []] as [number[], number[]];
    await this.#site.useLink(slowLink);
    await interleave(this.#context.pairs, [
      async () => void described.push(await this.#firstRead([])),
      async () => void plain.push(await this.#firstRead(['--no-content'])),
    ]);
    this.#context.say(
      `first read: ${described.map((one) => one.toFixed(1))}, plain ${plain.map((one) => one.toFixed(1))}`,
    );
    return {
      name: 'first 4 KiB read: round trips',
      unit: 'round trips',
      better: 'lower',
      subjectName: 'with meta-data',
      baselineName: 'without',
      subject: described,
      baseline: plain,
      // Half of one for everything that is not a round trip.
      target: { of: 'subject', value: Number((median(plain) + 3.5).toFixed(1)) },
    };
  }

  async #share(name: string, shape: LinkShape): Promise<number> {
    await this.#site.useLink(shape);
    const bare = await this.#site.copy(join(this.#site.folder, name));
    const cost = await this.#site.freshHost({ listen: '127.0.0.4', cache: this.#cache() }, (host) =>
      this.#site.read(host, name, this.#bytes),
    );
    const share = (100 * bare.seconds) / cost.seconds;
    const times = `${cost.seconds.toFixed(2)} s, bare link ${bare.seconds.toFixed(2)} s`;
    this.#context.say(
      `${name}, ${shape.roundTripMs} ms: ${share.toFixed(0)} % (${times}, ${cost.megabytes.toFixed(1)} MB)`,
    );
    return share;
  }

  /** In round trips, from the open file to the bytes. */
  #firstRead(more: readonly string[]): Promise<number> {
    return this.#site.freshHost({ listen: '127.0.0.4', cache: this.#cache(), more }, async () => {
      const client = await Client.open('nfs://127.0.0.4:2049/?mountport=2049');
      try {
        const file = await client.file('packed.raw');
        const started = performance.now();
        await file.read(this.#bytes / 2, 4096);
        return (performance.now() - started) / slowLink.roundTripMs;
      } finally {
        await client.close();
      }
    });
  }

  #cache(): string {
    return join(this.#context.scratch, `cache-${this.#caches++}`);
  }
}
