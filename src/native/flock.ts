/** flock(2): a lock on an open file that the kernel drops when the process dies. */
import { lastErrno, libc } from './libc.ts';

const LOCK_EX = 2;
const LOCK_NB = 4;

const flock: (fd: number, operation: number) => number = libc.func('int flock(int fd, int operation)');

/** Takes the exclusive lock without waiting: 0, or a negative errno (-EWOULDBLOCK, which is -11, when another open file holds it). */
export function flockExclusive(fd: number): number {
  return flock(fd, LOCK_EX | LOCK_NB) === 0 ? 0 : -lastErrno();
}
