/**
 * What a daemon finds when it starts, and makes of it.
 *
 *     row creating   nobody wrote: removed with its directory          somebody wrote: running
 *     row closing    its end goes on from where it was
 *     row running    opened again on its address; temporary ones are closed for good
 *     row failed     shown; opened when somebody says so
 *     row closed     the same; it goes when its log holds nothing any more, since somebody opened it by itself
 *     directory without a row   removed (while sessions are opened); one whose log holds changes, or is open, stays, and is noted
 */
import { forget } from './close.ts';
import type { Ground } from './ground.ts';
import { holdsChanges, namesOfDirectories, removeUnlessNeeded } from './logs.ts';
import { sessionDirectory } from './opening.ts';
import { claimAgain } from './reload.ts';
import { ManagedSession } from './session.ts';
import type { StoredSession, StoredSessions } from './session-store.ts';

/** Leaves those in `sessions` that are there to stay. Directories that no row tells of, or one that is closed, are answered, for `sweep`. */
export async function recover(ground: Ground, { sessions: rows, damaged }: StoredSessions): Promise<string[]> {
  const { log, sessions, addresses, stateDirectory } = ground;
  const inUse = rows.filter(({ state }) => state !== 'closed');
  const known = new Set([...inUse.map(({ id }) => id), ...damaged]);
  const unknown = namesOfDirectories(stateDirectory).filter((name) => !known.has(name));
  for (const id of damaged)
    log.error({ session: id }, 'the store’s row of a session cannot be read; it is left alone, with its directory');
  for (const found of rows) {
    const row = await settled(ground, found);
    const session = new ManagedSession(row, log);
    if (row.state === 'closing') {
      session.begin('closing');
      await forget(ground, session, undefined);
      continue;
    }
    sessions.set(row.id, session);
    claimAgain(addresses, session);
  }
  return unknown;
}

/** How a session ends that ends with the daemon. */
export function endOf({ resolved }: StoredSession): 'discard' | 'keep' {
  return resolved.onClose === 'discard' ? 'discard' : 'keep';
}

/** What the row stands for now: a session that was not finished is on its way out, unless somebody has written to it. */
async function settled({ clock, log }: Ground, row: StoredSession): Promise<StoredSession> {
  if (row.isTemporary) return { ...row, state: 'closing', step: endOf(row) };
  if (row.state !== 'creating') return row;
  const directory = row.plan.dirty?.directory;
  if (directory === undefined || !(await holdsChanges(directory, { clock })))
    return { ...row, state: 'closing', step: 'keep' };
  log.warn(
    { session: row.id, name: row.name },
    'the session was being created when the daemon ended, and has changes: it is kept',
  );
  return { ...row, state: 'running', step: '' };
}

/** What the store does not know of, among the directories that were there before anything was created. */
export async function sweep(ground: Ground, names: readonly string[]): Promise<void> {
  const { stateDirectory, clock, log, notes, sessions, isStopping } = ground;
  for (const name of names) {
    if (isStopping()) return;
    const session = sessions.get(name);
    if (session !== undefined && session.state() !== 'closed') continue;
    const directory = `${sessionDirectory(stateDirectory, name)}/dirty`;
    const isNoted = (found: string): Promise<boolean> => notes.saysLeft(found);
    try {
      if (!(await removeUnlessNeeded(name, { stateDirectory, clock, log, isOver: isStopping, isNoted }))) {
        if (session?.state() === 'closed') await forget(ground, session, undefined);
        continue;
      }
    } catch (error) {
      log.warn({ directory, cause: String(error) }, 'what an earlier daemon left could not be looked into');
      continue;
    }
    if (session !== undefined) continue;
    log.warn({ directory }, 'a dirty log of a session that is closed holds changes that the origin does not have');
    notes.orphaned(directory);
  }
}
