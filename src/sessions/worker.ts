/**
 * The program of a worker thread, which has the data paths of any number of sessions (session-host.ts). It is started by worker-pool.ts and
 * speaks messages.ts.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock, systemRandom } from '../base/mod.ts';
import { recordOf } from './error-record.ts';
import type { WorkerOrder, WorkerReport, WorkerStart } from './messages.ts';
import { SessionHost } from './session-host.ts';
import { ThreadLoad } from './thread-load.ts';

if (parentPort !== null) {
  const port = parentPort;
  const { isolates }: WorkerStart = workerData;
  const post = (report: WorkerReport): void => port.postMessage(report);
  const breakDown = (error: unknown): void => {
    post({ kind: 'broken', error: recordOf(error) });
    // tidy: of a worker thread it ends that alone, at once: what is in an unknown state must not go on.
    process.exit(1);
  };
  const load = new ThreadLoad(systemClock);
  const tools = { load: () => load.take(), clock: systemClock, random: systemRandom };
  const host = new SessionHost({ isolates, post, breakDown, ...tools });
  if (isolates) {
    process.on('uncaughtException', (error) => host.unexpected(error));
    process.on('unhandledRejection', (reason) => host.unexpected(reason));
  }
  port.on('message', (order: WorkerOrder) => host.obey(order));
}
