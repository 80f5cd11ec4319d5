/**
 * Whether a start would open the log: recovery's own judgement, for whoever only looks.
 *
 *     survey ──► choice ──LOG_DAMAGED──► again: the same place? ──yes──► damaged       no, or no error ──► sound
 *
 * A log that is being written grows between the looks, and may then seem to promise more than was seen: real damage stays where it is.
 */
import { systemCode, ViaductError } from '../base/mod.ts';
import type { LogDirectory } from './contract.ts';
import { choose, survey } from './recovery.ts';
import { withoutReadErrors } from './unreadable.ts';

const mostLooks = 5;

/** Undefined: nothing that was stable is missing. Rejects with LOG_VERSION. */
export async function verdict(directory: LogDirectory): Promise<ViaductError | undefined> {
  let before: ViaductError | undefined;
  for (let looks = 0; looks < mostLooks; looks++) {
    const found = await look(directory);
    if (found === 'changing') continue;
    if (found === undefined || found.message === before?.message) return found;
    before = found;
  }
  return undefined;
}

async function look(directory: LogDirectory): Promise<ViaductError | 'changing' | undefined> {
  const readable: Pick<LogDirectory, 'list' | 'open'> = {
    list: () => directory.list(),
    open: async (name) => withoutReadErrors(await directory.open(name)),
  };
  try {
    const found = await survey(readable, undefined);
    try {
      if (found.header !== undefined) await choose(found);
    } finally {
      for (const { segment } of found.segments) await segment.file.close();
    }
    return undefined;
  } catch (error) {
    if (error instanceof ViaductError && error.code === 'LOG_DAMAGED') return error;
    // What a running session has drained meanwhile, it removes.
    if (systemCode(error) === 'ENOENT') return 'changing';
    throw error;
  }
}
