/** The program of the keeper's thread. It is started by keeper-thread.ts; any message ends it. */
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { type Log, systemClock, systemRandom } from '../base/mod.ts';
import { startCrew } from './crew.ts';
import { Keeper } from './keeper.ts';
import type { KeeperLine } from './keeper-thread.ts';

if (parentPort !== null) {
  const port = parentPort;
  // Of this thread alone: Linux has priorities by thread (setpriority(2), BUGS).
  setPriority(19);
  const end = new AbortController();
  port.once('message', () => end.abort());
  const line =
    (level: keyof Log) =>
    (fields: object, message: string): void => {
      const said: KeeperLine = { level, fields, message };
      port.postMessage(said);
    };
  const log: Log = { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
  const tools = { clock: systemClock, random: systemRandom, log, crew: startCrew(0), signal: end.signal };
  // An error that ends it is told by the thread's own error.
  await new Keeper(workerData, tools).run().finally(() => port.close());
}
