/** The disk under the cache: the calls whose failure the cache must live with, so that tests can make them fail. */
import { fdatasync, writev } from 'node:fs';
import type { CacheDisk } from './contract.ts';

export const systemDisk: CacheDisk = {
  writev: (fd, slices, position) =>
    new Promise((resolve, reject) => {
      writev(fd, slices as Uint8Array[], position, (error, written) => (error ? reject(error) : resolve(written)));
    }),
  datasync: (fd) =>
    new Promise((resolve, reject) => {
      fdatasync(fd, (error) => (error ? reject(error) : resolve()));
    }),
};

/** Linux takes at most this many slices a call. */
const maximumSlices = 1024;

/** Writes all of the slices at `position`, however many calls it takes. */
export async function writeAll(
  disk: CacheDisk,
  fd: number,
  slices: readonly Uint8Array[],
  position: number,
): Promise<void> {
  let rest = slices.filter((slice) => slice.length > 0);
  let at = position;
  while (rest.length > 0) {
    const batch = rest.slice(0, maximumSlices);
    let written = await disk.writev(fd, batch, at);
    if (written <= 0) throw Object.assign(new Error('the disk took nothing'), { code: 'ENOSPC' });
    at += written;
    let done = 0;
    while (done < batch.length && written >= batch[done]!.length) written -= batch[done++]!.length;
    rest = rest.slice(done);
    if (written > 0) rest[0] = rest[0]!.subarray(written);
  }
}
