/** `viaduct session close`: what becomes of changes, and what of that takes long enough to be shown while it goes on. */
import type { CloseOptions } from '../daemon/mod.ts';
import type { SessionTask } from '../sessions/mod.ts';
import type { ShownSession } from './daemon-port.ts';

export interface CloseFlags {
  readonly writeBack?: boolean;
  readonly keep?: boolean;
  readonly discard?: boolean;
  readonly json?: boolean;
}

/** Undefined: as the session's policy says. */
export function changesSaid({ writeBack, keep, discard }: CloseFlags): CloseOptions['changes'] {
  if (writeBack === true) return 'write-back';
  if (keep === true) return 'keep';
  return discard === true ? 'discard' : undefined;
}

/** The close itself then has little to bring. Undefined: nothing waits that is to be brought to the origin. */
export function taskBeforeClose(
  { settings, status }: Pick<ShownSession, 'settings' | 'status'>,
  changes: CloseOptions['changes'],
): SessionTask | undefined {
  const how = changes ?? settings.find(({ key }) => key === 'on-close')?.value;
  const waits = (status?.data?.writeBack?.pendingFiles ?? 0) > 0;
  if (how !== 'write-back' || !waits) return undefined;
  if (status?.writes === 'write-back') return { task: 'write-back' };
  return status?.writes === 'redirect' ? { task: 'redirect', how: 'commit' } : undefined;
}
