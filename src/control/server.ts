/**
 * The status socket of a process: HTTP and JSON on a Unix socket named by pid, that only its owner can open.
 *
 *   GET /status ──► ProcessStatus
 *
 * Without it a process serves as well: what goes wrong here is logged and never ends a session.
 */
import { unlinkSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { type Log, systemCode, ViaductError } from '../base/mod.ts';
import { prepareRuntimeDirectory } from './runtime-directory.ts';
import type { ProcessStatus } from './status.ts';

export interface StatusServerOptions {
  readonly directory: string;
  readonly pid: number;
  readonly uid: number;
  readonly log: Log;
  status(): Promise<ProcessStatus>;
}

/** A request is one short line; whoever sends more or dawdles is cut off. */
const requestLimits = {
  requestTimeout: 2_000,
  headersTimeout: 2_000,
  keepAliveTimeout: 1_000,
  maxHeaderSize: 8 * 1024,
};

export class StatusServer {
  readonly path: string;
  readonly #server: Server;

  private constructor(path: string, server: Server) {
    this.path = path;
    this.#server = server;
  }

  static async start(options: StatusServerOptions): Promise<StatusServer> {
    prepareRuntimeDirectory(options.directory, options.uid);
    const path = join(options.directory, `${options.pid}.sock`);
    // A socket with our own pid can only be of a process that died.
    removeFile(path);
    const server = createServer(requestLimits, (request, response) => {
      const answer = (code: number, body: unknown): void => {
        response.writeHead(code, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
      };
      if (request.url !== '/status') return answer(404, { error: 'only /status is here' });
      if (request.method !== 'GET') return answer(405, { error: 'only GET' });
      options.status().then(
        (status) => answer(200, status),
        (error: unknown) => {
          options.log.error({ error: String(error) }, 'the status could not be told');
          answer(500, { error: String(error) });
        },
      );
    });
    server.on('clientError', (_error, socket) => socket.destroy());
    await listen(server, path);
    // A listening socket must not keep a process alive that has nothing else to do.
    server.unref();
    return new StatusServer(path, server);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
    removeFile(this.path);
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new ViaductError(systemCode(error) === 'EADDRINUSE' ? 'ADDRESS_IN_USE' : 'CONFIGURATION_INVALID', {
          cause: `the status socket ${path} cannot be made: ${error.message}`,
          remedy:
            'Set VIADUCT_RUNTIME_DIR to a directory of your own with a short path (a socket path has at most 107 bytes).',
          from: error,
        }),
      ),
    );
    // The socket is bound within listen(), so the mode is right from its first moment.
    const mask = process.umask(0o177);
    try {
      server.listen(path, () => resolve());
    } finally {
      process.umask(mask);
    }
  });
}

function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It was not there.
  }
}
