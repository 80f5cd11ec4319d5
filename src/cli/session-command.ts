/**
 * What `serve`, `proxy` and `mount` have in common: options, state, the one line when ready, signals, an orderly end.
 *
 *   plan ──► session ──ready──► control socket ──► (mount) ──► one line on stdout ──signal──► everything closed in reverse
 *                                                                                            ──► what is left, if it keeps a log
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import type { Log } from '../base/mod.ts';
import { ControlServer, type ProcessStatus, runtimeDirectory } from '../control/mod.ts';
import { formatOrigin, parseOrigin } from '../origins/mod.ts';
import type { LeftBehind, ListeningPlace } from '../sessions/mod.ts';
import { createLog, type LogLevelName, logLevels } from './logger.ts';
import { printJson, printLine } from './output.ts';
import { defaultStateBase, printEnd } from './session-end.ts';
import { homeFor, type SessionHome, type WantedSession } from './session-home.ts';
import { Signals } from './signals.ts';
import { notEmpty } from './values.ts';
import type { WriteFlags } from './write-options.ts';

export interface SessionFlags {
  readonly json?: boolean;
  readonly logLevel: LogLevelName;
  readonly stateDirectory?: string;
  readonly alone?: boolean;
}

export interface Ready {
  readonly place: ListeningPlace;
  readonly log: Log;
  readonly signals: Signals;
}

/** What a command does beyond serving: `mount` mounts. */
export interface Extra {
  /** Fields for the ready line. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Where the kernel has the export. */
  readonly mountPoint?: string | undefined;
  readonly text: string;
  /** Waits for the end to be asked for and undoes the rest. The session still serves while it runs. */
  finish(): Promise<void>;
  /** The session has ended by itself: undoes the rest at once, and waits for nobody, who might wait for the session. */
  abandon(): void;
}

export function addSessionOptions(command: Command): Command {
  return command
    .addOption(new Option('--log-level <level>', 'how much to log on stderr').choices(logLevels).default('info'))
    .option(
      '--state-directory <dir>',
      'where handles and replies are remembered (default: /var/lib/viaduct, or ~/.local/state/viaduct)',
      notEmpty,
    )
    .option('--alone', 'have the session in this process, also while a daemon runs')
    .option('--json', 'print the ready line and errors as JSON');
}

export interface SessionCommand extends WantedSession {
  /** `serve`, `proxy`, `mount`. */
  readonly command: string;
  readonly flags: SessionFlags & Pick<WriteFlags, 'abandonDirtyLog'>;
  extend?(ready: Ready): Promise<Extra | undefined>;
}

/** Runs a session until it is told to end: in the daemon if one runs, else here. */
export async function runSession(wanted: SessionCommand): Promise<void> {
  const { command, plan, flags, extend } = wanted;
  const signals = new Signals();
  const log = createLog(flags.logLevel);
  // Between two lives of a worker nothing else keeps the process alive.
  const keptAlive = setInterval(() => {}, 2 ** 30);
  const startedAt = new Date().toISOString();
  const context = { signals, log, startedAt };
  let ended: Ended | undefined;
  try {
    const home = await homeFor(wanted, context);
    if (home === undefined) return;
    const { place } = home;
    let mountPoint: string | undefined;
    try {
      signals.onOrder = (order) => void obey(order, home, log);
      const control = await startControl(log, home, async () => ({
        pid: process.pid,
        version: packageVersion(),
        command,
        startedAt,
        residentBytes: process.memoryUsage.rss(),
        mountPoint,
        ...(await home.status()),
      }));
      try {
        const extra = await extend?.({ place, log, signals });
        mountPoint = extra?.mountPoint;
        const origin = formatOrigin(parseOrigin(plan.origin));
        const { daemon } = home;
        const own = { ready: true, command, pid: process.pid, ...(daemon === undefined ? {} : { daemon }) };
        if (flags.json === true) printJson({ ...own, origin, ...place, ...addressesOf(place), ...extra?.fields });
        else
          printLine(
            `${extra?.text ?? `viaduct ${command}: ${origin} is ready at ${describePlace(place)}`}${byDaemon(daemon)}`,
          );
        ended = { wasReady: true };
        await untilEnd(home.ended, extra ?? { finish: () => signals.requested, abandon: () => {} });
        log.info({}, 'ending');
      } finally {
        await control?.close();
      }
    } finally {
      const left = await home.close();
      ended = ended === undefined ? undefined : { ...ended, left };
    }
  } finally {
    clearInterval(keptAlive);
  }
  if (ended?.left !== undefined) printEnd(command, ended.left, flags.json === true);
}

/** Until the end was asked for and all but the session is undone. Rejects with why the session ended by itself. */
export async function untilEnd(
  ended: SessionHome['ended'],
  { finish, abandon }: Pick<Extra, 'finish' | 'abandon'>,
): Promise<void> {
  const failed = await Promise.race([finish(), ended]);
  if (failed === undefined) return;
  abandon();
  throw failed;
}

interface Ended {
  readonly wasReady: true;
  readonly left?: LeftBehind | undefined;
}

function byDaemon(pid: number | undefined): string {
  return pid === undefined ? '' : `, in the daemon (process ${pid})`;
}

/** SIGUSR1 and SIGUSR2. */
async function obey(order: 'write-back' | 'flush', home: SessionHome, log: Log): Promise<void> {
  log.info(
    { order },
    order === 'write-back' ? 'told to write back' : 'told to write back and to forget what is cached',
  );
  try {
    const { outcome, problems } = await home.run({ task: order }, () => {});
    if (outcome === 'done') log.info({ order }, 'done');
    else log.error({ order, outcome, problems }, 'not everything could be written back');
  } catch (error) {
    log.error({ order, error: String(error) }, 'the order could not be followed');
  }
}

/** Where a client finds the export, as libnfs writes it. */
export function urlOf({ host, port, portmapper }: ListeningPlace): string {
  const authority = host.includes(':') ? `[${host}]` : host;
  return portmapper === 'none' ? `nfs://${authority}/?nfsport=${port}&mountport=${port}` : `nfs://${authority}/`;
}

/** For QEMU, which mounts what stands before the last slash, one more; without a portmapper it cannot be told the ports. */
function addressesOf(place: ListeningPlace) {
  const url = urlOf(place);
  return place.portmapper === 'none' ? { url } : { url, qemu: `${url}/` };
}

function describePlace(place: ListeningPlace): string {
  const { host, port, portmapper } = place;
  const who = { own: 'portmapper on port 111', rpcbind: 'registered with rpcbind', none: 'no portmapper' }[portmapper];
  return `${urlOf(place)} (NFS and MOUNT on ${host.includes(':') ? `[${host}]` : host}:${port}, ${who})`;
}

/** A process without a control socket serves as well. */
async function startControl(
  log: Log,
  { run }: SessionHome,
  status: () => Promise<ProcessStatus>,
): Promise<ControlServer | undefined> {
  const uid = process.getuid?.() ?? 0;
  const directory = runtimeDirectory({ environment: process.env, uid });
  try {
    return await ControlServer.start({ directory, pid: process.pid, uid, log, status, run });
  } catch (error) {
    log.warn({ error: String(error) }, 'no control socket; "viaduct status" will not show this process');
    return undefined;
  }
}

/** Of one origin: handles and replies of different origins never meet. */
export function stateDirectoryFor(origin: string, given: string | undefined): string {
  const base = given ?? defaultStateBase();
  const name = createHash('sha256')
    .update(formatOrigin(parseOrigin(origin)))
    .digest('hex')
    .slice(0, 16);
  return join(base, name);
}

export function packageVersion(): string {
  const manifest: { version: string } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  return manifest.version;
}
