/**
 * PR_SET_IO_FLUSHER (prctl(2)): memory that this thread asks for is never reclaimed by writing to a file system, which might be
 * one that this process itself must serve. Threads started later and programs exec'ed inherit it. Needs CAP_SYS_RESOURCE.
 */
import { lastErrno, libc } from './libc.ts';

const prctl = libc.func('int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)');
const PR_SET_IO_FLUSHER = 57;
const PR_GET_IO_FLUSHER = 58;

export function isIoFlusher(): boolean {
  return prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) === 1;
}

/** 0, or a negative errno. */
export function becomeIoFlusher(): number {
  return prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0 ? -lastErrno() : 0;
}
