/**
 * A daemon with many sessions is ended and started again while all of them are at work, several times, by SIGTERM and by SIGKILL.
 *
 *     disks     write-back, each with a folder of the origin     readers, benches     read-only, all of one folder
 *     guest     a kernel's own client, if asked for, on a write-back session
 *
 * After each restart every session has its id, its address and its port, every client goes on, and none has seen an error; in the end the
 * origin has whatever was written.
 */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../../src/base/mod.ts';
import type { Kernel } from '../kernel/microvm.ts';
import { DaemonBed, fileUrl } from './daemon-bed.ts';
import { GuestLoad } from './guest-load.ts';
import { Bench, blockBytes, Disk, diskBlocks, goldenPattern, type Load, Reader, untilAnswered } from './load.ts';

export interface RestartOptions {
  readonly disks: number;
  readonly readers: number;
  readonly benches: number;
  readonly kernel?: Kernel | undefined;
  readonly signals: readonly ('SIGTERM' | 'SIGKILL')[];
  readonly seed: number;
  readonly say: (line: string) => void;
}

const guestAddress = '127.0.0.1:20049';

export async function restartUnderLoad(options: RestartOptions): Promise<Record<string, number>> {
  return await DaemonBed.use({ name: 'restart' }, async (bed) => {
    const { disks, kernel, seed, signals, say } = options;
    await prepare(bed, options);
    await bed.startOrigin();
    await bed.startDaemon();
    const before = await createSessions(bed, options);
    const guest = kernel === undefined ? undefined : GuestLoad.boot(kernel, guestAddress);
    if (guest !== undefined) bed.atEnd(() => guest.kill());
    const { writers, loads, benches } = await openClients(bed, options);
    await guest?.begun;
    const clients: Load[] = guest === undefined ? loads : [...loads, guest];
    await untilAnswered(clients);
    const random = seededRandom(seed);
    const restartMs: number[] = [];
    for (const signal of signals) {
      await sleep(random.uint32() % 500);
      const began = performance.now();
      await bed.endDaemon(signal);
      const endedMs = performance.now() - began;
      await bed.startDaemon();
      const readyMs = performance.now() - began;
      await bed.untilState('running');
      restartMs.push(performance.now() - began);
      say(
        `${signal}: ended after ${endedMs.toFixed()} ms, ready after ${readyMs.toFixed()}, all sessions after ${restartMs.at(-1)!.toFixed()}`,
      );
      assert.deepEqual(await placesOf(bed), before, 'sessions, and where they listen');
      await untilAnswered(clients);
    }
    for (const client of [...benches, ...loads]) await client.stop();
    await guest?.stop();
    for (const name of writersOf(options)) await bed.writeBack(name);
    for (const [index, writer] of writers.entries()) await writer.assertIn(imageOf(bed, `disk-${index}`));
    await guest?.assertIn(join(bed.exported, 'guest'));
    assert.equal(writers.length, disks);
    return {
      restarts: signals.length,
      slowestRestartMs: Math.round(Math.max(...restartMs)),
      longestWaitMs: Math.round(Math.max(...loads.map(({ longestMs }) => longestMs))),
      operations: loads.reduce((sum, { done }) => sum + done, 0),
      ...(guest === undefined ? {} : { guestFiles: guest.done }),
    };
  });
}

function imageOf(bed: DaemonBed, folder: string): string {
  return join(bed.exported, folder, 'image.raw');
}

function writersOf({ disks, kernel }: RestartOptions): string[] {
  const names = Array.from({ length: disks }, (_, index) => `disk-${index}`);
  return kernel === undefined ? names : [...names, 'guest'];
}

async function prepare(bed: DaemonBed, options: RestartOptions): Promise<void> {
  for (const name of [...writersOf(options), 'golden']) {
    await mkdir(join(bed.exported, name));
    const pattern = name === 'golden' ? goldenPattern : 0;
    if (name !== 'guest') await writeFile(imageOf(bed, name), Buffer.alloc(diskBlocks * blockBytes, pattern));
  }
}

/** Half of the disks keep their changes in the log for as long as nobody asks. Who they are and where they listen, by name. */
async function createSessions(bed: DaemonBed, options: RestartOptions): Promise<Record<string, unknown>> {
  const { disks, readers, benches, kernel } = options;
  for (let index = 0; index < disks; index++) {
    const settings =
      index % 2 === 0 ? { 'write-back-after': '1h', 'dirty-age': '24h' } : { 'write-back-after': '200ms' };
    const name = `disk-${index}`;
    await bed.client.createSession({ name, origin: bed.origin(name), policy: 'vm-disk', settings });
  }
  for (let index = 0; index < readers + benches; index++)
    await bed.client.createSession({ name: `golden-${index}`, origin: bed.origin('golden'), policy: 'golden' });
  if (kernel !== undefined) {
    const settings = { 'write-back-after': '1s' };
    const common = { name: 'guest', origin: bed.origin('guest'), policy: 'vm-disk' };
    await bed.client.createSession({ ...common, listen: guestAddress, settings });
  }
  return await placesOf(bed);
}

async function placesOf(bed: DaemonBed): Promise<Record<string, unknown>> {
  const views = await bed.client.sessions();
  return Object.fromEntries(views.map(({ id, name, place }) => [name, { id, place }]));
}

async function openClients(bed: DaemonBed, { disks, readers, benches: benchCount, seed }: RestartOptions) {
  const url = async (name: string): Promise<string> => fileUrl(await bed.session(name), 'image.raw');
  const writers: Disk[] = [];
  const loads: (Disk | Reader)[] = [];
  const benches: Bench[] = [];
  bed.atEnd(async () => {
    for (const client of [...loads, ...benches]) await client.kill();
  });
  for (let index = 0; index < disks; index++) {
    const disk = await Disk.open(await url(`disk-${index}`), seed * 100 + index);
    writers.push(disk);
    loads.push(disk);
  }
  for (let index = 0; index < readers; index++) loads.push(await Reader.open(await url(`golden-${index}`)));
  for (let index = 0; index < benchCount; index++) benches.push(new Bench(await url(`golden-${readers + index}`)));
  for (const load of loads) load.begin();
  return { writers, loads, benches };
}
