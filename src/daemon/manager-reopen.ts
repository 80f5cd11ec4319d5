/**
 * A session that is opened again because somebody says so: one that failed, or one whose configuration has changed meanwhile.
 *
 *     running ──closed, nothing written back──► planned anew ──► opened ──► running
 *     failed ───────────────────────────────────► │               └─ an error: failed, with that error; the log keeps what was written
 */
import { type ListenRule, parseListen, recordOf } from '../sessions/mod.ts';
import type { SessionView } from './contract.ts';
import { endInPool } from './manager-close.ts';
import { type Ground, tellState } from './manager-ground.ts';
import { attach } from './manager-open.ts';
import type { ManagedSession } from './manager-session.ts';
import { planFor } from './opening.ts';

/** Where it listened; somewhere else if that is asked for by now. */
function listenOf({ addresses }: Ground, { id, name, row }: ManagedSession): ListenRule {
  const { listen } = row.plan;
  if (row.request.listen === undefined) return listen;
  const wanted = parseListen(row.request.listen);
  if (wanted.host === listen.host && (wanted.port === 0 || wanted.port === listen.port)) return listen;
  addresses.claim(id, name, wanted);
  return wanted;
}

export async function reopenSession(ground: Ground, session: ManagedSession): Promise<SessionView> {
  const { pool, store, stateDirectory, notes } = ground;
  session.begin('opening');
  try {
    const { id, row } = session;
    const listen = listenOf(ground, session);
    const planned = planFor(row.request, ground.configuration(), { id, listen, stateDirectory });
    await endInPool(session);
    const { error: _, ...rest } = row;
    session.row = { ...rest, state: 'running', plan: planned.plan, resolved: planned.resolved };
    session.trouble = undefined;
    tellState(ground, session);
    try {
      const onChange = (): void => tellState(ground, session);
      const running = await pool.start(planned.plan, { port: row.place?.port, log: session.log, onChange });
      attach(ground, session, running);
      const place = await running.ready;
      session.row = { ...session.row, place };
      session.pending = [];
    } catch (error) {
      session.running = undefined;
      session.row = { ...session.row, state: 'failed', error: recordOf(error) };
      throw error;
    } finally {
      store.later(session.row);
    }
    void notes.opened(session.row);
  } finally {
    session.done();
    tellState(ground, session);
  }
  return session.view();
}
