/**
 * Time that a test moves by hand. Timers run in the order of their due times; between two of them all promise reactions
 * that are ready run, so that a chain of timers and promises unfolds as it would in real time.
 */
import type { Clock, Timer } from '../base/mod.ts';

interface Pending {
  readonly dueMs: number;
  readonly order: number;
  readonly action: () => void;
}

const startWallTimeMs = 1_700_000_000_000;

export class SimulatedClock implements Clock {
  #nowMs = 0;
  #order = 0;
  readonly #pending = new Set<Pending>();

  now(): number {
    return this.#nowMs;
  }

  wallTimeMs(): number {
    return startWallTimeMs + this.#nowMs;
  }

  after(delayMs: number, action: () => void): Timer {
    const pending = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, action };
    this.#pending.add(pending);
    return { cancel: () => this.#pending.delete(pending) };
  }

  /** Timers that have not run: a test can assert that nothing is left behind. */
  timers(): number {
    return this.#pending.size;
  }

  /** Moves time on by `deltaMs`, running what falls due on the way. */
  async advance(deltaMs: number): Promise<void> {
    const endMs = this.#nowMs + deltaMs;
    await settle();
    for (let due = this.#next(endMs); due !== undefined; due = this.#next(endMs)) {
      this.#pending.delete(due);
      this.#nowMs = Math.max(this.#nowMs, due.dueMs);
      due.action();
      await settle();
    }
    this.#nowMs = endMs;
  }

  /** Runs the next timer, and what follows of it without timers. False: there is none. */
  async step(): Promise<boolean> {
    const due = this.#next(Number.POSITIVE_INFINITY);
    if (due === undefined) return false;
    this.#pending.delete(due);
    this.#nowMs = Math.max(this.#nowMs, due.dueMs);
    due.action();
    // All promise reactions run before it, however many follow each other.
    await new Promise((resolve) => setImmediate(resolve));
    return true;
  }

  #next(endMs: number): Pending | undefined {
    let first: Pending | undefined;
    for (const pending of this.#pending) {
      if (pending.dueMs > endMs) continue;
      if (first === undefined || pending.dueMs < first.dueMs) first = pending;
      else if (pending.dueMs === first.dueMs && pending.order < first.order) first = pending;
    }
    return first;
  }
}

/** Lets promise reactions that are ready, and those that they make ready, run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
}
