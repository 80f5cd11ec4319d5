/**
 * What a running session can be asked to do, and what it says while it does it. Plain data: it travels between threads, and over the
 * control socket as JSON.
 *
 *     task ──► progress (at once, then twice a second) ... ──► result, or an error with its code
 */
import type { ErrorRecord } from './error-record.ts';

export type SessionTask =
  /** Everything that was written until now to the origin; or all of one file, with what must go before it. */
  | { readonly task: 'write-back'; readonly file?: string | undefined }
  /** The same, and then everything that is cached is forgotten. */
  | { readonly task: 'flush' }
  /** What is cached is forgotten at once, without waiting for changes to be written back: they stay. */
  | { readonly task: 'invalidate' }
  /** The file takes writes again. */
  | { readonly task: 'clear-conflict'; readonly file: string }
  /** Of a redirect session: bring its changes to the origin (`takeOver`: also if somebody else has the write lease), or forget them. */
  | { readonly task: 'redirect'; readonly how: 'commit'; readonly takeOver?: boolean | undefined }
  | { readonly task: 'redirect'; readonly how: 'discard' }
  /** All of the file, or its working set alone, into the cache. */
  | { readonly task: 'warm'; readonly file: string; readonly what: 'whole' | 'working-set' };

export interface TaskProgress {
  /** What write-back does at present, see `WriteBackStatus.drain.state`; of `warm`: `fetching`. */
  readonly state: string;
  /** Bytes that were waiting when the task began, at least; what of them is still on its way; and the rate. */
  readonly totalBytes: number;
  readonly pendingBytes: number;
  readonly bytesPerSecond: number;
  /** Undefined: unknown. */
  readonly secondsLeft: number | undefined;
  readonly problem: string | undefined;
}

export type TaskOutcome = 'done' | 'conflict' | 'refused' | 'lease-lost' | 'closed' | 'incomplete';

export interface TaskResult {
  readonly outcome: TaskOutcome;
  /** One line each, for people. */
  readonly problems: readonly string[];
}

export type TaskEvent =
  | { readonly kind: 'progress'; readonly progress: TaskProgress }
  | { readonly kind: 'result'; readonly result: TaskResult }
  | { readonly kind: 'error'; readonly error: ErrorRecord };

/** A task from outside. Undefined: it is none. */
export function parseTask(value: unknown): SessionTask | undefined {
  if (typeof value !== 'object' || value === null || !('task' in value)) return undefined;
  const file = 'file' in value && typeof value.file === 'string' && value.file !== '' ? value.file : undefined;
  if ('file' in value && value.file !== undefined && file === undefined) return undefined;
  switch (value.task) {
    case 'write-back':
      return { task: 'write-back', file };
    case 'flush':
    case 'invalidate':
      return { task: value.task };
    case 'clear-conflict':
      return file === undefined ? undefined : { task: 'clear-conflict', file };
    case 'redirect':
      return parseRedirect(value);
    case 'warm': {
      const what = 'what' in value ? value.what : undefined;
      if (file === undefined || (what !== 'whole' && what !== 'working-set')) return undefined;
      return { task: 'warm', file, what };
    }
    default:
      return undefined;
  }
}

function parseRedirect(value: object): SessionTask | undefined {
  const how = 'how' in value ? value.how : undefined;
  const takeOver = 'takeOver' in value ? value.takeOver : undefined;
  if (how === 'discard' && takeOver === undefined) return { task: 'redirect', how };
  if (how !== 'commit' || (takeOver !== undefined && typeof takeOver !== 'boolean')) return undefined;
  return { task: 'redirect', how, ...(takeOver === undefined ? {} : { takeOver }) };
}
