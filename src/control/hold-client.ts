/**
 * The command's side of a session in the daemon (hold-server.ts): asks for it, and keeps the connection that it lives by.
 *
 *     holdSession ──► `refused`: do it alone | HeldRemotely ──close──► what is left
 *                                                  └─ ended: the session, or the daemon, has ended
 */
import { type ClientRequest, request } from 'node:http';
import { join } from 'node:path';
import { type ErrorCode, errorCatalogue, limits, ViaductError } from '../base/mod.ts';
import type { ErrorRecord, LeftBehind, ListeningPlace } from '../sessions/mod.ts';
import { type HoldLine, holdPath, releasePath } from './hold-server.ts';

export interface HeldRemotely {
  /** Of the daemon. */
  readonly pid: number;
  readonly id: string;
  readonly name: string;
  readonly place: ListeningPlace;
  readonly origin: string;
  /** Never rejects. Undefined: it was told to end, by whomever. */
  readonly ended: Promise<ErrorRecord | undefined>;
  /** What the session's log holds that the origin does not have. Rejects if the daemon is gone before it says so. */
  close(): Promise<LeftBehind | undefined>;
}

export interface HoldOptions {
  readonly directory: string;
  readonly pid: number;
  /** Ends the asking, and with it what was begun there. */
  readonly signal?: AbortSignal | undefined;
}

/** Rejects with what the daemon says is wrong, or DAEMON_UNREACHABLE. */
export async function holdSession(
  wanted: unknown,
  options: HoldOptions,
): Promise<HeldRemotely | { readonly refused: string }> {
  const line = new HoldConnection(options, wanted);
  const first = await line.first;
  switch (first.kind) {
    case 'refused':
      return { refused: first.reason };
    case 'error':
      throw errorOf(first.error);
    case 'ready':
      return {
        ...{ pid: first.pid, id: first.id, name: first.name, place: first.place, origin: first.origin },
        ended: line.last.then(
          (last) => (last.kind === 'end' || last.kind === 'error' ? last.error : undefined),
          (error: ViaductError) => ({ code: error.code, cause: error.message, remedy: error.remedy }),
        ),
        close: async () => {
          line.askForEnd(first.id);
          const last = await line.last;
          if (last.kind === 'error') throw errorOf(last.error);
          return last.kind === 'closed' ? last.left : undefined;
        },
      };
    default:
      throw gone('it answered in terms that are not known');
  }
}

class HoldConnection {
  readonly first: Promise<HoldLine>;
  readonly last: Promise<HoldLine>;
  readonly #asking: ClientRequest;
  readonly #target: { readonly socketPath: string; readonly method: 'POST'; readonly agent: false };

  constructor({ directory, pid, signal }: HoldOptions, wanted: unknown) {
    this.#target = { socketPath: join(directory, `${pid}.sock`), method: 'POST', agent: false };
    const first = Promise.withResolvers<HoldLine>();
    const last = Promise.withResolvers<HoldLine>();
    this.first = first.promise;
    this.last = last.promise;
    // Who does not ask for the end is not told of it.
    last.promise.catch(() => {});
    const fail = (reason: string): void => {
      first.reject(gone(reason));
      last.reject(gone(reason));
    };
    let count = 0;
    const take = (line: string): void => {
      const said: HoldLine = JSON.parse(line);
      (count++ === 0 ? first : last).resolve(said);
    };
    this.#asking = request(
      { ...this.#target, path: holdPath, ...(signal === undefined ? {} : { signal }) },
      (response) => {
        if (response.statusCode !== 200) return fail(`it answered ${response.statusCode}`);
        let rest = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          const lines = (rest + chunk).split('\n');
          rest = lines.pop() ?? '';
          try {
            if (rest.length > limits.controlBodyBytes) throw new Error('too long');
            for (const line of lines) take(line);
          } catch {
            fail('it answered in terms that are not known');
          }
        });
        response.on('error', (error) => fail(error.message));
        response.on('close', () => fail('it has ended'));
      },
    );
    this.#asking.on('error', (error) => fail(error.message));
    this.#asking.end(JSON.stringify(wanted));
  }

  /** The answer comes over the connection that is there. */
  askForEnd(id: string): void {
    const asking = request({ ...this.#target, path: releasePath });
    // A daemon that is gone ends that one, too.
    asking.on('error', () => this.#asking.destroy());
    asking.on('response', (response) => response.resume());
    asking.end(JSON.stringify({ id }));
  }
}

function errorOf({ code, cause, remedy }: ErrorRecord): ViaductError {
  const known: ErrorCode = code in errorCatalogue ? code : 'UNEXPECTED';
  return new ViaductError(known, { cause, remedy });
}

function gone(reason: string): ViaductError {
  return new ViaductError('DAEMON_UNREACHABLE', {
    cause: `the daemon does not answer any more: ${reason}.`,
    remedy: 'Look at its log; `viaduct status` shows what runs. With --alone no daemon is asked.',
  });
}
