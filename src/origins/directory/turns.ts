/**
 * The order of the changes of one file: each has the file for itself from the look before it to the look after it, so that what
 * its reply says of before and after (wcc_data, RFC 1813 2.6) is exact, and the replies chain without a gap:
 *
 *     change 1   stat S0, write, stat S1
 *     change 2                            stat S1, write, stat S2          a client that sees S0>S1>S2 knows that
 *     sync of 1                           |------------------|             nobody else changed the file meanwhile
 *
 * Nothing is lost by it: the kernel lets only one buffered write of an inode run at a time. Syncs stay outside and share.
 *
 * Limits: a local process that changes the file between our two stats, or within the same tick of the file system's clock (up to
 * 4 ms; each change has a time of its own since Linux 6.13) without a change of size, is not seen. Where that must not
 * happen, the time between them is short: careful-writes.ts.
 */
import { type Eventual, isPromise } from '../../base/mod.ts';

export class Turns {
  #last: Promise<void> | undefined;

  /** Runs `change` after all that came before it: now, if nothing is under way. It must not wait for another turn. */
  take<R>(change: () => Eventual<R>): Eventual<R> {
    const result = this.#last === undefined ? change() : this.#last.then(change);
    if (!isPromise(result)) return result;
    const end = (): void => {
      if (this.#last === ended) this.#last = undefined;
    };
    const ended: Promise<void> = result.then(end, end);
    this.#last = ended;
    return result;
  }
}
