/**
 * Has another process of this user do something (requests.ts), and follows it.
 *
 *   askTask ──POST──► progress ... ──► `result`, `started`, `error`; `ended`: it hung up, or is not there any more; `silent`: it does
 *                                      not answer, or not in these terms; or `late`
 */
import { request } from 'node:http';
import { join } from 'node:path';
import { type Clock, limits, systemCode, type Timer } from '../base/mod.ts';
import type { ErrorRecord, TaskProgress, TaskResult } from '../sessions/mod.ts';
import { parseLine, type TaskLine, type TaskRequest, writeRequest } from './requests.ts';

export interface TaskOptions {
  readonly directory: string;
  readonly pid: number;
  readonly clock: Clock;
  /** Between two lines; they come twice a second while something is written back. */
  readonly silenceMs?: number | undefined;
  /** How long it is followed; what was begun goes on. */
  readonly followMs?: number | undefined;
  onProgress?(progress: TaskProgress): void;
}

export type TaskAnswer =
  | { readonly kind: 'result'; readonly result: TaskResult }
  | { readonly kind: 'started'; readonly progress: TaskProgress | undefined }
  | { readonly kind: 'error'; readonly error: ErrorRecord }
  | { readonly kind: 'silent'; readonly reason: string }
  /** A process answers to the end or ends: nobody goes on with what it was asked. */
  | { readonly kind: 'ended'; readonly reason: string }
  /** `followMs` are over. */
  | { readonly kind: 'late'; readonly progress: TaskProgress | undefined };

/** A worker that looks a FILE up, or drops a large cache, has nothing to say for some seconds. */
const defaultSilenceMs = 30_000;
/** One line: a progress, or a result with its problems. */
const lineBytes = 64 * limits.controlBodyBytes;

export function askTask(asked: TaskRequest, options: TaskOptions): Promise<TaskAnswer> {
  const { path, body } = writeRequest(asked);
  const socketPath = join(options.directory, `${options.pid}.sock`);
  return new Promise((resolve) => {
    let timer: Timer | undefined;
    let latest: TaskProgress | undefined;
    const { followMs, clock } = options;
    const late =
      followMs === undefined ? undefined : clock.after(followMs, () => end({ kind: 'late', progress: latest }));
    const end = (answer: TaskAnswer): void => {
      timer?.cancel();
      late?.cancel();
      asking.destroy();
      resolve(answer);
    };
    const silent = (reason: string): void => end({ kind: 'silent', reason });
    const ended = (reason: string): void => end({ kind: 'ended', reason });
    const listen = (): void => {
      timer?.cancel();
      timer = options.clock.after(options.silenceMs ?? defaultSilenceMs, () => silent('no answer in time'));
    };
    const take = (line: TaskLine | undefined): void => {
      if (line === undefined) silent('the answer is not understood');
      else if (line.kind === 'progress') {
        latest = line.progress;
        options.onProgress?.(latest);
      } else end(line);
    };
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const asking = request({ socketPath, path, method: 'POST', agent: false, headers }, (response) => {
      if (response.statusCode !== 200) return silent(`it answered ${response.statusCode}`);
      let rest = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        listen();
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        if (rest.length > lineBytes) silent('the answer is too long');
        for (const line of lines) take(parseLine(line));
      });
      response.on('error', (error) => ended(error.message));
      response.on('end', () => ended('it ended before the task did'));
    });
    asking.on('error', (error) => (isGone(error) ? ended : silent)(error.message));
    listen();
    asking.end(body);
  });
}

/** Of a socket: nobody listens, or whoever did has hung up. */
function isGone(error: unknown): boolean {
  return ['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(systemCode(error) ?? '');
}
