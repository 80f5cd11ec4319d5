/**
 * Sessions that are opened because they are known: at the start of the daemon, after a worker's end, when somebody says so.
 *
 *     openKept: pool.start (retried 0.1 s, doubling to 10 s, when the cache or the plan is at fault) ──► kept: opened until it serves
 *     attach: what becomes of a session that runs ──► place stored, states told, failure: row `failed`, report
 */
import { inParallel, limits } from '../base/mod.ts';
import { RestartDelay, type RunningSession, recordOf } from '../sessions/mod.ts';
import { type Ground, tellState } from './manager-ground.ts';
import { writeReport } from './manager-report.ts';
import type { ManagedSession } from './manager-session.ts';

/** Follows a session in the pool until its end. */
export function attach(ground: Ground, session: ManagedSession, running: RunningSession): void {
  session.running = running;
  session.trouble = undefined;
  void running.ended.then((error) => {
    if (session.running !== running || error === undefined) return;
    session.running = undefined;
    session.row = { ...session.row, state: 'failed', error };
    ground.store.later(session.row);
    writeReport(ground, session, running, error);
    tellState(ground, session);
  });
}

/** Resolves when it serves, or cannot for now; it is opened again and again then. Never rejects. */
export async function openKept(ground: Ground, session: ManagedSession, delay = new RestartDelay()): Promise<void> {
  const { pool, store, clock, notes } = ground;
  const { row } = session;
  const troubled = Promise.withResolvers<void>();
  const held = row.place && ground.listeners?.take(row.place.host, row.place.port);
  let listener = held?.address;
  const takeListener = (): typeof listener => {
    const taken = listener;
    listener = undefined;
    return taken;
  };
  let running: RunningSession;
  try {
    delay.started(clock.now());
    running = await pool.start(row.plan, {
      ...{ port: row.place?.port, isKept: true, log: session.log, takeListener },
      onChange: () => {
        tellState(ground, session);
        if (session.running?.status().state === 'waiting') troubled.resolve();
      },
    });
  } catch (error) {
    held?.close();
    session.trouble = recordOf(error);
    tellState(ground, session);
    const retryInMs = delay.next(clock.now());
    session.log.error({ ...session.trouble, retryInMs }, 'the session cannot be opened for now');
    clock.after(retryInMs, () => {
      const isWanted = ground.sessions.get(session.id) === session && session.running === undefined;
      if (isWanted && session.errand === undefined && session.row.state === 'running')
        void openKept(ground, session, delay);
    });
    return;
  }
  attach(ground, session, running);
  const ready = running.ready.then(
    (place) => {
      const known = session.row.place;
      if (known?.host !== place.host || known.port !== place.port || known.portmapper !== place.portmapper) {
        session.row = { ...session.row, place };
        store.later(session.row);
      }
      void notes.opened(session.row);
      tellState(ground, session);
    },
    () => {},
  );
  await Promise.race([ready, troubled.promise]);
  held?.close();
}

/**
 * Those that are to run, all at once but for what a machine can bear. Each origin has a queue of its own: one that does not answer holds
 * up nobody else's sessions.
 */
export async function openAll(ground: Ground, wanted: readonly ManagedSession[]): Promise<void> {
  const byOrigin = Map.groupBy(wanted, ({ row }) => row.plan.origin);
  await Promise.all(
    [...byOrigin.values()].map((group) =>
      inParallel(group, limits.sessionOpenings, (session) => openKept(ground, session)),
    ),
  );
}
