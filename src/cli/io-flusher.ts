/**
 * A process that this host's kernel may mount from must not wait, for memory, for pages that only it can take: it is marked as an I/O
 * flusher (src/native/io-flusher.ts).
 *
 *   start ──mark, execve──► start again, every thread marked ──► session
 *
 * The mark is inherited by threads that start later and over execve; Node has threads before our first line runs, so the process
 * begins again with it. Where the mark is not allowed (no CAP_SYS_RESOURCE) the process goes on without.
 */
import { becomeIoFlusher, isIoFlusher } from '../native/mod.ts';

/** Set in the second start, which must not lead to a third. */
const variable = 'VIADUCT_IO_FLUSHER';

export function beginAsIoFlusher(): void {
  if (process.env[variable] === '1' || isIoFlusher() || process.execve === undefined || becomeIoFlusher() < 0) return;
  const environment = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  process.execve(process.execPath, again, { ...Object.fromEntries(environment), [variable]: '1' });
}
