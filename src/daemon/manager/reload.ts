/**
 * A configuration in the place of another one, under sessions that run.
 *
 *     rules and settings of files ──► replaced at once, in the running session
 *     quota of the cache          ──► replaced at once
 *     settings of the session     ──► pending, until it is opened again
 *     sessions of the file        new: to be opened     gone: closed, if no changes wait in them
 *
 * The same at the start of the daemon, where nothing runs yet: then settings hold at once, but for what could touch changes that wait
 * (another origin, kind or `writes`): that waits until somebody has it opened again.
 */
import { isDeepStrictEqual } from 'node:util';
import { ViaductError } from '../../base/mod.ts';
import { fileKeys, sessionKeys } from '../../policy/mod.ts';
import { holdsLog, keepsLog, type ListenRule, recordOf, type SessionPlan } from '../../sessions/mod.ts';
import type { Reloaded, SessionRequest } from '../contract.ts';
import { closeSession, forget } from './close.ts';
import { claimAddress, looksLikeId, newId, refuseBesideKept } from './create.ts';
import type { Ground } from './ground.ts';
import { holdsChanges } from './logs.ts';
import { type ManagerConfiguration, type Planned, planFor } from './opening.ts';
import { movesTo } from './reopen.ts';
import { ManagedSession } from './session.ts';
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
  addresses.setReserved(configuration.reservedAddresses);
  const wanted = new Map(configuration.sessions.map((request) => [request.name, request]));
  if (isStart) letMove(ground, wanted);
  const changed: string[] = [];
  const pending: { readonly session: string; readonly keys: readonly string[] }[] = [];
  for (const session of [...sessions.values()]) {
    if (session.errand !== undefined) {
      session.log.info({}, 'what the configuration says of it holds when what is under way is done');
      session.whenFree(() => void ground.during(revisit(ground, session)));
      continue;
    }
    const told = await apply(ground, session, wanted.get(session.name), isStart);
    if (told.isChanged) changed.push(session.name);
    if (session.pending.length > 0) pending.push({ session: session.name, keys: session.pending });
  }
  const known = new Map([...sessions.values()].map((session) => [session.name, session]));
  const opened: ManagedSession[] = [];
  // Those first that say where: who takes the next free address must not be in their way.
  const inOrder = [...wanted].sort(([, one], [, other]) => rank(one) - rank(other));
  for (const [name, request] of inOrder) {
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

function rank({ listen }: SessionRequest): number {
  return listen === undefined ? 1 : 0;
}

/** Nothing of it has been done while somebody was busy with the session. By the configuration that holds now. */
async function revisit(ground: Ground, session: ManagedSession): Promise<void> {
  const { sessions, configuration, isStopping } = ground;
  if (isStopping() || sessions.get(session.id) !== session) return;
  if (session.errand !== undefined) {
    session.whenFree(() => void ground.during(revisit(ground, session)));
    return;
  }
  const request = configuration().sessions.find(({ name }) => name === session.name);
  await apply(ground, session, request, false);
}

/** Never rejects: what cannot be done with one session must not keep others from it. */
async function apply(
  ground: Ground,
  session: ManagedSession,
  request: (SessionRequest & { readonly name: string }) | undefined,
  isStart: boolean,
): Promise<Told> {
  try {
    if (session.row.source === 'configuration') {
      if (request === undefined) {
        await vanish(ground, session, isStart);
        return { isChanged: false };
      }
      session.row = { ...session.row, request };
    }
    return isStart ? adopt(ground, session) : change(ground, session);
  } catch (error) {
    session.log.error(
      { ...recordOf(error) },
      'the configuration could not be applied to the session; it goes on as it was',
    );
    return { isChanged: false };
  }
}

/** Two that change places are not in each other's way. */
function letMove({ addresses, sessions }: Ground, wanted: ReadonlyMap<string, SessionRequest>): void {
  for (const { id, name, row } of sessions.values()) {
    const request = row.source === 'configuration' ? wanted.get(name) : row.request;
    if (request !== undefined && movesTo({ ...row, request }) !== undefined) addresses.release(id);
  }
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
  if (looksLikeId(name)) {
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `"${name}" looks like the id of a session.`,
      remedy: 'Give it another name: ids tell one session from all others.',
    });
  }
  const id = newId(ground);
  const rule = await claimAddress(ground, id, name, given);
  try {
    const { plan, resolved } = planFor(request, ground.configuration(), { id, listen: rule, stateDirectory });
    refuseBesideKept(ground, plan);
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
  const { name } = session;
  if (session.state() === 'closed') return;
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
    session.row = { ...session.row, state: 'closing', step: 'keep' };
    await forget(ground, session, undefined);
  } catch (error) {
    log.error(
      { session: session.id, name, cause: String(error) },
      'a session that is not in the configuration any more could not be closed',
    );
  }
}

/** By the disk, where the session cannot say so itself: it may have had another plan when it wrote. */
async function hasChanges(session: ManagedSession, clock: Ground['clock']): Promise<boolean> {
  const { writes, dirty } = session.row.plan;
  if (dirty === undefined || (!keepsLog(writes) && !holdsLog(dirty.directory))) return false;
  if (session.running?.status().state !== 'running') return await holdsChanges(dirty.directory, { clock });
  if (!keepsLog(writes)) return false;
  const writeBack = (await session.status())?.data?.writeBack;
  if (writeBack === undefined) return true;
  return writeBack.pendingFiles > 0 || writeBack.pendingBytes > 0 || writeBack.conflicts.length > 0;
}

interface Told {
  /** Settings of its files are others now. */
  readonly isChanged: boolean;
}

function replan(ground: Ground, session: ManagedSession, listen = session.row.plan.listen): Planned | undefined {
  const { id, row } = session;
  try {
    return planFor(row.request, ground.configuration(), { id, listen, stateDirectory: ground.stateDirectory });
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
  const listen = settleAddress(ground, session);
  const planned = replan(ground, session, listen);
  const { row } = session;
  const stays = (): Told => {
    claimAgain(ground.addresses, session);
    return { isChanged: false };
  };
  if (planned === undefined || row.state !== 'running') return stays();
  const { plan, resolved } = planned;
  const isOther = plan.origin !== row.plan.origin || plan.writes !== row.plan.writes || plan.kind !== row.plan.kind;
  if (isOther && (keepsLog(row.plan.writes) || row.hadLog === true)) {
    session.pending = pendingKeys(row, planned);
    return stays();
  }
  if (listen === row.plan.listen) session.pending = movesTo(row) === undefined ? [] : ['listen'];
  if (isDeepStrictEqual(plan, row.plan) && isDeepStrictEqual(resolved, row.resolved)) return { isChanged: false };
  // Where it was is of no meaning where it goes.
  const { place, ...rest } = row;
  session.row = { ...rest, plan, resolved, ...(listen === row.plan.listen ? { place } : {}) };
  ground.store.later(session.row);
  return { isChanged: !isDeepStrictEqual(plan.files, row.plan.files) };
}

/** Where it is to listen from now on: where it is asked for, if nobody else has that. */
function settleAddress({ addresses }: Ground, { id, name, row, log }: ManagedSession): ListenRule {
  const wanted = row.state === 'running' ? movesTo(row) : undefined;
  try {
    if (wanted !== undefined && wanted.port !== 0) {
      addresses.claim(id, name, wanted);
      return wanted;
    }
  } catch (error) {
    log.warn({ ...recordOf(error) }, 'the session cannot listen where the configuration says; it listens where it did');
  }
  claimAgain(addresses, { id, name, row, log });
  return row.plan.listen;
}

/** Where it was. */
export function claimAgain(
  addresses: Ground['addresses'],
  { id, name, row, log }: Pick<ManagedSession, 'id' | 'name' | 'row' | 'log'>,
): void {
  try {
    addresses.claim(id, name, row.plan.listen);
  } catch (error) {
    // It was there when both were made: the system decides.
    log.warn({ cause: String(error) }, 'two sessions want the same address');
  }
}

/** While it runs. */
function change(ground: Ground, session: ManagedSession): Told {
  const planned = replan(ground, session);
  if (planned === undefined) return { isChanged: false };
  const { row } = session;
  const held = heldKeys(row.plan, planned.plan);
  const { files, cache } = planned.plan;
  if (held.size > 0) {
    const settings = [
      ...row.resolved.settings.filter(({ key }) => !held.has(key)),
      ...planned.resolved.settings.filter(({ key }) => held.has(key)),
    ];
    const ofCache = held.has('cache-quota') ? { cache } : {};
    const ofFiles = files === undefined ? {} : { files };
    session.row = {
      ...row,
      plan: { ...row.plan, ...ofFiles, ...ofCache },
      resolved: { ...row.resolved, settings },
    };
    ground.store.later(session.row);
    if (files !== undefined) session.running?.setFiles(files);
    if (held.has('cache-quota')) session.running?.setQuota(cache?.quotaBytes);
  }
  session.pending = pendingKeys(session.row, planned);
  return { isChanged: held.size > 0 };
}

/** Settings that hold at once where they have changed. */
function heldKeys(before: SessionPlan, after: SessionPlan): Set<string> {
  const keys = new Set<string>();
  if (after.files !== undefined && !isDeepStrictEqual(after.files, before.files))
    for (const key of fileKeys) keys.add(key);
  const isSameCache =
    after.cache?.directory === before.cache?.directory && after.cache?.sizeBytes === before.cache?.sizeBytes;
  if (isSameCache && after.cache?.quotaBytes !== before.cache?.quotaBytes) keys.add('cache-quota');
  return keys;
}

const planKeys = [
  'kind',
  'origin',
  'allow',
  'squash',
  'connections',
  'cache',
] as const satisfies readonly (keyof SessionPlan)[];

/** In the words of the configuration. */
function pendingKeys({ plan, resolved, request }: StoredSession, planned: Planned): string[] {
  const keys: string[] = planKeys.filter((key) => !isDeepStrictEqual(plan[key], planned.plan[key]));
  if (movesTo({ plan, request }) !== undefined) keys.push('listen');
  const values = (rows: StoredSession['resolved']['settings']) => new Map(rows.map(({ key, value }) => [key, value]));
  const [before, after] = [values(resolved.settings), values(planned.resolved.settings)];
  return [...keys, ...sessionKeys.filter((key) => before.get(key) !== after.get(key))];
}
