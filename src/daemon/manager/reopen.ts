/**
 * A session that is opened again because somebody says so: one that failed, one that was closed with changes kept in its log, or one
 * whose configuration has changed meanwhile.
 *
 *     planned anew, its address claimed ──► closed, nothing written back ──► opened ──► running, by the new plan
 *        └─ an error: as it was                                                └─ an error: it goes on by the earlier plan; one that had
 *                                                                                 failed is failed again, unless the daemon ends
 *
 * Invariant: the row's plan is one that was open, so that its log is found by it; the log keeps what was written.
 */
import { type ListenRule, parseListen, type RunningSession, recordOf } from '../../sessions/mod.ts';
import type { SessionView } from '../contract.ts';
import { endInPool } from './close.ts';
import { type Ground, tellState } from './ground.ts';
import { attach, openedRow, openKept } from './open.ts';
import { type Planned, planFor } from './opening.ts';
import type { ManagedSession } from './session.ts';
import type { StoredSession } from './session-store.ts';

/** Where it is to listen; undefined: where it does. */
export function movesTo({ request, plan }: Pick<StoredSession, 'request' | 'plan'>): ListenRule | undefined {
  if (request.listen === undefined) return undefined;
  const wanted = parseListen(request.listen);
  const isThere = wanted.host === plan.listen.host && (wanted.port === 0 || wanted.port === plan.listen.port);
  return isThere ? undefined : wanted;
}

export async function reopenSession(ground: Ground, session: ManagedSession): Promise<SessionView> {
  const { addresses, notes, stateDirectory } = ground;
  session.begin('opening');
  try {
    const { id, name, row } = session;
    const listen = movesTo(row) ?? row.plan.listen;
    const planned = planFor(row.request, ground.configuration(), { id, listen, stateDirectory });
    addresses.claimToo(id, name, listen);
    try {
      await openAs(ground, session, planned);
    } finally {
      addresses.claim(id, name, session.row.plan.listen);
      ground.store.later(session.row);
    }
    void notes.opened(session.row);
  } finally {
    session.done();
    tellState(ground, session);
  }
  return session.view();
}

/** Leaves the row as it is to be stored. */
async function openAs(ground: Ground, session: ManagedSession, { plan, resolved }: Planned): Promise<void> {
  await endInPool(session);
  const { state } = session.row;
  const { error: _, ...before } = session.row;
  session.row = { ...before, state: 'running' };
  session.trouble = undefined;
  tellState(ground, session);
  let running: RunningSession | undefined;
  try {
    const { place, hadLog } = before;
    running = await ground.pool.start(plan, {
      ...{ port: place?.port, hadLog, log: session.log },
      onStart: (started) => attach(ground, session, started),
      onChange: () => tellState(ground, session),
    });
    const opened = await running.ready;
    session.row = openedRow({ ...session.row, state: 'running', plan, resolved }, opened);
    session.pending = [];
  } catch (error) {
    session.running = undefined;
    // Until then it may have the log open.
    await running?.ended;
    const { error: _, ...rest } = session.row;
    const goesOn = state === 'running' || ground.isStopping();
    session.row = goesOn
      ? { ...rest, state: 'running' }
      : { ...rest, state: state === 'closed' ? state : 'failed', error: recordOf(error) };
    session.whenFree(() => void openKept(ground, session));
    throw error;
  }
}
