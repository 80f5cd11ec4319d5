/**
 * Tasks of sessions, from their start until they are forgotten.
 *
 *     start ──► running ──► ended (result or error) ──► forgotten, the oldest first, while more than 1,000 are known
 *                  └─ progress ──► whoever follows; who hangs up ends the telling, not the task
 *
 * What others start (a command, the page of another client) is known from the manager's events and listed alike.
 */
import { type Clock, limits, type Random, ViaductError } from '../../base/mod.ts';
import type { SessionTask, TaskResult } from '../../sessions/mod.ts';
import type { DaemonEvent, SessionManager } from '../contract.ts';
import { answerOf } from './answers.ts';
import { type EventStream, messageText } from './event-stream.ts';
import type { TaskView } from './schemas.ts';

interface Entry {
  view: TaskView;
  /** How often it said something: the id of its messages. */
  told: number;
  readonly streams: Set<EventStream>;
}

export interface TaskBookOptions {
  readonly manager: Pick<SessionManager, 'run' | 'list' | 'subscribe'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly onBug: (error: unknown) => void;
}

export class TaskBook {
  readonly #options: TaskBookOptions;
  /** In the order of their starts. */
  readonly #entries = new Map<string, Entry>();
  /** Started here: the promise says how they end. */
  readonly #own = new Set<string>();
  readonly #unsubscribe: () => void;

  constructor(options: TaskBookOptions) {
    this.#options = options;
    this.#unsubscribe = options.manager.subscribe((event) => this.#hear(event));
  }

  /** Rejects nothing that the task itself rejects: that is its end. */
  start(session: string, task: SessionTask): string {
    const { manager, random, onBug } = this.#options;
    const found = manager.list().find(({ id, name }) => id === session || name === session);
    if (found === undefined) throw noSession(session);
    if (this.#own.size >= limits.apiTasks)
      throw new ViaductError('DAEMON_BUSY', {
        cause: `${this.#own.size} tasks are under way, and there can be no more`,
        remedy: 'Ask again when some of them have ended: GET /v1/events tells.',
      });
    let id = `t-${random.uint32().toString(36)}`;
    while (this.#entries.has(id)) id = `t-${random.uint32().toString(36)}`;
    this.#own.add(id);
    this.#begin(id, found.id, task);
    const ended = (end: Pick<TaskView, 'result' | 'error'>): void => {
      this.#own.delete(id);
      this.#update(id, { ...end, state: 'ended' });
    };
    manager
      .run(found.id, task, (progress) => this.#update(id, { progress }), id)
      .then(
        (result: TaskResult) => ended({ result }),
        (error: unknown) => ended({ error: answerOf(error, onBug).body as TaskView['error'] }),
      );
    return id;
  }

  view(id: string): TaskView {
    return this.#entry(id).view;
  }

  list(): readonly TaskView[] {
    return [...this.#entries.values()].map(({ view }) => view);
  }

  /** All that is known of it as one message, then one more for each change; ends with the task. */
  follow(id: string, stream: EventStream, lastId: string | undefined): void {
    const entry = this.#entry(id);
    if (lastId !== `${id}-${entry.told}` || entry.view.state === 'ended') stream.send(textOf(entry));
    if (entry.view.state === 'ended') {
      stream.end();
      return;
    }
    entry.streams.add(stream);
    stream.onOver(() => entry.streams.delete(stream));
  }

  close(): void {
    this.#unsubscribe();
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry !== undefined) return entry;
    throw new ViaductError('TASK_NOT_FOUND', {
      cause: `there is no task ${JSON.stringify(id)}`,
      remedy: 'GET /v1/tasks lists those that are known; the latest thousand are.',
    });
  }

  #hear(event: DaemonEvent): void {
    const { kind, taskId, session } = event;
    if (taskId === undefined || this.#own.has(taskId)) return;
    if (kind === 'task-started' && session !== undefined && !this.#entries.has(taskId))
      this.#begin(taskId, session, event.task);
    else if (kind === 'task-progress') this.#update(taskId, { progress: event.progress });
    // The end of one of ours is told by its promise, before or after this.
    else if (kind === 'task-ended' && this.#entries.get(taskId)?.view.state === 'running')
      this.#update(taskId, { result: event.result, error: event.error, state: 'ended' });
  }

  #begin(id: string, session: string, task: SessionTask | undefined): void {
    const view: TaskView = { id, session, task, state: 'running', startedAt: this.#time() };
    this.#entries.set(id, { view, told: 0, streams: new Set() });
    this.#forget();
  }

  #update(id: string, change: Partial<TaskView>): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.view.state === 'ended') return;
    const endedAt = change.state === 'ended' ? this.#time() : undefined;
    entry.view = { ...entry.view, ...change, ...(endedAt === undefined ? {} : { endedAt }) };
    entry.told++;
    if (entry.streams.size === 0) return;
    const text = textOf(entry);
    for (const stream of [...entry.streams]) {
      stream.send(text);
      if (endedAt !== undefined) stream.end();
    }
  }

  /**
   * What is under way stays, with those who follow it: of ours there are at most as many, and of others what sessions take
   * (`limits.sessionTasks`).
   */
  #forget(): void {
    for (const [id, { view }] of this.#entries) {
      if (this.#entries.size <= limits.apiTasks) return;
      if (view.state === 'ended') this.#entries.delete(id);
    }
  }

  #time(): string {
    return new Date(this.#options.clock.wallTimeMs()).toISOString();
  }
}

/** `progress` while it runs, then `result` or `error`. */
function textOf({ view, told }: Entry): string {
  const running = view.progress === undefined ? 'started' : 'progress';
  const event = view.state === 'running' ? running : view.error === undefined ? 'result' : 'error';
  return messageText({ id: `${view.id}-${told}`, event, data: view });
}

export function noSession(session: string): ViaductError {
  return new ViaductError('SESSION_NOT_FOUND', {
    cause: `there is no session ${JSON.stringify(session)}`,
    remedy: 'GET /v1/sessions, or `viaduct session list`, shows those there are.',
  });
}
