/**
 * A configuration in the place of another one, under sessions that run.
 *
 *     rules and settings of files ──► replaced at once, in the running session
 *     settings of the session     ──► pending, until it is opened again
 *     sessions of the file        new: to be opened     gone: closed, if no changes wait in them
 *
 * The same at the start of the daemon, where nothing runs yet: then settings hold at once, but for what could touch changes that wait
 * (another origin, another `writes`): that waits until somebody has it opened again.
 */
import { isDeepStrictEqual } from 'node:util';
import { fileKeys, sessionKeys } from '../policy/mod.ts';
import { keepsLog, parseListen, recordOf, type SessionPlan } from '../sessions/mod.ts';
import type { Reloaded, SessionRequest } from './contract.ts';
import { closeSession, forget } from './manager-close.ts';
import { claimAddress, newId } from './manager-create.ts';
import type { Ground } from './manager-ground.ts';
import { holdsChanges } from './manager-notes.ts';
import { ManagedSession } from './manager-session.ts';
import { type ManagerConfiguration, type Planned, planFor } from './opening.ts';
import type { StoredSession } from './session-store.ts';

export interface Reconfigured {
  readonly reloaded: Reloaded;
  /** New ones, which nobody has opened yet. */
  readonly opened: readonly ManagedSession[];
}

export async function reconfigure(
  ground: Ground,
  configuration: ManagerConfiguration,
  { isStart }: { readonly isStart: boolean },
): Promise<Reconfigured> {
  const { addresses, sessions, events, log } = ground;
  addresses.setPool(configuration.listenPool);
  const wanted = new Map(configuration.sessions.map((request) => [request.name, request]));
  const changed: string[] = [];
  const pending: { readonly session: string; readonly keys: readonly string[] }[] = [];
  for (const session of [...sessions.values()]) {
    const { name, row } = session;
    if (row.source === 'configuration') {
      const request = wanted.get(name);
      if (request === undefined) {
        await vanish(ground, session, isStart);
        continue;
      }
      session.row = { ...row, request };
    }
    const told = isStart ? adopt(ground, session) : await change(ground, session);
    if (told.isChanged) changed.push(name);
    if (session.pending.length > 0) pending.push({ session: name, keys: session.pending });
  }
  const known = new Map([...sessions.values()].map((session) => [session.name, session]));
  const opened: ManagedSession[] = [];
  for (const [name, request] of wanted) {
    const other = known.get(name);
    try {
      if (other === undefined) opened.push(await addConfigured(ground, request));
      else if (other.row.source === 'api')
        refuse(ground, name, `a session of that name (${other.id}) was created already`);
    } catch (error) {
      const { cause } = recordOf(error);
      log.error({ name, ...recordOf(error) }, 'a session of the configuration cannot be opened');
      refuse(ground, name, cause);
    }
  }
  events.tell({ kind: 'configuration-loaded' });
  return { reloaded: { changed, pending }, opened };
}

function refuse({ events, log }: Ground, name: string, why: string): void {
  const message = `the session ${name} of the configuration is not opened: ${why}`;
  log.error({ name }, message);
  events.tell({ kind: 'configuration-refused', message });
}

/** Throws what is wrong with it; then nothing is left of it. */
async function addConfigured(
  ground: Ground,
  request: SessionRequest & { readonly name: string },
): Promise<ManagedSession> {
  const { addresses, stateDirectory, sessions, clock, log, store } = ground;
  const { name, listen: given } = request;
  const id = newId(ground);
  const rule = await claimAddress(ground, id, name, given);
  try {
    const { plan, resolved } = planFor(request, ground.configuration(), { id, listen: rule, stateDirectory });
    const row: StoredSession = {
      ...{ id, name, state: 'running', step: '', source: 'configuration', isTemporary: false },
      ...{ createdMs: clock.wallTimeMs(), request, plan, resolved },
    };
    // Its log is found again by its row.
    store.must(row);
    const session = new ManagedSession(row, log);
    sessions.set(id, session);
    return session;
  } catch (error) {
    addresses.release(id);
    throw error;
  }
}

/** It is not in the configuration any more. */
async function vanish(ground: Ground, session: ManagedSession, isStart: boolean): Promise<void> {
  const { log, clock } = ground;
  const { name, row } = session;
  try {
    if (await hasChanges(session, clock)) {
      log.warn(
        { session: session.id, name },
        'the session is not in the configuration any more and has changes that the origin does not have: it goes on until somebody closes it',
      );
      return;
    }
    if (!isStart) {
      await closeSession(ground, session, { changes: 'keep' });
      return;
    }
    session.row = { ...row, state: 'closing', step: 'keep' };
    await forget(ground, session, undefined);
  } catch (error) {
    log.error(
      { session: session.id, name, cause: String(error) },
      'a session that is not in the configuration any more could not be closed',
    );
  }
}

async function hasChanges(session: ManagedSession, clock: Ground['clock']): Promise<boolean> {
  const { writes, dirty } = session.row.plan;
  if (dirty === undefined || !keepsLog(writes)) return false;
  if (session.running === undefined) return await holdsChanges(dirty.directory, clock);
  const writeBack = (await session.status())?.data?.writeBack;
  if (writeBack === undefined) return true;
  return writeBack.pendingFiles > 0 || writeBack.pendingBytes > 0 || writeBack.conflicts.length > 0;
}

interface Told {
  /** Settings of its files are others now. */
  readonly isChanged: boolean;
}

function replan(ground: Ground, session: ManagedSession): Planned | undefined {
  const { id, row } = session;
  try {
    return planFor(row.request, ground.configuration(), {
      id,
      listen: row.plan.listen,
      stateDirectory: ground.stateDirectory,
    });
  } catch (error) {
    session.log.warn(
      { ...recordOf(error) },
      'the configuration does not allow this session as it was asked for; it goes on as it was',
    );
    return undefined;
  }
}

/** Before it is opened. */
function adopt(ground: Ground, session: ManagedSession): Told {
  const planned = replan(ground, session);
  const { row } = session;
  if (planned === undefined || row.state !== 'running') return { isChanged: false };
  const { plan, resolved } = planned;
  const isOther = plan.origin !== row.plan.origin || plan.writes !== row.plan.writes;
  if (isOther && keepsLog(row.plan.writes)) {
    session.pending = pendingKeys(row, planned);
    return { isChanged: false };
  }
  if (isDeepStrictEqual(plan, row.plan) && isDeepStrictEqual(resolved, row.resolved)) return { isChanged: false };
  session.row = { ...row, plan, resolved };
  ground.store.later(session.row);
  return { isChanged: !isDeepStrictEqual(plan.files, row.plan.files) };
}

/** While it runs. */
async function change(ground: Ground, session: ManagedSession): Promise<Told> {
  const planned = replan(ground, session);
  if (planned === undefined) return { isChanged: false };
  const { row } = session;
  session.pending = pendingKeys(row, planned);
  const { files } = planned.plan;
  if (files === undefined || isDeepStrictEqual(files, row.plan.files)) return { isChanged: false };
  const ofFiles = new Set<string>(fileKeys);
  const settings = [
    ...row.resolved.settings.filter(({ key }) => !ofFiles.has(key)),
    ...planned.resolved.settings.filter(({ key }) => ofFiles.has(key)),
  ];
  session.row = { ...row, plan: { ...row.plan, files }, resolved: { ...row.resolved, settings } };
  ground.store.later(session.row);
  await session.running?.setFiles(files);
  return { isChanged: true };
}

const planKeys = [
  'origin',
  'allow',
  'squash',
  'connections',
  'cache',
] as const satisfies readonly (keyof SessionPlan)[];

/** In the words of the configuration. */
function pendingKeys({ plan, resolved, request }: StoredSession, planned: Planned): string[] {
  const keys: string[] = planKeys.filter((key) => !isDeepStrictEqual(plan[key], planned.plan[key]));
  if (request.listen !== undefined) {
    const { host, port } = parseListen(request.listen);
    if (host !== plan.listen.host || (port !== 0 && port !== plan.listen.port)) keys.push('listen');
  }
  const values = (rows: StoredSession['resolved']['settings']) => new Map(rows.map(({ key, value }) => [key, value]));
  const [before, after] = [values(resolved.settings), values(planned.resolved.settings)];
  return [...keys, ...sessionKeys.filter((key) => before.get(key) !== after.get(key))];
}
