/**
 * Runs other programs: to their end (`run`) or until told (`start`), with their last words kept for the error message.
 *
 * Invariant: a program that was started is gone, and has been waited for, before the promise of its end settles.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { type ErrorCode, systemCode, ViaductError } from '../base/mod.ts';

/** The Debian package of each program that may be missing. */
const packages: Readonly<Record<string, string>> = {
  'apt-get': 'apt',
  cpio: 'cpio',
  depmod: 'kmod',
  'dpkg-deb': 'dpkg',
  ip: 'iproute2',
  mke2fs: 'e2fsprogs',
  mmdebstrap: 'mmdebstrap',
  'qemu-img': 'qemu-utils qemu-block-extra',
  'qemu-system-x86_64': 'qemu-system-x86 qemu-block-extra',
  tar: 'tar',
  unshare: 'util-linux',
};

/** mke2fs and depmod are in sbin, which is not on the path of an ordinary user. */
export const programPath = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;

const keptLines = 30;

export interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  readonly cwd?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** The code of the error if the program fails. */
  readonly failure: ErrorCode;
  /** Each line of the standard error output. */
  readonly onLine?: ((line: string) => void) | undefined;
}

/** Runs to the end and answers the standard output. */
export async function run(program: string, args: readonly string[], options: RunOptions): Promise<string> {
  options.signal?.throwIfAborted();
  const child = spawnProgram(program, args, { ...spawnOptions(options), stdio: ['ignore', 'pipe', 'pipe'] });
  const output: Buffer[] = [];
  const lastWords = keepLines(child, 'stderr', options.onLine);
  child.stdout!.on('data', (bytes: Buffer) => output.push(bytes));
  const stop = (): void => {
    child.kill('SIGTERM');
  };
  options.signal?.addEventListener('abort', stop, { once: true });
  const end = await ended(child, program);
  options.signal?.removeEventListener('abort', stop);
  options.signal?.throwIfAborted();
  if (end !== 0)
    throw new ViaductError(options.failure, {
      cause: `${program} ended with ${end}: ${lastWords.slice(-5).join(' | ')}`,
      remedy: `run it by hand to see more: ${program} ${args.join(' ')}`,
    });
  return Buffer.concat(output).toString();
}

/** Starts a program; ENOENT comes out of `ended`. */
export function spawnProgram(program: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  return spawn(program, args, options);
}

export function spawnOptions(options: Pick<RunOptions, 'cwd' | 'env'>): SpawnOptions {
  return { cwd: options.cwd, env: { ...process.env, LC_ALL: 'C', PATH: programPath, ...options.env } };
}

/** The exit code, or the name of the signal, once all output was read. */
export function ended(child: ChildProcess, program: string): Promise<number | string> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(missing(program, error)));
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
}

/** The last lines of a stream; the array goes on changing. */
export function keepLines(child: ChildProcess, stream: 'stdout' | 'stderr', onLine?: (line: string) => void): string[] {
  const kept: string[] = [];
  let rest = '';
  child[stream]!.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split(/\r?\n|\r/);
    rest = lines.pop()!.slice(-4096);
    for (const line of lines) {
      if (line.trim() === '') continue;
      kept.push(line);
      if (kept.length > keptLines) kept.shift();
      onLine?.(line);
    }
  });
  return kept;
}

/** Ends a child: SIGTERM, and SIGKILL if it does not go. */
export async function stopProgram(child: ChildProcess, patienceMs = 5000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const impatience = setTimeout(() => child.kill('SIGKILL'), patienceMs);
  await gone;
  clearTimeout(impatience);
}

function missing(program: string, error: Error): Error {
  if (systemCode(error) !== 'ENOENT') return error;
  const wanted = packages[program];
  return new ViaductError('PROGRAM_MISSING', {
    cause: `${program} is not installed`,
    remedy: wanted === undefined ? `install ${program}` : `apt-get install ${wanted}`,
    from: error,
  });
}
