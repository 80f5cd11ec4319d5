/**
 * A daemon with twenty sessions under load is told to end and started again: how long until all of them listen again, and how long the
 * clients waited at most. No client may see an error. The load: four `qemu-img bench` (libnfs) as fast as they can, and one reader for
 * each of the other sessions. The baseline is the same number of sessions without load.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLog, systemClock, systemRandom } from '../../src/base/mod.ts';
import { openNfsOrigin } from '../../src/origins/mod.ts';
import { type Call, credential, Status } from '../../src/vfs/mod.ts';
import { daemonConfiguration, startDaemon, type TestDaemon } from '../../test/support/daemon.ts';
import { serve } from '../../test/support/viaduct.ts';
import type { BenchCase, BenchContext, Figure } from '../case.ts';
import { randomFile } from '../files.ts';

const MiB = 1024 * 1024;
const sessionCount = 20;
const busyCount = 4;
const origin = 'nfs://127.0.0.2:20049/?mountport=20049';
const addressOf = (index: number): string => `127.4.0.${index + 1}`;

export const sessionsRestart: BenchCase = {
  name: 'sessions-restart',
  title: 'Restart of a daemon with twenty sessions under load',
  async run(context) {
    const { scratch } = context;
    const exported = join(scratch, 'exported');
    await mkdir(exported, { recursive: true });
    await randomFile(join(exported, 'image.raw'), 32 * MiB);
    const server = await serve(exported, '127.0.0.2:20049');
    const folder = join(scratch, 'daemon');
    const configuration = daemonConfiguration(folder, { cacheSize: '1G' });
    let daemon = await startDaemon(folder, configuration);
    const restart = async (): Promise<number> => {
      const began = performance.now();
      await daemon.command.stop();
      daemon = await startDaemon(folder, configuration);
      await untilAllRun(daemon);
      return performance.now() - began;
    };
    try {
      for (let index = 0; index < sessionCount; index++)
        await daemon.client.createSession({ origin, name: `restart-${index}`, listen: addressOf(index) });
      return await measure(context, restart);
    } finally {
      await daemon.command.stop();
      await server.stop();
    }
  },
};

async function untilAllRun({ client }: TestDaemon): Promise<void> {
  for (;;) {
    const views = await client.sessions();
    if (views.length === sessionCount && views.every(({ state }) => state === 'running')) return;
    await sleep(20);
  }
}

async function measure({ pairs, quick, say }: BenchContext, restart: () => Promise<number>): Promise<Figure[]> {
  const loaded: number[] = [];
  const idle: number[] = [];
  const waits: number[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    idle.push(await restart());
    const over = new AbortController();
    const busy = Array.from({ length: busyCount }, (_, index) => readWithQemu(index, over.signal));
    const calm = await Promise.all(
      Array.from({ length: sessionCount - busyCount }, (_, index) => Reader.open(busyCount + index)),
    );
    const reading = calm.map((reader) => reader.readUntil(over.signal));
    await sleep(quick ? 1_000 : 4_000);
    loaded.push(await restart());
    // Whoever waits is answered before it counts as done.
    await Promise.all(calm.map((reader) => reader.next()));
    over.abort();
    await Promise.all([...reading, ...busy]);
    waits.push(Math.max(...calm.map(({ longestMs }) => longestMs)));
    say(
      `restart under load ${Math.round(loaded.at(-1)!)} ms (idle ${Math.round(idle.at(-1)!)}); longest wait of a client ${Math.round(waits.at(-1)!)} ms; no errors`,
    );
  }
  const names = { subjectName: 'under load', baselineName: 'nobody reads', better: 'lower' as const };
  return [
    {
      name: 'restart with 20 sessions',
      unit: 'ms',
      ...names,
      subject: loaded,
      baseline: idle,
      target: { of: 'subject', value: 3000 },
    },
    { name: 'longest wait of a client', unit: 'ms', ...names, subject: waits, baseline: idle },
  ];
}

/** qemu-img ends with an error if any of its reads does; it has more of them to do than there is time. */
async function readWithQemu(index: number, signal: AbortSignal): Promise<void> {
  const args = ['bench', '-f', 'raw', '-c', '100000000', '-d', '16', '-s', '4096', '-S', '1052672'];
  const child = spawn('qemu-img', [...args, `nfs://${addressOf(index)}//image.raw`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const said: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
  signal.addEventListener('abort', () => child.kill('SIGKILL'), { once: true });
  const [code] = (await once(child, 'close')) as [number | null];
  if (!signal.aborted) throw new Error(`qemu-img ended with ${code}: ${Buffer.concat(said)}`);
}

/** Reads a block every 20 ms, over one connection that it keeps. */
class Reader {
  longestMs = 0;
  #answered = 0;
  readonly #read: (block: number) => Promise<number>;

  private constructor(read: (block: number) => Promise<number>) {
    this.#read = read;
  }

  static async open(index: number): Promise<Reader> {
    const me = credential(0, 0);
    const address = { kind: 'nfs' as const, host: addressOf(index), path: '/' };
    const tools = { clock: systemClock, random: systemRandom, log: silentLog };
    const server = await openNfsOrigin({ address, connections: 1, credential: me, ...tools });
    const call: Call = { credential: me, peer: 'bench', priority: 'demand' };
    const found = await server.lookup(call, { directory: server.root, name: 'image.raw' });
    if (found.status !== Status.OK) throw new Error(`look-up: ${found.status}`);
    const { object } = found;
    return new Reader(async (block) => (await server.read(call, { object, offset: block * 4096, count: 4096 })).status);
  }

  async readUntil(signal: AbortSignal): Promise<void> {
    for (let block = 0; !signal.aborted; block = (block + 1) % 8192) {
      const began = performance.now();
      const status = await this.#read(block);
      if (status !== Status.OK) throw new Error(`a client saw status ${status}`);
      this.longestMs = Math.max(this.longestMs, performance.now() - began);
      this.#answered++;
      await sleep(20);
    }
  }

  async next(): Promise<void> {
    const before = this.#answered;
    while (this.#answered === before) await sleep(10);
  }
}
