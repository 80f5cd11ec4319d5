/**
 * The files in use, by handle, so that the hot path is one look-up. Bounded; the hand of a clock goes round and drops
 * what was not used since it last came by (nothing is lost: the clean cache has the record).
 */
import { createHash } from 'node:crypto';
import type { FileHandle } from '../../vfs/mod.ts';
import type { OpenFile } from './open-file.ts';

/** At about 1 KiB each, and up to 100 KiB for large files that are read here and there. */
const defaultCapacity = 1024;

export class OpenFiles {
  readonly #files = new Map<FileHandle, OpenFile>();
  readonly #identity: string;
  readonly #capacity: number;
  readonly #onEvict: (file: OpenFile) => void;

  constructor(identity: string, onEvict: (file: OpenFile) => void, capacity = defaultCapacity) {
    this.#identity = identity;
    this.#onEvict = onEvict;
    this.#capacity = capacity;
  }

  get count(): number {
    return this.#files.size;
  }

  get(handle: FileHandle): OpenFile | undefined {
    return this.#files.get(handle);
  }

  add(file: OpenFile): void {
    if (this.#files.size >= this.#capacity) this.#evict();
    this.#files.set(file.handle, file);
  }

  values(): Iterable<OpenFile> {
    return this.#files.values();
  }

  keyOf(handle: FileHandle): string {
    return cacheKeyOf(this.#identity, handle);
  }

  /** Busy files stay: their number is bounded by the calls that a session may have under way. */
  #evict(): void {
    let steps = 2 * this.#files.size;
    for (const [handle, file] of this.#files) {
      if (steps-- === 0) return;
      this.#files.delete(handle);
      if (!file.isUsed && !file.isBusy) {
        this.#onEvict(file);
        return;
      }
      file.isUsed = false;
      this.#files.set(handle, file);
    }
  }
}

/** 16 bytes, one character each: what the clean cache knows a file by. */
export function cacheKeyOf(identity: string, handle: FileHandle): string {
  const hash = createHash('sha256').update(identity).update('\0').update(handle, 'latin1');
  return hash.digest().toString('latin1', 0, 16);
}
