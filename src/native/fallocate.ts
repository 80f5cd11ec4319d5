/** fallocate(2): room on the disk that later writes into it cannot lack. */
import { lastErrno, libc } from './libc.ts';

const fallocate: (fd: number, mode: number, position: number, count: number) => number = libc.func(
  'int fallocate(int fd, int mode, int64_t position, int64_t count)',
);

/** Reserves the first `bytes` of the file, which is as long after it: 0, or a negative errno (-EOPNOTSUPP: this file system cannot). */
export function reserveRoom(fd: number, bytes: number): number {
  return fallocate(fd, 0, 0, bytes) === 0 ? 0 : -lastErrno();
}
