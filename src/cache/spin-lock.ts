/**
 * Very short locks in shared memory, for a few loads and stores with no I/O and no `await` inside.
 *
 *   word 0: free       word n: held by attachment n - 1
 *
 * A thread can be ended at any instruction (`worker.terminate()`), so a lock that nobody let go for `patienceMs` is taken over.
 * What its holder left half done is harmless: tags are hints, a sector that does not verify is absent.
 */
import { assert } from '../base/mod.ts';

/** The thread is known to have ended: what it holds is free. Answers which locks that were. */
export function freeLocks(words: Int32Array, attachment: number): number[] {
  const freed: number[] = [];
  for (let index = 0; index < words.length; index++) {
    if (words[index] !== attachment + 1) continue;
    if (Atomics.compareExchange(words, index, attachment + 1, 0) === attachment + 1) freed.push(index);
  }
  return freed;
}

const spins = 2000;
const waitMs = 1;
const patienceMs = 3000;

export class SpinLocks {
  private readonly words: Int32Array;
  private readonly mine: number;

  constructor(words: Int32Array, attachment: number) {
    this.words = words;
    this.mine = attachment + 1;
  }

  acquire(index: number): void {
    if (Atomics.compareExchange(this.words, index, 0, this.mine) !== 0) this.acquireSlowly(index);
  }

  release(index: number): void {
    Atomics.compareExchange(this.words, index, this.mine, 0);
  }

  private acquireSlowly(index: number): void {
    assert(Atomics.load(this.words, index) !== this.mine, 'a lock is not taken twice by one thread');
    for (let turn = 0; turn < spins; turn++) {
      if (Atomics.compareExchange(this.words, index, 0, this.mine) === 0) return;
    }
    let holder = Atomics.load(this.words, index);
    for (let waitedMs = 0; ; waitedMs += waitMs) {
      if (holder === 0 || waitedMs >= patienceMs) {
        if (Atomics.compareExchange(this.words, index, holder, this.mine) === holder) return;
        waitedMs = 0;
      } else {
        Atomics.wait(this.words, index, holder, waitMs);
      }
      const now = Atomics.load(this.words, index);
      if (now !== holder) waitedMs = 0;
      holder = now;
    }
  }
}
