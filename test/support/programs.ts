/** Runs real programs for tests: with a deadline, and with everything they said in the error. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Outcome {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

const deadlineMs = 60_000;

/** Runs to the end, whatever the exit code. */
export function attempt(program: string, args: readonly string[], timeout = deadlineMs): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout, killSignal: 'SIGKILL' });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (bytes: Buffer) => stdout.push(bytes));
    child.stderr.on('data', (bytes: Buffer) => stderr.push(bytes));
    child.once('error', reject);
    child.once('close', (code, signal) => {
      const said = Buffer.concat(stderr).toString();
      if (signal !== null) reject(new Error(`${program} ${args.join(' ')}: ended by ${signal}: ${said}`));
      else resolve({ code, stdout: Buffer.concat(stdout), stderr: said });
    });
  });
}

/** Runs to the end and answers the standard output; an exit code other than 0 is an error. */
export async function run(program: string, args: readonly string[], timeout?: number): Promise<Buffer> {
  const outcome = await attempt(program, args, timeout);
  if (outcome.code === 0) return outcome.stdout;
  throw new Error(`${program} ${args.join(' ')}: exit ${outcome.code}: ${outcome.stderr}${outcome.stdout}`);
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of createReadStream(path)) hash.update(part as Buffer);
  return hash.digest('hex');
}

/** A folder for one test file, and the way to be rid of it. */
export async function scratchFolder(name: string): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), `viaduct-${name}-`));
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 3 }) };
}

/** Waits until `condition` holds, or fails with `what`. */
export async function until(what: string, condition: () => Promise<boolean>, timeoutMs = 15_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Stops a process, to go on with SIGCONT. It is told so at once, but stands still only when each of its threads has heard. */
export async function stop(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  await until(`process ${pid} stands still`, async () => {
    for (const thread of await readdir(`/proc/${pid}/task`)) {
      const stat = await readFile(`/proc/${pid}/task/${thread}/stat`, 'utf8');
      if (!/^[TtZX]$/.test(stat.slice(stat.lastIndexOf(')') + 2)[0]!)) return false;
    }
    return true;
  });
}
