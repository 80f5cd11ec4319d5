/**
 * Where the API listens: a Unix socket that only its owner can open, and a TCP port when asked.
 *
 *     RUNTIME/viaduct.sock.lock   locked as long as the daemon lives; holds its pid
 *     RUNTIME/viaduct.sock        mode 0600 from its first moment; one without a living daemon behind it is replaced
 *
 * Heads, bodies, connections and waiting times are bounded here, before anything is parsed. What is no HTTP is answered by a status and closed.
 */
import { closeSync, ftruncateSync, lstatSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type ListenOptions } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Log, limits, systemCode, ViaductError } from '../../base/mod.ts';
import { flockExclusive } from '../../native/mod.ts';
import { refused } from './answers.ts';
import { socketPath } from './socket-path.ts';

export interface Patience {
  /** For the head of a request, and for all of it. */
  readonly headMs: number;
  readonly requestMs: number;
}

export const defaultPatience: Patience = { headMs: 5_000, requestMs: 10_000 };

export interface Door {
  close(): Promise<void>;
}

export interface DoorOptions {
  readonly answer: RequestListener;
  readonly patience: Patience;
  readonly log: Log;
}

export interface SocketPlace {
  readonly directory: string;
  readonly pid: number;
}

/** The directory is there, and its owner's. */
export async function openSocket({ directory, pid }: SocketPlace, options: DoorOptions): Promise<Door> {
  const path = socketPath(directory);
  const bytes = Buffer.byteLength(path);
  if (bytes > limits.socketPathBytes)
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `the path of the daemon's socket, ${path}, has ${bytes} bytes, and the kernel takes ${limits.socketPathBytes}`,
      remedy: 'Set VIADUCT_RUNTIME_DIR to a directory with a shorter path.',
    });
  const lock = takeLock(`${path}.lock`, pid, path);
  try {
    await removeStale(path);
    const server = makeServer(options);
    await listen(server, { path }, path);
    const inode = lstatSync(path).ino;
    return {
      close: async () => {
        await closeServer(server);
        // Whoever replaced it by force keeps it.
        if (inodeOf(path) === inode) unlinkSync(path);
        closeSync(lock);
      },
    };
  } catch (error) {
    closeSync(lock);
    throw error;
  }
}

export async function openPort(
  place: { readonly host: string; readonly port: number },
  options: DoorOptions,
): Promise<Door & { readonly host: string; readonly port: number }> {
  const server = makeServer(options);
  await listen(server, place, `${place.host}:${place.port}`);
  const { address: host, port } = server.address() as AddressInfo;
  return { host, port, close: () => closeServer(server) };
}

function makeServer({ answer, patience, log }: DoorOptions): Server {
  /** What is being answered on each connection. */
  const answers = new WeakMap<Duplex, ServerResponse>();
  const server = createServer(
    {
      maxHeaderSize: limits.apiHeadBytes,
      headersTimeout: patience.headMs,
      requestTimeout: patience.requestMs,
      keepAliveTimeout: patience.headMs,
      connectionsCheckingInterval: Math.min(1_000, patience.headMs),
    },
    (request, response) => {
      const { socket } = request;
      answers.set(socket, response);
      response.once('finish', () => answers.delete(socket));
      answer(request, response);
    },
  );
  server.maxConnections = limits.apiConnections;
  server.on('clientError', (error, socket) => refuseBytes(error, socket, answers.get(socket)?.headersSent === true));
  server.on('error', (error) => log.error({ error: error.message }, 'the API does not take connections'));
  // It must not keep a process alive that has nothing else to do.
  server.unref();
  return server;
}

/** What the parser does not take. An answer that is half sent can't be followed by another one. */
function refuseBytes(error: Error, socket: Duplex, isAnswering: boolean): void {
  if (isAnswering || !socket.writable) {
    socket.destroy();
    return;
  }
  const { status, reason, cause } = complaints[systemCode(error) ?? ''] ?? notHttp;
  const body = JSON.stringify(refused(status, cause));
  const head = `HTTP/1.1 ${status} ${reason}\r\nconnection: close\r\ncontent-type: application/json; charset=utf-8\r\n`;
  socket.on('error', () => {});
  socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`, () => socket.destroy());
}

const notHttp = { status: 400, reason: 'Bad Request', cause: 'what arrived is no HTTP request' };
const complaints: Readonly<Record<string, typeof notHttp>> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    reason: 'Request Header Fields Too Large',
    cause: `the head of the request has more than ${limits.apiHeadBytes} bytes`,
  },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, reason: 'Request Timeout', cause: 'the request took too long to arrive' },
};

/** Its descriptor. */
function takeLock(file: string, pid: number, path: string): number {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'a+', 0o600);
  } catch (error) {
    throw notMade(path, error);
  }
  if (flockExclusive(descriptor) !== 0) {
    const holder = readFileSync(descriptor, 'utf8').trim();
    closeSync(descriptor);
    throw isRunning(path, /^\d+$/.test(holder) ? `, pid ${holder},` : '');
  }
  ftruncateSync(descriptor);
  writeSync(descriptor, `${pid}\n`);
  return descriptor;
}

/** With the lock held nobody should be there; somebody who removed the lock file may be. */
async function removeStale(path: string): Promise<void> {
  let isSocket: boolean;
  try {
    isSocket = lstatSync(path).isSocket();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw notMade(path, error);
  }
  if (!isSocket) throw notMade(path, new Error('something else is there, which is no socket'));
  if (await isAnswered(path)) throw isRunning(path, '');
  unlinkSync(path);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

function inodeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.ino;
}

function listen(server: Server, where: ListenOptions, shown: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(notMade(shown, error));
    server.once('error', fail);
    // A socket is bound within listen(), so its mode is right from its first moment.
    const mask = process.umask(0o177);
    try {
      server.listen(where, () => {
        server.off('error', fail);
        resolve();
      });
    } finally {
      process.umask(mask);
    }
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function isRunning(path: string, who: string): ViaductError {
  return new ViaductError('DAEMON_RUNNING', {
    cause: `another daemon${who} serves ${path}`,
    remedy: 'Use that one (`viaduct session list`), stop it, or set another VIADUCT_RUNTIME_DIR for this one.',
  });
}

function notMade(where: string, error: unknown): ViaductError {
  const code = systemCode(error);
  const reason = error instanceof Error ? error.message : String(error);
  if (code === 'EADDRINUSE')
    return new ViaductError('ADDRESS_IN_USE', {
      cause: `the API cannot listen on ${where}: another program does`,
      remedy: 'Choose another address or port (daemon: api: tcp).',
      from: error,
    });
  return new ViaductError(code === 'EACCES' || code === 'EPERM' ? 'PRIVILEGE_NEEDED' : 'CONFIGURATION_INVALID', {
    cause: `the API cannot listen on ${where}: ${reason}`,
    remedy:
      'Set VIADUCT_RUNTIME_DIR to a directory of your own; for TCP, use an address of this host (daemon: api: tcp).',
    from: error,
  });
}
