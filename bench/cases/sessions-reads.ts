/**
 * Warm 4 KiB reads of one session, and of four at once, of one daemon: `qemu-img bench` over nfs://, a process for each session. The
 * clients run on the same cores: what they take of them is shown beside.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { daemonConfiguration, startDaemon } from '../../test/support/daemon.ts';
import { serve } from '../../test/support/viaduct.ts';
import { type BenchCase, type BenchContext, type Figure, interleave, median } from '../case.ts';
import { randomFile } from '../files.ts';
import { processorSeconds } from '../processor.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const sessionCount = 4;
const depth = 16;

export const sessionsReads: BenchCase = {
  name: 'sessions-reads',
  title: 'Warm 4 KiB reads of four sessions of one daemon at once, against one session',
  async run(context) {
    const { scratch, quick } = context;
    const exported = join(scratch, 'exported');
    await mkdir(exported, { recursive: true });
    const fileBytes = (quick ? 32 : 256) * MiB;
    await randomFile(join(exported, 'image.raw'), fileBytes);
    const server = await serve(exported, '127.0.0.2:20049');
    const folder = join(scratch, 'daemon');
    const daemon = await startDaemon(folder, daemonConfiguration(folder, { cacheSize: '1G' }));
    try {
      const urls: string[] = [];
      for (let index = 0; index < sessionCount; index++) {
        // QEMU takes no port: each on an address of its own.
        const listen = `127.3.0.${index + 1}`;
        await daemon.client.createSession({
          origin: 'nfs://127.0.0.2:20049/?mountport=20049',
          name: `reads-${index}`,
          listen,
        });
        urls.push(`nfs://${listen}//image.raw`);
      }
      // Twice: what the first pass fetched, the second proves to be there.
      for (const url of [...urls, ...urls]) await bench(url, { count: fileBytes / MiB, bytes: MiB, step: MiB });
      return await measure(context, daemon.command.child.pid!, urls, fileBytes);
    } finally {
      await daemon.command.stop();
      await server.stop();
    }
  },
};

async function measure(
  { pairs, quick, say }: BenchContext,
  daemon: number,
  urls: readonly string[],
  fileBytes: number,
): Promise<Figure[]> {
  const blocks = fileBytes / (4 * KiB);
  const pattern = { bytes: 4 * KiB, step: (Math.floor(blocks * 0.618) | 1) * 4 * KiB };
  const count = quick ? 20_000 : 120_000;
  const reads = { one: [] as number[], four: [] as number[] };
  const shares = { one: [] as number[], four: [] as number[] };
  const run = async (chosen: readonly string[], key: 'one' | 'four'): Promise<void> => {
    const [before, began] = [await processorSeconds(daemon), performance.now()];
    // As many reads in all, however many read.
    const clients = await Promise.all(chosen.map((url) => bench(url, { ...pattern, count: count / chosen.length })));
    const seconds = (performance.now() - began) / 1000;
    const served = (await processorSeconds(daemon)) - before;
    const took = clients.reduce((sum, client) => sum + client.processorSeconds, 0);
    reads[key].push(count / seconds);
    shares[key].push((100 * took) / (seconds * availableParallelism()));
    say(
      `${chosen.length} sessions: ${Math.round(count / seconds)} reads/s; of the cores the daemon ${percent(served, seconds)}, clients ${percent(took, seconds)}`,
    );
  };
  await interleave(pairs, [() => run(urls, 'four'), () => run(urls.slice(0, 1), 'one')]);
  say(`clients take ${Math.round(median(shares.four))} % of the cores with four sessions`);
  const names = { subjectName: 'four sessions', baselineName: 'one session' };
  return [
    {
      name: '4 KiB random reads, depth 16 each',
      unit: 'reads/s',
      better: 'higher',
      ...names,
      subject: reads.four,
      baseline: reads.one,
      target: { of: 'ratio', value: 1.5 },
    },
    {
      name: 'share of both cores that clients take',
      unit: '%',
      better: 'lower',
      ...names,
      subject: shares.four,
      baseline: shares.one,
    },
  ];
}

function percent(part: number, seconds: number): string {
  return `${Math.round((100 * part) / (seconds * availableParallelism()))} %`;
}

async function bench(
  url: string,
  { count, bytes, step }: { readonly count: number; readonly bytes: number; readonly step: number },
): Promise<{ processorSeconds: number }> {
  const args = ['bench', '-f', 'raw', '-c', `${count}`, '-d', `${depth}`, '-s', `${bytes}`, '-S', `${step}`, url];
  // `time` of the shell: what a child took is known only when it has ended.
  const child = spawn('bash', ['-c', 'TIMEFORMAT="%U %S"; time qemu-img "$@"', 'bench', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => said.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  const text = Buffer.concat(said).toString();
  const times = /([\d.]+) ([\d.]+)\s*$/.exec(text);
  if (code !== 0 || times === null) throw new Error(`qemu-img bench ended with ${code}: ${text}`);
  return { processorSeconds: Number(times[1]) + Number(times[2]) };
}
