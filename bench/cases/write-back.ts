/**
 * How dirty data leaves a write-back proxy over 40 ms and 100 Mbit/s: its share of the link against one plain TCP stream of as many
 * bytes in the same run, what crosses when data was rewritten, and what cold reads wait meanwhile.
 *
 * Nothing leaves before it is told to: `viaduct writeback --wait`. Times are those of the bytes on the link, not of the command.
 */
import { randomFillSync } from 'node:crypto';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CarefulFile, Client } from '../../test/write-back/client.ts';
import { type BenchCase, type BenchContext, type Figure, interleave, median } from '../case.ts';
import { bitsPerSecond, type FarProxy, roundTripMs, startFarProxy } from '../far-proxy.ts';
import { startSinkServer, uploadSeconds } from '../stream-server.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const chunkBytes = 256 * KiB;

export const writeBack: BenchCase = {
  name: 'write-back',
  title: 'Write-back over 40 ms and 100 Mbit/s',
  async run(context) {
    const { scratch, quick } = context;
    const dirtyBytes = quick ? 50e6 : 200e6;
    const coldBytes = 64 * 1024 * MiB;
    const exported = join(scratch, 'exported');
    const sink = await startSinkServer(dirtyBytes);
    const routes = [{ listen: { host: '127.0.0.3', port: 3049 }, target: { host: '127.0.0.1', port: sink.port } }];
    const more = ['--write-back-after', '24h', '--dirty-age', '24h'];
    const far = await startFarProxy({ scratch, exported, routes, more });
    try {
      const client = await Client.open('nfs://127.0.0.4:2049/?mountport=2049');
      try {
        await writeFile(join(exported, 'image.raw'), '');
        await truncate(join(exported, 'image.raw'), 256 * MiB);
        // Holes: they cross as zeros do. So large that what is read ahead around one place is never read for another.
        await writeFile(join(exported, 'cold.raw'), '');
        await truncate(join(exported, 'cold.raw'), coldBytes);
        const image = await client.file('image.raw');
        const bench = new WriteBackBench(context, far, image, dirtyBytes);
        const share = await bench.share();
        const rewritten = await bench.rewritten();
        const waits = await bench.waits(await client.file('cold.raw'), coldBytes);
        return [share, rewritten, ...waits];
      } finally {
        await client.close();
      }
    } finally {
      await far.stop();
      await sink.close();
    }
  },
};

class WriteBackBench {
  readonly #context: BenchContext;
  readonly #far: FarProxy;
  readonly #image: CarefulFile;
  readonly #dirtyBytes: number;
  #coldReads = 0;

  constructor(context: BenchContext, far: FarProxy, image: CarefulFile, dirtyBytes: number) {
    this.#context = context;
    this.#far = far;
    this.#image = image;
    this.#dirtyBytes = dirtyBytes;
  }

  async share(): Promise<Figure> {
    const samples = { subject: [] as number[], baseline: [] as number[] };
    const megabytes = this.#dirtyBytes / 1e6;
    await interleave(this.#context.pairs, [
      async () => {
        await this.#dirty();
        const seconds = await this.#linkSeconds(() => this.#far.writeBack());
        samples.subject.push(megabytes / seconds);
        this.#context.say(`write-back ${samples.subject.at(-1)!.toFixed(2)} MB/s`);
      },
      async () => {
        samples.baseline.push(megabytes / (await uploadSeconds(this.#far.link.addresses[1]!, this.#dirtyBytes)));
        this.#context.say(`plain TCP ${samples.baseline.at(-1)!.toFixed(2)} MB/s`);
      },
    ]);
    return {
      name: `${megabytes} MB of dirty data`,
      unit: 'MB/s',
      better: 'higher',
      subjectName: 'write-back',
      baselineName: 'one TCP stream',
      ...samples,
      target: { of: 'ratio', value: 0.9 },
    };
  }

  /** One region, written ten times without a COMMIT. */
  async rewritten(): Promise<Figure> {
    const bytes = (this.#context.quick ? 16 : 64) * MiB;
    const samples = { subject: [] as number[], baseline: [] as number[] };
    for (let pair = 0; pair < this.#context.pairs; pair++) {
      for (let time = 0; time < 10; time++) await this.#fill(bytes);
      const before = (await this.#far.link.counters()).forwardBytes;
      await this.#far.writeBack();
      samples.subject.push(((await this.#far.link.counters()).forwardBytes - before) / 1e6);
      samples.baseline.push(bytes / 1e6);
      // Whoever wrote it may forget it now.
      await this.#image.commit();
      this.#context.say(`rewritten ten times: ${samples.subject.at(-1)!.toFixed(1)} MB crossed`);
    }
    return {
      name: `over the link: ${bytes / MiB} MiB written ten times`,
      unit: 'MB',
      better: 'lower',
      subjectName: 'write-back',
      baselineName: 'written once',
      ...samples,
      target: { of: 'ratio', value: 1.05 },
    };
  }

  /** Reads of what is nowhere near, one at a time. */
  async waits(cold: CarefulFile, coldBytes: number): Promise<readonly Figure[]> {
    const [during, idle] = [[], []] as [number[][], number[][]];
    await interleave(this.#context.pairs, [
      async () => {
        await this.#dirty();
        let isOver = false;
        const draining = this.#far.writeBack().finally(() => {
          isOver = true;
        });
        // The command starts first.
        await this.#linkMoves();
        during.push(await this.#readCold(cold, coldBytes, () => !isOver));
        await draining;
      },
      async () => {
        const until = performance.now() + 4_000;
        idle.push(await this.#readCold(cold, coldBytes, () => performance.now() < until));
      },
    ]);
    const limit = 2 * roundTripMs + 50;
    return [50, 99].map((part) => {
      const [subject, baseline] = [during, idle].map((runs) => runs.map((times) => percentile(times, part))) as [
        number[],
        number[],
      ];
      this.#context.say(`cold reads, p${part}: ${subject.map(Math.round)} ms, alone ${baseline.map(Math.round)} ms`);
      return {
        name: `cold 4 KiB read during write-back, p${part}`,
        unit: 'ms',
        better: 'lower',
        subjectName: 'during write-back',
        baselineName: 'link idle',
        subject,
        baseline,
        ...(part === 99 ? { target: { of: 'subject', value: limit } as const } : {}),
      };
    });
  }

  async #readCold(cold: CarefulFile, coldBytes: number, goesOn: () => boolean): Promise<number[]> {
    const blocks = coldBytes / (64 * KiB);
    const step = Math.floor(blocks * 0.618) | 1;
    const times: number[] = [];
    while (goesOn()) {
      const block = (++this.#coldReads * step) % blocks;
      const began = performance.now();
      await cold.read(block * 64 * KiB, 4 * KiB);
      times.push(performance.now() - began);
    }
    return times;
  }

  /** Dirty data that does not compress and is stable. */
  async #dirty(): Promise<void> {
    await this.#fill(this.#dirtyBytes);
    await this.#image.commit();
  }

  async #fill(bytes: number): Promise<void> {
    const data = randomFillSync(Buffer.alloc(8 * MiB));
    for (let offset = 0; offset < bytes; ) {
      const batch: Promise<void>[] = [];
      for (let i = 0; i < 16 && offset < bytes; i++) {
        const length = Math.min(chunkBytes, bytes - offset);
        const at = offset % (data.length - chunkBytes);
        batch.push(this.#image.write(offset, data.subarray(at, at + length)));
        offset += length;
      }
      await Promise.all(batch);
    }
  }

  async #linkMoves(): Promise<void> {
    const before = (await this.#far.link.counters()).forwardBytes;
    while ((await this.#far.link.counters()).forwardBytes - before < MiB) await pause(5);
  }

  /** From the first to the last byte of it on the link. */
  async #linkSeconds(action: () => Promise<void>): Promise<number> {
    let isOver = false;
    const before = (await this.#far.link.counters()).forwardBytes;
    const acting = action().finally(() => {
      isOver = true;
    });
    let [began, last, lastBytes] = [0, 0, before];
    while (!isOver) {
      const now = performance.now();
      const { forwardBytes } = await this.#far.link.counters();
      if (began === 0 && forwardBytes - before > 64 * KiB) began = now;
      if (forwardBytes - lastBytes > 64 * KiB) [last, lastBytes] = [now, forwardBytes];
      await pause(10);
    }
    await acting;
    if (lastBytes - before < this.#dirtyBytes * 0.99) throw new Error(`only ${lastBytes - before} bytes crossed`);
    // The first 64 KiB were there when it was seen to move.
    return (last - began) / 1000 + (64 * KiB * 8) / bitsPerSecond;
  }
}

function percentile(times: readonly number[], part: number): number {
  if (part === 50) return median(times);
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil((sorted.length * part) / 100) - 1)]!;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
