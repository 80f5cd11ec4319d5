/**
 * The first sequential read of a file over a long fat link (200 ms, 1 Gbit/s), cache empty each time, against one plain TCP stream
 * of as many bytes through the same link.
 */
import { mkdir, rm } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { startLinkProcess } from '../../src/link/mod.ts';
import { run } from '../../test/support/programs.ts';
import { proxy, serve } from '../../test/support/viaduct.ts';
import { type BenchCase, interleave } from '../case.ts';
import { randomFile } from '../files.ts';
import { startStreamServer } from '../stream-server.ts';

const MiB = 1024 * 1024;
const roundTripMs = 200;
const bitsPerSecond = 1e9;

export const firstTouch: BenchCase = {
  name: 'first-touch',
  title: 'First sequential read over 200 ms and 1 Gbit/s, against one plain TCP stream',
  async run({ scratch, quick, pairs, say }) {
    const bytes = (quick ? 256 : 1024) * MiB;
    const exported = join(scratch, 'exported');
    const cache = join(scratch, 'cache');
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
      await rm(cache, { recursive: true, force: true });
      const near = await proxy({ origin: 'nfs://127.0.0.2:2049/', listen: '127.0.0.4', cache, cacheSize: '4G' });
      try {
        const reads = ['-f', 'raw', '-c', String(bytes / MiB), '-d', '4', '-s', String(MiB)];
        const said = (await run('qemu-img', ['bench', ...reads, 'nfs://127.0.0.4//image.raw'], 600_000)).toString();
        samples.subject.push(bytes / 1e6 / Number(/completed in ([\d.]+) seconds/.exec(said)?.[1]));
      } finally {
        await near.stop();
      }
      say(`Viaduct ${samples.subject.at(-1)!.toFixed(1)} MB/s`);
    };
    const plain = async (): Promise<void> => {
      samples.baseline.push(bytes / 1e6 / (await streamSeconds(link.addresses[1]!, bytes)));
      say(`plain TCP ${samples.baseline.at(-1)!.toFixed(1)} MB/s`);
    };
    try {
      await interleave(pairs, [viaduct, plain]);
    } finally {
      await link.close();
      await stream.close();
      await origin.stop();
    }
    return [
      {
        name: `${bytes / MiB} MiB, cache empty`,
        unit: 'MB/s',
        better: 'higher',
        subjectName: 'Viaduct proxy, cold',
        baselineName: 'one TCP stream',
        ...samples,
        target: { of: 'ratio', value: 0.8 },
      },
    ];
  },
};

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
