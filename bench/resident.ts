/** Processes that benches started, and their memory. */
import { readdir, readFile } from 'node:fs/promises';

/** Of a process and all its descendants: the launcher is a script that becomes Node or starts it. */
export async function residentMebibytes(root: number): Promise<number> {
  let kibibytes = 0;
  for (const pid of await descendantsOf(root))
    kibibytes += Number(/^VmRSS:\s+(\d+)/m.exec(await statusOf(pid))?.[1] ?? 0);
  return kibibytes / 1024;
}

/** A process and all that came from it. */
export async function descendantsOf(root: number): Promise<number[]> {
  const parents = new Map<number, number>();
  for (const entry of await readdir('/proc')) {
    if (/^\d+$/.test(entry))
      parents.set(Number(entry), Number(/^PPid:\s+(\d+)/m.exec(await statusOf(Number(entry)))?.[1] ?? 0));
  }
  const isOurs = (pid: number): boolean => pid === root || (pid > 1 && isOurs(parents.get(pid) ?? 0));
  return [...parents.keys()].filter(isOurs);
}

function statusOf(pid: number): Promise<string> {
  return readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
}
