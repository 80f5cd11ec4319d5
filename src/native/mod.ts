/** Floor 0: system calls that Node lacks. */
export { lastErrno, libc } from './libc.ts';
