/**
 * Runs the stages in a process of its own, in private namespaces where this machine allows it.
 *
 * A private network means that addresses 127.0.0.2 and on with ports 111 and 2049 are free whatever this host runs (rpcbind, a
 * kernel server), and that no privilege is needed for them: an ordinary user is root in a user namespace of his own. A private
 * process namespace means that nothing survives: when its first process ends, even by SIGKILL, the kernel ends the others.
 * Where namespaces are forbidden the stages run in the host's network, and a port that cannot be had is a named error.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, ViaductError } from '../base/mod.ts';
import { programPath, stopProgram } from './program.ts';
import type { StageEvent, StageResult, StagesOptions } from './stages.ts';

export type InsideMessage =
  | { readonly kind: 'event'; readonly event: StageEvent }
  | { readonly kind: 'done'; readonly results: StageResult[] }
  | { readonly kind: 'failed'; readonly code: string; readonly cause: string; readonly remedy: string };

const environment = { ...process.env, PATH: programPath };

/** `unshare` and its arguments, or nothing where namespaces are not to be had. */
export function privateNamespace(): string[] {
  const user = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const command = ['unshare', ...user, '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const wrapped = [...command, 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh'];
  const trial = spawnSync(wrapped[0]!, [...wrapped.slice(1), 'true'], { env: environment, timeout: 10_000 });
  return trial.status === 0 ? wrapped : [];
}

export async function runStagesOutside(
  options: StagesOptions,
  signal: AbortSignal,
  report: (event: StageEvent) => void,
): Promise<StageResult[]> {
  signal.throwIfAborted();
  const entry = fileURLToPath(new URL(`./inside${extname(import.meta.url)}`, import.meta.url));
  const command = [...privateNamespace(), process.execPath, ...process.execArgv, entry];
  const child = spawn(command[0]!, command.slice(1), {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    serialization: 'advanced',
    env: environment,
  });
  // unshare passes no signals on: the end of the channel is what the process inside listens to.
  const stop = (): void => {
    if (child.connected) child.disconnect();
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await conversation(child, options, signal, report);
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
    await goneOrStopped(child);
  }
}

function conversation(
  child: ChildProcess,
  options: StagesOptions,
  signal: AbortSignal,
  report: (event: StageEvent) => void,
): Promise<StageResult[]> {
  return new Promise((resolve, reject) => {
    child.on('message', (message: InsideMessage) => {
      if (message.kind === 'event') report(message.event);
      else if (message.kind === 'done') resolve(message.results);
      else reject(new ViaductError(message.code as ErrorCode, { cause: message.cause, remedy: message.remedy }));
    });
    child.once('error', reject);
    child.once('exit', (code, signalName) => {
      if (signal.aborted) reject(signal.reason);
      else reject(new Error(`the demo's inner process ended with ${code ?? signalName}`));
    });
    child.send(options);
  });
}

/** Waits for the inner process to clean up; ends it if that takes too long (its namespace dies with it). */
async function goneOrStopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const patience = setTimeout(() => void stopProgram(child, 1000), 8000);
  await new Promise<void>((resolve) => child.once('exit', () => resolve()));
  clearTimeout(patience);
}
