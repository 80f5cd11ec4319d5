/**
 * What can be asked of a process over its control socket, and how it is written.
 *
 *   GET  /status                                   one JSON object (ProcessStatus)
 *   GET  /status?brief                             one JSON object (BriefStatus)
 *   POST /writeback          {"file"?, "wait"?}    everything, or one file, to the origin
 *   POST /flush              {"wait"?}             the same, and forget what is cached
 *   POST /invalidate         {"wait"?}             forget what is cached at once; changes stay
 *   POST /conflicts/clear    {"file"}              the file takes writes again
 *   POST /redirect/commit    {"takeOver"?, "wait"?} a redirect session's changes to the origin
 *   POST /redirect/discard   {"wait"?}             or forget them
 *   POST /warm               {"file", "what", "wait"?}  a file (`whole`) or its `working-set` into the cache
 *
 * Of a process with several sessions each names one: {"session": NAME or ID}. A POST is answered by lines of JSON, the last of which is a result, an error, or (without `wait`) `started`.
 */
import { parseTask, type SessionTask, type TaskEvent, type TaskProgress } from '../sessions/mod.ts';

export const statusPath = '/status';
export const briefPath = '/status?brief';

/** Never the last line but one: an answer ends with `started`, `result` or `error`. */
export type TaskLine = TaskEvent | { readonly kind: 'started'; readonly progress: TaskProgress | undefined };

export interface TaskRequest {
  readonly task: SessionTask;
  /** Answer when it is done; otherwise when it has begun. */
  readonly wait: boolean;
  /** Its name or id; needed where a process has several. */
  readonly session?: string | undefined;
}

const paths: Readonly<Record<string, (body: object) => unknown>> = {
  '/writeback': (body) => ({ ...body, task: 'write-back' }),
  '/flush': () => ({ task: 'flush' }),
  '/invalidate': () => ({ task: 'invalidate' }),
  '/conflicts/clear': (body) => ({ ...body, task: 'clear-conflict' }),
  '/redirect/commit': (body) => ({ ...body, task: 'redirect', how: 'commit' }),
  '/warm': (body) => ({ ...body, task: 'warm' }),
  '/redirect/discard': () => ({ task: 'redirect', how: 'discard' }),
};

export function isTaskPath(path: string): boolean {
  return Object.hasOwn(paths, path);
}

/** Undefined: the body is not what the path takes. */
export function parseRequest(path: string, text: string): TaskRequest | undefined {
  let body: unknown;
  try {
    body = text === '' ? {} : JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return undefined;
  const wait = 'wait' in body ? body.wait : false;
  const session = 'session' in body ? body.session : undefined;
  const task = parseTask(paths[path]?.(body));
  if (task === undefined || typeof wait !== 'boolean') return undefined;
  if (session === undefined) return { task, wait };
  return typeof session === 'string' ? { task, wait, session } : undefined;
}

export function writeRequest({ task, ...rest }: TaskRequest): { readonly path: string; readonly body: string } {
  switch (task.task) {
    case 'write-back':
      return { path: '/writeback', body: JSON.stringify({ file: task.file, ...rest }) };
    case 'flush':
    case 'invalidate':
      return { path: `/${task.task}`, body: JSON.stringify(rest) };
    case 'clear-conflict':
      return { path: '/conflicts/clear', body: JSON.stringify({ file: task.file, ...rest }) };
    case 'redirect':
      if (task.how === 'discard') return { path: '/redirect/discard', body: JSON.stringify(rest) };
      return { path: '/redirect/commit', body: JSON.stringify({ takeOver: task.takeOver, ...rest }) };
    case 'warm':
      return { path: '/warm', body: JSON.stringify({ file: task.file, what: task.what, ...rest }) };
  }
}

/** Undefined: the line is none of ours. */
export function parseLine(text: string): TaskLine | undefined {
  try {
    const line: unknown = JSON.parse(text);
    if (typeof line !== 'object' || line === null || !('kind' in line)) return undefined;
    const isOurs =
      (line.kind === 'progress' && 'progress' in line) ||
      line.kind === 'started' ||
      (line.kind === 'result' && 'result' in line) ||
      (line.kind === 'error' && 'error' in line);
    return isOurs ? (line as TaskLine) : undefined;
  } catch {
    return undefined;
  }
}
