/**
 * What a daemon does before its program is loaded, which takes longer than to open its sessions:
 *
 *     marked as an I/O flusher (and started again for it) ──► listening where its predecessor did ──► threads, which load meanwhile
 *
 * It imports next to nothing for that reason: of the sessions their types alone.
 */
import { availableParallelism } from 'node:os';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { WorkerStart } from '../../sessions/mod.ts';
import { beginAsIoFlusher } from '../io-flusher.ts';
import { HeldListeners } from './held-listeners.ts';

/** The pool starts more if the configuration has more. */
const mostThreads = 4;
/** As the pool of a daemon starts them. */
const start: WorkerStart = { isolates: true };

export interface BegunDaemon {
  readonly threads: readonly Worker[];
  readonly listeners: HeldListeners;
}

export function beginDaemon(): BegunDaemon {
  beginAsIoFlusher();
  const listeners = HeldListeners.open();
  const program = workerProgram();
  const threads = Array.from({ length: Math.min(mostThreads, availableParallelism()) }, (_, index) => {
    const thread = new Worker(program, { workerData: start, name: `sessions ${index + 1}` });
    // One that cannot start is seen by the pool as none, and started by it.
    thread.on('error', () => {});
    return thread;
  });
  return { threads, listeners };
}

function workerProgram(): string {
  const source = fileURLToPath(new URL('../../sessions/worker.ts', import.meta.url));
  return source.replace(/\.ts$/, extname(import.meta.url));
}
