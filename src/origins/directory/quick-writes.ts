/**
 * Writes of whole pages, done without waking a thread: for one page that costs a fifth, and the file's next change need not
 * wait for a thread's answer (turns.ts). A kernel that is short of clean pages, or busy with its journal, makes writers
 * wait: after one that took long, threads do them for a while, so that the session's loop is held up once in that time.
 *
 *     quick --a write took `slowMs`--> resting --`restMs`--> quick
 *
 * Parts of pages are left to threads: the rest of the page may have to be read from the disk first.
 */
import * as nodeFs from 'node:fs';
import type { Clock } from '../../base/mod.ts';
import type { Payload, WriteArguments } from '../../vfs/mod.ts';
import { errnoOf } from './status.ts';

const mostBytes = 1024 * 1024;
const pageBytes = 4096;
const slowMs = 2;
const restMs = 1_000;

export class QuickWrites {
  readonly #clock: Clock;
  #restUntilMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isResting(): boolean {
    return this.#clock.now() < this.#restUntilMs;
  }

  /** Bytes written or a negative errno; undefined: not tried. */
  write(fd: number, { offset, count, data }: WriteArguments): number | undefined {
    if (count > mostBytes || hasPartsOfPages(offset, count) || this.isResting) return undefined;
    return this.writeNow(fd, data, offset, count);
  }

  /** Without a thread, whatever it takes. */
  writeNow(fd: number, data: Payload, offset: number, count: number): number {
    const begin = this.#clock.now();
    let result: number;
    try {
      result =
        data.length === 1 ? nodeFs.writeSync(fd, data[0]!, 0, count, offset) : nodeFs.writevSync(fd, data, offset);
    } catch (error) {
      result = errnoOf(error as NodeJS.ErrnoException);
    }
    const end = this.#clock.now();
    if (end - begin >= slowMs) this.#restUntilMs = end + restMs;
    return result;
  }
}

export function hasPartsOfPages(offset: number, count: number): boolean {
  return offset % pageBytes !== 0 || count % pageBytes !== 0;
}
