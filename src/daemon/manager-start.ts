/**
 * What a daemon finds when it starts, and makes of it.
 *
 *     row creating   nobody wrote: removed with its directory          somebody wrote: running
 *     row closing    its end goes on from where it was
 *     row running    opened again on its address; temporary ones are closed for good
 *     row failed     shown; opened when somebody says so
 *     directory without a row   removed; one whose log holds changes stays, and is noted
 */
import { readdirSync } from 'node:fs';
import { systemCode } from '../base/mod.ts';
import { forget } from './manager-close.ts';
import type { Ground } from './manager-ground.ts';
import { holdsChanges } from './manager-notes.ts';

import { ManagedSession } from './manager-session.ts';
import { sessionDirectory, sessionsDirectory } from './opening.ts';
import type { StoredSession, StoredSessions } from './session-store.ts';

/** Leaves those in `sessions` that are there to stay. */
export async function recover(ground: Ground, { sessions: rows, damaged }: StoredSessions): Promise<void> {
  const { log, sessions, addresses } = ground;
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
    try {
      addresses.claim(row.id, row.name, row.plan.listen);
    } catch (error) {
      // It was there when both were made: the system decides.
      log.warn({ session: row.id, cause: String(error) }, 'two sessions want the same address');
    }
  }
  await sweep(ground, new Set([...rows.map(({ id }) => id), ...damaged]));
}

/** What the row stands for now: a session that was not finished is on its way out, unless somebody has written to it. */
async function settled({ clock, log }: Ground, row: StoredSession): Promise<StoredSession> {
  if (row.isTemporary) return { ...row, state: 'closing', step: 'keep' };
  if (row.state !== 'creating') return row;
  const directory = row.plan.dirty?.directory;
  if (directory === undefined || !(await holdsChanges(directory, clock)))
    return { ...row, state: 'closing', step: 'keep' };
  log.warn(
    { session: row.id, name: row.name },
    'the session was being created when the daemon ended, and has changes: it is kept',
  );
  return { ...row, state: 'running', step: '' };
}

async function sweep({ stateDirectory, clock, log, notes }: Ground, known: ReadonlySet<string>): Promise<void> {
  for (const id of directoriesIn(sessionsDirectory(stateDirectory))) {
    if (known.has(id)) continue;
    const directory = `${sessionDirectory(stateDirectory, id)}/dirty`;
    if (await holdsChanges(directory, clock)) {
      log.warn({ directory }, 'a dirty log of a session that is closed holds changes that the origin does not have');
      notes.orphaned(directory);
    } else notes.removeDirectory(id);
  }
}

function directoriesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
}
