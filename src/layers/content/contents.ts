/**
 * The files whose meta-data is in use, by what the clean cache knows them by: what the zero-aware cache asks on each look-up.
 *
 * Invariant: bounded by bytes; the hand of a clock goes round and drops what was not used since it last came by. What is dropped is
 * found again when the file is read (its blocks of zeros are then unknown for a moment, which costs time only).
 */
import { limits } from '../../base/mod.ts';
import type { Described } from './described.ts';
import type { FileContent } from './file-content.ts';
import type { ContentStatistics } from './statistics.ts';
import type { KnownContents } from './zero-aware.ts';

interface Entry {
  readonly file: Described;
  /** When it was added: what our changes add to it is little. */
  readonly bytes: number;
  touched: boolean;
}

export class Contents implements KnownContents {
  readonly #entries = new Map<string, Entry>();
  readonly #statistics: ContentStatistics;
  readonly #mostBytes: number;
  #bytes = 0;

  constructor(statistics: ContentStatistics, mostBytes: number = limits.contentMemoryBytes) {
    this.#statistics = statistics;
    this.#mostBytes = mostBytes;
  }

  get count(): number {
    return this.#entries.size;
  }
  get memoryBytes(): number {
    return this.#bytes;
  }

  get(key: string): FileContent | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    entry.touched = true;
    return entry.file.content;
  }

  noteZeros(bytes: number): void {
    this.#statistics.zeroBytes += bytes;
  }

  has(file: Described): boolean {
    return this.#entries.get(file.content.key)?.file === file;
  }

  add(file: Described): void {
    const before = this.#entries.get(file.content.key);
    if (before !== undefined) this.delete(before.file);
    const bytes = file.content.memoryBytes;
    this.#bytes += bytes;
    this.#entries.set(file.content.key, { file, bytes, touched: true });
    while (this.#bytes > this.#mostBytes && this.#entries.size > 1) this.#evict(file);
  }

  delete(file: Described): void {
    const entry = this.#entries.get(file.content.key);
    if (entry?.file !== file) return;
    this.#entries.delete(file.content.key);
    this.#bytes -= entry.bytes;
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  /** Two rounds at most: the first takes every mark off. */
  #evict(newest: Described): void {
    for (let round = 0; round < 2; round++) {
      for (const entry of this.#entries.values()) {
        if (entry.file === newest) continue;
        if (!entry.touched) {
          this.delete(entry.file);
          return;
        }
        entry.touched = false;
      }
    }
  }
}
