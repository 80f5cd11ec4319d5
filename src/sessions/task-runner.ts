/** Runs tasks in a session's worker: what each means for a stack, with a dirty log or without. */
import { limits, ViaductError } from '../base/mod.ts';
import type { FileHandle } from '../vfs/mod.ts';
import type { SessionChain } from './chain.ts';
import { recordOf } from './error-record.ts';
import type { SessionTask, TaskEvent, TaskProgress, TaskResult } from './tasks.ts';
import type { SessionWarming } from './warming.ts';
import type { SessionWriteBack } from './write-back.ts';

export interface TaskTarget {
  /** Of a session with a dirty log. */
  readonly writeBack: SessionWriteBack | undefined;
  readonly chain: SessionChain;
  /** The file that a path means, in a session without a dirty log, too. Rejects if there is none. */
  findFile(path: string): Promise<FileHandle>;
  /** Of a session with a cache. */
  readonly warming: SessionWarming | undefined;
  /** Everything that is cached is forgotten; changes stay. */
  invalidate(): Promise<void>;
  /** Attributes, names and grants are; data stays and is checked against new attributes. */
  forgetAttributes(): void;
}

export async function runTask(target: TaskTarget, task: SessionTask, tell: (event: TaskEvent) => void): Promise<void> {
  try {
    const result = await perform(target, task, (progress) => tell({ kind: 'progress', progress }));
    // Each problem is one line; a drain may know one of each file.
    tell({ kind: 'result', result: { ...result, problems: result.problems.slice(0, limits.listedDirtyFiles) } });
  } catch (error) {
    tell({ kind: 'error', error: recordOf(error) });
  }
}

async function perform(
  target: TaskTarget,
  task: SessionTask,
  onProgress: (progress: TaskProgress) => void,
): Promise<TaskResult> {
  const { writeBack } = target;
  switch (task.task) {
    case 'write-back': {
      const { file } = task;
      if (writeBack === undefined)
        return target.chain.bringOn(file === undefined ? file : await target.findFile(file), onProgress);
      let found: FileHandle | undefined;
      const result = await writeBack.writeBack(file, onProgress, (handle) => {
        found = handle;
      });
      return result.outcome === 'done' ? target.chain.bringOn(found, onProgress) : result;
    }
    case 'invalidate':
      await target.invalidate();
      return nothingWaits;
    case 'flush': {
      // What redirect keeps is not for the origin; what is cached may go all the same.
      const isDrained = writeBack !== undefined && writeBack.policy === 'write-back';
      const result = isDrained ? await writeBack.writeBack(undefined, onProgress) : nothingWaits;
      if (result.outcome !== 'closed') await target.invalidate();
      return result;
    }
    case 'clear-conflict':
      // The file goes on from what the origin has now, not from what was known of it.
      target.forgetAttributes();
      return withLog(writeBack).clearConflict(task.file);
    case 'redirect':
      if (task.how === 'commit') return withLog(writeBack).commitRedirect(task.takeOver === true, onProgress);
      return withLog(writeBack).discardRedirect();
    case 'warm':
      return withCache(target.warming).warm(task.file, task.what === 'whole', onProgress);
  }
}

const nothingWaits: TaskResult = { outcome: 'done', problems: [] };

function withCache(warming: SessionWarming | undefined): SessionWarming {
  if (warming !== undefined) return warming;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: 'This session keeps nothing on this host: it has no cache.',
    remedy:
      '`viaduct status` shows the sessions of this user; choose one with --pid or --listen, or give it a --cache.',
  });
}

function withLog(writeBack: SessionWriteBack | undefined): SessionWriteBack {
  if (writeBack !== undefined) return writeBack;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: 'This session keeps no changes back: its policy is neither write-back nor redirect.',
    remedy: '`viaduct status` shows the sessions of this user and their policies; choose one with --pid or --listen.',
  });
}
