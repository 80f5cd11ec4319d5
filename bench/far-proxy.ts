/**
 * What the write benches measure: a write-back proxy, a link of 40 ms and 100 Mbit/s, `viaduct serve`.
 *
 *     127.0.0.4 proxy ──► 127.0.0.3 link ──► 127.0.0.2 origin
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findLauncher, type RunningCommand, startCommand } from '../src/demo/mod.ts';
import { type LinkProcess, type Route, startLinkProcess } from '../src/link/mod.ts';
import { run } from '../test/support/programs.ts';
import { proxy } from '../test/support/viaduct.ts';

export const roundTripMs = 40;
export const bitsPerSecond = 100e6;

export interface FarProxyOptions {
  readonly scratch: string;
  /** What the origin exports. */
  readonly exported: string;
  /** More ways through the same link. */
  readonly routes?: readonly Route[];
  /** More options of the proxy. */
  readonly more?: readonly string[];
}

export interface FarProxy {
  readonly link: LinkProcess;
  readonly proxy: RunningCommand;
  /** For libnfs and QEMU; without a file name. */
  readonly url: string;
  /** Returns when the origin has everything. */
  writeBack(): Promise<void>;
  stop(): Promise<void>;
}

export async function startFarProxy(options: FarProxyOptions): Promise<FarProxy> {
  const { scratch, exported, routes = [], more = [] } = options;
  const [cache, log, state] = ['cache', 'log', 'state'].map((name) => join(scratch, name)) as [string, string, string];
  await mkdir(exported, { recursive: true });
  const origin = await started(
    startCommand(['serve', exported, '--listen', '127.0.0.2', '--state-directory', join(scratch, 'origin-state')], {
      signal: new AbortController().signal,
    }),
  );
  const way = { listen: { host: '127.0.0.3', port: 2049 }, target: { host: '127.0.0.2', port: 2049 } };
  const link = await startLinkProcess({ routes: [way, ...routes], roundTripMs, bitsPerSecond });
  const own = ['--policy', 'write-back', '--dirty-log', log, '--state-directory', state, ...more];
  const near = await started(
    proxy({ origin: 'nfs://127.0.0.3:2049/?mountport=2049', listen: '127.0.0.4', cache, cacheSize: '2G', more: own }),
  );
  return {
    link,
    proxy: near,
    url: 'nfs://127.0.0.4/',
    writeBack: async () => void (await run(findLauncher(), ['writeback', '--wait', '--json'], 600_000)),
    async stop() {
      await near.stop();
      await link.close();
      await origin.stop();
      for (const directory of [cache, log, state]) await rm(directory, { recursive: true, force: true });
    },
  };
}

async function started(starting: Promise<RunningCommand>): Promise<RunningCommand> {
  const command = await starting;
  if (command.ready.ready !== true) throw new Error(`it did not start: ${JSON.stringify(command.ready)}`);
  return command;
}
