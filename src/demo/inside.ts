/**
 * The entry of the process that runs the stages, normally the first process of a network and process namespace of its own
 * (outside.ts): when it ends, whatever it started ends too.
 */
import { rm } from 'node:fs/promises';
import { ViaductError } from '../base/mod.ts';
import type { InsideMessage } from './outside.ts';
import { runStages, type StagesOptions } from './stages.ts';

const abort = new AbortController();
const stop = (): void => abort.abort(new Error('interrupted'));
// The terminal sends SIGINT to the whole group; the parent decides, and tells us by SIGTERM or by going away.
process.on('SIGINT', () => {});
process.on('SIGTERM', stop);
process.on('disconnect', stop);

const tell = (message: InsideMessage): void => {
  if (process.connected) process.send?.(message);
};

process.once('message', async (options: StagesOptions) => {
  try {
    tell({ kind: 'done', results: await runStages(options, abort.signal, (event) => tell({ kind: 'event', event })) });
  } catch (error) {
    if (!abort.signal.aborted) tell({ kind: 'failed', ...describe(error) });
    process.exitCode = 1;
  }
  // A parent that was killed cannot do it.
  if (abort.signal.aborted) await rm(options.scratch, { recursive: true, force: true });
  process.removeListener('disconnect', stop);
  if (process.connected) process.disconnect();
});

function describe(error: unknown): { code: string; cause: string; remedy: string } {
  if (error instanceof ViaductError) return error.toJSON();
  const cause = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: 'UNEXPECTED', cause, remedy: 'report this as a bug, with this message' };
}
