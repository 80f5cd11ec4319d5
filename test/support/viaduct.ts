/** Real `viaduct` commands for tests, on the loopback addresses of a private network. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type RunningCommand, startCommand } from '../../src/demo/mod.ts';
import { run } from './programs.ts';

const never = new AbortController().signal;

/** What a command keeps beside what it serves: one of that folder only, and gone with the test's scratch folder. */
const stateBeside = (folder: string): string[] => ['--state-directory', `${folder}.state`];

/** A directory origin on an address of its own, with its portmapper. */
export function serve(directory: string, listen: string): Promise<RunningCommand> {
  return startCommand(['serve', directory, '--listen', listen, ...stateBeside(directory)], { signal: never });
}

export function proxy(options: {
  readonly origin: string;
  readonly listen: string;
  readonly cache: string;
  readonly cacheSize?: string;
  readonly more?: readonly string[];
}): Promise<RunningCommand> {
  const { origin, listen, cache, cacheSize = '256M', more = [] } = options;
  const own = ['--cache', cache, '--cache-size', cacheSize, ...stateBeside(cache)];
  const args = ['proxy', origin, '--listen', listen, ...own, ...more];
  return startCommand(args, { signal: never });
}

/** Bytes that a proxy has asked its origin for, by what it says of itself. */
export async function fetchedBytes(proxy: RunningCommand): Promise<number> {
  const viaduct = join(import.meta.dirname, '..', '..', 'bin', 'viaduct');
  const { processes } = JSON.parse((await run(viaduct, ['status', '--json'])).toString());
  const own = processes.find(({ pid }: { pid: number }) => pid === proxy.child.pid);
  const layer = own.sessions[0].data.layers['block-cache'];
  assert.equal(typeof layer.demandBytes, 'number');
  // What passed by the cache is not counted in bytes.
  return layer.demandBytes + layer.prefetchBytes + layer.passed * MiB;
}

const MiB = 1024 * 1024;
