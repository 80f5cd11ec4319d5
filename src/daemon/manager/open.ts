/**
 * Sessions that are opened because they are known: at the start of the daemon, after a worker's end, when somebody says so.
 *
 *     openKept: pool.start (retried 0.1 s, doubling to 10 s, when the cache or the plan is at fault) ──► kept: opened until it serves
 *     attach: what becomes of a session that runs ──► place stored, states told, failure: row `failed`, report
 *
 * Who closes or reopens a session meanwhile has it alone: a kept opening that is not in the pool yet comes to nothing, and is begun anew
 * if the session is still there, and wanted, when that is over.
 */
import { inParallel, limits } from '../../base/mod.ts';
import { keepsLog, type ListeningPlace, RestartDelay, type RunningSession, recordOf } from '../../sessions/mod.ts';
import { type Ground, tellState } from './ground.ts';
import { writeReport } from './report.ts';
import type { ManagedSession } from './session.ts';
import type { StoredSession } from './session-store.ts';

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

/** What its row says when it is open at that place. */
export function openedRow(row: StoredSession, place: ListeningPlace): StoredSession {
  return { ...row, place, hadLog: keepsLog(row.plan.writes) };
}

/** What was changed while its cache was opened. */
function catchUp({ row: { plan } }: ManagedSession, running: RunningSession, startedBy: StoredSession['plan']): void {
  if (plan.files !== undefined && plan.files !== startedBy.files) running.setFiles(plan.files);
  if (plan.cache?.quotaBytes !== startedBy.cache?.quotaBytes) running.setQuota(plan.cache?.quotaBytes);
}

/** It is there to run, and does not. */
function isWanted({ sessions, isStopping }: Ground, session: ManagedSession): boolean {
  const { id, row, running } = session;
  return !isStopping() && sessions.get(id) === session && row.state === 'running' && running === undefined;
}

/** Resolves when it serves, or cannot for now; it is opened again and again then. Never rejects. */
export async function openKept(ground: Ground, session: ManagedSession, delay = new RestartDelay()): Promise<void> {
  const { pool, store, clock, notes } = ground;
  if (!isWanted(ground, session) || session.opening !== undefined) return;
  const again = (): void => void openKept(ground, session, delay);
  if (session.errand !== undefined) {
    session.whenFree(again);
    return;
  }
  const token = Symbol(session.id);
  session.opening = token;
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
      ...{ port: row.place?.port, hadLog: row.hadLog, isKept: true, log: session.log, takeListener },
      isWanted: () => session.opening === token && isWanted(ground, session),
      onStart: (started) => {
        attach(ground, session, started);
        catchUp(session, started, row.plan);
      },
      onChange: () => {
        tellState(ground, session);
        if (session.running?.status().state === 'waiting') troubled.resolve();
      },
    });
  } catch (error) {
    held?.close();
    if (session.opening !== token) {
      if (session.errand === undefined) again();
      else session.whenFree(again);
      return;
    }
    session.opening = undefined;
    if (!isWanted(ground, session)) return;
    session.trouble = recordOf(error);
    tellState(ground, session);
    const retryInMs = delay.next(clock.now());
    session.log.error({ ...session.trouble, retryInMs }, 'the session cannot be opened for now');
    session.retry = clock.after(retryInMs, again);
    return;
  }
  if (session.opening === token) session.opening = undefined;
  const ready = running.ready.then(
    (place) => {
      if (session.running !== running) return;
      const known = session.row;
      session.row = openedRow(known, place);
      const isMoved =
        known.place?.host !== place.host ||
        known.place.port !== place.port ||
        known.place.portmapper !== place.portmapper;
      if (isMoved || known.hadLog !== session.row.hadLog) store.later(session.row);
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
