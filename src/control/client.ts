/**
 * Asks every Viaduct process of this user how it is. Never hangs: each process has a short time to answer, and all are asked at
 * once. A socket that nobody listens on any more is of a dead process and is removed.
 */
import { readdirSync, unlinkSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { type Clock, systemCode } from '../base/mod.ts';
import { briefPath, statusPath } from './requests.ts';
import type { BriefStatus, ProcessStatus } from './status.ts';

export type StatusAnswer = Answer<ProcessStatus>;

type Answer<Status> =
  | { readonly kind: 'answered'; readonly status: Status }
  | { readonly kind: 'silent'; readonly pid: number; readonly reason: string };

export interface AskOptions {
  readonly directory: string;
  readonly clock: Clock;
  readonly deadlineMs?: number | undefined;
}

const defaultDeadlineMs = 2_000;
/** An answer is a few KiB a session, and as much again where many files wait: thousands of sessions. */
const answerBytes = 64 * 1024 * 1024;

export function askProcesses(options: AskOptions): Promise<StatusAnswer[]> {
  return askAll<ProcessStatus>(statusPath, options);
}

/** Only who they are, and which sessions they have. */
export function askBriefly(options: AskOptions): Promise<Answer<BriefStatus>[]> {
  return askAll<BriefStatus>(briefPath, options);
}

async function askAll<Status extends BriefStatus>(path: string, options: AskOptions): Promise<Answer<Status>[]> {
  const sockets = socketsIn(options.directory);
  const answers = await Promise.all(sockets.map((socket) => askOne<Status>(path, socket, options)));
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

function askOne<Status extends BriefStatus>(
  what: string,
  { path, pid }: StatusSocket,
  { clock, deadlineMs }: AskOptions,
): Promise<Answer<Status> | undefined> {
  return new Promise((resolve) => {
    const silent = (reason: string): void => {
      timer.cancel();
      asking.destroy();
      resolve({ kind: 'silent', pid, reason });
    };
    const asking = request({ socketPath: path, path: what, agent: false }, (response) => {
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
        resolve(parseAnswer<Status>(pid, Buffer.concat(chunks).toString('utf8')));
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

function parseAnswer<Status extends BriefStatus>(pid: number, text: string): Answer<Status> {
  try {
    const status: Status = JSON.parse(text);
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
