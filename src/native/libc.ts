/**
 * The C library through koffi: the few calls that Node does not have. Each file of this folder wraps one family; errors come
 * back as negative errno numbers, as the kernel gives them, and callers turn them into values.
 */
import koffi from 'koffi';

export const libc = koffi.load('libc.so.6');

/** errno of the last failed call in this thread. Read it at once after the call. */
export function lastErrno(): number {
  return koffi.errno();
}
