/**
 * Asks the daemon of this user over its Unix socket (docs/api.md).
 *
 *     withDaemon ──GET /v1/daemon──► DaemonPort ──► the command ──► connection given back
 *         └─ nobody there: DAEMON_UNREACHABLE, with how to start one
 *
 * What the API answers as an error is thrown as the same ViaductError that the daemon had.
 */
import { Agent, type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { type ErrorCode, errorCatalogue, systemCode, ViaductError } from '../base/mod.ts';
import type { TaskProgress, TaskResult } from '../sessions/mod.ts';
import { type DaemonPort, noDaemon } from './daemon-port.ts';
import { controlDirectory } from './process-choice.ts';

export async function withDaemon<Value>(use: (daemon: DaemonPort) => Promise<Value>): Promise<Value> {
  const agent = new Agent({ keepAlive: true });
  const api = new Api(join(controlDirectory(), 'viaduct.sock'), agent);
  try {
    const { pid } = await api.ask<{ pid: number }>('GET', '/v1/daemon');
    return await use(portOf(api, pid));
  } finally {
    agent.destroy();
  }
}

function portOf(api: Api, pid: number): DaemonPort {
  const at = (session: string): string => `/v1/sessions/${encodeURIComponent(session)}`;
  return {
    pid,
    list: () => api.ask('GET', '/v1/sessions'),
    samples: () => api.ask('GET', '/v1/samples'),
    threads: () => api.ask('GET', '/v1/threads'),
    show: (session) => api.ask('GET', at(session)),
    create: (wanted) => api.ask('POST', '/v1/sessions', wanted),
    reopen: (session) => api.ask('POST', `${at(session)}/reopen`),
    close: (session, { changes } = {}) =>
      api.ask('DELETE', `${at(session)}${changes === undefined ? '' : `?changes=${changes}`}`),
    start: async (session, task) => (await api.ask<{ taskId: string }>('POST', `${at(session)}/tasks`, task)).taskId,
    run: (session, task, onProgress) => api.follow(`${at(session)}/tasks`, task, onProgress),
    policyNames: async () => (await api.ask<{ name: string }[]>('GET', '/v1/policies')).map(({ name }) => name),
  };
}

interface TaskMessage {
  readonly state: string;
  readonly progress?: TaskProgress;
  readonly result?: TaskResult;
  readonly error?: ErrorBody;
}

interface ErrorBody {
  readonly code: string;
  readonly cause: string;
  readonly remedy: string;
}

class Api {
  readonly #socketPath: string;
  readonly #agent: Agent;

  constructor(socketPath: string, agent: Agent) {
    this.#socketPath = socketPath;
    this.#agent = agent;
  }

  async ask<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
    const response = await this.#send(method, path, body, 'application/json');
    const text = await textOf(response);
    return parsed<Answer>(text, response.statusCode);
  }

  /** Rejects with what the task rejects with. */
  async follow(
    path: string,
    body: unknown,
    onProgress: (progress: TaskProgress) => void = () => {},
  ): Promise<TaskResult> {
    const response = await this.#send('POST', path, body, 'text/event-stream');
    if (response.statusCode !== 200) throw refused(await textOf(response), response.statusCode);
    let rest = '';
    response.setEncoding('utf8');
    try {
      for await (const chunk of response as AsyncIterable<string>) {
        const messages = (rest + chunk).split('\n\n');
        rest = messages.pop() ?? '';
        for (const message of messages) {
          const data = /^data: (.*)$/m.exec(message)?.[1];
          if (data === undefined) continue;
          const { progress, result, error } = parsed<TaskMessage>(data, 200);
          if (result !== undefined) return result;
          if (error !== undefined) throw errorOf(error);
          if (progress !== undefined) onProgress(progress);
        }
      }
    } catch (error) {
      throw error instanceof ViaductError ? error : gone(error);
    }
    return { outcome: 'closed', problems: ['the daemon ended before the task did'] };
  }

  #send(method: string, path: string, body: unknown, accept: string): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      accept,
      ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    };
    return new Promise((resolve, reject) => {
      const asking = request({ socketPath: this.#socketPath, agent: this.#agent, method, path, headers }, resolve);
      asking.on('error', (error) => reject(gone(error)));
      asking.end(text);
    });
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  } catch (error) {
    throw gone(error);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parsed<Answer>(text: string, status = 0): Answer {
  if (status < 200 || status > 299) throw refused(text, status);
  try {
    return JSON.parse(text) as Answer;
  } catch (error) {
    throw gone(error);
  }
}

function refused(text: string, status = 0): ViaductError {
  try {
    const body: ErrorBody = JSON.parse(text);
    return errorOf(body);
  } catch {
    return gone(new Error(`it answered ${status}`));
  }
}

function errorOf({ code, cause, remedy }: ErrorBody): ViaductError {
  return new ViaductError(Object.hasOwn(errorCatalogue, code) ? (code as ErrorCode) : 'UNEXPECTED', { cause, remedy });
}

function gone(error: unknown): ViaductError {
  if (['ENOENT', 'ECONNREFUSED'].includes(systemCode(error) ?? '')) return noDaemon();
  return new ViaductError('DAEMON_UNREACHABLE', {
    cause: `the daemon does not answer: ${error instanceof Error ? error.message : String(error)}.`,
    remedy: 'Look at its log; `viaduct status` shows what runs.',
    from: error,
  });
}
