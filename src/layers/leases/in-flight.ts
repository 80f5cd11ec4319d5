/**
 * Waiting for what was let through before now, and for nothing that comes later.
 *
 *     changes  |----a----|  |---b---|        |--c--|
 *     quiet()          ^ waits for a and b          not for c
 */
import { type Eventual, isPromise } from '../../base/mod.ts';

interface Generation {
  count: number;
  empty: (() => void) | undefined;
}

export class InFlight {
  #generation: Generation = { count: 0, empty: undefined };
  #before: Promise<unknown> = Promise.resolve();

  /** Returns the reply as it is; one that is there already was never in flight. */
  track<Reply>(reply: Eventual<Reply>): Eventual<Reply> {
    if (!isPromise(reply)) return reply;
    const generation = this.#generation;
    generation.count++;
    const done = (): void => {
      generation.count--;
      if (generation.count === 0) generation.empty?.();
    };
    reply.then(done, done);
    return reply;
  }

  quiet(): Promise<unknown> {
    const generation = this.#generation;
    this.#generation = { count: 0, empty: undefined };
    const isEmpty = new Promise<void>((resolve) => {
      generation.empty = resolve;
      if (generation.count === 0) resolve();
    });
    this.#before = Promise.all([this.#before, isEmpty]);
    return this.#before;
  }
}
