/**
 * A directory with its parents, as `mkdir -p` makes it. Node 24's own `recursive: true` turns for ever where the system answers
 * ENOENT below a parent that is there (in /proc, for one).
 */
import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { systemCode } from '../base/mod.ts';

/** Throws the system's error. Returns what was not there before, the uppermost first. */
export function makeDirectory(path: string, mode: number): string[] {
  const missing: string[] = [];
  let at = resolve(path);
  while (!isDirectory(at)) {
    missing.push(at);
    at = dirname(at);
  }
  return missing.reverse().filter((directory) => makeOne(directory, mode));
}

/** Whether it was made now; not so if another process was faster. */
function makeOne(directory: string, mode: number): boolean {
  try {
    mkdirSync(directory, { mode });
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST' && isDirectory(directory)) return false;
    throw error;
  }
}

/** False only if nothing is there. */
function isDirectory(path: string): boolean {
  try {
    if (statSync(path).isDirectory()) return true;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
  throw Object.assign(new Error(`${path} is not a directory`), { code: 'ENOTDIR' });
}
