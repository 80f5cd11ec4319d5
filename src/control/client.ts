/**
 * Asks every Viaduct process of this user how it is. Never hangs: each process has a short time to answer, and all are asked at
 * once. A socket that nobody listens on any more is of a dead process and is removed.
 */
import { readdirSync, unlinkSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { type Clock, systemCode } from '../base/mod.ts';
import type { ProcessStatus } from './status.ts';

export type StatusAnswer =
  | { readonly kind: 'answered'; readonly status: ProcessStatus }
  | { readonly kind: 'silent'; readonly pid: number; readonly reason: string };

export interface AskOptions {
  readonly directory: string;
  readonly clock: Clock;
  readonly deadlineMs?: number | undefined;
}

const defaultDeadlineMs = 2_000;
/** An answer is a few KiB a session. */
const answerBytes = 4 * 1024 * 1024;

export async function askProcesses(options: AskOptions): Promise<StatusAnswer[]> {
  const answers = await Promise.all(socketsIn(options.directory).map((socket) => askOne(socket, options)));
  return answers.filter((answer) => answer !== undefined);
}

interface StatusSocket {
  readonly path: string;
  readonly pid: number;
}

function socketsIn(directory: string): StatusSocket[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  const pids = names.map((name) => /^(\d+)\.sock$/.exec(name)?.[1]).filter((pid) => pid !== undefined);
  return pids
    .map(Number)
    .sort((a, b) => a - b)
    .map((pid) => ({ pid, path: join(directory, `${pid}.sock`) }));
}

function askOne({ path, pid }: StatusSocket, { clock, deadlineMs }: AskOptions): Promise<StatusAnswer | undefined> {
  return new Promise((resolve) => {
    const silent = (reason: string): void => {
      timer.cancel();
      asking.destroy();
      resolve({ kind: 'silent', pid, reason });
    };
    const asking = request({ socketPath: path, path: '/status', agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > answerBytes) silent('the answer is too long');
        chunks.push(chunk);
      });
      response.on('error', (error) => silent(error.message));
      response.on('end', () => {
        timer.cancel();
        resolve(parseAnswer(pid, Buffer.concat(chunks).toString('utf8')));
      });
    });
    const timer = clock.after(deadlineMs ?? defaultDeadlineMs, () => silent('no answer in time'));
    asking.on('error', (error) => {
      if (systemCode(error) !== 'ECONNREFUSED') return silent(error.message);
      timer.cancel();
      removeStale(path);
      resolve(undefined);
    });
    asking.end();
  });
}

function parseAnswer(pid: number, text: string): StatusAnswer {
  try {
    const status: ProcessStatus = JSON.parse(text);
    if (typeof status.pid !== 'number' || !Array.isArray(status.sessions)) throw new Error('not a status');
    return { kind: 'answered', status };
  } catch (error) {
    return {
      kind: 'silent',
      pid,
      reason: `the answer is not understood: ${error instanceof Error ? error.message : error}`,
    };
  }
}

function removeStale(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Somebody else removed it, or we may not; either way it is not listed.
  }
}
