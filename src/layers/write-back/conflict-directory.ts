/**
 * A directory of this host for versions that the origin does not take: sparse files, named like those at the origin.
 *
 * A file has its final name only when it is whole and durable; half-written ones end with `.part` and are made anew.
 */
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory } from '../../native/mod.ts';
import type { Payload } from '../../vfs/mod.ts';
import type { ConflictTarget } from './conflict-copy.ts';

export interface ConflictDirectory {
  /** Answers what went wrong, if anything did. */
  save(name: string, fill: (target: ConflictTarget) => Promise<string | undefined>): Promise<string | undefined>;
}

export class LocalConflictDirectory implements ConflictDirectory {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async save(name: string, fill: (target: ConflictTarget) => Promise<string | undefined>): Promise<string | undefined> {
    const path = join(this.#path, name.replace(/[^\x20-\x7e]/g, '_'));
    const part = `${path}.part`;
    try {
      makeDirectory(this.#path, 0o700);
      const file = await open(part, 'w', 0o600);
      let failed: string | undefined;
      try {
        failed = await fill(new LocalCopy(file, `${path}.ranges`));
      } finally {
        await file.close();
      }
      if (failed === undefined) await rename(part, path);
      else await rm(part, { force: true });
      await syncDirectory(this.#path);
      return failed;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}

class LocalCopy implements ConflictTarget {
  readonly #file: FileHandle;
  readonly #rangesPath: string;

  constructor(file: FileHandle, rangesPath: string) {
    this.#file = file;
    this.#rangesPath = rangesPath;
  }

  async begin(size: number): Promise<undefined> {
    await this.#file.truncate(0);
    await this.#file.truncate(size);
  }

  async write(offset: number, _count: number, data: Payload): Promise<undefined> {
    let at = offset;
    for (const slice of data) {
      for (let done = 0; done < slice.length; ) {
        const { bytesWritten } = await this.#file.write(slice, done, slice.length - done, at);
        done += bytesWritten;
        at += bytesWritten;
      }
    }
  }

  async end(ranges: Uint8Array | undefined): Promise<undefined> {
    await this.#file.datasync();
    if (ranges === undefined) return;
    const list = await open(this.#rangesPath, 'w', 0o600);
    try {
      await list.writeFile(ranges);
      await list.datasync();
    } finally {
      await list.close();
    }
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
