/**
 * The daemon's control API: opened with the daemon, closed before its sessions.
 *
 *     Unix socket (0600) ─────────────┐
 *     TCP, when asked ──► Gate ───────┴──► application ──► SessionManager, services
 *                    (host, page, token)        └──► events, tasks, metrics, page
 */
import type { RequestListener } from 'node:http';
import { isIPv6 } from 'node:net';
import { type Clock, type Log, type Random, ViaductError } from '../../base/mod.ts';
import { prepareRuntimeDirectory } from '../../control/mod.ts';
import { Metrics } from '../metrics/mod.ts';
import { answerOf } from './answers.ts';
import { makeApp } from './app.ts';
import { type Door, defaultPatience, openPort, openSocket, type Patience } from './doors.ts';
import { EventRing } from './event-ring.ts';
import { EventStreams } from './event-stream.ts';
import { Gate } from './gate.ts';
import type { App } from './routes.ts';
import type { ApiServices } from './services.ts';
import { socketPath } from './socket-path.ts';
import { TaskBook } from './task-book.ts';
import { tokenFrom } from './token-file.ts';

export interface ApiServerOptions {
  readonly services: ApiServices;
  readonly runtimeDirectory: string;
  readonly uid: number;
  readonly pid: number;
  /** The host's own name. */
  readonly hostName: string;
  readonly tcp?: { readonly host: string; readonly port: number; readonly tokenFile: string } | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly patience?: Patience | undefined;
}

interface Built {
  readonly app: App;
  readonly parts: readonly { close(): unknown }[];
  readonly socketPath: string;
  readonly url: string | undefined;
  readonly readToken: () => void;
}

export class ApiServer {
  readonly socketPath: string;
  /** Of the TCP port, if there is one. */
  readonly url: string | undefined;
  /** Reads the file with the token again, and makes it if it is gone. One that cannot be taken is logged, and the earlier token holds. */
  readonly readToken: () => void;
  readonly #app: App;
  readonly #parts: readonly { close(): unknown }[];
  #closing: Promise<void> | undefined;

  private constructor({ app, parts, socketPath, url, readToken }: Built) {
    this.#app = app;
    this.#parts = parts;
    this.socketPath = socketPath;
    this.url = url;
    this.readToken = readToken;
  }

  static async start(options: ApiServerOptions): Promise<ApiServer> {
    const { services, clock, log, random, runtimeDirectory: directory, tcp, patience = defaultPatience } = options;
    const { manager } = services;
    prepareRuntimeDirectory(directory, options.uid);
    const token = tcp && tokenFrom(tcp.tokenFile, { random, uid: options.uid });
    const onBug = (error: unknown): void => log.error({ error }, 'a task failed by an error that nobody expected');
    const streams = new EventStreams({ clock, log });
    const events = new EventRing({ manager, clock, random });
    const tasks = new TaskBook({ manager, clock, random, onBug });
    const metrics = new Metrics({ manager, clock });
    const parts: { close(): unknown }[] = [metrics, tasks, events, streams];
    try {
      const app = await makeApp({ services, events, streams, tasks, metrics }, log);
      parts.push({ close: () => app.close() });
      const answer: RequestListener = (request, response) => app.routing(request, response);
      parts.push(await openSocket({ directory, pid: options.pid }, { answer, patience, log }));
      let url: string | undefined;
      let readToken = (): void => {};
      if (tcp !== undefined && token !== undefined) {
        const gate = new Gate({ token, hostName: options.hostName });
        readToken = () => readAgain(gate, tcp.tokenFile, options);
        const door = await openPort(tcp, { answer: guarded(gate, answer), patience, log });
        parts.push(door);
        url = `http://${isIPv6(door.host) ? `[${door.host}]` : door.host}:${door.port}`;
        if (!isLocal(door.host)) log.warn({ url }, 'the API is open to the network, and its token crosses it in clear');
      }
      return new ApiServer({ app, parts, socketPath: socketPath(directory), url, readToken });
    } catch (error) {
      await closeAll(parts);
      throw error;
    }
  }

  /** The OpenAPI document. */
  document(): object {
    return this.#app.swagger();
  }

  /** Nobody is answered any more; tasks go on. */
  close(): Promise<void> {
    this.#closing ??= closeAll(this.#parts);
    return this.#closing;
  }
}

function readAgain(gate: Gate, file: string, { random, uid, log }: ApiServerOptions): void {
  try {
    if (gate.replaceToken(tokenFrom(file, { random, uid })))
      log.info({ file }, 'the API takes the new token of its file');
  } catch (error) {
    if (!(error instanceof ViaductError)) throw error;
    const { message, remedy } = error;
    log.error({ file, cause: message, remedy }, 'the token of the API cannot be read again; the earlier one holds');
  }
}

function guarded(gate: Gate, answer: RequestListener): RequestListener {
  return (request, response) => {
    const refusal = gate.refusal(request);
    if (refusal === undefined) return answer(request, response);
    const { status, body } = answerOf(refusal, () => {});
    const challenge = status === 401 ? { 'www-authenticate': 'Bearer realm="viaduct"' } : {};
    // Whatever follows the head is not read.
    response.writeHead(status, {
      ...challenge,
      'content-type': 'application/json; charset=utf-8',
      connection: 'close',
    });
    response.end(JSON.stringify(body));
  };
}

function isLocal(host: string): boolean {
  return host === '::1' || host.startsWith('127.');
}

async function closeAll(parts: readonly (Door | { close(): unknown })[]): Promise<void> {
  for (const part of parts.toReversed()) await part.close();
}
