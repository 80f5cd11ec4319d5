/** Memory of processes that benches started. */
import { readdir, readFile } from 'node:fs/promises';

/** Of a process and all its descendants: the launcher is a script that becomes Node or starts it. */
export async function residentMebibytes(root: number): Promise<number> {
  const parents = new Map<number, number>();
  const resident = new Map<number, number>();
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const status = await readFile(`/proc/${entry}/status`, 'utf8').catch(() => '');
    parents.set(Number(entry), Number(/^PPid:\s+(\d+)/m.exec(status)?.[1] ?? 0));
    resident.set(Number(entry), Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0));
  }
  const isOurs = (pid: number): boolean => pid === root || (pid > 1 && isOurs(parents.get(pid) ?? 0));
  return [...resident].filter(([pid]) => isOurs(pid)).reduce((sum, [, kibibytes]) => sum + kibibytes, 0) / 1024;
}
