/** A real `viaduct daemon` for tests and benches, with its typed client. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectDaemon, type DaemonClient } from '../../src/daemon/mod.ts';
import { type RunningCommand, startCommand } from '../../src/demo/mod.ts';

export interface TestDaemon {
  readonly command: RunningCommand;
  readonly client: DaemonClient;
}

/** The text of a viaduct.yaml with one cache beside the state, and whatever else is given. */
export function daemonConfiguration(folder: string, { cacheSize = '256M', more = '' } = {}): string {
  return `caches:\n  main:\n    directory: ${join(folder, 'cache')}\n    size: ${cacheSize}\n${more}`;
}

/**
 * In `folder`: viaduct.yaml, STATE, cache. Its control socket is where this process and its children look for it, so only one daemon
 * can run at a time.
 */
export async function startDaemon(folder: string, configuration: string): Promise<TestDaemon> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'viaduct.yaml');
  await writeFile(file, configuration);
  const runtimeDirectory = join(folder, 'run');
  process.env.VIADUCT_RUNTIME_DIR = runtimeDirectory;
  const args = ['daemon', '--config', file, '--state-directory', join(folder, 'state'), '--log-level', 'warn'];
  const command = await startCommand(args, { signal: new AbortController().signal });
  const client = await connectDaemon({ runtimeDirectory });
  if (client !== undefined) return { command, client };
  await command.stop();
  throw new Error('the daemon said that it was ready, and nobody listens');
}
