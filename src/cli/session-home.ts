/**
 * Where the session of `serve`, `proxy` and `mount` runs: in the daemon, or in this process.
 *
 *     homeFor ──► in the daemon ──there is none, --alone, or it cannot──► here ──signal before it is ready──► undefined
 */
import { type Log, systemClock, systemRandom, ViaductError } from '../base/mod.ts';
import { askBriefly, askTask, type HeldSession, holdSession, type ListedSession } from '../control/mod.ts';
import {
  type ErrorRecord,
  isLoopback,
  type LeftBehind,
  type ListeningPlace,
  type RunningSession,
  type SessionPlan,
  type SessionTask,
  startSession,
  type TaskProgress,
  type TaskResult,
} from '../sessions/mod.ts';
import type { HoldChoice } from './held-request.ts';
import { explainInUse } from './in-use.ts';
import { beginAsIoFlusher } from './io-flusher.ts';
import { checkLogPlace } from './log-place.ts';
import { controlDirectory } from './process-choice.ts';
import { explainHeld, noteLog, openLogIndex } from './session-end.ts';
import type { Signals } from './signals.ts';
import type { WriteFlags } from './write-options.ts';

export interface SessionHome {
  readonly place: ListeningPlace;
  /** The number of the daemon's process, if it runs there. */
  readonly daemon: number | undefined;
  /** It ended by itself; undefined: somebody else ended it. Never settles for a session here, which comes back. */
  readonly ended: Promise<ViaductError | undefined>;
  status(): Promise<{ readonly sessions: readonly ListedSession[]; readonly holds?: HeldSession }>;
  run(task: SessionTask, onProgress: (progress: TaskProgress) => void): Promise<TaskResult>;
  close(): Promise<LeftBehind | undefined>;
}

/** What a command wants to run. */
export interface WantedSession {
  readonly plan: SessionPlan;
  /** What a running daemon is asked for, or why none is. */
  readonly hold: HoldChoice;
  readonly flags: Pick<WriteFlags, 'abandonDirtyLog'>;
}

export interface HomeContext {
  readonly signals: Signals;
  readonly log: Log;
  readonly startedAt: string;
}

/** Undefined: a signal came before it was ready. */
export async function homeFor(wanted: WantedSession, context: HomeContext): Promise<SessionHome | undefined> {
  const there = await homeInDaemon(wanted, context);
  if (there === 'given up') return undefined;
  return there ?? (await homeHere(wanted, context));
}

/** Undefined: not there. Rejects with what the daemon says is wrong. */
async function homeInDaemon(
  { hold, plan }: WantedSession,
  context: HomeContext,
): Promise<SessionHome | 'given up' | undefined> {
  const { signals } = context;
  if ('alone' in hold) {
    // Options may mean it without saying it.
    const pid = hold.alone === '--alone' ? undefined : await runningDaemon();
    if (pid !== undefined) tellAlone(pid, hold.alone);
    return undefined;
  }
  const directory = controlDirectory();
  const pid = await runningDaemon();
  if (pid === undefined) return undefined;
  // Until it is there a signal gives it up; after that it is closed in order.
  const given = new AbortController();
  let isReady = false;
  void signals.requested.then(() => isReady || given.abort());
  const asking = holdSession(hold.request, { directory, pid, signal: given.signal });
  const held = await asking.catch((error: unknown) => {
    if (signals.received) return undefined;
    throw explainHeld(error, plan.origin);
  });
  isReady = true;
  if (held === undefined) return 'given up';
  if ('refused' in held) {
    tellAlone(pid, held.refused);
    return undefined;
  }
  const { id, name, place, ended } = held;
  return {
    place,
    daemon: held.pid,
    ended: ended.then((error) => errorOf(error, name)),
    status: async () => ({ sessions: [], holds: { pid: held.pid, id, name } }),
    run: (task, onProgress) => runThere(task, onProgress, { directory, pid, session: id }),
    close: () => held.close(),
  };
}

function tellAlone(daemon: number, reason: string): void {
  process.stderr.write(`viaduct: the session runs in this process, and not in the daemon (${daemon}): ${reason}\n`);
}

/** The number of its process. */
async function runningDaemon(): Promise<number | undefined> {
  const answers = await askBriefly({ directory: controlDirectory(), clock: systemClock });
  const daemon = answers.find((one) => one.kind === 'answered' && one.status.command === 'daemon');
  return daemon?.kind === 'answered' ? daemon.status.pid : undefined;
}

function errorOf(error: ErrorRecord | undefined, name: string): ViaductError {
  if (error !== undefined) return new ViaductError(error.code, error);
  return new ViaductError('SESSION_FAILED', {
    cause: `somebody closed the session ${name} in the daemon`,
    remedy: 'Start the command again if it is still wanted; what it wrote is at the origin or in its log.',
  });
}

async function runThere(
  task: SessionTask,
  onProgress: (progress: TaskProgress) => void,
  { directory, pid, session }: { readonly directory: string; readonly pid: number; readonly session: string },
): Promise<TaskResult> {
  const answer = await askTask({ task, wait: true, session }, { directory, pid, clock: systemClock, onProgress });
  if (answer.kind === 'result') return answer.result;
  if (answer.kind === 'error') throw new ViaductError(answer.error.code, answer.error);
  return { outcome: 'closed', problems: [`the daemon does not say what became of it (${answer.kind})`] };
}

/** Undefined: a signal came before it was ready. */
async function homeHere({ plan, flags }: WantedSession, context: HomeContext): Promise<SessionHome | undefined> {
  const { signals, log, startedAt } = context;
  if (isLoopback(plan.listen.host)) beginAsIoFlusher();
  const explained = async (error: unknown): Promise<never> => {
    const daemon = await runningDaemon();
    throw explainInUse(explainHeld(error, plan.origin), plan, () => openLogIndex().read().notes, daemon);
  };
  if (plan.dirty !== undefined) {
    const { directory } = plan.dirty;
    const abandons = flags.abandonDirtyLog === true;
    await checkLogPlace({ directory, abandons, index: openLogIndex(), clock: systemClock });
  }
  const session = await startSession(plan, { clock: systemClock, log, random: systemRandom }).catch(explained);
  let place: ListeningPlace | undefined;
  try {
    place = (await Promise.race([session.ready.catch(explained), signals.requested])) ?? undefined;
  } finally {
    if (place === undefined) await session.close();
  }
  if (place === undefined) return undefined;
  const noteLeft = await noteLog({ plan, place, startedAt, log });
  const run: RunningSession['run'] = (task, onProgress) => session.run(task, onProgress);
  return {
    ...{ place, daemon: undefined, run },
    ended: new Promise(() => {}),
    status: async () => ({ sessions: [await session.stats()] }),
    close: async () => {
      const left = await session.close();
      noteLeft(left);
      return left;
    },
  };
}
