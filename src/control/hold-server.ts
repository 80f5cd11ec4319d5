/**
 * Sessions that end with whoever asked for them: `serve`, `proxy` and `mount` have them made in the daemon, and keep the connection open over
 * which they asked. Its end, also by a kill, is the end of the session.
 *
 *     POST /hold {...} ──► {"kind":"ready",...} ──────── connection closes ──► session closed
 *          └─► {"kind":"refused"} or {"kind":"error"}     {"kind":"end"} from the daemon: the session ended by itself
 *     POST /release {"id"} over another connection ──► session closed ──► {"kind":"closed", left} on the first one
 */
import type { ServerResponse } from 'node:http';
import { type Log, ViaductError } from '../base/mod.ts';
import type { ErrorRecord, LeftBehind, ListeningPlace } from '../sessions/mod.ts';

export const holdPath = '/hold';
export const releasePath = '/release';

/** A session that was made for a connection. */
export interface Held {
  readonly id: string;
  readonly name: string;
  readonly origin: string;
  readonly place: ListeningPlace;
  /** It ended by itself, or somebody else ended it. */
  readonly ended: Promise<ErrorRecord | undefined>;
  close(): Promise<LeftBehind | undefined>;
}

/** Answers why not, if the command should do it alone. Rejects with a ViaductError. */
export type Hold = (request: unknown) => Promise<Held | { readonly refused: string }>;

export type HoldLine =
  | {
      readonly kind: 'ready';
      readonly pid: number;
      readonly id: string;
      readonly name: string;
      readonly origin: string;
      readonly place: ListeningPlace;
    }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'error'; readonly error: ErrorRecord }
  | { readonly kind: 'end'; readonly error: ErrorRecord | undefined }
  | { readonly kind: 'closed'; readonly left: LeftBehind | undefined };

/** Of one server: who asked for which session, and how it is ended. */
export class Holds {
  readonly #hold: Hold;
  readonly #log: Log;
  readonly #releases = new Map<string, () => void>();

  constructor(hold: Hold, log: Log) {
    this.#hold = hold;
    this.#log = log;
  }

  /** False: nobody holds such a session. */
  release(id: unknown): boolean {
    const release = typeof id === 'string' ? this.#releases.get(id) : undefined;
    release?.();
    return release !== undefined;
  }

  /** Until the session has ended, or whoever asked is gone. */
  async tell(body: string, response: ServerResponse): Promise<void> {
    const gone = new Promise<void>((resolve) => response.on('close', () => resolve()));
    response.on('error', () => {});
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    response.flushHeaders();
    const write = (line: HoldLine): void => {
      if (!response.writableEnded && !response.destroyed) response.write(`${JSON.stringify(line)}\n`);
    };
    let held: Held | undefined;
    try {
      const answer = await this.#hold(parsed(body));
      if ('refused' in answer) {
        write({ kind: 'refused', reason: answer.refused });
      } else {
        held = answer;
        await this.#keep(held, gone, write);
      }
    } catch (error) {
      const { code, message: cause, remedy } = error instanceof ViaductError ? error : unexpected(error);
      if (held !== undefined) this.#log.error({ session: held.name, code, cause }, 'a session could not be closed');
      write({ kind: 'error', error: { code, cause, remedy } });
    }
    response.end();
  }

  async #keep(held: Held, gone: Promise<void>, write: (line: HoldLine) => void): Promise<void> {
    const { id, name, origin, place } = held;
    const released = new Promise<void>((resolve) => this.#releases.set(id, resolve));
    try {
      write({ kind: 'ready', pid: process.pid, id, name, origin, place });
      const end = held.ended.then((error) => ({ error }));
      const ended = await Promise.race([released, gone, end]);
      if (ended !== undefined) write({ kind: 'end', error: ended.error });
      else write({ kind: 'closed', left: await held.close() });
    } finally {
      this.#releases.delete(id);
    }
  }
}

function unexpected(error: unknown): ViaductError {
  return new ViaductError('UNEXPECTED', {
    cause: error instanceof Error ? error.message : String(error),
    remedy: 'This is a bug in Viaduct; please report it with this message.',
    from: error,
  });
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
