/**
 * Bytes that unstable writes may hold. A writer without room waits in line; it is never failed for lack of room.
 *
 *     [ kept data | reserved by writes under way |      room      ]  limit
 *
 * `kept` moves with the extents that the layer holds; a write reserves its size before it goes to the origin. When the kept
 * data cannot be committed, waiting for room would be for ever: `giveUp` lets the waiting writes go on without keeping (the
 * caller sends them FILE_SYNC).
 */
import type { Eventual } from '../base/mod.ts';

export type Admission = 'reserved' | 'unkept';

interface Waiter {
  readonly bytes: number;
  readonly resolve: (admission: Admission) => void;
}

export class WriteRoom {
  readonly #limit: number;
  readonly #kept: () => number;
  #reserved = 0;
  #waiters: Waiter[] = [];

  /** `kept` answers how many bytes are held at this moment. */
  constructor(limit: number, kept: () => number) {
    this.#limit = limit;
    this.#kept = kept;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  get reserved(): number {
    return this.#reserved;
  }

  enter(bytes: number): Eventual<Admission> {
    if (this.#waiters.length === 0 && this.#fits(bytes)) {
      this.#reserved += bytes;
      return 'reserved';
    }
    return new Promise((resolve) => this.#waiters.push({ bytes, resolve }));
  }

  leave(bytes: number): void {
    this.#reserved -= bytes;
    this.admit();
  }

  /** Lets writers go on for whom there is room now. */
  admit(): void {
    while (this.#waiters.length > 0 && this.#fits(this.#waiters[0]!.bytes)) {
      const { bytes, resolve } = this.#waiters.shift()!;
      this.#reserved += bytes;
      resolve('reserved');
    }
  }

  giveUp(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const { resolve } of waiters) resolve('unkept');
  }

  #fits(bytes: number): boolean {
    const used = this.#kept() + this.#reserved;
    return used === 0 || used + bytes <= this.#limit;
  }
}
