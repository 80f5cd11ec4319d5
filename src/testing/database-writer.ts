/** Another thread that writes to an SQLite file while it is opened here. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/** Long enough to be found writing; whoever comes later finds it done. */
const writesMs = 150;

const program = `
  const { DatabaseSync } = require('node:sqlite');
  const { parentPort, workerData } = require('node:worker_threads');
  const database = new DatabaseSync(workerData.path);
  database.exec('BEGIN IMMEDIATE');
  parentPort.postMessage('writing');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, workerData.writesMs);
  database.exec('COMMIT');
  database.close();
`;

/** Resolves when the thread is writing; it ends by itself, which the answer waits for. */
export async function databaseWriter(path: string): Promise<() => Promise<void>> {
  const worker = new Worker(program, { eval: true, workerData: { path, writesMs } });
  const ended = once(worker, 'exit');
  await once(worker, 'message');
  return async () => void (await ended);
}
