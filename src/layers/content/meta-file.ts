/**
 * The bytes of a meta-data file, kept in the clean cache like those of any other file, so that a restart needs nothing of them from
 * the origin. What was kept is as good as what was fetched: heads and pages carry checksums.
 */
import { limits } from '../../base/mod.ts';
import type { CachedFile } from '../../cache/mod.ts';
import {
  type Attributes,
  type Call,
  type FileHandle,
  type Filesystem,
  sameContent,
  stampOfAttributes,
} from '../../vfs/mod.ts';
import type { BlockStore } from '../block-cache/open-file.ts';
import { readRange } from './origin-read.ts';
import type { ContentStatistics } from './statistics.ts';

const { sectorBytes } = limits;

export interface MetaFileOptions {
  readonly next: Filesystem;
  readonly store: BlockStore;
  readonly statistics: ContentStatistics;
}

export class MetaFile {
  readonly handle: FileHandle;
  readonly attributes: Attributes;
  readonly #options: MetaFileOptions;
  readonly #cached: CachedFile;

  constructor(key: string, handle: FileHandle, attributes: Attributes, options: MetaFileOptions) {
    this.handle = handle;
    this.attributes = attributes;
    this.#options = options;
    this.#cached = options.store.file(key, stampOfAttributes(attributes));
  }

  get size(): number {
    return this.attributes.size;
  }

  /** What was kept may be the damage: it is read anew. */
  forget(): void {
    this.#cached.forget();
  }

  /** Undefined: it cannot be read, it is shorter, or it was replaced. */
  async read(call: Call, offset: number, count: number): Promise<Uint8Array | undefined> {
    if (count === 0) return new Uint8Array(0);
    if (offset + count > this.size) return undefined;
    const kept = await this.#cached.read(offset, count);
    if (kept !== undefined) {
      const bytes = Buffer.concat(kept.slices);
      kept.release();
      return bytes;
    }
    const begin = offset - (offset % sectorBytes);
    const end = Math.min(Math.ceil((offset + count) / sectorBytes) * sectorBytes, this.size);
    const { next, statistics } = this.#options;
    const ticket = this.#cached.ticket(begin, end - begin);
    const got = await readRange(next, call, this.handle, begin, end - begin);
    if (got.status !== 0) return undefined;
    statistics.metaBytes += got.bytes.length;
    if (got.attributes.some((shown) => shown !== undefined && !sameContent(shown, this.attributes))) return undefined;
    if (got.attributes.every((shown) => shown !== undefined)) {
      void this.#cached.fill(ticket, stampOfAttributes(this.attributes), begin, [got.bytes], got.bytes.length);
    }
    return got.bytes.subarray(offset - begin, offset - begin + count);
  }
}
