/**
 * A wide-area link in user space: TCP relays that share one shaped line in each direction.
 *
 * ```
 *  client A ──► route 1 (listen) ──┐ forward line: rate, half a round trip ┌──► target of route 1
 *  client B ──► route 2 (listen) ──┴───────────────────────────────────────┴──► target of route 2
 *                                   backward line: the same, for the replies
 * ```
 *
 * Invariants: the rate holds for all connections together, as on a cable; bytes of one connection keep their order; a side that
 * does not take its bytes stops the reading of the other side, so the memory held is bounded by `windowBytes` a connection and
 * direction. A connection's first byte leaves one round trip after it was accepted (the handshake that the relay hides).
 *
 * What is not modelled: losses, and the congestion window of the far TCP; both would only slow down whoever uses one stream.
 */
import net from 'node:net';
import { type Clock, type Log, systemCode, ViaductError } from '../base/mod.ts';
import { Line } from './line.ts';
import { Stream } from './stream.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface Route {
  /** Port 0: any free one. */
  readonly listen: Endpoint;
  readonly target: Endpoint;
}

export interface LinkOptions {
  readonly routes: readonly Route[];
  readonly roundTripMs: number;
  /** Of each direction, on the wire: 100 Mbit/s carry 94 Mbit/s of payload, as Ethernet does. Without it there is no limit. */
  readonly bitsPerSecond?: number | undefined;
  /** How long a byte may wait for the transmitter before reading stops. */
  readonly queueMs?: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export interface LinkCounters {
  /** Payload bytes from the listening side to the target. */
  readonly forwardBytes: number;
  readonly backwardBytes: number;
  readonly connectionsOpened: number;
  readonly connectionsOpen: number;
}

export interface Link {
  /** Where each route listens, in their order. */
  readonly addresses: readonly Endpoint[];
  counters(): LinkCounters;
  /** The link goes away: silence, no reset. Bytes under way are kept, as TCP would send them again. */
  cut(): void;
  restore(): void;
  close(): Promise<void>;
}

const defaultQueueMs = 20;
const smallestWindowBytes = 4 * 1024 * 1024;

export async function startLink(options: LinkOptions): Promise<Link> {
  const link = new RelayedLink(options);
  try {
    for (const route of options.routes) await link.listen(route);
  } catch (error) {
    await link.close();
    throw error;
  }
  return link;
}

class RelayedLink implements Link {
  readonly addresses: Endpoint[] = [];
  readonly #options: LinkOptions;
  readonly #forward: Line;
  readonly #backward: Line;
  readonly #windowBytes: number;
  readonly #servers: net.Server[] = [];
  readonly #sockets = new Set<net.Socket>();
  #opened = 0;
  #open = 0;
  #closed = false;

  constructor(options: LinkOptions) {
    this.#options = options;
    const bitsPerSecond = options.bitsPerSecond ?? Number.POSITIVE_INFINITY;
    const line = {
      delayMs: options.roundTripMs / 2,
      bitsPerSecond,
      queueMs: options.queueMs ?? defaultQueueMs,
      clock: options.clock,
    };
    this.#forward = new Line(line);
    this.#backward = new Line(line);
    const productBytes = Number.isFinite(bitsPerSecond)
      ? (bitsPerSecond / 8000) * options.roundTripMs
      : 64 * 1024 * 1024;
    this.#windowBytes = Math.max(smallestWindowBytes, 2 * productBytes);
  }

  listen(route: Route): Promise<void> {
    const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) =>
      this.#accept(socket, route.target),
    );
    this.#servers.push(server);
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(listenError(route.listen, error)));
      server.listen(route.listen.port, route.listen.host, () => {
        const address = server.address() as net.AddressInfo;
        this.addresses.push({ host: address.address, port: address.port });
        resolve();
      });
    });
  }

  counters(): LinkCounters {
    return {
      forwardBytes: this.#forward.bytes,
      backwardBytes: this.#backward.bytes,
      connectionsOpened: this.#opened,
      connectionsOpen: this.#open,
    };
  }

  cut(): void {
    this.#forward.freeze();
    this.#backward.freeze();
  }

  restore(): void {
    this.#forward.thaw();
    this.#backward.thaw();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#forward.close();
    this.#backward.close();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  }

  #accept(client: net.Socket, target: Endpoint): void {
    this.#opened++;
    this.#open++;
    const far = new net.Socket({ allowHalfOpen: true });
    far.setNoDelay(true);
    far.pause();
    let left = 2;
    for (const socket of [client, far]) {
      this.#sockets.add(socket);
      // A reset is seen by 'close', which passes it on; the listener keeps it from being an uncaught exception.
      socket.on('error', (error) => this.#options.log.debug({ error: error.message }, 'link socket'));
      socket.once('close', () => {
        this.#sockets.delete(socket);
        if (--left === 0) this.#open--;
      });
    }
    const forward = new Stream({ from: client, to: far, line: this.#forward, windowBytes: this.#windowBytes });
    const backward = new Stream({ from: far, to: client, line: this.#backward, windowBytes: this.#windowBytes });
    // The handshake: SYN there, SYN-ACK back. The far end connects when the SYN arrives; data flows when the SYN-ACK is back.
    const connect = (): void => {
      if (this.#closed) return;
      far.connect(target.port, target.host);
      backward.start();
    };
    this.#options.clock.after(this.#options.roundTripMs / 2, () => whenThawed(this.#forward, connect));
    this.#options.clock.after(this.#options.roundTripMs, () => whenThawed(this.#forward, () => forward.start()));
  }
}

function whenThawed(line: Line, action: () => void): void {
  if (line.full) line.whenRoom(action);
  else action();
}

function listenError(endpoint: Endpoint, error: Error): ViaductError {
  const where = `${endpoint.host}:${endpoint.port}`;
  if (systemCode(error) === 'EACCES')
    return new ViaductError('PRIVILEGE_NEEDED', {
      cause: `listening on ${where} needs root: ports below 1024 are privileged`,
      remedy: 'run as root, or choose a port above 1023',
      from: error,
    });
  if (systemCode(error) === 'EADDRINUSE')
    return new ViaductError('ADDRESS_IN_USE', {
      cause: `another program holds ${where}`,
      remedy: 'choose another address or port, or stop that program',
      from: error,
    });
  return new ViaductError('ADDRESS_INVALID', {
    cause: `cannot listen on ${where}: ${error.message}`,
    remedy: 'give an address of this machine, as HOST:PORT',
    from: error,
  });
}
