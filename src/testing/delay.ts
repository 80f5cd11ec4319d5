/** Makes every call take time: half of it before the call reaches the next layer, half before the reply comes back. */
import { type Clock, type Eventual, sleep } from '../base/mod.ts';
import type * as fs from '../vfs/mod.ts';
import { InterceptingFilesystem } from './intercept.ts';

export interface DelayOptions {
  readonly clock: Clock;
  /** Milliseconds of one round trip, per operation if need be. */
  readonly roundTripMs: (operation: fs.OperationName) => number;
}

export class DelayLayer extends InterceptingFilesystem {
  readonly #options: DelayOptions;

  constructor(next: fs.Filesystem, options: DelayOptions) {
    super(next);
    this.#options = options;
  }

  protected override async intercept<R>(
    operation: fs.OperationName,
    _call: fs.Call,
    _args: unknown,
    proceed: () => Eventual<R>,
  ): Promise<R> {
    const halfMs = this.#options.roundTripMs(operation) / 2;
    await sleep(this.#options.clock, halfMs);
    const reply = await proceed();
    await sleep(this.#options.clock, halfMs);
    return reply;
  }
}
