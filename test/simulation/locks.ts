/** Which parts of files clients are changing: changes of one cell, and of a file's size, follow each other. */
import type { FileHistory } from './history.ts';

interface Holdings {
  isExclusive: boolean;
  readonly ranges: Set<readonly [number, number]>;
}

export class Locks {
  readonly #held = new Map<FileHistory, Holdings>();

  /** The cells for one writer; undefined: somebody else is there. */
  range(file: FileHistory, from: number, to: number): (() => void) | undefined {
    const held = this.#of(file);
    if (held.isExclusive || [...held.ranges].some(([start, end]) => from < end && start < to)) return undefined;
    const range = [from, to] as const;
    held.ranges.add(range);
    return () => held.ranges.delete(range);
  }

  /** The whole file for one client. */
  whole(file: FileHistory): (() => void) | undefined {
    const held = this.#of(file);
    if (held.isExclusive || held.ranges.size > 0) return undefined;
    held.isExclusive = true;
    return () => {
      held.isExclusive = false;
    };
  }

  #of(file: FileHistory): Holdings {
    let held = this.#held.get(file);
    if (held === undefined) this.#held.set(file, (held = { isExclusive: false, ranges: new Set() }));
    return held;
  }
}
