/**
 * The control socket of a process: HTTP and JSON on a Unix socket named by pid, that only its owner can open. What can be asked is
 * in requests.ts.
 *
 *   GET /status ──► ProcessStatus; of ?brief only who it is
 *   POST ... ──► task ──► lines of JSON until it is over; who hangs up ends the telling, not the task
 *
 * Without it a process serves as well: what goes wrong here is logged and never ends a session.
 */
import { unlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { type Log, limits, systemCode, ViaductError } from '../base/mod.ts';
import type { SessionTask, TaskProgress, TaskResult } from '../sessions/mod.ts';
import { bodyOf } from './body.ts';
import { type Hold, Holds, holdPath, releasePath } from './hold-server.ts';
import { briefPath, isTaskPath, parseRequest, statusPath, type TaskLine, type TaskRequest } from './requests.ts';
import { prepareRuntimeDirectory } from './runtime-directory.ts';
import type { BriefStatus, ProcessStatus } from './status.ts';

export interface ControlServerOptions {
  readonly directory: string;
  readonly pid: number;
  readonly uid: number;
  readonly log: Log;
  status(): Promise<ProcessStatus>;
  /** Absent: `status` is as quick. */
  readonly brief?: (() => BriefStatus) | undefined;
  /** Rejects with a ViaductError if the task makes no sense. */
  /** `session`: which one, where there are several. */
  run(task: SessionTask, onProgress: (progress: TaskProgress) => void, session?: string): Promise<TaskResult>;
  /** Of a daemon: makes a session that ends with the connection that asked for it. */
  readonly hold?: Hold | undefined;
}

/** A request is short; whoever sends more or dawdles is cut off. */
const requestLimits = {
  requestTimeout: 2_000,
  headersTimeout: 2_000,
  keepAliveTimeout: 1_000,
  maxHeaderSize: 8 * 1024,
};

export class ControlServer {
  readonly path: string;
  readonly #server: Server;
  readonly #log: Log;

  private constructor(path: string, server: Server, log: Log) {
    this.path = path;
    this.#server = server;
    this.#log = log;
  }

  static async start(options: ControlServerOptions): Promise<ControlServer> {
    prepareRuntimeDirectory(options.directory, options.uid);
    const path = join(options.directory, `${options.pid}.sock`);
    // A socket with our own pid can only be of a process that died.
    removeFile(path, options.log);
    const holds = options.hold === undefined ? undefined : new Holds(options.hold, options.log);
    const server = createServer(requestLimits, (request, response) => {
      answer(options, holds, request, response).catch((error: unknown) => {
        options.log.error({ error: String(error) }, 'a request to the control socket could not be answered');
        if (!response.headersSent) send(response, 500, { error: String(error) });
        else response.destroy();
      });
    });
    server.on('clientError', (_error, socket) => socket.destroy());
    await listen(server, path);
    // A listening socket must not keep a process alive that has nothing else to do.
    server.unref();
    return new ControlServer(path, server, options.log);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
    removeFile(this.path, this.#log);
  }
}

async function answer(
  options: ControlServerOptions,
  holds: Holds | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = request.url ?? '';
  if (path === statusPath || path === briefPath) {
    if (request.method !== 'GET') return send(response, 405, { error: 'only GET' });
    const brief = path === briefPath ? options.brief?.() : undefined;
    return send(response, 200, brief ?? (await options.status()));
  }
  const isHeld = holds !== undefined && (path === holdPath || path === releasePath);
  if (!isTaskPath(path) && !isHeld) return send(response, 404, { error: 'there is nothing here' });
  if (request.method !== 'POST') return send(response, 405, { error: 'only POST' });
  const body = await bodyOf(request);
  if (body === undefined) return send(response, 413, { error: `at most ${limits.controlBodyBytes} bytes` });
  if (holds !== undefined && path === holdPath) return holds.tell(body, response);
  if (holds !== undefined && path === releasePath) return send(response, holds.release(idOf(body)) ? 200 : 404, {});
  const asked = parseRequest(path, body);
  if (asked === undefined) return send(response, 400, { error: 'the body is not what this path takes' });
  await tell(options, asked, response);
}

async function tell(
  { run }: ControlServerOptions,
  { task, wait, session }: TaskRequest,
  response: ServerResponse,
): Promise<void> {
  // Somebody who hung up is no error.
  response.on('error', () => {});
  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
  const write = (line: TaskLine): void => {
    if (response.writableEnded || response.destroyed) return;
    // A reader that dawdles misses progress, not the end.
    if (line.kind === 'progress' && response.writableNeedDrain) return;
    response.write(`${JSON.stringify(line)}\n`);
    if (line.kind !== 'progress') response.end();
  };
  try {
    const onProgress = (progress: TaskProgress): void =>
      write(wait ? { kind: 'progress', progress } : { kind: 'started', progress });
    const result = await run(task, onProgress, session);
    write({ kind: 'result', result });
  } catch (error) {
    if (!(error instanceof ViaductError)) throw error;
    write({ kind: 'error', error: { code: error.code, cause: error.message, remedy: error.remedy } });
  }
}

function idOf(body: string): unknown {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null && 'id' in value ? value.id : undefined;
  } catch {
    return undefined;
  }
}

function send(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new ViaductError(systemCode(error) === 'EADDRINUSE' ? 'ADDRESS_IN_USE' : 'CONFIGURATION_INVALID', {
          cause: `the control socket ${path} cannot be made: ${error.message}`,
          remedy:
            'Set VIADUCT_RUNTIME_DIR to a directory of your own with a short path (a socket path has at most 107 bytes).',
          from: error,
        }),
      ),
    );
    // The socket is bound within listen(), so the mode is right from its first moment.
    const mask = process.umask(0o177);
    try {
      server.listen(path, () => resolve());
    } finally {
      process.umask(mask);
    }
  });
}

function removeFile(path: string, log: Log): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    log.warn({ path, cause: String(error) }, 'the control socket could not be removed');
  }
}
