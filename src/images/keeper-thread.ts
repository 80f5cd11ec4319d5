/**
 * The keeper in a thread of its own, of the lowest priority, as the main thread sees it.
 *
 *     start ──plan──► thread: Keeper ──log lines──► main        close ──► the thread ends what it does, or is ended
 */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type Clock, type Log, sleep } from '../base/mod.ts';
import type { KeeperPlan } from './keeper.ts';

export interface KeeperLine {
  readonly level: keyof Log;
  readonly fields: object;
  readonly message: string;
}

export interface RunningKeeper {
  close(): Promise<void>;
}

/** A task under way takes less. */
const patienceMs = 2_000;

export function startKeeper(
  plan: KeeperPlan,
  { log, clock }: { readonly log: Log; readonly clock: Clock },
): RunningKeeper {
  const program = fileURLToPath(new URL(`./keeper-worker${extname(import.meta.url)}`, import.meta.url));
  const worker = new Worker(program, { workerData: plan, name: 'keeper of packs' });
  let isClosing = false;
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  worker.on('message', ({ level, fields, message }: KeeperLine) => log[level](fields, message));
  worker.on('error', (error) => log.error({ error: String(error) }, 'packs are not kept current any more'));
  // It must not keep a process alive that has nothing else to do.
  worker.unref();
  return {
    async close() {
      if (isClosing) return ended;
      isClosing = true;
      worker.ref();
      worker.postMessage('close');
      await Promise.race([ended, sleep(clock, patienceMs)]);
      await worker.terminate();
    },
  };
}
