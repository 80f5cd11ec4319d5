/** _exit(2): the end of the process without waiting for anything. */
import { libc } from './libc.ts';

const exit: (code: number) => void = libc.func('void _exit(int code)');

/** `process.exit` waits for calls of the thread pool, which a file system that does not answer never ends. Nothing is flushed. */
export function exitNow(code: number): void {
  exit(code);
}
