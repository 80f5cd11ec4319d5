/**
 * A session that is opened again because somebody says so: one that failed, or one whose configuration has changed meanwhile.
 *
 *     running ──closed, nothing written back──► planned anew ──► opened ──► running
 *     failed ───────────────────────────────────► │               └─ an error: failed, with that error; the log keeps what was written
 */
import { recordOf } from '../sessions/mod.ts';
import type { SessionView } from './contract.ts';
import { endInPool } from './manager-close.ts';
import { type Ground, tellState } from './manager-ground.ts';
import { attach } from './manager-open.ts';
import type { ManagedSession } from './manager-session.ts';
import { planFor } from './opening.ts';

export async function reopenSession(ground: Ground, session: ManagedSession): Promise<SessionView> {
  const { pool, store, stateDirectory, notes } = ground;
  session.begin('opening');
  try {
    const { id, row } = session;
    const { listen } = row.plan;
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
