/**
 * The end of a session, for good.
 *
 *     changes (written back, committed or discarded, as asked) ──► stored (row `closing`) ──► closed (in its worker)
 *        │ refused, in conflict: it stays open                         ──► noted (a log that still holds changes) ──► row removed
 *        ▼                                                             ──► directory removed, if nothing is in it
 *      the error
 *
 * Killed before `stored`, it is a session like any other; after that, the next start goes on from there. A log that holds changes is never
 * removed with its session, but by `discard`.
 */
import { existsSync } from 'node:fs';
import { type ErrorCode, ViaductError } from '../base/mod.ts';
import { keepsLog, type LeftBehind, type SessionTask, type TaskProgress, type TaskResult } from '../sessions/mod.ts';
import type { CloseOptions, CloseResult } from './contract.ts';
import type { Ground } from './manager-ground.ts';
import { holdsChanges } from './manager-notes.ts';
import type { ManagedSession } from './manager-session.ts';
import { runTask } from './manager-task.ts';

type Changes = NonNullable<CloseOptions['changes']>;

export async function closeSession(
  ground: Ground,
  session: ManagedSession,
  { changes, onProgress }: CloseOptions & { readonly onProgress?: (progress: TaskProgress) => void } = {},
): Promise<CloseResult> {
  const how = changes ?? session.row.resolved.onClose;
  checkHow(session, how, changes !== undefined);
  session.begin('closing');
  const { state } = session.row;
  try {
    await dealWithChanges(ground, session, how, onProgress);
    ground.onStep('close:changes');
    const row = { ...session.row, state: 'closing', step: how } as const;
    ground.store.must(row);
    session.row = row;
  } catch (error) {
    session.row = { ...session.row, state };
    session.done();
    throw error;
  }
  ground.onStep('close:stored');
  const left = await endInPool(session);
  ground.onStep('close:closed');
  return await forget(ground, session, left);
}

/** What follows when it runs no more; also where an earlier daemon had come so far. */
export async function forget(
  ground: Ground,
  session: ManagedSession,
  left: LeftBehind | undefined,
): Promise<CloseResult> {
  const { store, sessions, addresses, notes, events } = ground;
  const { id, name, row } = session;
  const isDiscarded = row.step === 'discard' && row.plan.writes === 'redirect';
  if (isDiscarded) notes.removeDirectory(id);
  const isLeft = await notes.ended(row, left);
  ground.onStep('close:noted');
  store.remove(id);
  ground.onStep('close:removed');
  if (!isLeft) notes.removeDirectory(id);
  ground.onStep('close:done');
  addresses.release(id);
  sessions.delete(id);
  events.tell({ kind: 'session-closed', session: id, view: session.view() });
  return { id, name, ...(isLeft && left !== undefined ? { left } : {}) };
}

/** What it left, if it could say so. Never rejects: it is over either way. */
export async function endInPool(session: ManagedSession): Promise<LeftBehind | undefined> {
  const { running } = session;
  session.running = undefined;
  try {
    return await running?.close();
  } catch (error) {
    session.log.warn({ cause: String(error) }, 'the session did not close in order; its log is looked into');
    return undefined;
  }
}

function checkHow({ row, name }: ManagedSession, how: Changes, isAsked: boolean): void {
  if (how !== 'discard' || row.plan.writes === 'redirect') return;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `${isAsked ? 'discard' : 'on-close: discard'} is for sessions with \`writes: redirect\`, and session ${name} has \`writes: ${row.plan.writes}\`.`,
    remedy:
      'Have its changes written back, or keep them on this host: viaduct session close --changes write-back|keep.',
  });
}

async function dealWithChanges(
  ground: Ground,
  session: ManagedSession,
  how: Changes,
  onProgress: ((progress: TaskProgress) => void) | undefined,
): Promise<void> {
  const { writes, dirty } = session.row.plan;
  if (how === 'keep' || !keepsLog(writes)) return;
  if (session.running?.status().state !== 'running') {
    // Who is not there cannot write back; with nothing to write back that is no matter. What is discarded goes with its directory.
    if (how === 'discard' || session.running !== undefined) {
      if (how === 'discard') return;
      throw cannotNow(session, `it is ${session.state()}`);
    }
    const isEmpty =
      dirty === undefined || !existsSync(dirty.directory) || !(await holdsChanges(dirty.directory, ground.clock));
    if (isEmpty) return;
    throw cannotNow(session, `it is ${session.row.state}`);
  }
  const task: SessionTask =
    writes === 'write-back'
      ? { task: 'write-back' }
      : { task: 'redirect', how: how === 'discard' ? 'discard' : 'commit' };
  const result = await runTask(ground, session, task, onProgress);
  if (result.outcome !== 'done') throw stays(session, result);
}

const codes: Readonly<Record<TaskResult['outcome'], ErrorCode>> = {
  done: 'UNEXPECTED',
  conflict: 'CONFLICT',
  refused: 'WRITE_BACK_REFUSED',
  'lease-lost': 'LEASE_LOST',
  closed: 'SESSION_BUSY',
  incomplete: 'WRITE_BACK_REFUSED',
};

function stays({ name }: ManagedSession, { outcome, problems }: TaskResult): ViaductError {
  return new ViaductError(codes[outcome], {
    cause: `session ${name} stays open: its changes could not be brought to the origin. ${problems.join('; ')}`,
    remedy:
      'See to what is in the way (`viaduct status`, `viaduct conflicts`), or close it with --changes keep: then they stay in its log on this host.',
  });
}

function cannotNow({ name, row }: ManagedSession, why: string): ViaductError {
  return new ViaductError('LOG_NOT_EMPTY', {
    cause: `session ${name} holds changes that the origin does not have, in ${row.plan.dirty?.directory ?? 'its log'}, and cannot bring them there: ${why}.`,
    remedy: `Get it to run (\`viaduct session show ${name}\` says what is in the way), or close it with --changes keep: then they stay in its log.`,
  });
}
