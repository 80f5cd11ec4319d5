/**
 * The ONC RPC server over TCP: listeners, admission of connections, and an orderly end.
 *
 *     listen -> accept -> network allowed? room? -> owner of a loopback peer (once) -> ServerConnection -> Dispatcher
 *     close  -> no more accepting, no more reading -> replies under way leave, for a bounded time -> sockets destroyed
 *
 * What one connection does (violations, unread replies, held calls) never touches another.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { type Clock, type Log, limits, sleep, systemCode, ViaductError } from '../base/mod.ts';
import { BoundedWarnings } from './bounded-warnings.ts';
import { ServerConnection, type TransferCounters } from './connection.ts';
import { Dispatcher, type DispatchStats } from './dispatch.ts';
import type { DuplicateRequestCache } from './duplicates.ts';
import { anyUid, type PeerPolicy, plainAddress } from './peer-policy.ts';
import type { RpcProgram } from './procedure.ts';

export interface RpcServerOptions {
  readonly programs: readonly RpcProgram[];
  readonly clock: Clock;
  readonly log: Log;
  /** Without it every address is served and every uid believed: for tests and for peers that are us. */
  readonly admit?: PeerPolicy | undefined;
  readonly duplicates?: DuplicateRequestCache | undefined;
}

export interface RpcServerStats extends Readonly<DispatchStats>, Readonly<TransferCounters> {
  readonly connections: number;
  readonly accepted: number;
  readonly refused: number;
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

const keepAliveMs = 60_000;
const closePollMs = 10;

export class RpcServer {
  readonly #options: RpcServerOptions;
  readonly #dispatcher: Dispatcher;
  readonly #counters: TransferCounters = { bytesIn: 0, bytesOut: 0, violations: 0, unsentBytes: 0 };
  readonly #listeners: Server[] = [];
  readonly #connections = new Set<ServerConnection>();
  /** Accepted, and not connections yet. */
  readonly #admitting = new Set<Socket>();
  #accepted = 0;
  #refused = 0;
  readonly #warnings: BoundedWarnings;
  #closing = false;

  constructor(options: RpcServerOptions) {
    this.#options = options;
    this.#dispatcher = new Dispatcher(options);
    this.#warnings = new BoundedWarnings(options.clock, options.log);
  }

  /**
   * May be called several times. Rejects with ADDRESS_IN_USE, PRIVILEGE_NEEDED or ADDRESS_INVALID. `descriptor`: of a socket that listens
   * there already, ours from now on.
   */
  listen(host: string, port: number, descriptor?: number): Promise<ListenAddress> {
    const listener = createServer({
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveMs,
      pauseOnConnect: true,
      allowHalfOpen: true,
    });
    listener.on('connection', (socket) => this.#accept(socket));
    return new Promise((resolve, reject) => {
      listener.once('error', (error) => reject(listenError(host, port, error)));
      listener.listen(descriptor === undefined ? { port, host } : { fd: descriptor }, () => {
        listener.removeAllListeners('error');
        listener.on('error', (error) => this.#options.log.error({ error: error.message }, 'a listener failed'));
        this.#listeners.push(listener);
        resolve(addressOf(listener));
      });
    });
  }

  /** Of the first listener. */
  address(): ListenAddress {
    const listener = this.#listeners[0];
    if (listener === undefined) throw new Error('the server does not listen');
    return addressOf(listener);
  }

  stats(): RpcServerStats {
    return {
      ...this.#dispatcher.stats,
      ...this.#counters,
      connections: this.#connections.size,
      accepted: this.#accepted,
      refused: this.#refused,
    };
  }

  /**
   * Replies under way get `graceMs` to leave; `repeatableMs` those to calls that may be sent again without harm, where whoever serves next
   * will be asked for them.
   */
  async close(graceMs = 1000, repeatableMs = graceMs): Promise<void> {
    this.#closing = true;
    const closed = this.#listeners.map((listener) => new Promise((resolve) => listener.close(resolve)));
    for (const socket of this.#admitting) socket.destroy();
    for (const connection of this.#connections) connection.stopReading();
    const { clock, duplicates } = this.#options;
    const begun = clock.now();
    const isWaitedFor = (): boolean => {
      const waitedMs = clock.now() - begun;
      if (waitedMs < repeatableMs) return this.#busy();
      return waitedMs < graceMs && duplicates !== undefined && duplicates.stats().inProgress > 0;
    };
    if (isWaitedFor()) {
      while (isWaitedFor()) await sleep(clock, closePollMs);
      // What was answered last is on its way out.
      await sleep(clock, closePollMs);
    }
    for (const connection of this.#connections) connection.destroy();
    await Promise.all(closed);
  }

  #busy(): boolean {
    for (const connection of this.#connections) if (!connection.idle()) return true;
    return false;
  }

  #accept(socket: Socket): void {
    this.#accepted++;
    const remoteAddress = plainAddress(socket.remoteAddress);
    const remotePort = socket.remotePort;
    if (this.#closing || remotePort === undefined) {
      socket.destroy();
      return;
    }
    const admit = this.#options.admit;
    if (admit?.allows(remoteAddress) === false) {
      this.#refuse(socket, remoteAddress, 'its network has not been allowed (--allow NET)');
      return;
    }
    if (this.#connections.size + this.#admitting.size >= limits.listenerConnections) {
      this.#refuse(socket, remoteAddress, `there are ${limits.listenerConnections} connections already`);
      return;
    }
    const peer = {
      name: `${remoteAddress}:${remotePort}`,
      address: remoteAddress,
      port: remotePort,
      notes: { isViaduct: false },
    };
    let warned = false;
    const start = (mayClaim: (uid: number) => boolean): void => {
      const connection = new ServerConnection({
        socket,
        peer,
        mayClaim: (uid) => {
          const allowed = mayClaim(uid);
          if (!allowed && !warned)
            this.#warnings.warn({ peer: peer.name, uid }, 'a local process claims a uid not its own: refused');
          warned ||= !allowed;
          return allowed;
        },
        dispatcher: this.#dispatcher,
        counters: this.#counters,
        log: this.#options.log,
        warnings: this.#warnings,
        onClose: (closed) => this.#connections.delete(closed),
      });
      this.#connections.add(connection);
    };
    if (admit === undefined) {
      start(anyUid);
      return;
    }
    // Not read from until it is known who it is; the errors of that time have no other listener.
    this.#admitting.add(socket);
    const failed = (): void => undefined;
    socket.on('error', failed);
    const ends = {
      localAddress: plainAddress(socket.localAddress),
      localPort: socket.localPort ?? 0,
      remoteAddress,
      remotePort,
    };
    admit.claims(ends).then((mayClaim) => {
      this.#admitting.delete(socket);
      if (socket.destroyed || this.#closing) socket.destroy();
      else start(mayClaim);
      socket.off('error', failed);
    });
  }

  #refuse(socket: Socket, address: string, reason: string): void {
    this.#refused++;
    socket.on('error', () => undefined);
    socket.destroy();
    this.#warnings.warn({ address, reason, refused: this.#refused }, 'connection refused');
  }
}

function addressOf(listener: Server): ListenAddress {
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('the listener has no address');
  return { host: address.address, port: address.port };
}

/** What a person is told when an address cannot be listened on. */
export function listenError(host: string, port: number, error: unknown): ViaductError {
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  switch (systemCode(error)) {
    case 'EADDRINUSE':
      return new ViaductError('ADDRESS_IN_USE', {
        cause: `another program listens on ${where}`,
        remedy: `Choose another address or port, or end that program (ss -lntup 'sport = :${port}' names it).`,
        from: error,
      });
    case 'EACCES':
    case 'EPERM':
      return new ViaductError('PRIVILEGE_NEEDED', {
        cause: `this process may not listen on ${where}: ports below 1024 need a privilege`,
        remedy: 'Choose a port from 1024 on, run as root, or give the process CAP_NET_BIND_SERVICE.',
        from: error,
      });
    default:
      return new ViaductError('ADDRESS_INVALID', {
        cause: `cannot listen on ${where}: ${systemCode(error) ?? String(error)}`,
        remedy: 'Give an address of this host (ip address show) and a free port.',
        from: error,
      });
  }
}
