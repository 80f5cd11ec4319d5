/**
 * Working sets of this host's own runs, in the state directory of their origin: `working-sets/KEY.PURPOSE.ws`, in the format of those
 * at the origin (docs/content-format.md). Put in place by rename, never synced: without them the next run is slower, and no more.
 *
 * Invariants: bounded in number and bytes, the longest unused go; a damaged one counts as none; nothing here throws.
 */
import { readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, type Log, limits, systemCode } from '../base/mod.ts';
import { ContentError, decodeWorkingSet, encodeWorkingSet, type Purpose, type WorkingSet } from '../content/mod.ts';
import type { WorkingSetStore } from '../layers/mod.ts';
import { makeDirectory, removeIfPossible, replaceFile } from '../native/mod.ts';

export interface WorkingSetFilesOptions {
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Log;
}

interface KeptFile {
  readonly path: string;
  readonly bytes: number;
  readonly usedMs: number;
}

/** What is left when the bounds are passed: so the directory is not looked through at each save. */
const keptShare = 0.9;

export class WorkingSetFiles implements WorkingSetStore {
  readonly #options: WorkingSetFilesOptions;
  /** At most what is there, as far as this session knows. */
  #count = Number.POSITIVE_INFINITY;
  #bytes = Number.POSITIVE_INFINITY;
  #hasFailed = false;

  constructor(options: WorkingSetFilesOptions) {
    this.#options = options;
  }

  load(key: string, purpose: Purpose): WorkingSet | undefined {
    const path = this.#path(key, purpose);
    try {
      const set = decodeWorkingSet(readFileSync(path));
      this.#used(path);
      return set.purpose === purpose ? set : undefined;
    } catch (error) {
      if (error instanceof ContentError) removeIfPossible(path);
      else if (systemCode(error) !== 'ENOENT') this.#fail(error);
      return undefined;
    }
  }

  save(key: string, set: WorkingSet): void {
    const path = this.#path(key, set.purpose);
    try {
      makeDirectory(this.#options.directory, 0o700);
      const bytes = encodeWorkingSet(set);
      replaceFile(path, bytes);
      this.#count++;
      this.#bytes += bytes.length;
      if (this.#count > limits.keptWorkingSets || this.#bytes > limits.keptWorkingSetBytes) this.#bound();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** A set that cannot be marked as used is used all the same. */
  #used(path: string): void {
    const now = this.#options.clock.wallTimeMs() / 1000;
    try {
      utimesSync(path, now, now);
    } catch (error) {
      this.#fail(error);
    }
  }

  #path(key: string, purpose: Purpose): string {
    return join(this.#options.directory, `${Buffer.from(key, 'latin1').toString('hex')}.${purpose}.ws`);
  }

  #bound(): void {
    const { directory } = this.#options;
    const files = readdirSync(directory).flatMap((name) => keptFile(join(directory, name)));
    files.sort((a, b) => a.usedMs - b.usedMs);
    this.#count = files.length;
    this.#bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    if (this.#count <= limits.keptWorkingSets && this.#bytes <= limits.keptWorkingSetBytes) return;
    for (const { path, bytes } of files) {
      if (this.#count <= limits.keptWorkingSets * keptShare && this.#bytes <= limits.keptWorkingSetBytes * keptShare)
        return;
      rmSync(path, { force: true });
      this.#count--;
      this.#bytes -= bytes;
    }
  }

  #fail(error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    const { directory, log } = this.#options;
    log.warn({ directory, cause: String(error) }, 'what this host learns of files in use cannot be kept');
  }
}

/** None if somebody has removed it meanwhile. */
function keptFile(path: string): KeptFile[] {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? [] : [{ path, bytes: found.size, usedMs: found.mtimeMs }];
}
