/**
 * The demo's four boots, in this order, with everything that they need around them.
 *
 * ```
 *  local    QEMU ─► file
 *  native   QEMU ─nfs─► 127.0.0.2 [link] 127.0.0.3 viaduct serve
 *  cold     QEMU ─nfs─► 127.0.0.4 viaduct proxy (empty cache) ─► 127.0.0.2 [link] 127.0.0.3 viaduct serve
 *  warm     the same with the proxy started again on the cache that the cold boot left
 * ```
 *
 * QEMU's nfs:// takes no port, so each of the addresses has 2049 and a portmapper on 111; the link relays both.
 *
 * Invariant: when `runStages` settles, every process that it started is gone; the caller's scratch folder is all that stays.
 */
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type LinkProcess, startLinkProcess } from '../link/mod.ts';
import { type Accelerator, type BootResult, boot, chooseAccelerator, type DiskPlace } from './boot.ts';
import { type RunningCommand, startCommand } from './command.ts';
import type { Guest } from './guest.ts';

export const stageNames = ['local', 'native', 'cold', 'warm'] as const;
export type StageName = (typeof stageNames)[number];

export interface StagesOptions {
  readonly guest: Guest;
  readonly stages: readonly StageName[];
  readonly roundTripMs: number;
  readonly bitsPerSecond: number;
  readonly scratch: string;
  readonly accelerator?: Accelerator | undefined;
}

export interface StageResult extends BootResult {
  readonly stage: StageName;
  /** Payload over the link during the stage, towards the server and from it. */
  readonly upBytes: number;
  readonly downBytes: number;
}

export type StageEvent =
  | { readonly kind: 'accelerator'; readonly accelerator: Accelerator }
  | { readonly kind: 'start'; readonly stage: StageName }
  | { readonly kind: 'step'; readonly stage: StageName; readonly step: string; readonly elapsedMs: number }
  | { readonly kind: 'result'; readonly result: StageResult };

const linkAddress = '127.0.0.2';
const serverAddress = '127.0.0.3';
const proxyAddress = '127.0.0.4';
const nfsPort = 2049;
const portmapPort = 111;
/** A boot over a thin line may take minutes; one that hangs must end. */
const bootTimeoutMs = 15 * 60 * 1000;
const cacheSize = '4G';

export async function runStages(
  options: StagesOptions,
  signal: AbortSignal,
  report: (event: StageEvent) => void,
): Promise<StageResult[]> {
  const accelerator = options.accelerator ?? (await chooseAccelerator(options.guest, signal));
  report({ kind: 'accelerator', accelerator });
  await mkdir(options.scratch, { recursive: true });
  const house = new House(options, accelerator, signal, report);
  try {
    const results: StageResult[] = [];
    for (const stage of options.stages) {
      report({ kind: 'start', stage });
      const result = await house.run(stage);
      results.push(result);
      report({ kind: 'result', result });
    }
    return results;
  } finally {
    await house.close();
  }
}

class House {
  readonly #options: StagesOptions;
  readonly #accelerator: Accelerator;
  readonly #signal: AbortSignal;
  readonly #report: (event: StageEvent) => void;
  #serve: RunningCommand | undefined;
  #link: LinkProcess | undefined;

  constructor(
    options: StagesOptions,
    accelerator: Accelerator,
    signal: AbortSignal,
    report: (event: StageEvent) => void,
  ) {
    this.#options = options;
    this.#accelerator = accelerator;
    this.#signal = signal;
    this.#report = report;
  }

  async run(stage: StageName): Promise<StageResult> {
    if (stage === 'local') {
      const result = await this.#boot(stage, { kind: 'file', path: this.#options.guest.disk });
      return { stage, ...result, upBytes: 0, downBytes: 0 };
    }
    const link = await this.#openLink();
    const before = await link.counters();
    const result = stage === 'native' ? await this.#native(stage) : await this.#viaProxy(stage);
    const after = await link.counters();
    return {
      stage,
      ...result,
      upBytes: after.forwardBytes - before.forwardBytes,
      downBytes: after.backwardBytes - before.backwardBytes,
    };
  }

  async close(): Promise<void> {
    await this.#link?.close();
    await this.#serve?.stop();
  }

  #native(stage: StageName): Promise<BootResult> {
    return this.#boot(stage, { kind: 'nfs', host: linkAddress, path: this.#diskPath() });
  }

  async #viaProxy(stage: StageName): Promise<BootResult> {
    const cache = join(this.#options.scratch, 'cache');
    const proxy = await startCommand(
      [
        'proxy',
        `nfs://${linkAddress}:${nfsPort}/`,
        '--listen',
        proxyAddress,
        '--cache',
        cache,
        '--cache-size',
        cacheSize,
      ],
      { signal: this.#signal },
    );
    try {
      return await this.#boot(stage, { kind: 'nfs', host: proxyAddress, path: this.#diskPath() });
    } finally {
      await proxy.stop();
    }
  }

  #boot(stage: StageName, disk: DiskPlace): Promise<BootResult> {
    return boot({
      guest: this.#options.guest,
      disk,
      accelerator: this.#accelerator,
      scratch: this.#options.scratch,
      timeoutMs: bootTimeoutMs,
      signal: this.#signal,
      onStep: (step, elapsedMs) => this.#report({ kind: 'step', stage, step, elapsedMs }),
    });
  }

  async #openLink(): Promise<LinkProcess> {
    const { guest, roundTripMs, bitsPerSecond } = this.#options;
    const signal = this.#signal;
    this.#serve ??= await startCommand(['serve', guest.directory, '--listen', serverAddress], { signal });
    this.#link ??= await startLinkProcess({
      routes: [nfsPort, portmapPort].map((port) => ({
        listen: { host: linkAddress, port },
        target: { host: serverAddress, port },
      })),
      roundTripMs,
      bitsPerSecond,
    });
    return this.#link;
  }

  #diskPath(): string {
    // libnfs mounts the folder of the path and cannot mount an empty one: two slashes make it "/".
    return `//${basename(this.#options.guest.disk)}`;
  }
}
