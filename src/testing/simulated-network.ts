/**
 * The way between a stack and its origin: late, out of order, cut and restored, as NFS over TCP and a client that retransmits
 * make of it.
 *
 *      call ──► queued ──connected──► request ──► executed ──► reply ──► answered
 *                 ▲                      │ cut: lost              │ cut: executed, reply lost
 *                 └──────────────────────┴────────────────────────┘ retransmitted after the reconnect
 *
 * Non-idempotent calls are executed once, however often they are sent (the server's duplicate request cache). A caller that
 * died (`kill`) hears nothing any more; of its requests under way some are still executed, at most `lateMs` after its death.
 */
import type { Clock, Eventual, Random, Timer } from '../base/mod.ts';
import type * as vfs from '../vfs/mod.ts';
import { Chance } from './chance.ts';
import { InterceptingFilesystem } from './intercept.ts';
import type { SimulatedOrigin } from './simulated-origin.ts';

export interface SimulatedNetworkOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly origin: SimulatedOrigin;
  /** One way, without jitter; each message takes up to twice as long. */
  readonly latencyMs?: number;
  /** How long requests of a dead caller may be under way. */
  readonly lateMs?: number;
  /** Something happens on the way; may kill the caller. */
  readonly onEvent?: ((event: NetworkEvent) => void) | undefined;
}
export type NetworkEvent = 'call' | 'executed' | 'reply';

/** What a stack hears of its connection (src/origins/nfs.ts). */
export interface NetworkListener {
  onReconnect?(): void;
  onReply?(): void;
  onLost?(reason: string): void;
}

interface Flight {
  readonly key: string;
  readonly connection: SimulatedConnection;
  readonly operation: vfs.OperationName;
  readonly execute: () => Eventual<unknown>;
  readonly settle: (reply: unknown) => void;
  state: 'queued' | 'request' | 'reply';
  timer: Timer | undefined;
  /** Whether a request has been sent since. */
  attempts: number;
}

const nonIdempotent: ReadonlySet<vfs.OperationName> = new Set([
  'setattr',
  'create',
  'mkdir',
  'symlink',
  'mknod',
  'remove',
  'rmdir',
  'rename',
  'link',
]);

export class SimulatedNetwork {
  executions = 0;
  retransmissions = 0;
  readonly #options: SimulatedNetworkOptions;
  readonly #clock: Clock;
  readonly #chance: Chance;
  readonly #latencyMs: number;
  readonly #flights = new Set<Flight>();
  readonly #connections = new Set<SimulatedConnection>();
  #isCut = false;
  #isHandshaking = false;
  #handshake: Timer | undefined;
  #calls = 0;

  constructor(options: SimulatedNetworkOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#chance = new Chance(options.random);
    this.#latencyMs = options.latencyMs ?? 5;
  }

  get isCut(): boolean {
    return this.#isCut;
  }

  /** Calls that wait for an answer. */
  get outstanding(): number {
    return this.#flights.size;
  }

  /** A new caller. */
  connect(): SimulatedConnection {
    const connection = new SimulatedConnection(this, this.#options.origin);
    this.#connections.add(connection);
    return connection;
  }

  cut(): void {
    if (this.#isCut) return;
    this.#isCut = true;
    this.#break();
  }

  restore(): void {
    if (!this.#isCut) return;
    this.#isCut = false;
    this.#reconnect();
  }

  /**
   * The server crashes and comes back: every connection breaks. Quietly: another server takes over at once, and only the write
   * verifier tells.
   */
  restartOrigin(isQuiet = false): void {
    if (isQuiet) {
      this.#options.origin.restart();
      return;
    }
    this.#break();
    this.#options.origin.restart();
    if (!this.#isCut) this.#reconnect();
  }

  /** The caller's process is gone. */
  kill(connection: SimulatedConnection): void {
    this.#connections.delete(connection);
    for (const flight of this.#flights) {
      if (flight.connection !== connection) continue;
      flight.timer?.cancel();
      this.#flights.delete(flight);
      if (flight.state !== 'request' || this.#chance.happens(0.5)) continue;
      this.#clock.after((this.#options.lateMs ?? 0) * this.#chance.share(), () => {
        if (!this.#isCut) this.#execute(flight);
      });
    }
  }

  /** For connections: makes the call, in some time. */
  send<R>(connection: SimulatedConnection, operation: vfs.OperationName, execute: () => Eventual<R>): Promise<R> {
    if (!this.#connections.has(connection)) return new Promise<R>(() => {});
    this.#event('call');
    if (!this.#connections.has(connection)) return new Promise<R>(() => {});
    return new Promise<R>((resolve) => {
      const flight: Flight = {
        key: `${this.#calls++}`,
        connection,
        operation,
        execute,
        settle: resolve as (reply: unknown) => void,
        state: 'queued',
        timer: undefined,
        attempts: 0,
      };
      this.#flights.add(flight);
      if (!this.#isCut && !this.#isHandshaking) this.#request(flight);
    });
  }

  #delay(): number {
    return this.#latencyMs * (1 + this.#chance.share());
  }

  #request(flight: Flight): void {
    flight.state = 'request';
    if (flight.attempts++ > 0) this.retransmissions++;
    flight.timer = this.#clock.after(this.#delay(), () => {
      const reply = this.#execute(flight);
      if (!this.#flights.has(flight) || flight.state !== 'request') return;
      flight.state = 'reply';
      flight.timer = this.#clock.after(this.#delay(), () => this.#answer(flight, reply));
    });
  }

  #execute(flight: Flight): unknown {
    this.executions++;
    const { origin } = this.#options;
    const reply = nonIdempotent.has(flight.operation)
      ? origin.answerOnce(flight.key, flight.execute)
      : flight.execute();
    this.#event('executed');
    return reply;
  }

  #answer(flight: Flight, reply: unknown): void {
    if (!this.#flights.delete(flight)) return;
    this.#event('reply');
    if (!this.#connections.has(flight.connection)) return;
    flight.connection.listener.onReply?.();
    flight.settle(reply);
  }

  /** Connections break: what was under way arrived, or did not. */
  #break(): void {
    this.#handshake?.cancel();
    this.#isHandshaking = false;
    for (const flight of [...this.#flights]) {
      if (flight.state === 'queued') continue;
      const wasRequest = flight.state === 'request';
      flight.timer?.cancel();
      flight.state = 'queued';
      if (wasRequest && this.#chance.happens(0.5)) this.#execute(flight);
    }
    for (const connection of [...this.#connections]) connection.listener.onLost?.('the simulated link was cut');
  }

  #reconnect(): void {
    this.#handshake?.cancel();
    this.#isHandshaking = true;
    this.#handshake = this.#clock.after(3 * this.#delay(), () => {
      this.#isHandshaking = false;
      for (const connection of [...this.#connections]) connection.listener.onReconnect?.();
      for (const flight of [...this.#flights]) if (flight.state === 'queued') this.#request(flight);
    });
  }

  #event(event: NetworkEvent): void {
    this.#options.onEvent?.(event);
  }
}

/** One process's way to the origin: a `Filesystem` whose every answer comes late. */
export class SimulatedConnection extends InterceptingFilesystem {
  listener: NetworkListener = {};
  readonly #network: SimulatedNetwork;

  constructor(network: SimulatedNetwork, origin: SimulatedOrigin) {
    super(origin);
    this.#network = network;
  }

  protected override intercept<R>(
    operation: vfs.OperationName,
    _call: vfs.Call,
    _args: unknown,
    proceed: () => Eventual<R>,
  ): Eventual<R> {
    return this.#network.send(this, operation, proceed);
  }

  override close(): Promise<void> {
    this.#network.kill(this);
    return Promise.resolve();
  }
}
