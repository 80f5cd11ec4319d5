/** One builder at a time: a file that holds a process id, made exclusively; a dead process's lock is taken over. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { systemCode } from '../base/mod.ts';

const pollMs = 250;

export async function withLock<T>(path: string, signal: AbortSignal, action: () => Promise<T>): Promise<T> {
  while (!(await take(path))) {
    signal.throwIfAborted();
    await pause(pollMs);
  }
  try {
    return await action();
  } finally {
    await rm(path, { force: true });
  }
}

async function take(path: string): Promise<boolean> {
  try {
    await writeFile(path, `${process.pid}\n`, { flag: 'wx' });
    return true;
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
  }
  const holder = Number(await readFile(path, 'utf8').catch(() => ''));
  if (holder > 0 && !alive(holder)) await rm(path, { force: true });
  return false;
}

function alive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}
