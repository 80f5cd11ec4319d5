/** The program of a packer's thread: does tasks one after the other. It is started by crew.ts and ends when its port is closed. */
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { systemCode } from '../base/mod.ts';
import type { Done, Order } from './crew.ts';
import { TaskRunner } from './tasks.ts';

if (parentPort !== null) {
  const port = parentPort;
  // Of this thread alone: Linux has priorities by thread (setpriority(2), BUGS).
  if (workerData?.isNice === true) setPriority(19);
  const runner = new TaskRunner();
  const obey = async ({ id, task }: Order): Promise<Done> => {
    try {
      return { id, result: await runner.run(task) };
    } catch (error) {
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
      return { id, error: { code: systemCode(error), message } };
    }
  };
  let turn = Promise.resolve();
  port.on('message', (order: Order) => {
    turn = turn.then(async () => {
      const done = await obey(order);
      port.postMessage(done, 'result' in done ? payloadsOf(done.result) : []);
    });
  });
}

/** Given away, not copied. */
function payloadsOf(result: object): ArrayBuffer[] {
  return Object.values(result).flatMap((value) =>
    ArrayBuffer.isView(value) && value.buffer instanceof ArrayBuffer ? [value.buffer] : [],
  );
}
