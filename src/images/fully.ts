/** Reads and writes of all that is asked for: one system call may do less. */
import { readSync, writeSync } from 'node:fs';

/** Into the first `count` bytes of `target`. Less than `count`: the file ends there. */
export function readFully(fd: number, target: Uint8Array, count: number, position: number): number {
  let done = 0;
  while (done < count) {
    const read = readSync(fd, target, done, count - done, position + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

/** Answers how many bytes these were. */
export function writeFully(fd: number, bytes: Uint8Array, position: number): number {
  let done = 0;
  while (done < bytes.length) done += writeSync(fd, bytes, done, bytes.length - done, position + done);
  return done;
}
