/**
 * Which running process a command means, and which file of it.
 *
 *     --session, --pid, --listen   say it                   FILE below a mount point of `viaduct mount`: that process, the rest
 *     none of them        the only one that fits            nfs://HOST/PATH: the session that listens there
 *                                                           /PATH: inside the export
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { nearestText, systemClock, ViaductError } from '../base/mod.ts';
import {
  askProcesses,
  type ListedSession,
  type ProcessStatus,
  runtimeDirectory,
  type StatusAnswer,
} from '../control/mod.ts';
import type { SessionStatus } from '../sessions/mod.ts';
import { notEmpty, wholeNumber } from './values.ts';

export interface ChoiceFlags {
  readonly session?: string;
  readonly pid?: number;
  readonly listen?: string;
}

export interface Chosen {
  readonly pid: number;
  readonly session: ListedSession;
  /** Inside the export. */
  readonly file: string | undefined;
}

export function addChoiceOptions(command: Command): Command {
  return command
    .option('--session <session>', 'which session of the daemon, by name or id (see `viaduct session list`)', notEmpty)
    .option('--pid <number>', 'which process, when several run (see `viaduct status`)', wholeNumber(1, 2 ** 31))
    .option('--listen <address>', 'the same, by where its session listens: ADDR or ADDR:PORT');
}

export const fileHelp =
  'FILE is a path inside the export (/golden/disk.raw), the nfs:// URL of a session, or a path below a mount made by `viaduct mount`;\nor as status and messages show it (.../disk.raw, handle:HEX).';

export function controlDirectory(): string {
  return runtimeDirectory({ environment: process.env, uid: process.getuid?.() ?? 0 });
}

/** The sessions that a command is about. */
export interface Wanted {
  /** Ends "no Viaduct process of this user ...". */
  readonly what: string;
  fits(session: SessionStatus): boolean;
}

export async function chooseProcess(flags: ChoiceFlags, file: string | undefined, wanted: Wanted): Promise<Chosen> {
  const answers = await askProcesses({ directory: controlDirectory(), clock: systemClock });
  return chooseAmong(answers, flags, file, wanted);
}

/** Apart from the asking, so that it can be tested. A process that does not answer may be the one that is meant. */
export function chooseAmong(
  answers: readonly StatusAnswer[],
  flags: ChoiceFlags,
  file: string | undefined,
  wanted: Wanted,
): Chosen {
  const processes = answers.flatMap((answer) => (answer.kind === 'answered' ? [answer.status] : []));
  const silent = answers.filter(
    (answer) => answer.kind === 'silent' && (flags.pid === undefined || answer.pid === flags.pid),
  );
  const named = candidatesOf(processes).filter((candidate) => isNamed(candidate, flags));
  const isSaid = flags.pid !== undefined || flags.listen !== undefined || flags.session !== undefined;
  try {
    if (named.length === 0 && flags.session !== undefined) throw noSession(flags.session, candidatesOf(processes));
    return choose(named, file, wanted, isSaid);
  } catch (error) {
    if (named.length > 1 || silent.length === 0) throw error;
    throw new ViaductError('TIMED_OUT', {
      cause: silent.map((answer) => answer.kind === 'silent' && silentText(answer)).join('; '),
      remedy:
        'Try again; if it never answers, it is stopped or stuck: look at its log. Nothing that it accepted is lost.',
    });
  }
}

export function silentText({ pid, reason }: { readonly pid: number; readonly reason: string }): string {
  return `process ${pid} does not answer (${reason})`;
}

interface Candidate {
  /** Of the process that has the session. */
  readonly pid: number;
  readonly session: ListedSession;
  /** Of a command whose session runs in the daemon. */
  readonly holder?: number | undefined;
  readonly mountPoint?: string | undefined;
}

/** Sessions in the daemon that a command holds are found by that command's number and mount point, too. */
export function candidatesOf(processes: readonly ProcessStatus[]): Candidate[] {
  const holders = processes.filter(({ holds }) => holds !== undefined);
  return processes.flatMap(({ pid, sessions, mountPoint }) =>
    sessions.map((session) => {
      const holder = holders.find(({ holds }) => holds?.pid === pid && holds.id === session.id);
      return { pid, session, holder: holder?.pid, mountPoint: holder?.mountPoint ?? mountPoint };
    }),
  );
}

/** Among those that were named, if any was. */
export function choose(
  candidates: readonly Candidate[],
  file: string | undefined,
  wanted: Wanted,
  isSaid: boolean,
): Chosen {
  const mounted = file === undefined ? undefined : belowMount(candidates, file);
  if (mounted !== undefined) return mounted;
  const url = file === undefined ? null : /^nfs:\/\/(\[[^\]]+\]|[^/:?]+)(?::(\d+))?\/+([^?]*)(\?.*)?$/.exec(file);
  const reached = candidates.filter(({ session }) => url === null || listensAt(session, url[1]!, portOf(url)));
  const fitting = reached.filter(({ session }) => wanted.fits(session));
  // One that is named may be of any kind; of several that a process has, those that fit are meant.
  const found = isSaid && fitting.length === 0 ? reached : fitting;
  if (found.length === 0) throw none(candidates.length > 0, isSaid || url !== null, wanted.what);
  if (found.length > 1) throw several(found);
  const { pid, session } = found[0]!;
  return { pid, session, file: url === null ? insideExport(file) : `/${url[3]}` };
}

function isNamed({ pid, holder, session }: Candidate, flags: ChoiceFlags): boolean {
  if (flags.pid !== undefined && pid !== flags.pid && holder !== flags.pid) return false;
  if (flags.session !== undefined && session.name !== flags.session && session.id !== flags.session) return false;
  if (flags.listen === undefined) return true;
  const match = /^(\[[^\]]+\]|[^:]*|[0-9a-fA-F:]+)(?::(\d+))?$/.exec(flags.listen);
  return match !== null && listensAt(session, match[1]!, match[2]);
}

function listensAt({ place }: SessionStatus, host: string, port: string | undefined): boolean {
  const plain = host.replace(/^\[|\]$/g, '');
  return place !== undefined && place.host === plain && (port === undefined || place.port === Number(port));
}

/** libnfs writes the port behind the question mark. */
function portOf(url: RegExpExecArray): string | undefined {
  return url[2] ?? /[?&]nfsport=(\d+)/.exec(url[4] ?? '')?.[1];
}

function belowMount(candidates: readonly Candidate[], file: string): Chosen | undefined {
  const path = resolve(file);
  for (const { pid, mountPoint, session } of candidates) {
    if (mountPoint === undefined || !path.startsWith(`${mountPoint}/`)) continue;
    return { pid, session, file: path.slice(mountPoint.length) };
  }
  return undefined;
}

function insideExport(file: string | undefined): string | undefined {
  if (file === undefined || file.startsWith('/')) return file;
  if (!existsSync(file)) return `/${file}`;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `${file} is a file of this host, and not below a mount made by \`viaduct mount\`.`,
    remedy: 'Give the path inside the export, as clients of the session see it: /golden/disk.raw.',
  });
}

function none(doOthersRun: boolean, isSaid: boolean, what: string): ViaductError {
  return new ViaductError('SESSION_NOT_FOUND', {
    cause: isSaid
      ? 'no Viaduct process of this user is the one that was named.'
      : `no Viaduct process of this user ${doOthersRun ? what : 'runs'}.`,
    remedy: '`viaduct status` shows what runs; processes of another user are seen by that user (and `sudo`).',
  });
}

function noSession(name: string, candidates: readonly Candidate[]): ViaductError {
  const names = candidates.flatMap(({ session }) => session.name ?? []);
  return new ViaductError('SESSION_NOT_FOUND', {
    cause: `no session of this user is called "${name}"${nearestText(name, names)}.`,
    remedy: '`viaduct session list` shows those of the daemon, `viaduct status` all that run.',
  });
}

const severalMeant = 'several sessions could be meant: ';

/** There are sessions that fit, and none was named. */
export function isOneOfSeveral(error: ViaductError): boolean {
  return error.message.startsWith(severalMeant);
}

function several(found: readonly Candidate[]): ViaductError {
  const shown = found.map(({ pid, session: { name, place } }) => {
    const where = place === undefined ? 'not listening' : `${place.host}:${place.port}`;
    return name === undefined ? `process ${pid} (${where})` : `session ${name} (${where}, process ${pid})`;
  });
  const areNamed = found.every(({ session }) => session.name !== undefined);
  return new ViaductError('SESSION_NOT_FOUND', {
    cause: `${severalMeant}${shown.join(', ')}.`,
    remedy: areNamed
      ? 'Say which one: --session NAME.'
      : 'Say which one: --session NAME, --pid NUMBER or --listen ADDR.',
  });
}
