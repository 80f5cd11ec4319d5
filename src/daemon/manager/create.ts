/**
 * The creation of a session.
 *
 *     planned ──► stored (row `creating`) ──► directory ──► opened (it listens) ──► running (row with its place) ──► told
 *        └───────────────┴──────────────────────┴──────── an error: all of it undone, in reverse
 *
 * Killed on the way, a row `creating` is left at most; the next start removes it with its directory, or goes on with it if somebody has
 * written already.
 */
import { createServer, isIP } from 'node:net';
import { basename } from 'node:path';
import { type Random, systemCode, ViaductError } from '../../base/mod.ts';
import { makeDirectory } from '../../native/mod.ts';
import { type LeftBehind, type ListenRule, parseListen, type SessionPlan } from '../../sessions/mod.ts';
import type { SessionRequest, SessionView } from '../contract.ts';
import { type Ground, tellState } from './ground.ts';
import { removeDirectory } from './logs.ts';
import { attach, openedRow } from './open.ts';
import { planFor, sessionDirectory } from './opening.ts';
import { ManagedSession } from './session.ts';
import type { StoredSession } from './session-store.ts';

/** So many addresses that other programs hold are passed over. */
const addressTries = 16;
const idLetters = 'abcdefghijklmnopqrstuvwxyz234567';
const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

export async function createSession(ground: Ground, request: SessionRequest): Promise<SessionView> {
  const id = newId(ground);
  // A name that will not do is told before anything is looked for.
  const firstName = nameOf(ground, request);
  const isGiven = request.listen !== undefined && parseListen(request.listen).port !== 0;
  let listen = await claimAddress(ground, id, firstName, request.listen);
  for (let tries = 1; ; tries++) {
    try {
      // Between this and the session's place among the others nothing is waited for.
      const name = nameOf(ground, request);
      return await tryCreate(ground, { ...request, name }, id, listen);
    } catch (error) {
      ground.addresses.release(id);
      if (isGiven || tries >= addressTries) throw error;
      const other = await elsewhere(ground, { id, name: firstName, request, error });
      if (other === undefined) throw error;
      listen = other;
    }
  }
}

async function tryCreate(
  ground: Ground,
  request: SessionRequest & { readonly name: string },
  id: string,
  listen: ListenRule,
): Promise<SessionView> {
  const { stateDirectory, store, sessions, pool, events, notes, clock, log } = ground;
  const { plan, resolved } = planFor(request, ground.configuration(), { id, listen, stateDirectory });
  refuseBesideKept(ground, plan);
  const row: StoredSession = {
    ...{ id, name: request.name, state: 'creating', step: 'stored', source: 'api', request, plan, resolved },
    ...{ isTemporary: request.isTemporary === true, createdMs: clock.wallTimeMs() },
  };
  const session = new ManagedSession(row, log);
  session.begin('creating');
  sessions.set(id, session);
  let left: LeftBehind | undefined;
  const undo: (() => unknown)[] = [() => sessions.delete(id)];
  try {
    ground.onStep('create:planned');
    store.must(row);
    undo.push(() => store.remove(id));
    ground.onStep('create:stored');
    makeDirectory(sessionDirectory(stateDirectory, id), 0o700);
    // Nobody knows the address yet; who guessed it, and wrote, finds it kept and noted.
    undo.push(async () => {
      if (!(await notes.ended(row, left))) await removeDirectory(id, ground);
    });
    ground.onStep('create:directory');
    const running = await pool.start(plan, { log: session.log, onChange: () => tellState(ground, session) });
    undo.push(async () => {
      session.running = undefined;
      left = await running.close();
    });
    session.running = running;
    const place = await running.ready;
    ground.onStep('create:opened');
    session.row = openedRow({ ...session.row, state: 'running', step: '' }, place);
    store.must(session.row);
    ground.onStep('create:running');
    attach(ground, session, running);
  } catch (error) {
    await undoAll(ground, id, undo);
    throw error;
  }
  session.done();
  const view = session.view();
  session.toldState = view.state;
  events.tell({ kind: 'session-created', session: id, view });
  void notes.opened(session.row);
  return view;
}

/** Changes that a closed session keeps are of an older state of the origin than what another one would write there. */
export function refuseBesideKept({ sessions }: Ground, { origin, writes }: SessionPlan): void {
  if (writes !== 'write-back') return;
  const kept = [...sessions.values()].find(
    ({ row }) => row.state === 'closed' && row.plan.writes === 'write-back' && row.plan.origin === origin,
  );
  if (kept === undefined) return;
  throw new ViaductError('LOG_NOT_EMPTY', {
    cause: `the session ${kept.name}, which is closed, keeps changes of ${origin} that the origin does not have, in ${kept.row.plan.dirty?.directory ?? 'its log'}.`,
    remedy: `Go on with it: viaduct session reopen ${kept.name}.`,
  });
}

async function undoAll({ log }: Ground, session: string, undo: readonly (() => unknown)[]): Promise<void> {
  for (const action of undo.toReversed()) {
    try {
      await action();
    } catch (error) {
      log.warn(
        { session, cause: String(error) },
        'something of a session that could not be created could not be undone',
      );
    }
  }
}

/** What it asks for, or the next free one. Throws ADDRESS_IN_USE or ADDRESS_INVALID. */
export async function claimAddress(
  { addresses }: Ground,
  id: string,
  name: string,
  listen: string | undefined,
): Promise<ListenRule> {
  if (listen === undefined) return addresses.take(id, name);
  const given = parseListen(listen);
  const rule = given.port === 0 ? { host: given.host, port: await freePort(given.host) } : given;
  addresses.claim(id, name, rule);
  return rule;
}

interface FailedTry {
  readonly id: string;
  readonly name: string;
  readonly request: SessionRequest;
  readonly error: unknown;
}

/** Where else it may listen after this error; undefined: nowhere. */
async function elsewhere(ground: Ground, { id, name, request, error }: FailedTry): Promise<ListenRule | undefined> {
  if (!(error instanceof ViaductError)) return undefined;
  return error.code === 'ADDRESS_IN_USE' ? claimAddress(ground, id, name, request.listen) : undefined;
}

/** The session keeps it: a port that is another each time is of no use to one that outlives its process. */
function freePort(host: string): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.on('error', (error) => {
      const remedy = 'Name an address of this host: all of 127.0.0.0/8 is.';
      const cause = `cannot listen on ${host} (${systemCode(error) ?? String(error)})`;
      reject(new ViaductError('ADDRESS_INVALID', { cause, remedy, from: error }));
    });
    server.listen({ host, port: 0, ipv6Only: isIP(host) === 6 }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/** `s-` and eight of a-z2-7. */
export function newId({
  random,
  sessions,
}: {
  readonly random: Random;
  readonly sessions: ReadonlyMap<string, unknown>;
}): string {
  for (;;) {
    const letters = [...random.bytes(new Uint8Array(8))].map((byte) => idLetters[byte & 31]);
    const id = `s-${letters.join('')}`;
    if (!sessions.has(id)) return id;
  }
}

/** Nothing that looks like an id: these must tell one session from all others. */
export function looksLikeId(name: string): boolean {
  return /^s-[a-z2-7]{8}$/.test(name);
}

function nameOf({ sessions }: Ground, { name, origin }: SessionRequest): string {
  const taken = new Map([...sessions.values()].map((session) => [session.name, session]));
  if (name === undefined) {
    const base = basename(origin.replace(/\?.*$/, '').replace(/^[\w.-]+:(?!\/\/)/, '/')).replaceAll(
      /[^A-Za-z0-9._-]/g,
      '-',
    );
    const first = namePattern.test(base.slice(0, 50)) ? base.slice(0, 50) : 'session';
    for (let number = 1; ; number++) {
      const candidate = number === 1 ? first : `${first}-${number}`;
      if (!taken.has(candidate)) return candidate;
    }
  }
  if (!namePattern.test(name) || looksLikeId(name)) {
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `"${name}" is not a name for a session.`,
      remedy:
        'Use up to 63 letters, digits, ".", "_" and "-", beginning with a letter or digit, and nothing that looks like an id.',
    });
  }
  const other = taken.get(name);
  if (other === undefined) return name;
  const place = other.place();
  throw new ViaductError('SESSION_EXISTS', {
    cause: `the session ${name} (${other.id}) is there already${place === undefined ? '' : `, at ${place.host}:${place.port}`}.`,
    remedy:
      other.state() === 'closed'
        ? `It is closed, and its log holds changes: go on with it (\`viaduct session reopen ${name}\`), or choose another --name.`
        : `Use that one, close it (\`viaduct session close ${name}\`), or choose another --name.`,
  });
}
