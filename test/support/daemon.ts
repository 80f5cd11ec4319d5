/** A real `viaduct daemon` for tests and benches, with its typed client. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectDaemon, type DaemonClient } from '../../src/daemon/mod.ts';
import { type RunningCommand, startCommand } from '../../src/demo/mod.ts';

export interface TestDaemon {
  readonly command: RunningCommand;
  readonly client: DaemonClient;
}

export interface StartDaemonOptions {
  /** Default: STATE in the folder. */
  readonly stateDirectory?: string | undefined;
  /** For the daemon alone, beside what this process has. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

/** The text of a viaduct.yaml with one cache beside the state, and whatever else is given. */
export function daemonConfiguration(folder: string, { cacheSize = '256M', more = '' } = {}): string {
  return `caches:\n  main:\n    directory: ${join(folder, 'cache')}\n    size: ${cacheSize}\n${more}`;
}

/**
 * In `folder`: viaduct.yaml, STATE, cache. Its control socket is where this process and its children look for it, so only one daemon
 * can run at a time.
 */
export async function startDaemon(
  folder: string,
  configuration: string,
  { stateDirectory = join(folder, 'state'), environment = {} }: StartDaemonOptions = {},
): Promise<TestDaemon> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'viaduct.yaml');
  await writeFile(file, configuration);
  const runtimeDirectory = join(folder, 'run');
  process.env.VIADUCT_RUNTIME_DIR = runtimeDirectory;
  const args = ['daemon', '--config', file, '--state-directory', stateDirectory, '--log-level', 'warn'];
  // The child takes it from this process when it is started: before anything is waited for.
  const before = { ...process.env };
  Object.assign(process.env, environment);
  const starting = startCommand(args, { signal: new AbortController().signal, timeoutMs: 60_000 });
  for (const name of Object.keys(environment)) {
    if (before[name] === undefined) delete process.env[name];
    else process.env[name] = before[name];
  }
  const command = await starting;
  const client = await connectDaemon({ runtimeDirectory });
  if (client !== undefined) return { command, client };
  await command.stop();
  throw new Error(`no daemon listens: it said ${JSON.stringify(command.ready)}`);
}

/** Ends it as a service manager does, or as a power cut; by SIGTERM it must end in order, however long that takes on a busy machine. */
export async function endDaemon({ command }: TestDaemon, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  const { child, log } = command;
  if (child.exitCode === null && child.signalCode === null) {
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }
  const { exitCode, signalCode } = child;
  if (signal === 'SIGTERM')
    assert.equal(exitCode, 0, `the daemon ended with ${signalCode}: ${log.slice(-5).join(' | ')}`);
}
