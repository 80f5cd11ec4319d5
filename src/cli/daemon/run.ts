/**
 * The daemon: many sessions in one process, on the threads of a pool.
 *
 *     viaduct.yaml ──► manager (sessions of an earlier daemon are opened again) ──► API ──► control socket ──► one line on stdout
 *       ▲ SIGHUP: read again                                                     ──SIGTERM, SIGINT──► closed in reverse; logs and rows stay
 */
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { counted, systemClock, systemRandom, ViaductError } from '../../base/mod.ts';
import {
  type Configuration,
  defaultConfigurationFile,
  formatProblem,
  inspectConfiguration,
  parseConfiguration,
} from '../../config/mod.ts';
import { type BriefStatus, ControlServer, type ListedSession, type ProcessStatus } from '../../control/mod.ts';
import { openManager, type RunningManager, type SessionDetail, startApi } from '../../daemon/mod.ts';
import { parseListen, type SessionTask, type TaskProgress } from '../../sessions/mod.ts';
import { beginAsIoFlusher } from '../io-flusher.ts';
import { createLog, type LogLevelName } from '../logger.ts';
import { printJson, printLine } from '../output.ts';
import { controlDirectory } from '../process-choice.ts';
import { packageVersion } from '../session-command.ts';
import { defaultStateBase, openLogIndex } from '../session-end.ts';
import { Signals } from '../signals.ts';
import type { BegunDaemon } from './begin.ts';
import { notePlaces } from './held-listeners.ts';
import { holdIn } from './hold.ts';
import { DaemonServices } from './services.ts';

export interface DaemonFlags {
  readonly config?: string;
  readonly stateDirectory?: string;
  readonly api?: string;
  readonly logLevel?: LogLevelName;
  readonly json?: boolean;
}

/** `begun`: what was done before this was loaded. */
export async function runDaemon(flags: DaemonFlags, begun?: BegunDaemon): Promise<void> {
  const signals = new Signals();
  const { configuration, hasFile } = await configurationFor(flags);
  if (begun === undefined) beginAsIoFlusher();
  const log = createLog(flags.logLevel ?? levelOf(configuration));
  const given =
    flags.stateDirectory === undefined ? configuration.daemon.stateDirectory : resolve(flags.stateDirectory);
  const stateDirectory = given ?? defaultStateBase();
  const manager = await openManager({
    ...{ configuration, stateDirectory, clock: systemClock, log, random: systemRandom, index: openLogIndex() },
    begun,
  });
  const parts: { close(): Promise<unknown> }[] = [{ close: () => manager.stop() }];
  // Between two lives of a worker nothing else keeps the process alive.
  const keptAlive = setInterval(() => {}, 2 ** 30);
  try {
    const now = (): number => systemClock.wallTimeMs();
    const services = new DaemonServices({ manager, configuration, hasFile, stateDirectory, now, log });
    signals.onHangup = () => void services.reload().catch(() => {});
    const tcp = tcpOf(flags, configuration, stateDirectory);
    const uid = process.getuid?.() ?? 0;
    const common = { pid: process.pid, uid, log };
    const api = await startApi({
      ...{ ...common, services, runtimeDirectory: controlDirectory(), hostName: hostname() },
      ...{ clock: systemClock, random: systemRandom, tcp },
    });
    parts.push(api);
    services.onReload = () => api.readToken();
    if (api.url !== undefined && tcp !== undefined) services.page = { url: api.url, tokenFile: tcp.tokenFile };
    const control = await ControlServer.start({
      ...{ ...common, directory: controlDirectory() },
      status: () => statusOf(manager),
      brief: () => briefly(services),
      run: (task, onProgress, session) => runIn(manager, task, onProgress, session),
      hold: (request) => holdIn({ manager, log, configuration: () => services.current }, request),
    });
    parts.push(control);
    await manager.warmed;
    tellReady(flags.json === true, { manager, api, stateDirectory, file: hasFile ? configuration.file : undefined });
    void manager.settled.then(() => notePlaces(placesOf(manager)));
    await signals.requested;
    log.info({}, 'ending');
    notePlaces(placesOf(manager));
  } finally {
    for (const part of parts.toReversed()) await part.close();
    clearInterval(keptAlive);
  }
}

/** What a temporary session leaves is no place to come back to. */
function placesOf(manager: RunningManager) {
  return manager.list().flatMap(({ place, isTemporary }) => (isTemporary || place === undefined ? [] : [place]));
}

/** A file that somebody named must be there; the usual one need not. */
async function configurationFor({
  config,
  json,
}: DaemonFlags): Promise<{ configuration: Configuration; hasFile: boolean }> {
  const usual = defaultConfigurationFile({ environment: process.env, uid: process.getuid?.() ?? 0 });
  const file = resolve(config ?? usual);
  if (config === undefined && !existsSync(file)) {
    const { configuration } = parseConfiguration('{}\n', { file });
    if (configuration !== undefined) return { configuration, hasFile: false };
  }
  const { configuration, problems, text } = await inspectConfiguration(file);
  const shown = problems.map((problem) => formatProblem(problem, file, text));
  if (configuration !== undefined) {
    for (const problem of shown) process.stderr.write(`${problem}\n`);
    return { configuration, hasFile: true };
  }
  if (json !== true) for (const problem of shown) process.stderr.write(`${problem}\n`);
  const errors = problems.filter(({ severity }) => severity === 'error');
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `${file} cannot be used: ${counted(errors.length, 'error')}${json === true ? `: ${errors.map(({ line, column, cause }) => `${line}:${column}: ${cause}`).join(' ')}` : ''}.`,
    remedy: `Correct ${errors.length === 1 ? 'it' : 'them'}; \`viaduct config check ${file}\` shows the lines.`,
  });
}

/** The configuration has levels of more kinds than commands. */
function levelOf({ daemon: { logLevel } }: Configuration): LogLevelName {
  if (logLevel === 'trace') return 'debug';
  return logLevel === 'fatal' ? 'error' : logLevel;
}

function tcpOf({ api }: DaemonFlags, { daemon: configured }: Configuration, stateDirectory: string) {
  const listen = api === undefined ? configured.api.tcp : parseListen(api);
  if (listen === undefined) return undefined;
  const tokenFile = configured.api.tokenFile ?? resolve(stateDirectory, 'api-token');
  if (listen.port !== undefined) return { host: listen.host, port: listen.port, tokenFile };
  throw new ViaductError('ADDRESS_INVALID', {
    cause: `--api ${api ?? listen.host}: the port is missing.`,
    remedy: 'Write ADDR:PORT, as in 127.0.0.1:7446.',
  });
}

interface ReadyFacts {
  readonly manager: RunningManager;
  readonly api: Awaited<ReturnType<typeof startApi>>;
  readonly stateDirectory: string;
  readonly file: string | undefined;
}

function tellReady(json: boolean, { manager, api, stateDirectory, file }: ReadyFacts): void {
  const sessions = manager.list().length;
  const { socketPath: socket, url } = api;
  if (json) {
    printJson({
      ready: true,
      command: 'daemon',
      pid: process.pid,
      socket,
      url,
      stateDirectory,
      configuration: file,
      sessions,
    });
    return;
  }
  // The token is for no log: the command tells it to whoever may read its file.
  const where = url === undefined ? socket : `${socket} and ${url} (its page: \`viaduct session page\`)`;
  const from = file === undefined ? 'no configuration file, so defaults hold' : `configuration ${file}`;
  printLine(`viaduct daemon: ready with ${counted(sessions, 'session')}; API at ${where}; ${from}`);
}

async function statusOf(manager: RunningManager): Promise<ProcessStatus> {
  const details = await Promise.all(manager.list().map(({ id }) => manager.show(id).catch(() => undefined)));
  return {
    pid: process.pid,
    version: packageVersion(),
    command: 'daemon',
    startedAt: manager.startedAt,
    residentBytes: process.memoryUsage.rss(),
    mountPoint: undefined,
    sessions: details.flatMap((detail) => (detail === undefined ? [] : [listed(detail)])),
  };
}

function briefly(services: DaemonServices): BriefStatus {
  const sessions = services.manager.list().map(({ id, name }) => ({ id, name }));
  const policies = services.policies().map(({ name }) => name);
  return { pid: process.pid, version: packageVersion(), command: 'daemon', sessions, policies };
}

/** One that does not run keeps what it keeps, and says nothing of it. */
function listed({
  id,
  name,
  kind,
  origin,
  settings,
  state,
  place,
  restarts,
  lastError,
  status,
}: SessionDetail): ListedSession {
  if (status !== undefined) return { ...status, id, name };
  const written = settings.find(({ key }) => key === 'writes')?.value;
  const writes =
    written === 'read-only' || written === 'write-back' || written === 'redirect' ? written : 'write-through';
  const plain = { creating: 'starting', failed: 'ended', closed: 'ended' } as const;
  return {
    ...{ id, name, kind, origin, writes, place, restarts, lastError },
    state: state === 'creating' || state === 'failed' || state === 'closed' ? plain[state] : state,
    ...{ cache: undefined, data: undefined },
  };
}

function runIn(
  manager: RunningManager,
  task: SessionTask,
  onProgress: (progress: TaskProgress) => void,
  session: string | undefined,
) {
  const all = manager.list();
  const name = session ?? (all.length === 1 ? all[0]!.id : undefined);
  if (name !== undefined) return manager.run(name, task, onProgress);
  const names = all.map((view) => view.name).join(', ');
  throw new ViaductError('SESSION_NOT_FOUND', {
    cause: all.length === 0 ? 'the daemon has no sessions.' : `several sessions could be meant: ${names}.`,
    remedy: all.length === 0 ? '`viaduct session create ORIGIN` makes one.' : 'Say which one: --session NAME.',
  });
}
