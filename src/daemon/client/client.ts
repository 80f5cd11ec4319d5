/**
 * A method for each path of the API. Answers are read by the schemas of the server: properties of newer servers are left out, what is
 * missing is an error.
 *
 * Followers come back by themselves when the connection breaks, behind the last message that they saw:
 *
 *     open ──► messages ──► broken ──► wait 0.25 s, then twice as long, 5 s at most ──► open with Last-Event-ID
 */
import { z } from 'zod';
import { type Clock, sleep, ViaductError } from '../../base/mod.ts';
import type { SessionTask } from '../../sessions/mod.ts';
import * as shapes from '../api/schemas.ts';
import type { CloseOptions, SessionRequest } from '../contract.ts';
import { messagesOf, type StreamMessage } from './messages.ts';
import { ask, misunderstood, NobodyListens, open, type Where, type Wish } from './transport.ts';

export interface FollowOptions {
  readonly signal?: AbortSignal | undefined;
  /** Begin behind this one: the id of a message of before. */
  readonly lastEventId?: string | undefined;
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

const shortestWaitMs = 250;
const longestWaitMs = 5_000;
/** Three of the server's comments have not come: the connection is dead. */
const silenceMs = 45_000;
/** Of a task that cannot be asked about: half a minute. */
const taskAttempts = 10;

export class DaemonClient {
  readonly #where: Where;
  readonly #clock: Clock;

  constructor(where: Where, clock: Clock) {
    this.#where = where;
    this.#clock = clock;
  }

  daemon(options?: CallOptions) {
    return this.#ask(shapes.daemonReport, { path: '/v1/daemon', ...options });
  }

  threads(options?: CallOptions) {
    return this.#ask(z.array(shapes.threadReport), { path: '/v1/threads', ...options });
  }

  async metrics({ signal }: CallOptions = {}): Promise<string> {
    const chunks: Buffer[] = [];
    for await (const chunk of await open(this.#where, { path: '/metrics', signal })) chunks.push(chunk);
    return Buffer.concat(chunks).toString('utf8');
  }

  openapi(options?: CallOptions) {
    return this.#ask(z.record(z.string(), z.unknown()), { path: '/v1/openapi.json', ...options });
  }

  sessions(options?: CallOptions) {
    return this.#ask(z.array(shapes.sessionView), { path: '/v1/sessions', ...options });
  }

  samples(options?: CallOptions) {
    return this.#ask(z.array(shapes.sessionSample), { path: '/v1/samples', ...options });
  }

  /** Resolves when it listens. */
  createSession(body: SessionRequest, options?: CallOptions) {
    return this.#ask(shapes.sessionView, { method: 'POST', path: '/v1/sessions', body, ...options });
  }

  session(session: string, options?: CallOptions) {
    return this.#ask(shapes.sessionDetail, { path: pathOf(session), ...options });
  }

  closeSession(session: string, { changes, signal }: CloseOptions & CallOptions = {}) {
    const query = changes === undefined ? '' : `?changes=${changes}`;
    return this.#ask(shapes.closeResult, { method: 'DELETE', path: `${pathOf(session)}${query}`, signal });
  }

  reopenSession(session: string, options?: CallOptions) {
    return this.#ask(shapes.sessionView, { method: 'POST', path: `${pathOf(session)}/reopen`, ...options });
  }

  /** The task's id, at once. */
  async startTask(session: string, body: SessionTask, options?: CallOptions): Promise<string> {
    const wish = { method: 'POST' as const, path: `${pathOf(session)}/tasks`, body, ...options };
    return (await this.#ask(shapes.taskStarted, wish)).taskId;
  }

  tasks(options?: CallOptions) {
    return this.#ask(z.array(shapes.taskView), { path: '/v1/tasks', ...options });
  }

  task(id: string, options?: CallOptions) {
    return this.#ask(shapes.taskView, { path: `/v1/tasks/${encodeURIComponent(id)}`, ...options });
  }

  policies(options?: CallOptions) {
    return this.#ask(z.array(shapes.policyDescription), { path: '/v1/policies', ...options });
  }

  explainPolicy(body: shapes.ExplainRequest, options?: CallOptions) {
    return this.#ask(shapes.explanation, { method: 'POST', path: '/v1/policies/explain', body, ...options });
  }

  configuration(options?: CallOptions) {
    return this.#ask(shapes.configurationReport, { path: '/v1/configuration', ...options });
  }

  reloadConfiguration(options?: CallOptions) {
    return this.#ask(shapes.reloaded, { method: 'POST', path: '/v1/configuration/reload', ...options });
  }

  /** What happens, until `signal` is aborted (it then ends, without an error). After a restart of the daemon, and where events are missing: `lost`. */
  async *events({
    signal,
    lastEventId,
  }: FollowOptions = {}): AsyncGenerator<z.infer<typeof shapes.daemonEvent> | shapes.LostEvents> {
    const messages = this.#follow('/v1/events', signal, lastEventId, Number.POSITIVE_INFINITY);
    for await (const { event, data } of messages)
      yield event === 'lost' ? read(shapes.lostEvents, parse(data)) : read(shapes.daemonEvent, parse(data));
  }

  /**
   * All that is known of the task, again and again; the last has `state: 'ended'`. An aborted signal ends the telling, not the task. Rejects
   * with DAEMON_UNREACHABLE when the daemon has ended, and the task with it.
   */
  async *followTask(id: string, { signal }: CallOptions = {}): AsyncGenerator<shapes.TaskView> {
    const path = `/v1/tasks/${encodeURIComponent(id)}`;
    let hasBegun = false;
    try {
      for await (const { data } of this.#follow(path, signal, undefined, taskAttempts)) {
        hasBegun = true;
        const view = read(shapes.taskView, parse(data));
        yield view;
        if (view.state === 'ended') return;
      }
    } catch (error) {
      const isForgotten = hasBegun && error instanceof ViaductError && error.code === 'TASK_NOT_FOUND';
      throw isForgotten ? broken('another one runs in its place, which does not know the task') : error;
    }
  }

  async #ask<Schema extends z.ZodType>(schema: Schema, wish: Wish): Promise<z.infer<Schema>> {
    return read(schema, await ask(this.#where, wish));
  }

  async *#follow(
    path: string,
    signal: AbortSignal | undefined,
    from: string | undefined,
    attempts: number,
  ): AsyncGenerator<StreamMessage> {
    let lastId = from;
    let failures = 0;
    while (!isAborted(signal)) {
      try {
        for await (const message of this.#stream(path, lastId, signal)) {
          failures = 0;
          lastId = message.id ?? lastId;
          yield message;
        }
      } catch (error) {
        if (isAborted(signal)) return;
        if (!(error instanceof ViaductError) || error.code !== 'DAEMON_UNREACHABLE') throw error;
        // Tasks end with their daemon; events go on with the next one.
        if (error instanceof NobodyListens && Number.isFinite(attempts)) throw error;
        if (++failures >= attempts) throw error;
      }
      await this.#pause(Math.min(longestWaitMs, shortestWaitMs * 2 ** failures), signal);
    }
  }

  /** Ends, or fails, with the connection. */
  async *#stream(
    path: string,
    lastId: string | undefined,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<StreamMessage> {
    const came = lastId === undefined ? {} : { 'last-event-id': lastId };
    const response = await open(this.#where, { path, signal, headers: { accept: 'text/event-stream', ...came } });
    const hear = () => this.#clock.after(silenceMs, () => response.destroy());
    let silence = hear();
    try {
      const chunks: AsyncIterable<Buffer> = response;
      yield* messagesOf(chunks, () => {
        silence.cancel();
        silence = hear();
      });
    } catch (error) {
      throw error instanceof ViaductError ? error : broken(error);
    } finally {
      silence.cancel();
      response.destroy();
    }
  }

  #pause(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal === undefined) return sleep(this.#clock, waitMs);
    return new Promise((resolve) => {
      const over = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', over);
        resolve();
      };
      const timer = this.#clock.after(waitMs, over);
      signal.addEventListener('abort', over, { once: true });
    });
  }
}

/** Whether somebody answers at `where`; undefined: nobody is there. */
export async function probe(where: Where, clock: Clock, withinMs: number): Promise<DaemonClient | undefined> {
  const client = new DaemonClient(where, clock);
  const late = new AbortController();
  const timer = clock.after(withinMs, () => late.abort());
  try {
    await client.daemon({ signal: late.signal });
    return client;
  } catch (error) {
    if (error instanceof NobodyListens) return undefined;
    if (!late.signal.aborted) throw error;
    throw new ViaductError('DAEMON_UNREACHABLE', {
      cause: `a daemon listens, and has not answered within ${withinMs / 1000} s`,
      remedy: 'Look at its log; if it hangs, end it and start it again: sessions keep their changes.',
    });
  } finally {
    timer.cancel();
  }
}

/** As a call, so that the compiler does not take it for constant. */
function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

function broken(error: unknown): ViaductError {
  return new ViaductError('DAEMON_UNREACHABLE', {
    cause: `the connection to the daemon broke: ${error instanceof Error ? error.message : error}`,
    remedy: 'Look at its log, and start it again if it has ended: viaduct daemon.',
    from: error,
  });
}

function read<Schema extends z.ZodType>(schema: Schema, value: unknown): z.infer<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw misunderstood(z.prettifyError(result.error).slice(0, 500));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw misunderstood('a message of its stream is no JSON');
  }
}

function pathOf(session: string): string {
  return `/v1/sessions/${encodeURIComponent(session)}`;
}
