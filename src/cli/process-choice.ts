/**
 * Which running process a command means, and which file of it.
 *
 *     --pid, --listen     say it                            FILE below a mount point of `viaduct mount`: that process, the rest
 *     neither             the only one that fits            nfs://HOST/PATH: the session that listens there
 *                                                           /PATH: inside the export
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { systemClock, ViaductError } from '../base/mod.ts';
import { askProcesses, type ProcessStatus, runtimeDirectory, type StatusAnswer } from '../control/mod.ts';
import type { SessionStatus } from '../sessions/mod.ts';
import { wholeNumber } from './values.ts';

export interface ChoiceFlags {
  readonly pid?: number;
  readonly listen?: string;
}

export interface Chosen {
  readonly pid: number;
  readonly session: SessionStatus;
  /** Inside the export. */
  readonly file: string | undefined;
}

export function addChoiceOptions(command: Command): Command {
  return command
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
  const named = processes.filter((process) => isNamed(process, flags));
  try {
    return choose(named, file, wanted, flags.pid !== undefined || flags.listen !== undefined);
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

export function choose(
  processes: readonly ProcessStatus[],
  file: string | undefined,
  wanted: Wanted,
  isSaid: boolean,
): Chosen {
  const mounted = file === undefined ? undefined : belowMount(processes, file);
  if (mounted !== undefined) return mounted;
  const url = file === undefined ? null : /^nfs:\/\/(\[[^\]]+\]|[^/:?]+)(?::(\d+))?\/+([^?]*)(\?.*)?$/.exec(file);
  const candidates = processes.flatMap(({ pid, sessions }) => sessions.map((session) => ({ pid, session })));
  const found = candidates.filter(
    ({ session }) => (isSaid || wanted.fits(session)) && (url === null || listensAt(session, url[1]!, portOf(url))),
  );
  if (found.length === 0) throw none(processes.length > 0, isSaid || url !== null, wanted.what);
  if (found.length > 1) throw several(found);
  return { ...found[0]!, file: url === null ? insideExport(file) : `/${url[3]}` };
}

function isNamed(process: ProcessStatus, { pid, listen }: ChoiceFlags): boolean {
  if (pid !== undefined && process.pid !== pid) return false;
  if (listen === undefined) return true;
  const match = /^(\[[^\]]+\]|[^:]*|[0-9a-fA-F:]+)(?::(\d+))?$/.exec(listen);
  if (match === null) return false;
  return process.sessions.some((session) => listensAt(session, match[1]!, match[2]));
}

function listensAt({ place }: SessionStatus, host: string, port: string | undefined): boolean {
  const plain = host.replace(/^\[|\]$/g, '');
  return place !== undefined && place.host === plain && (port === undefined || place.port === Number(port));
}

/** libnfs writes the port behind the question mark. */
function portOf(url: RegExpExecArray): string | undefined {
  return url[2] ?? /[?&]nfsport=(\d+)/.exec(url[4] ?? '')?.[1];
}

function belowMount(processes: readonly ProcessStatus[], file: string): Chosen | undefined {
  const path = resolve(file);
  for (const { pid, mountPoint, sessions } of processes) {
    if (mountPoint === undefined || sessions[0] === undefined || !path.startsWith(`${mountPoint}/`)) continue;
    return { pid, session: sessions[0], file: path.slice(mountPoint.length) };
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

function several(found: readonly { readonly pid: number; readonly session: SessionStatus }[]): ViaductError {
  const list = found.map(({ pid, session }) => `${pid} (${session.place?.host}:${session.place?.port})`).join(', ');
  return new ViaductError('SESSION_NOT_FOUND', {
    cause: `several processes could be meant: ${list}.`,
    remedy: 'Say which one: --pid NUMBER or --listen ADDR.',
  });
}
