/**
 * Buffers for READ replies, used again: a fresh mebibyte costs more in page faults than the read that fills it.
 *
 * Sizes are powers of two from 4 KiB to 1 MiB; free buffers together stay below a limit; what is not released is left to the
 * garbage collector.
 */
import { limits } from '../../base/mod.ts';
import { type ReadTarget, readTarget } from '../../native/mod.ts';

const smallest = 4096;
const keptBytes = 32 * limits.transferBytes;

export class BufferPool {
  readonly #free = new Map<number, ReadTarget[]>();
  #freeBytes = 0;

  /** At least `count` bytes; it may hold data of earlier reads. */
  take(count: number): ReadTarget {
    const size = sizeFor(count);
    const target = this.#free.get(size)?.pop();
    if (target === undefined) return readTarget(Buffer.allocUnsafeSlow(size));
    this.#freeBytes -= size;
    return target;
  }

  /** Only what `take` gave, once. */
  give(target: ReadTarget): void {
    const size = target.buffer.length;
    if (this.#freeBytes + size > keptBytes) return;
    this.#freeBytes += size;
    const list = this.#free.get(size);
    if (list === undefined) this.#free.set(size, [target]);
    else list.push(target);
  }
}

function sizeFor(count: number): number {
  return count <= smallest ? smallest : 2 ** (32 - Math.clz32(count - 1));
}
