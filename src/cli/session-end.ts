/**
 * What outlives a session with a dirty log: the note that `viaduct status` finds it by, the last line, and whose lease is in the way.
 *
 *     ready ──note──► (killed: the note stays)            end ──nothing left──► note removed        else what is left is noted
 */
import { isIP } from 'node:net';
import { homedir, hostname, networkInterfaces } from 'node:os';
import { resolve } from 'node:path';
import { counted, formatSize, type Log, systemClock, ViaductError } from '../base/mod.ts';
import { isLocked, LogIndex, type LogNote, stateBase } from '../control/mod.ts';
import { logId } from '../dirty/mod.ts';
import { formatOrigin, parseOrigin } from '../origins/mod.ts';
import { isLoopback, type LeftBehind, type ListeningPlace, type SessionPlan } from '../sessions/mod.ts';
import { printJson, printLine } from './output.ts';

export function defaultStateBase(): string {
  return stateBase({ environment: process.env, uid: process.getuid?.() ?? 0, home: homedir() });
}

export function openLogIndex(): LogIndex {
  return new LogIndex(defaultStateBase());
}

export interface Started {
  readonly plan: SessionPlan;
  readonly place: ListeningPlace;
  readonly startedAt: string;
  readonly log: Log;
}

/** Answers what is to be called at the end. A session whose log cannot be noted serves as well. */
export async function noteLog({
  plan,
  place,
  startedAt,
  log,
}: Started): Promise<(left: LeftBehind | undefined) => void> {
  const { writes: policy, dirty, origin } = plan;
  if (dirty === undefined || (policy !== 'write-back' && policy !== 'redirect')) return () => {};
  const index = openLogIndex();
  const id = await logId(dirty.directory, systemClock).catch(() => 'unknown' as const);
  const note: LogNote = {
    ...(typeof id === 'object' ? { log: id.uuid } : {}),
    ...{ directory: dirty.directory, origin: formatOrigin(parseOrigin(origin)), policy, pid: process.pid, startedAt },
    ...{ listen: `${place.host}:${place.port}`, restart: restartCommand(process.argv.slice(2)) },
  };
  const carefully = (action: () => void): void => {
    try {
      action();
    } catch (error) {
      log.warn(
        { error: String(error), note: index.pathOf(note.directory) },
        'the dirty log could not be noted; after its end "viaduct status" will not tell what this session leaves behind',
      );
    }
  };
  carefully(() => index.write(note));
  return (left) => {
    // A worker that could not say what it left: the log says it.
    if (left === undefined) return;
    const { bytes, files, conflicts, lostTo } = left;
    if (files === 0 && conflicts === 0) carefully(() => index.remove(note));
    else carefully(() => index.write({ ...note, left: { bytes, files, conflicts, lostTo } }));
  };
}

const pathOptions = ['--dirty-log', '--state-directory', '--cache'];

const saidOnce = ['--take-over', '--abandon-dirty-log'];

/** As it was started, from any directory; a take-over is not repeated. */
export function restartCommand(args: readonly string[]): string {
  const kept = args.filter((arg) => !saidOnce.includes(arg));
  const words = kept.map((arg, at) => (pathOptions.includes(kept[at - 1] ?? '') ? resolve(arg) : arg));
  return ['viaduct', ...words].map(quoted).join(' ');
}

/** For a shell. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The last line: what the origin does not have. */
export function printEnd(command: string, left: LeftBehind, json: boolean): void {
  const { policy, directory, bytes, files, conflicts, lostTo } = left;
  if (json) {
    const lost = lostTo === undefined ? {} : { leaseLostTo: lostTo };
    const amounts = { pendingBytes: bytes, pendingFiles: files, conflicts };
    printJson({ ended: true, command, policy, dirtyLog: directory, ...amounts, ...lost });
  } else printLine(`viaduct ${command}: ended; ${describeLeft(left)}`);
}

export function describeLeft({ policy, directory, bytes, files, conflicts, lostTo }: LeftBehind): string {
  const amount = `${formatSize(bytes)} of ${counted(files, 'file')}`;
  const [are, they] = files === 1 ? ['is', 'it is'] : ['are', 'they are'];
  const inConflict = `${counted(conflicts, 'file')} ${conflicts === 1 ? 'is' : 'are'} in conflict (\`viaduct conflicts\`)`;
  const more = conflicts === 0 ? '' : `; ${inConflict}`;
  if (files === 0) return conflicts === 0 ? 'everything is at the origin' : `all else is at the origin${more}`;
  if (policy === 'redirect') return `${amount} ${are} kept in ${directory}${more}`;
  if (lostTo !== undefined)
    return `${amount} ${are} not at the origin: ${lostTo} took the write lease, so ${they} kept in ${directory} (\`viaduct log salvage\` copies ${files === 1 ? 'it' : 'them'}; only a start with --take-over, which takes the lease from ${lostTo}, goes on)${more}`;
  return `${amount} ${are} not at the origin yet: ${they} in ${directory}, and the next start goes on${more}`;
}

/** A lease may be this host's own: another session of it runs, was killed, or left something. */
export function explainHeld(error: unknown, origin: string): unknown {
  if (!(error instanceof ViaductError) || error.code !== 'LEASE_HELD') return error;
  const name = formatOrigin(parseOrigin(origin));
  // Logs of other origins say nothing, and may be on disks that do not answer.
  const notes = openLogIndex()
    .read()
    .notes.filter((note) => note.origin === name)
    .map((note) => ({ ...note, isRunning: isLocked(note.directory) && !note.isSetAside }));
  const addresses = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
  const host = { name: hostname(), addresses };
  return heldByThisName(error, notes, name, host) ?? error;
}

/**
 * Undefined: another host holds it. One that was cloned with its name (and its log index) cannot be told from this one, unless the
 * session listens at an address that this one does not have: so what to do is said for both.
 */
export function heldByThisName(
  error: ViaductError,
  notes: readonly (LogNote & { readonly isRunning: boolean })[],
  origin: string,
  host: { readonly name: string; readonly addresses: readonly string[] },
): ViaductError | undefined {
  const holder = holderIn(error.message);
  if (holder !== host.name && !holder?.startsWith(`${host.name} (`)) return undefined;
  const address = holder?.slice(host.name.length + 2, -1);
  if (address !== '' && address !== undefined && !mayBeHere(address, host.addresses)) return undefined;
  const ours = notes.filter((note) => note.origin === origin);
  const known = ours.find(({ listen }) => listen === address) ?? (ours.length === 1 ? ours[0] : undefined);
  const { cause, remedy } = known === undefined ? ofUnknown : known.isRunning ? ofRunning(known) : ofEnded(known);
  return new ViaductError('LEASE_HELD', {
    cause: `${error.message}. The holder has this host's name. If it is this host, and not another of the same name: ${cause}`,
    remedy: `If it is this host: ${remedy}\n          If it is another host: ${error.remedy}`,
    from: error,
  });
}

/** `HOST:PORT`, `[HOST]:PORT`; a name, or what every host has, says nothing. */
function mayBeHere(address: string, own: readonly string[]): boolean {
  const host = address.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  return isIP(host) === 0 || isLoopback(host) || host === '0.0.0.0' || host === '::' || own.includes(host);
}

const ofUnknown = {
  cause: 'another session of it, which runs (`viaduct status`) or was ended with changes left',
  remedy:
    'end it, or start it again with its own --listen and --dirty-log: it gives the lease back at an end that leaves nothing. --take-over takes the lease from it: what it has not written back stays in its log.',
};

function ofRunning({ pid, listen, policy, directory }: LogNote) {
  const first = policy === 'redirect' ? '' : ` (first \`viaduct writeback --wait --pid ${pid}\`)`;
  return {
    cause: `process ${pid} is a session that runs at ${listen} with --policy ${policy}; its dirty log is ${directory}`,
    remedy: `end that session: kill ${pid}${first}; it gives the lease back at an end that leaves nothing. --take-over takes the lease from it while it runs: its clients can write no more then, and what it has not written back stays in ${directory}.`,
  };
}

function ofEnded({ listen, directory, restart }: LogNote) {
  return {
    cause: `a session of it at ${listen} was ended or killed with changes left; its dirty log is ${directory}`,
    remedy: `start it again: ${restart}; it gives the lease back at an end that leaves nothing. --take-over takes the lease from it: what it has not written back stays in ${directory}.`,
  };
}

function holderIn(cause: string): string | undefined {
  const quotedName = /: ("(?:[^"\\]|\\.)*") holds the write lease of /.exec(cause)?.[1];
  return quotedName === undefined ? undefined : String(JSON.parse(quotedName));
}
