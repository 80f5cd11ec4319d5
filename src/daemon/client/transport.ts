/**
 * One request to the daemon, over its Unix socket or over TCP. What the daemon says is wrong becomes a ViaductError with its code; that it
 * says nothing is DAEMON_UNREACHABLE. An answer is bounded.
 */
import { type IncomingMessage, request } from 'node:http';
import { type ErrorCode, errorCatalogue, systemCode, ViaductError } from '../../base/mod.ts';

export type Where =
  | { readonly socketPath: string }
  | { readonly host: string; readonly port: number; readonly token: string };

export interface Wish {
  readonly method?: 'GET' | 'POST' | 'DELETE' | undefined;
  /** With its query. */
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Two hundred sessions with all their counters are some 3 MiB. */
const answerBytes = 64 * 1024 * 1024;

/** Nobody listens there; of a socket: the file of one that has gone may be there. */
export class NobodyListens extends ViaductError {}

/** The answer's head has come, and is no error. Its body is the caller's to read. */
export async function open(
  where: Where,
  { method = 'GET', path, body, headers, signal }: Wish,
): Promise<IncomingMessage> {
  signal?.throwIfAborted();
  const text = body === undefined ? undefined : JSON.stringify(body);
  const { token, ...place } = 'token' in where ? where : { ...where, token: undefined };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const asking = request(
      {
        ...{ ...place, method, path, agent: false },
        ...(signal === undefined ? {} : { signal }),
        headers: {
          ...headers,
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(text === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        },
      },
      resolve,
    );
    asking.on('error', (error) => reject(signal?.aborted === true ? signal.reason : unreachable(error)));
    asking.end(text);
  });
  // A reader that has left must not end the process.
  response.on('error', () => {});
  if (response.statusCode! < 300) return response;
  throw errorFrom(await readText(response, signal), response.statusCode!);
}

export async function ask(where: Where, wish: Wish): Promise<unknown> {
  const text = await readText(await open(where, wish), wish.signal);
  try {
    return JSON.parse(text);
  } catch {
    throw misunderstood(`it is no JSON: ${text.slice(0, 100)}`);
  }
}

async function readText(response: IncomingMessage, signal: AbortSignal | undefined): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > answerBytes) throw misunderstood(`it has more than ${answerBytes} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (signal?.aborted === true) throw signal.reason;
    throw error instanceof ViaductError ? error : unreachable(error);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function errorFrom(text: string, status: number): ViaductError {
  let told: unknown;
  try {
    told = JSON.parse(text);
  } catch {
    return misunderstood(`status ${status} without a reason`);
  }
  const said = (key: string): string => {
    const value: unknown = typeof told === 'object' && told !== null ? Reflect.get(told, key) : undefined;
    return typeof value === 'string' ? value : '';
  };
  const code = said('code');
  return new ViaductError(isCode(code) ? code : 'UNEXPECTED', {
    cause: isCode(code) ? said('cause') : `${code}: ${said('cause')}`,
    remedy: said('remedy'),
  });
}

function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCatalogue, code);
}

export function misunderstood(what: string): ViaductError {
  return new ViaductError('UNEXPECTED', {
    cause: `the answer of the daemon is not understood: ${what}`,
    remedy: 'Use the command of the version that the daemon is of: `viaduct version`, and GET /v1/daemon.',
  });
}

function unreachable(error: unknown): ViaductError {
  const code = systemCode(error);
  const reason = error instanceof Error ? error.message : String(error);
  if (code === 'EACCES' || code === 'EPERM')
    return new ViaductError('PRIVILEGE_NEEDED', {
      cause: `the daemon's socket cannot be opened: ${reason}`,
      remedy: 'Run the command as the user that the daemon runs as.',
      from: error,
    });
  const detail = {
    cause: `the daemon does not answer: ${reason}`,
    remedy: 'Look at its log, and start it again if it has ended: viaduct daemon.',
    from: error,
  };
  if (code === 'ENOENT' || code === 'ECONNREFUSED') return new NobodyListens('DAEMON_UNREACHABLE', detail);
  return new ViaductError('DAEMON_UNREACHABLE', detail);
}
