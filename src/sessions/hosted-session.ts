/**
 * One session in its worker: opened, obeying, and ended by an order or by an error that nobody expected.
 *
 *   opening ──► open ──close──────────────► closing ──► gone        ready | failed ... closed
 *      │          └───fail: `failed` first────► │
 *      ├──cannot be opened: `failed`, `closed`──┴────► gone
 *      └──close, fail: broken off (opening-end.ts)───► gone
 *
 * Invariants: `closed` is posted once, last, when all that could be closed is; `failed` at most once before it. The log on the disk is
 * closed like the rest: what it holds is there for the session's next life.
 */
import { type Clock, type Log, type Random, sleep } from '../base/mod.ts';
import type { AttachedCache } from './attached-caches.ts';
import { type DataPath, type DataPathTools, openDataPath } from './data-path.ts';
import { recordOf } from './error-record.ts';
import {
  type LogLevel,
  plainFields,
  type SessionOpening,
  type SessionOrder,
  type SessionWord,
  type WorkerReport,
} from './messages.ts';
import { OpeningEnded } from './opening-end.ts';
import { SessionClock } from './session-clock.ts';
import type { LeftBehind } from './write-back-status.ts';

const lastStatsMs = 200;

export type Post = (report: WorkerReport) => void;

export interface HostedSessionOptions {
  readonly number: number;
  readonly opening: SessionOpening;
  /** Throws if it cannot be had. Undefined: the plan has none. */
  readonly attach: () => AttachedCache | undefined;
  /** Its unexpected errors end it, and nothing of it goes on when it is gone. */
  readonly isolates: boolean;
  /** Ends the worker: for errors that are not this session's alone. */
  readonly breakDown: (error: unknown) => void;
  readonly onGone: () => void;
  readonly post: Post;
  readonly clock: Clock;
  readonly random: Random;
}

export class HostedSession {
  readonly #options: HostedSessionOptions;
  readonly #log: Log;
  readonly #clock: SessionClock | undefined;
  readonly #path = Promise.withResolvers<DataPath>();
  readonly #ending = new AbortController();
  #hasFailed = false;
  #isClosing = false;
  #isGone = false;

  constructor(options: HostedSessionOptions) {
    this.#options = options;
    const { number, clock, post, isolates } = options;
    this.#log = postingLog(post, number);
    if (isolates) this.#clock = new SessionClock(clock, (error) => this.fail(error));
  }

  /** Once, in the session's own context: all that follows of it is attributed to it. */
  begin(): void {
    const { number, clock, random } = this.#options;
    const path = this.#path;
    const { signal: ending } = this.#ending;
    this.#open({ clock: this.#clock ?? clock, log: this.#log, random, ending }).then(path.resolve, path.reject);
    path.promise.then(
      ({ place }) => {
        if (!this.#hasFailed) this.#say({ kind: 'ready', session: number, place });
      },
      (error: unknown) => {
        if (error instanceof OpeningEnded) {
          this.#end(error.left, error.isClean, error.rest);
          return;
        }
        if (!this.#hasFailed) this.#say({ kind: 'failed', session: number, error: recordOf(error) });
        this.#end(undefined, true);
      },
    );
  }

  obey(order: SessionOrder): void {
    const session = this.#options.number;
    switch (order.kind) {
      case 'stats':
        this.#withPath(async (path) => this.#say({ kind: 'stats', session, id: order.id, stats: await path.stats() }));
        return;
      case 'task':
        this.#withPath((path) =>
          path.run(order.task, (event) => this.#say({ kind: 'task', session, id: order.id, event })),
        );
        return;
      case 'rules':
        this.#withPath((path) => path.setFiles(order.files));
        return;
      case 'close':
        this.#close(order.isLast);
    }
  }

  /** Something that nobody expected happened in it. */
  fail(error: unknown): void {
    const { isolates, breakDown, number } = this.#options;
    if (!isolates || isOfCache(error)) {
      breakDown(error);
      return;
    }
    const record = recordOf(error);
    if (this.#isClosing || this.#isGone) {
      // Whoever saw the first error knows enough; a part that throws without end must not fill the log.
      const level = this.#hasFailed ? 'debug' : 'error';
      this.#log[level]({ ...record }, 'an unexpected error in a session that ends');
      return;
    }
    this.#hasFailed = true;
    this.#say({ kind: 'failed', session: number, error: record });
    this.#close();
  }

  async #open(tools: DataPathTools): Promise<DataPath> {
    const { opening, attach } = this.#options;
    return await openDataPath(opening, attach(), tools);
  }

  #say(word: SessionWord): void {
    this.#options.post({ ...word, life: this.#options.opening.life });
  }

  #withPath(action: (path: DataPath) => unknown): void {
    this.#path.promise.then(
      async (path) => {
        try {
          await action(path);
        } catch (error) {
          this.fail(error);
        }
      },
      () => {},
    );
  }

  /** A data path that is still being opened breaks off; past the point where it would, it is closed when it is open. */
  #close(isLast = false): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#ending.abort();
    this.#path.promise.then(
      async (path) => {
        let left: LeftBehind | undefined;
        let isClean = true;
        if (this.#hasFailed) await this.#postLastStats(path);
        try {
          left = await path.close(isLast);
        } catch (error) {
          isClean = false;
          this.#log.error({ ...recordOf(error) }, 'a part of the session could not be closed');
        }
        this.#end(left, isClean);
      },
      () => {},
    );
  }

  /** For the report about its failure; what is broken in it may be what would count. */
  async #postLastStats(path: DataPath): Promise<void> {
    const { clock, number: session } = this.#options;
    const asked = Promise.try(() => path.stats()).catch(() => undefined);
    const late = sleep(clock, lastStatsMs).then(() => undefined);
    const stats = await Promise.race([asked, late]);
    if (stats !== undefined) this.#say({ kind: 'stats', session, id: 0, stats });
  }

  /** `rest`: what needs the clock until it is over, if anything does. */
  #end(left: LeftBehind | undefined, isClean: boolean, rest?: Promise<unknown>): void {
    if (this.#isGone) return;
    this.#isGone = true;
    if (rest === undefined) this.#clock?.stop();
    else void rest.then(() => this.#clock?.stop());
    const { number, onGone } = this.#options;
    this.#say({ kind: 'closed', session: number, left, isClean });
    onGone();
  }
}

/** A log whose lines the main thread writes; of the worker itself without a number. */
export function postingLog(post: Post, session: number | undefined): Log {
  const at = (level: LogLevel) => (fields: object, message: string) =>
    post({ kind: 'log', session, level, fields: plainFields(fields), message });
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** What the cache's own code throws may have left its tags locked or half changed, for all who use them. */
function isOfCache(error: unknown): boolean {
  if (!(error instanceof Error) || error.stack === undefined) return false;
  // Who asked Node or `assert` is who threw.
  const place = error.stack
    .split('\n')
    .find((line) => /^\s+at /.test(line) && !/node:|[\\/]base[\\/]assert\.[jt]s:/.test(line));
  return /[\\/](?:src|dist)[\\/]cache[\\/][^\\/]+\.[jt]s:/.test(place ?? '');
}
