/** What the tests of packing share: a scratch folder, options that replay, and the code that an error has. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { seededRandom, ViaductError } from '../base/mod.ts';
import { laterClock } from '../testing/mod.ts';
import type { Crew } from './crew.ts';
import { startCrew } from './mod.ts';
import type { PackOptions } from './pack.ts';

export const scratch = mkdtempSync(join(tmpdir(), 'viaduct-images-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

export const signal = new AbortController().signal;

export function options(over: Partial<PackOptions> = {}): PackOptions {
  return { clock: laterClock, random: seededRandom(7), crew: startCrew(0), signal, ...over };
}

export function folder(name: string): string {
  const path = join(scratch, name);
  mkdirSync(path);
  return path;
}

export async function code(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof ViaductError) return error.code;
    throw error;
  }
  return 'none';
}

/** Fails as a packer that is killed would end, after so many tasks of a kind. */
export function dying(kind: string, tasks: number): Crew & { done: string[] } {
  const own = startCrew(0);
  const done: string[] = [];
  return {
    width: 1,
    done,
    run(task) {
      if (task.kind === kind && done.filter((one) => one === kind).length === tasks)
        return Promise.reject(new Error('killed'));
      done.push(task.kind);
      return own.run(task);
    },
    close: () => own.close(),
  };
}
