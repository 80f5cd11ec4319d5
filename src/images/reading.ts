/** How an image is read: when it has come to rest, page by page without its holes, and what its changing meanwhile means. */
import { fdatasync } from 'node:fs';
import { type Clock, sleep, ViaductError } from '../base/mod.ts';
import { errno, seekData } from '../native/mod.ts';
import { sameStamp } from '../vfs/mod.ts';
import type { Crew } from './crew.ts';
import { failure } from './failure.ts';
import type { FileStatus, ImageFile } from './image-file.ts';
import { pageBytes } from './tasks.ts';

export interface Progress {
  readonly path: string;
  /** `scan`: the file is read; `pack`: its pack is made, or read. */
  readonly stage: 'scan' | 'pack';
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** What all need that read a whole image. */
export interface ReadingOptions {
  readonly crew: Crew;
  /** Aborted: ends with its reason. */
  readonly signal: AbortSignal;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Awaited before bytes of the image are read: slows. */
  readonly pace?: ((bytes: number) => Promise<void>) | undefined;
}

/** Times must be older than this, or a write right after would not show in them. */
const settledMs = 2_000;
const attempts = 3;

/** The file's status when its times are old enough that a later write will show in them; waits a few seconds for that. */
export async function settled(
  image: ImageFile,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<FileStatus> {
  let status = image.status();
  for (let turn = 0; turn < attempts; turn++) {
    const { mtimeSeconds, ctimeSeconds } = status.stamp;
    // The second that it says is not over before the next one begins.
    const ageMs = clock.wallTimeMs() - 1000 * (Math.max(mtimeSeconds, ctimeSeconds) + 1);
    if (ageMs > settledMs) return status;
    // Times ahead of this clock: what counts is that they stand still for as long.
    await sleep(clock, Math.min(settledMs + 1_000, settledMs - ageMs) + 100);
    signal.throwIfAborted();
    const later = image.status();
    if (sameStamp(later.stamp, status.stamp)) return later;
    status = later;
  }
  throw new ViaductError('IMAGE_CHANGED', {
    cause: `${image.path} is being written to.`,
    remedy: 'Pack it when nobody writes to it; `viaduct serve` does so by itself for files that were packed once.',
  });
}

export function changed(path: string): ViaductError {
  return new ViaductError('IMAGE_CHANGED', {
    cause: `${path} was changed, or replaced, while it was read.`,
    remedy: 'Nothing was put in place. Start again when nobody writes to it.',
  });
}

/**
 * What is written is on the disk. File systems have been known to tell holes where data waited to be written (ZFS until 2023), and what
 * is packed must not be lost where the pack is not.
 */
export function onDisk(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fdatasync(fd, (error) => {
      // A file system that is not written to has nothing to wait for.
      if (error === null || error.code === 'EROFS' || error.code === 'EINVAL') resolve();
      else reject(error);
    });
  });
}

/** Pages in which there is anything but holes. */
export function* pagesWithData(fd: number, size: number): Iterable<number> {
  for (let at = 0; at < size; ) {
    const data = seekData(fd, at);
    if (data === -errno.ENXIO || data >= size) return;
    const page = Math.floor((data < 0 ? at : data) / pageBytes);
    yield page;
    at = (page + 1) * pageBytes;
  }
}

export function pageLength(page: number, size: number): number {
  return Math.min(pageBytes, size - page * pageBytes);
}

/** Errors of the system as those of people; the reason of an abort stays as it is. */
export async function attemptAsync<T>(doing: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw error instanceof Error && 'code' in error && typeof error.code === 'string' ? failure(doing, error) : error;
  }
}
