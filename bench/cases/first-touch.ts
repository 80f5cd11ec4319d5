/**
 * The first sequential read of a file over long links, cache empty and nothing known of the link each time, against one plain TCP stream
 * of as many bytes through the same link: the share of the link that is used shall not depend on its length.
 */
import { mkdir, rm } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { startLinkProcess } from '../../src/link/mod.ts';
import { run } from '../../test/support/programs.ts';
import { proxy, serve } from '../../test/support/viaduct.ts';
import { type BenchCase, type BenchContext, type Figure, interleave } from '../case.ts';
import { randomFile } from '../files.ts';
import { startStreamServer } from '../stream-server.ts';

const MiB = 1024 * 1024;

interface Way {
  readonly name: string;
  readonly roundTripMs: number;
  readonly bitsPerSecond: number;
  readonly bytes: number;
  readonly quickBytes: number;
  /** Of the plain stream's rate. */
  readonly target: number;
}

const ways: readonly Way[] = [
  {
    name: '200 ms, 1 Gbit/s',
    roundTripMs: 200,
    bitsPerSecond: 1e9,
    bytes: 1024 * MiB,
    quickBytes: 256 * MiB,
    target: 0.8,
  },
  {
    name: '40 ms, 100 Mbit/s',
    roundTripMs: 40,
    bitsPerSecond: 100e6,
    bytes: 192 * MiB,
    quickBytes: 48 * MiB,
    target: 0.9,
  },
  {
    name: '300 ms, 100 Mbit/s',
    roundTripMs: 300,
    bitsPerSecond: 100e6,
    bytes: 192 * MiB,
    quickBytes: 48 * MiB,
    target: 0.9,
  },
];

export const firstTouch: BenchCase = {
  name: 'first-touch',
  title: 'First sequential read over long links, against one plain TCP stream',
  async run(context) {
    const figures: Figure[] = [];
    for (const way of ways) figures.push(await measure(way, context));
    return figures;
  },
};

async function measure(way: Way, { scratch, quick, pairs, say }: BenchContext): Promise<Figure> {
  const { name, roundTripMs, bitsPerSecond } = way;
  const bytes = quick ? way.quickBytes : way.bytes;
  const exported = join(scratch, `exported-${roundTripMs}`);
  const cache = join(scratch, `cache-${roundTripMs}`);
  await mkdir(exported, { recursive: true });
  await randomFile(join(exported, 'image.raw'), bytes);
  const origin = await serve(exported, '127.0.0.3');
  const stream = await startStreamServer(bytes);
  const link = await startLinkProcess({
    routes: [
      { listen: { host: '127.0.0.2', port: 2049 }, target: { host: '127.0.0.3', port: 2049 } },
      { listen: { host: '127.0.0.2', port: 0 }, target: { host: '127.0.0.1', port: stream.port } },
    ],
    roundTripMs,
    bitsPerSecond,
  });
  const samples = { subject: [] as number[], baseline: [] as number[] };
  const viaduct = async (): Promise<void> => {
    for (const directory of [cache, `${cache}.state`]) await rm(directory, { recursive: true, force: true });
    const near = await proxy({ origin: 'nfs://127.0.0.2:2049/', listen: '127.0.0.4', cache, cacheSize: '4G' });
    try {
      const reads = ['-f', 'raw', '-c', String(bytes / MiB), '-d', '4', '-s', String(MiB)];
      const said = (await run('qemu-img', ['bench', ...reads, 'nfs://127.0.0.4//image.raw'], 600_000)).toString();
      samples.subject.push(bytes / 1e6 / Number(/completed in ([\d.]+) seconds/.exec(said)?.[1]));
    } finally {
      await near.stop();
    }
    say(`${name}: Viaduct ${samples.subject.at(-1)!.toFixed(1)} MB/s`);
  };
  const plain = async (): Promise<void> => {
    samples.baseline.push(bytes / 1e6 / (await streamSeconds(link.addresses[1]!, bytes)));
    say(`${name}: plain TCP ${samples.baseline.at(-1)!.toFixed(1)} MB/s`);
  };
  try {
    await interleave(pairs, [viaduct, plain]);
  } finally {
    await link.close();
    await stream.close();
    await origin.stop();
  }
  return {
    name: `${name}: ${bytes / MiB} MiB, cache empty`,
    unit: 'MB/s',
    better: 'higher',
    subjectName: 'Viaduct proxy, cold',
    baselineName: 'one TCP stream',
    ...samples,
    target: { of: 'ratio', value: way.target },
  };
}

/** From the connect to the last byte. */
function streamSeconds(address: { host: string; port: number }, bytes: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    let left = bytes;
    const buffer = Buffer.alloc(MiB);
    const socket = net.connect({
      ...address,
      onread: {
        buffer,
        callback(length) {
          left -= length;
          return true;
        },
      },
    });
    socket.once('error', reject);
    socket.once('close', () => {
      if (left === 0) resolve((performance.now() - started) / 1000);
      else reject(new Error(`the stream ended ${left} bytes early`));
    });
  });
}
