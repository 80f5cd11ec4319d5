/**
 * Where chunks lie in a clean cache, kept beside it over restarts: the file `hints` in the cache's directory, which the
 * sessions of a worker share (shared-hints.ts). It is written now and then and at the end, put in place by rename, never synced: what it says is checked on use, and
 * without it chunks are found again as files are read.
 *
 * Invariant: it has no more entries than the cache has sectors, so it stays below half a percent of the cache's size.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, type Log, limits, systemCode, type Timer } from '../base/mod.ts';
import { MemoryHintIndex } from '../content/mod.ts';
import { replaceFile } from '../native/mod.ts';

const everyMs = 5 * 60 * 1000;

export interface HintsFileOptions {
  readonly directory: string;
  readonly cacheBytes: number;
  readonly clock: Clock;
  readonly log: Log;
  /** False: other threads write it too, and the later one stays. Default: true. */
  readonly isOnlyWriter?: boolean | undefined;
  /** Moves when there is something new to keep. */
  readonly version: () => number;
}

export class HintsFile {
  readonly index: MemoryHintIndex;
  readonly #options: HintsFileOptions;
  readonly #path: string;
  #savedVersion = 0;
  #timer: Timer | undefined;

  constructor(options: HintsFileOptions) {
    this.#options = options;
    this.#path = join(options.directory, 'hints');
    this.index = this.#load();
    this.#later();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#save();
  }

  #load(): MemoryHintIndex {
    const { cacheBytes, log } = this.#options;
    const entries = Math.min(limits.hintEntries, Math.ceil(cacheBytes / limits.sectorBytes));
    try {
      return MemoryHintIndex.decode(readFileSync(this.#path), { entries });
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') {
        const cause = String(error);
        log.warn({ path: this.#path, cause }, 'where chunks lie on this host cannot be read: they are found anew');
      }
      return new MemoryHintIndex({ entries });
    }
  }

  #later(): void {
    this.#timer = this.#options.clock.after(everyMs, () => {
      this.#save();
      this.#later();
    });
  }

  #save(): void {
    const version = this.#options.version();
    if (version === this.#savedVersion) return;
    try {
      replaceFile(this.#path, this.index.encode(), { isOnlyWriter: this.#options.isOnlyWriter ?? true });
      this.#savedVersion = version;
    } catch (error) {
      this.#options.log.debug(
        { path: this.#path, cause: String(error) },
        'where chunks lie on this host cannot be kept',
      );
    }
  }
}
