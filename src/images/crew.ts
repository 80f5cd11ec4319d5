/**
 * The threads that do tasks (tasks.ts). A crew of none does them in the caller's thread: small work, or a thread that is a background
 * one already.
 *
 *     run ──► the thread with the fewest tasks ──► result         close ──► threads end, what they have not done fails
 */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type Result, type ResultOf, type Task, TaskRunner } from './tasks.ts';

export interface Order {
  readonly id: number;
  readonly task: Task;
}

export type Done =
  | { readonly id: number; readonly result: Result }
  | { readonly id: number; readonly error: { readonly code: string | undefined; readonly message: string } };

export interface Crew {
  /** Tasks that are worth having under way at a time. */
  readonly width: number;
  /** Rejects with the system's error. */
  run<T extends Task>(task: T): Promise<ResultOf<T>>;
  close(): Promise<void>;
}

/** Threads start with the first tasks. `isNice`: they get what no other thread wants. */
export function startCrew(threads: number, options: { readonly isNice?: boolean } = {}): Crew {
  return threads === 0 ? new OwnThread() : new Threads(threads, options.isNice === true);
}

class OwnThread implements Crew {
  readonly width = 1;
  readonly #runner = new TaskRunner();

  async run<T extends Task>(task: T): Promise<ResultOf<T>> {
    // Whoever waits for a signal or a message gets a turn between two tasks.
    await new Promise((resolve) => setImmediate(resolve));
    return (await this.#runner.run(task)) as ResultOf<T>;
  }

  async close(): Promise<void> {}
}

interface Waiting {
  resolve(result: Result): void;
  reject(error: Error): void;
}

interface Hand {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting>;
}

class Threads implements Crew {
  readonly width: number;
  readonly #threads: number;
  readonly #isNice: boolean;
  readonly #hands: Hand[] = [];
  #nextId = 0;

  constructor(threads: number, isNice: boolean) {
    this.#threads = threads;
    this.#isNice = isNice;
    // Another one waits in each thread, so that none waits for the main thread; and some for those that take longer.
    this.width = 2 * threads + 2;
  }

  run<T extends Task>(task: T): Promise<ResultOf<T>> {
    const hand = this.#hand();
    const id = this.#nextId++;
    return new Promise<ResultOf<T>>((resolve, reject) => {
      hand.waiting.set(id, { resolve: (result) => resolve(result as ResultOf<T>), reject });
      const order: Order = { id, task };
      hand.worker.postMessage(order);
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#hands.splice(0).map(({ worker }) => worker.terminate()));
  }

  #hand(): Hand {
    const idle = this.#hands.find(({ waiting }) => waiting.size === 0);
    if (idle !== undefined) return idle;
    if (this.#hands.length < this.#threads) return this.#start();
    return this.#hands.reduce((least, hand) => (hand.waiting.size < least.waiting.size ? hand : least));
  }

  #start(): Hand {
    const program = fileURLToPath(new URL(`./worker${extname(import.meta.url)}`, import.meta.url));
    const worker = new Worker(program, { workerData: { isNice: this.#isNice }, name: 'images' });
    const waiting = new Map<number, Waiting>();
    const hand = { worker, waiting };
    const fail = (error: Error): void => {
      const at = this.#hands.indexOf(hand);
      if (at >= 0) this.#hands.splice(at, 1);
      for (const { reject } of waiting.values()) reject(error);
      waiting.clear();
    };
    worker.on('message', (done: Done) => {
      const waiter = waiting.get(done.id);
      waiting.delete(done.id);
      if ('result' in done) waiter?.resolve(done.result);
      else waiter?.reject(Object.assign(new Error(done.error.message), { code: done.error.code }));
    });
    worker.on('error', (error) => fail(error instanceof Error ? error : new Error(String(error))));
    worker.on('exit', () => fail(new Error('the thread has ended')));
    this.#hands.push(hand);
    return hand;
  }
}

/**
 * Runs tasks several at a time and takes their results in order. The first failure ends it, when what is under way has ended.
 * `mayGoOn` is awaited before each task: it slows, and it throws to end.
 */
export async function inOrder<T extends Task>(
  crew: Crew,
  tasks: Iterable<T>,
  take: (result: ResultOf<T>, task: T) => void,
  mayGoOn: (task: T) => Promise<void> | void,
): Promise<void> {
  const underWay: { readonly task: T; readonly result: Promise<ResultOf<T>> }[] = [];
  const takeFirst = async (): Promise<void> => {
    const { task, result } = underWay.shift()!;
    take(await result, task);
  };
  try {
    for (const task of tasks) {
      await mayGoOn(task);
      const result = crew.run(task);
      // Awaited later, when it may have failed already.
      result.catch(() => {});
      underWay.push({ task, result });
      if (underWay.length >= crew.width) await takeFirst();
    }
    while (underWay.length > 0) await takeFirst();
  } finally {
    await Promise.allSettled(underWay.map(({ result }) => result));
  }
}
