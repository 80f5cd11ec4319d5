/**
 * What sessions of one daemon cost: how soon one listens, what two hundred take of memory and of a core while nobody uses them. The
 * baseline is what there is without a daemon: one `viaduct proxy`, a process of its own.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { daemonConfiguration, startDaemon } from '../../test/support/daemon.ts';
import { proxy, serve } from '../../test/support/viaduct.ts';
import type { BenchCase, BenchContext, Figure } from '../case.ts';
import { randomFile } from '../files.ts';
import { processorSeconds } from '../processor.ts';
import { residentMebibytes } from '../resident.ts';

const origin = 'nfs://127.0.0.2:20049/?mountport=20049';

export const sessions: BenchCase = {
  name: 'sessions',
  title: 'Sessions of one daemon, against a process each',
  async run(context) {
    const { scratch, quick } = context;
    const exported = join(scratch, 'exported');
    await mkdir(exported, { recursive: true });
    await randomFile(join(exported, 'image.raw'), 16 * 1024 * 1024);
    const server = await serve(exported, '127.0.0.2:20049');
    try {
      const alone = await measureAlone(context);
      const folder = join(scratch, 'daemon');
      const daemon = await startDaemon(folder, daemonConfiguration(folder, { cacheSize: '1G' }));
      try {
        return await measureDaemon(context, daemon, alone, quick ? 40 : 200);
      } finally {
        await daemon.command.stop();
      }
    } finally {
      await server.stop();
    }
  },
};

interface Alone {
  readonly startMs: number[];
  readonly mebibytes: number[];
  readonly corePercent: number[];
}

async function measureAlone({ scratch, pairs, quick, say }: BenchContext): Promise<Alone> {
  const alone: Alone = { startMs: [], mebibytes: [], corePercent: [] };
  for (let pair = 0; pair < pairs; pair++) {
    const began = performance.now();
    const near = await proxy({ origin, listen: '127.0.0.9:20049', cache: join(scratch, `alone-${pair}`) });
    alone.startMs.push(performance.now() - began);
    const pid = near.child.pid!;
    alone.mebibytes.push(await residentMebibytes(pid));
    alone.corePercent.push(await idlePercent(pid, quick));
    await near.stop();
  }
  say(`one process: ready after ${alone.startMs.map(Math.round)} ms, ${alone.mebibytes.map(Math.round)} MiB`);
  return alone;
}

async function measureDaemon(
  { pairs, quick, say }: BenchContext,
  { client, command }: Awaited<ReturnType<typeof startDaemon>>,
  alone: Alone,
  count: number,
): Promise<Figure[]> {
  const pid = command.child.pid!;
  const createMs: number[] = [];
  const idle: number[] = [];
  for (let made = 0; made < count; made++) {
    const began = performance.now();
    const view = await client.createSession({ origin, name: `session-${made}`, listen: `127.2.0.${made + 1}:20049` });
    createMs.push(performance.now() - began);
    if (view.state !== 'running') throw new Error(`a session was ${view.state} when it was created`);
    if (made + 1 === count / 2) for (let pair = 0; pair < pairs; pair++) idle.push(await idlePercent(pid, quick));
  }
  await sleep(2_000);
  const mebibytes: number[] = [];
  for (let pair = 0; pair < pairs; pair++) mebibytes.push(await residentMebibytes(pid));
  const slowest = Math.max(...createMs);
  say(
    `created in ${middle(createMs).toFixed(1)} ms (slowest ${slowest.toFixed(0)}); ${count} take ${Math.round(mebibytes[0]!)} MiB`,
  );
  // As many of the many as there are baselines, spread evenly.
  const spread = alone.startMs.map((_, index) => createMs[Math.floor(((index + 0.5) * count) / alone.startMs.length)]!);
  const of = { subjectName: 'one daemon', better: 'lower' as const };
  const asked = (value: number) => ({ target: { of: 'subject' as const, value } });
  return [
    {
      name: 'session created and listening',
      unit: 'ms',
      ...of,
      baselineName: 'viaduct proxy to its ready line',
      subject: spread,
      baseline: alone.startMs,
      ...asked(100),
    },
    {
      name: `slowest of ${count} creations`,
      unit: 'ms',
      ...of,
      baselineName: 'viaduct proxy to its ready line',
      subject: alone.startMs.map(() => slowest),
      baseline: alone.startMs,
      ...asked(100),
    },
    {
      name: `memory of ${count} sessions`,
      unit: 'MB',
      ...of,
      baselineName: `${count} of viaduct proxy`,
      subject: mebibytes,
      baseline: alone.mebibytes.map((value) => value * count),
      ...(quick ? {} : asked(700)),
    },
    {
      name: `a core, for ${count / 2} idle sessions`,
      unit: '%',
      ...of,
      baselineName: `${count / 2} of viaduct proxy`,
      subject: idle,
      baseline: alone.corePercent.map((value) => (value * count) / 2),
      ...asked(1),
    },
  ];
}

async function idlePercent(pid: number, quick: boolean): Promise<number> {
  // What its start has left to do is not idleness.
  await sleep(3_000);
  const [before, began] = [await processorSeconds(pid), performance.now()];
  await sleep(quick ? 3_000 : 20_000);
  return (100_000 * ((await processorSeconds(pid)) - before)) / (performance.now() - began);
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}
