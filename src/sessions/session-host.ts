/**
 * The sessions of one worker. Whose an error is that nobody caught is told by the context in which it happened: all that a session
 * starts (timers, sockets, promises) carries it.
 *
 *   orders ──number──► HostedSession, each in its context
 *   uncaught exception, unhandled rejection ──context?──► that session fails, the others go on
 *                                             └─ none, or in the shared cache ──► broken: the worker ends
 *
 * Invariant: sessions meet in nothing but the caches, which are made for it.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Clock, Random } from '../base/mod.ts';
import { AttachedCaches } from './attached-caches.ts';
import { HostedSession, type Post, postingLog } from './hosted-session.ts';
import type { OpenOrder, WorkerOrder } from './messages.ts';
import type { Load } from './thread-load.ts';

export interface SessionHostOptions {
  readonly isolates: boolean;
  readonly post: Post;
  /** Ends the worker, with all that it has. */
  readonly breakDown: (error: unknown) => void;
  /** How busy the thread is. */
  readonly load: () => Load;
  readonly clock: Clock;
  readonly random: Random;
}

export class SessionHost {
  readonly #options: SessionHostOptions;
  readonly #context = new AsyncLocalStorage<HostedSession>();
  readonly #sessions = new Map<number, HostedSession>();
  readonly #caches: AttachedCaches;

  constructor(options: SessionHostOptions) {
    this.#options = options;
    const { clock, random, post, isolates } = options;
    const log = postingLog(post, undefined);
    this.#caches = new AttachedCaches({ isAlone: !isolates, clock: this.#outside(clock), log, random });
  }

  obey(order: WorkerOrder): void {
    const { post, breakDown } = this.#options;
    switch (order.kind) {
      case 'open':
        this.#open(order);
        return;
      case 'detach':
        this.#caches
          .detach(order.id)
          .then((wasAttached) => post({ kind: 'detached', id: order.id, wasAttached }), breakDown);
        return;
      case 'ping':
        post({ kind: 'pong', id: order.id, ...(order.wantsLoad === true ? { load: this.#options.load() } : {}) });
        return;
      default: {
        // One that is not there has said so: its `closed` is under way.
        const session = this.#sessions.get(order.session);
        if (session !== undefined) this.#context.run(session, () => session.obey(order));
      }
    }
  }

  /** Nobody caught it. */
  unexpected(error: unknown): void {
    const session = this.#context.getStore();
    if (session === undefined) this.#options.breakDown(error);
    else session.fail(error);
  }

  #open({ kind: _, session: number, cache, ...opening }: OpenOrder): void {
    const { breakDown, post, clock, random, isolates } = this.#options;
    const session = new HostedSession({
      ...{ number, opening, isolates, breakDown, post, clock, random },
      attach: () => (cache === undefined ? undefined : this.#caches.use(cache, String(number))),
      onGone: () => this.#sessions.delete(number),
    });
    this.#sessions.set(number, session);
    this.#context.run(session, () => session.begin());
  }

  /** Timers that are set for a session by what all of them use. */
  #outside(clock: Clock): Clock {
    return {
      now: () => clock.now(),
      wallTimeMs: () => clock.wallTimeMs(),
      after: (delayMs, action) => this.#context.exit(() => clock.after(delayMs, action)),
    };
  }
}
