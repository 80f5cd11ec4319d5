/**
 * What is known of where chunks lie in one clean cache, for all the sessions of a worker that use it: one index in memory, one file.
 *
 *   use ──first──► HintsFile is loaded ──► (use ... close)* ──last close──► kept
 *
 * Each worker has an index of its own. The file is that of the worker that wrote it last; what it does not know is found again.
 */
import type { Clock, Log } from '../base/mod.ts';
import type { MemoryHintIndex } from '../content/mod.ts';
import { HintsFile } from './hints-file.ts';

export interface SharedHintsOptions {
  readonly directory: string;
  readonly cacheBytes: number;
  /** False: other workers write the same file. */
  readonly isOnlyWriter: boolean;
  readonly clock: Clock;
  readonly log: Log;
}

export interface HintsUse {
  readonly index: MemoryHintIndex;
  close(): void;
}

export class SharedHints {
  readonly #options: SharedHintsOptions;
  #file: HintsFile | undefined;
  readonly #versions = new Set<() => number>();
  /** What those taught that have closed. */
  #pastVersion = 0;

  constructor(options: SharedHintsOptions) {
    this.#options = options;
  }

  /** `version` moves when its user has taught something new. */
  use(version: () => number): HintsUse {
    this.#file ??= new HintsFile({ ...this.#options, version: () => this.#version() });
    const file = this.#file;
    // An object of its own, so that one function may be given twice.
    const counted = (): number => version();
    this.#versions.add(counted);
    return { index: file.index, close: () => this.#leave(counted) };
  }

  /** For all who have not. */
  close(): void {
    for (const version of [...this.#versions]) this.#leave(version);
  }

  #leave(version: () => number): void {
    if (!this.#versions.has(version)) return;
    this.#pastVersion += version();
    this.#versions.delete(version);
    if (this.#versions.size > 0) return;
    const file = this.#file;
    this.#file = undefined;
    file?.close();
    this.#pastVersion = 0;
  }

  #version(): number {
    let sum = this.#pastVersion;
    for (const version of this.#versions) sum += version();
    return sum;
  }
}
