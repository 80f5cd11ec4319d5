/**
 * A `viaduct` command of this checkout or package as a child: started, waited for until its ready line, ended by SIGTERM.
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ViaductError } from '../base/mod.ts';
import { ended, keepLines, spawnProgram, stopProgram } from './program.ts';

export interface RunningCommand {
  readonly child: ChildProcess;
  /** The ready line's fields. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** The last lines of its log. */
  readonly log: readonly string[];
  stop(): Promise<void>;
}

export async function startCommand(
  args: readonly string[],
  options: { readonly signal: AbortSignal; readonly timeoutMs?: number },
): Promise<RunningCommand> {
  const { signal, timeoutMs = 20_000 } = options;
  signal.throwIfAborted();
  const name = `viaduct ${args[0]}`;
  const child = spawnProgram(findLauncher(), [...args, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const log = keepLines(child, 'stderr');
  let patience: NodeJS.Timeout | undefined;
  const end = ended(child, 'viaduct');
  try {
    const ready = await new Promise<Record<string, unknown>>((resolve, reject) => {
      keepLines(child, 'stdout', (line) => {
        if (line.startsWith('{')) resolve(JSON.parse(line) as Record<string, unknown>);
      });
      const fail = (cause: string): void =>
        reject(
          new ViaductError('UNEXPECTED', {
            cause: `${cause}: ${log.slice(-5).join(' | ')}`,
            remedy: `run it by hand: viaduct ${args.join(' ')}`,
          }),
        );
      end.then((code) => fail(`${name} ended with ${code} before it was ready`), reject);
      patience = setTimeout(() => fail(`${name} was not ready after ${timeoutMs / 1000} s`), timeoutMs);
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    return { child, ready, log, stop: () => stopProgram(child) };
  } catch (error) {
    await stopProgram(child);
    throw error;
  } finally {
    clearTimeout(patience);
  }
}

/** `bin/viaduct` of the folder that holds our package.json. */
export function findLauncher(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) {
    const above = dirname(folder);
    if (above === folder) throw new Error(`no package.json above ${import.meta.dirname}`);
    folder = above;
  }
  return join(folder, 'bin', 'viaduct');
}
