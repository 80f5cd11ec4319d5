/**
 * The files that are held open: least recently used first out, bounded by descriptors, closed when idle, so that a removed
 * file's space and an unmounted disk are not pinned for long.
 */
import type { Clock, Timer } from '../../base/mod.ts';
import type { FileHandle } from '../../vfs/mod.ts';
import type { OpenFile } from './open-file.ts';

const idleMs = 30_000;
const sweepMs = 10_000;

export interface OpenFilesOptions {
  readonly clock: Clock;
  readonly maximumDescriptors: number;
  /** Syncs what was written; called before a dirty file is closed. It reports errors itself and never rejects. */
  readonly settle: (file: OpenFile) => Promise<unknown>;
}

export class OpenFiles {
  /** In the order of use. */
  readonly #files = new Map<FileHandle, OpenFile>();
  readonly #settling = new Set<Promise<unknown>>();
  readonly #options: OpenFilesOptions;
  #timer: Timer | undefined;
  #trimming = false;
  #closed = false;

  constructor(options: OpenFilesOptions) {
    this.#options = options;
    this.#sweepLater();
  }

  get size(): number {
    return this.#files.size;
  }

  get(handle: FileHandle): OpenFile | undefined {
    const file = this.#files.get(handle);
    if (file !== undefined) {
      this.#files.delete(handle);
      this.#files.set(handle, file);
      file.lastUsedMs = this.#options.clock.now();
    }
    return file;
  }

  /** Without counting as a use. */
  peek(handle: FileHandle): OpenFile | undefined {
    return this.#files.get(handle);
  }

  add(file: OpenFile): void {
    file.lastUsedMs = this.#options.clock.now();
    this.#files.set(file.handle, file);
    // Three descriptors a file at most: below this count there is nothing to add up.
    if (this.#trimming || this.#files.size * 3 <= this.#options.maximumDescriptors) return;
    this.#trimming = true;
    // Not now: the operation that is running may hold other files without using them.
    queueMicrotask(() => {
      this.#trimming = false;
      this.#trim();
    });
  }

  /** Closes the oldest until the descriptors fit again. */
  #trim(): void {
    let descriptors = 0;
    for (const file of this.#files.values()) descriptors += file.descriptors;
    if (descriptors <= this.#options.maximumDescriptors) return;
    // A quarter at a time, so that the count above is rare.
    const target = this.#options.maximumDescriptors * 0.75;
    for (const file of this.#files.values()) {
      if (descriptors <= target) return;
      if (file.busy) continue;
      descriptors -= file.descriptors;
      this.#retire(file);
    }
  }

  /** Forgets a file that is gone. What was not synced of it does not matter any more. */
  drop(handle: FileHandle): void {
    const file = this.#files.get(handle);
    if (file === undefined) return;
    this.#files.delete(handle);
    file.close();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    for (const file of [...this.#files.values()]) this.#retire(file);
    while (this.#settling.size > 0) await Promise.all(this.#settling);
  }

  #retire(file: OpenFile): void {
    this.#files.delete(file.handle);
    if (!file.dirty) {
      file.close();
      return;
    }
    const settled = this.#options.settle(file).then(() => {
      this.#settling.delete(settled);
      file.close();
    });
    this.#settling.add(settled);
  }

  #sweepLater(): void {
    this.#timer = this.#options.clock.after(sweepMs, () => {
      if (this.#closed) return;
      const before = this.#options.clock.now() - idleMs;
      for (const file of this.#files.values()) {
        if (file.lastUsedMs > before) break;
        if (!file.busy) this.#retire(file);
      }
      this.#sweepLater();
    });
  }
}
