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
import { type Log, systemClock, systemRandom } from '../base/mod.ts';
import { ControlServer, type ProcessStatus, runtimeDirectory } from '../control/mod.ts';
import { formatOrigin, parseOrigin } from '../origins/mod.ts';
import {
  isLoopback,
  type LeftBehind,
  type ListeningPlace,
  type RunningSession,
  type SessionPlan,
  startSession,
} from '../sessions/mod.ts';
import { explainInUse } from './in-use.ts';
import { beginAsIoFlusher } from './io-flusher.ts';
import { checkLogPlace } from './log-place.ts';
import { createLog, type LogLevelName, logLevels } from './logger.ts';
import { printJson, printLine } from './output.ts';
import { defaultStateBase, explainHeld, noteLog, openLogIndex, printEnd } from './session-end.ts';
import { Signals } from './signals.ts';
import { notEmpty } from './values.ts';
import type { WriteFlags } from './write-options.ts';

export interface SessionFlags {
  readonly json?: boolean;
  readonly logLevel: LogLevelName;
  readonly stateDirectory?: string;
}

export interface Ready {
  readonly session: RunningSession;
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
}

export function addSessionOptions(command: Command): Command {
  return command
    .addOption(new Option('--log-level <level>', 'how much to log on stderr').choices(logLevels).default('info'))
    .option(
      '--state-directory <dir>',
      'where handles and replies are remembered (default: /var/lib/viaduct, or ~/.local/state/viaduct)',
      notEmpty,
    )
    .option('--json', 'print the ready line and errors as JSON');
}

/** Runs a session until it is told to end. */
export async function runSession(
  command: string,
  plan: SessionPlan,
  flags: SessionFlags & Pick<WriteFlags, 'abandonDirtyLog'>,
  extend?: (ready: Ready) => Promise<Extra | undefined>,
): Promise<void> {
  if (isLoopback(plan.listen.host)) beginAsIoFlusher();
  const signals = new Signals();
  const log = createLog(flags.logLevel);
  const startedAt = new Date().toISOString();
  // Between two lives of a worker nothing else keeps the process alive.
  const keptAlive = setInterval(() => {}, 2 ** 30);
  const explained = (error: unknown): never => {
    throw explainInUse(explainHeld(error, plan.origin), plan, () => openLogIndex().read().notes);
  };
  let session: RunningSession | undefined;
  let left: LeftBehind | undefined;
  let noteLeft: Awaited<ReturnType<typeof noteLog>> = () => {};
  let wasReady = false;
  let mountPoint: string | undefined;
  try {
    if (plan.dirty !== undefined) {
      const { directory } = plan.dirty;
      const abandons = flags.abandonDirtyLog === true;
      await checkLogPlace({ directory, abandons, index: openLogIndex(), clock: systemClock });
    }
    session = await startSession(plan, { clock: systemClock, log, random: systemRandom }).catch(explained);
    const running = session;
    const ready = running.ready.catch(explained);
    const place = await Promise.race([ready, signals.requested]);
    if (place === undefined) return;
    noteLeft = await noteLog({ plan, place, startedAt, log });
    signals.onOrder = (order) => void obey(order, running, log);
    const control = await startControl(log, running, async () => ({
      pid: process.pid,
      version: packageVersion(),
      command,
      startedAt,
      residentBytes: process.memoryUsage.rss(),
      mountPoint,
      sessions: [await running.stats()],
    }));
    try {
      const extra = await extend?.({ session: running, place, log, signals });
      mountPoint = extra?.mountPoint;
      wasReady = true;
      const origin = formatOrigin(parseOrigin(plan.origin));
      if (flags.json === true)
        printJson({ ready: true, command, pid: process.pid, origin, ...place, url: urlOf(place), ...extra?.fields });
      else printLine(extra?.text ?? `viaduct ${command}: ${origin} is ready at ${describePlace(place)}`);
      await (extra === undefined ? signals.requested : extra.finish());
      log.info({}, 'ending');
    } finally {
      await control?.close();
    }
  } finally {
    left = await session?.close();
    noteLeft(left);
    clearInterval(keptAlive);
  }
  if (wasReady && left !== undefined) printEnd(command, left, flags.json === true);
}

/** SIGUSR1 and SIGUSR2. */
async function obey(order: 'write-back' | 'flush', session: RunningSession, log: Log): Promise<void> {
  log.info(
    { order },
    order === 'write-back' ? 'told to write back' : 'told to write back and to forget what is cached',
  );
  try {
    const { outcome, problems } = await session.run({ task: order });
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

function describePlace(place: ListeningPlace): string {
  const { host, port, portmapper } = place;
  const who = { own: 'portmapper on port 111', rpcbind: 'registered with rpcbind', none: 'no portmapper' }[portmapper];
  return `${urlOf(place)} (NFS and MOUNT on ${host.includes(':') ? `[${host}]` : host}:${port}, ${who})`;
}

/** A process without a control socket serves as well. */
async function startControl(
  log: Log,
  session: RunningSession,
  status: () => Promise<ProcessStatus>,
): Promise<ControlServer | undefined> {
  const uid = process.getuid?.() ?? 0;
  const directory = runtimeDirectory({ environment: process.env, uid });
  try {
    const run: RunningSession['run'] = (task, onProgress) => session.run(task, onProgress);
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
