/**
 * The end of a session, for good.
 *
 *     changes (written back, committed or discarded, as asked) ──► stored (row `closing`) ──► closed (in its worker)
 *        │ refused, in conflict: it stays open                         ──► noted (a log that still holds changes: row `closed`) ──► row removed
 *        ▼                                                             ──► directory removed, if nothing is in it
 *      the error
 *
 * Killed before `stored`, it is a session like any other; after that, the next start goes on from there. A log that holds changes is never
 * removed with its session, but by `discard`.
 */
import { type ErrorCode, ViaductError } from '../../base/mod.ts';
import {
  holdsLog,
  keepsLog,
  type LeftBehind,
  type SessionTask,
  type TaskProgress,
  type TaskResult,
} from '../../sessions/mod.ts';
import type { CloseOptions, CloseResult, SessionState } from '../contract.ts';
import type { Ground } from './ground.ts';
import { holdsChanges, removeDirectory } from './logs.ts';
import type { ManagedSession } from './session.ts';
import { runTask } from './task.ts';

type Changes = NonNullable<CloseOptions['changes']>;

export async function closeSession(
  ground: Ground,
  session: ManagedSession,
  { changes, onProgress }: CloseOptions & { readonly onProgress?: (progress: TaskProgress) => void } = {},
): Promise<CloseResult> {
  const how = changes ?? session.row.resolved.onClose;
  checkHow(session, how, changes !== undefined);
  const stateBefore = session.state();
  session.begin('closing');
  try {
    await dealWithChanges(ground, session, { how, stateBefore, onProgress });
    ground.onStep('close:changes');
    const row = { ...session.row, state: 'closing', step: how } as const;
    ground.store.must(row);
    session.row = row;
  } catch (error) {
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
  const { store, sessions, addresses, notes, events, listeners } = ground;
  const { id, name, row } = session;
  const isDiscarded = row.step === 'discard' && row.plan.writes === 'redirect';
  if (isDiscarded) await removeDirectory(id, ground);
  const isLeft = await notes.ended(row, left);
  ground.onStep('close:noted');
  if (isLeft && row.step !== 'discard') return keep(ground, session, left);
  store.remove(id);
  ground.onStep('close:removed');
  if (!isLeft) await removeDirectory(id, ground);
  ground.onStep('close:done');
  addresses.release(id);
  sessions.delete(id);
  if (row.place !== undefined) listeners?.take(row.place.host, row.place.port)?.close();
  events.tell({ kind: 'session-closed', session: id, view: session.view() });
  return { id, name, ...(isLeft && left !== undefined ? { left } : {}) };
}

/** Its log holds changes: it can be opened again, where it was. */
function keep(ground: Ground, session: ManagedSession, left: LeftBehind | undefined): CloseResult {
  const { store, sessions, listeners, events } = ground;
  const { id, name } = session;
  const { error: _, ...row } = session.row;
  session.row = { ...row, state: 'closed', step: '', isTemporary: false };
  store.later(session.row);
  ground.onStep('close:removed');
  sessions.set(id, session);
  session.trouble = undefined;
  session.done();
  if (row.place !== undefined) listeners?.take(row.place.host, row.place.port)?.close();
  ground.onStep('close:done');
  events.tell({ kind: 'session-closed', session: id, view: session.view() });
  return { id, name, ...(left === undefined ? {} : { left }) };
}

/** What it left, if it could say so. Never rejects: it is over either way. */
export async function endInPool(
  session: ManagedSession,
  options: { readonly isLast?: boolean } = {},
): Promise<LeftBehind | undefined> {
  const { running } = session;
  session.running = undefined;
  try {
    return await running?.close(options);
  } catch (error) {
    session.log.warn({ cause: String(error) }, 'the session did not close in order; its log is looked into');
    return undefined;
  }
}

function checkHow({ row, name }: ManagedSession, how: Changes, isAsked: boolean): void {
  if (how !== 'discard' || row.plan.writes === 'redirect') return;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `${isAsked ? 'discard' : 'on-close: discard'} is for sessions with \`writes: redirect\`, and session ${name} has \`writes: ${row.plan.writes}\`.`,
    remedy: `Have its changes written back, or keep them on this host: viaduct session close ${name} --write-back, or --keep.`,
  });
}

interface Dealing {
  readonly how: Changes;
  /** Before it was to be closed, for people. */
  readonly stateBefore: SessionState;
  readonly onProgress: ((progress: TaskProgress) => void) | undefined;
}

async function dealWithChanges(
  ground: Ground,
  session: ManagedSession,
  { how, stateBefore, onProgress }: Dealing,
): Promise<void> {
  // What is discarded goes with its directory where nobody is there to do it.
  const isAway = (): boolean => session.running?.status().state !== 'running';
  const { writes, dirty } = session.row.plan;
  if (how === 'keep' || (how === 'discard' && isAway())) return;
  // The disk tells, not the plan: a session may have had another one when it wrote. One that runs and keeps no log found none.
  if (!keepsLog(writes) && (!isAway() || dirty === undefined || !holdsLog(dirty.directory))) return;
  if (isAway()) {
    // Who is not there cannot write back; with nothing to write back that is no matter.
    if (dirty === undefined || !(await holdsChanges(dirty.directory, ground))) return;
    if (isAway() || !keepsLog(writes)) throw cannotNow(session, `it is ${stateBefore}`);
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
      'See to what is in the way (`viaduct status`, `viaduct conflicts`), or close it with --keep: then they stay in its log on this host.',
  });
}

function cannotNow({ name, row }: ManagedSession, why: string): ViaductError {
  return new ViaductError('LOG_NOT_EMPTY', {
    cause: `session ${name} holds changes that the origin does not have, in ${row.plan.dirty?.directory ?? 'its log'}, and cannot bring them there: ${why}.`,
    remedy: `Get it to run (\`viaduct session show ${name}\` says what is in the way, \`viaduct session reopen ${name}\` opens one that is closed), or close it with --keep: then they stay in its log.`,
  });
}
