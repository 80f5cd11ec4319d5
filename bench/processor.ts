/** Processor time of processes that benches started. */
import { readFile } from 'node:fs/promises';
import { descendantsOf } from './resident.ts';

/** Of Linux: USER_HZ, whatever the kernel ticks at. */
const ticksPerSecond = 100;

/** Of a process and all its descendants that live, in all their threads. */
export async function processorSeconds(root: number): Promise<number> {
  let ticks = 0;
  for (const pid of await descendantsOf(root)) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    // proc(5): the name, in brackets, may hold anything; utime and stime are the 12th and 13th field behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  }
  return ticks / ticksPerSecond;
}
