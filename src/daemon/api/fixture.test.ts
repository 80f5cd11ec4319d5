/** A session manager in memory, and an API server on it: what the tests of the API, the client and the metrics share. No test itself. */
import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Log, seededRandom, systemClock, ViaductError } from '../../base/mod.ts';
import type { SessionStatus, SessionTask, TaskProgress, TaskResult } from '../../sessions/mod.ts';
import type {
  CloseOptions,
  CloseResult,
  DaemonEvent,
  SessionDetail,
  SessionManager,
  SessionRequest,
  SessionSample,
  SessionView,
  ThreadReport,
} from '../contract.ts';
import { sampleOf } from '../sample.ts';
import { ApiServer, type ApiServerOptions } from './server.ts';
import type { ApiServices } from './services.ts';

interface RunningTask {
  readonly task: SessionTask;
  readonly onProgress: (progress: TaskProgress) => void;
  readonly end: PromiseWithResolvers<TaskResult>;
}

export const someProgress: TaskProgress = {
  state: 'writing',
  totalBytes: 100,
  pendingBytes: 40,
  bytesPerSecond: 10,
  secondsLeft: 4,
  problem: undefined,
};

export class MemoryManager implements SessionManager {
  readonly views = new Map<string, SessionView>();
  readonly running: RunningTask[] = [];
  readonly closed: [string, CloseOptions | undefined][] = [];
  readonly requests: SessionRequest[] = [];
  readonly #listeners = new Set<(event: DaemonEvent) => void>();
  status: SessionStatus | undefined;
  shown = 0;
  /** What `show` waits for. */
  hold: Promise<void> | undefined;
  #number = 0;

  get listeners(): number {
    return this.#listeners.size;
  }

  async create(request: SessionRequest): Promise<SessionView> {
    this.requests.push(request);
    const name = request.name ?? `session-${this.views.size}`;
    if (this.#find(name) !== undefined)
      throw new ViaductError('SESSION_EXISTS', { cause: `there is a session ${name}`, remedy: 'Choose another name.' });
    const view: SessionView = {
      ...{ id: `s-${String(this.views.size).padStart(8, 'a')}`, name, kind: request.kind ?? 'proxy' },
      ...{ origin: request.origin, policy: request.policy ?? 'home', state: 'running' as const },
      place: { host: '127.1.0.1', port: 2049, portmapper: 'none' },
      ...{ isTemporary: request.isTemporary ?? false, createdAt: '2026-01-01T00:00:00.000Z', restarts: 0 },
    };
    this.views.set(view.id, view);
    this.emit({ kind: 'session-created', session: view.id, view });
    return view;
  }

  list(): readonly SessionView[] {
    return [...this.views.values()];
  }

  async show(session: string): Promise<SessionDetail> {
    this.shown++;
    await this.hold;
    return { ...this.#get(session), settings: [], ...(this.status === undefined ? {} : { status: this.status }) };
  }

  async samples(): Promise<readonly SessionSample[]> {
    return this.list().map((view) =>
      sampleOf(view, this.status, { now: () => 0, wallTimeMs: () => systemClock.wallTimeMs() }),
    );
  }

  async reopen(session: string): Promise<SessionView> {
    return this.#get(session);
  }

  async run(
    session: string,
    task: SessionTask,
    onProgress: (progress: TaskProgress) => void = () => {},
  ): Promise<TaskResult> {
    this.#get(session);
    const end = Promise.withResolvers<TaskResult>();
    this.running.push({ task, onProgress, end });
    return end.promise;
  }

  async close(session: string, options?: CloseOptions): Promise<CloseResult> {
    const { id, name } = this.#get(session);
    this.closed.push([id, options]);
    this.views.delete(id);
    return { id, name };
  }

  subscribe(listener: (event: DaemonEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async threads(): Promise<readonly ThreadReport[]> {
    return [
      { name: 'main', sessions: 0, restarts: 0, eventLoopDelayMs: { mean: 1, p99: 2, max: 3 }, utilization: 0.25 },
    ];
  }

  emit(event: Omit<DaemonEvent, 'number' | 'time'>): void {
    const told: DaemonEvent = { number: ++this.#number, time: '2026-01-01T00:00:00.000Z', ...event };
    for (const listener of this.#listeners) listener(told);
  }

  #find(session: string): SessionView | undefined {
    return this.list().find(({ id, name }) => id === session || name === session);
  }

  #get(session: string): SessionView {
    const view = this.#find(session);
    if (view !== undefined) return view;
    throw new ViaductError('SESSION_NOT_FOUND', { cause: `there is no session ${session}`, remedy: 'List them.' });
  }
}

export interface ApiFixture {
  readonly manager: MemoryManager;
  readonly server: ApiServer;
  readonly directory: string;
  readonly tokenFile: string;
  /** What was logged. */
  readonly lines: string[];
  close(): Promise<void>;
}

export function servicesFor(manager: SessionManager): ApiServices {
  return {
    manager,
    daemon: () => ({
      ...{ pid: 4711, version: '1.2.3', startedAt: '2026-01-01T00:00:00.000Z', residentBytes: 1 },
      ...{ sessions: manager.list().length, stateDirectory: '/var/lib/viaduct' },
    }),
    policies: () => [],
    explain: async ({ path }) => ({
      path,
      session: { policy: 'home', reason: 'It is the default.', rules: [] },
      file: { policy: 'home', reason: 'It is the session’s.', rules: [] },
      settings: [],
      notApplied: [],
    }),
    configuration: () => ({ configuration: {} }),
    reload: async () => ({ changed: [], pending: [] }),
  };
}

export async function openApi(options: Partial<ApiServerOptions> = {}): Promise<ApiFixture> {
  const directory = mkdtempSync(join(tmpdir(), 'viaduct-api-'));
  const tokenFile = join(directory, 'token');
  const lines: string[] = [];
  const take = (fields: object, message: string): void => {
    lines.push(`${message} ${JSON.stringify(fields, (_key, value) => (value instanceof Error ? value.stack : value))}`);
  };
  const log: Log = { debug: () => {}, info: take, warn: take, error: take };
  const manager = new MemoryManager();
  const starting = ApiServer.start({
    services: servicesFor(manager),
    ...{ runtimeDirectory: directory, uid: process.getuid!(), pid: process.pid, hostName: 'viaduct-host' },
    tcp: { host: '127.0.0.1', port: 0, tokenFile },
    ...{ clock: systemClock, log, random: seededRandom(1) },
    ...options,
  });
  // One that is refused leaves nothing.
  const server = await starting.catch((error: unknown) => {
    rmSync(directory, { recursive: true });
    throw error;
  });
  const close = async (): Promise<void> => {
    await server.close();
    rmSync(directory, { recursive: true });
  };
  return { manager, server, directory, tokenFile, lines, close };
}

export interface Told {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  json(): ReturnType<typeof JSON.parse>;
}

interface Question {
  readonly method?: string | undefined;
  readonly headers?: Record<string, string> | undefined;
  readonly body?: string | Buffer | undefined;
  /** Of the TCP port; default: over the socket. */
  readonly port?: number | undefined;
}

export function ask(server: ApiServer, path: string, { method, headers, body, port }: Question = {}): Promise<Told> {
  return new Promise((resolve, reject) => {
    const where = port === undefined ? { socketPath: server.socketPath } : { host: '127.0.0.1', port };
    const isJson = body === undefined ? {} : { 'content-type': 'application/json' };
    const asking = httpRequest(
      { ...where, path, method: method ?? 'GET', headers: { ...isJson, ...headers }, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode!, headers: response.headers, text, json: () => JSON.parse(text) });
        });
      },
    );
    asking.on('error', reject);
    asking.end(body);
  });
}

export interface RawAnswer {
  readonly text: string;
  /** The connection was reset instead of ended. */
  readonly isReset: boolean;
}

/** Bytes as they are, until the server closes the connection. */
export function sendRaw(
  server: ApiServer,
  bytes: string | Buffer,
  onOpen?: (socket: Socket) => void,
): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let isReset = false;
    const socket = connect(server.socketPath, () => {
      socket.write(bytes);
      onOpen?.(socket);
    });
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', () => {
      isReset = true;
    });
    socket.on('close', () => resolve({ text: Buffer.concat(chunks).toString(), isReset }));
  });
}
