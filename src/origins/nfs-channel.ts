/**
 * The client side of the channel for one NFS origin: what the server can, and the write lease of the tree that is mounted.
 *
 *     opening, and after each reconnect: HELLO ──► features, or a plain NFS server
 *
 *     none ──acquireLease──► acquiring ──granted──► held ──renewals──► held
 *                              ▲                     │ reconnect: renewed at once; tokens survive the server's restart
 *                              └── ended by an admin ┤
 *                                                    └── taken over by another holder ──► lost, for good
 *
 * Invariants: no verifier carries a token before a server gave one out; a lost lease's token stays in the verifier, so that all that
 * this process still sends is refused by the server, also after the new holder has gone.
 */
import { type Clock, type Log, type Timer, ViaductError } from '../base/mod.ts';
import {
  channelClient,
  channelNumbers,
  Feature,
  type HelloArguments,
  type HelloReply,
  hello,
  protocolVersion,
  setattrIf,
  wireLimits,
  writeIf,
} from '../channel/mod.ts';
import type { ConditionalProcedures } from '../nfs3/mod.ts';
import type { CallOptions, RpcCaller, RpcClient } from '../rpc/mod.ts';
import {
  type AcquireReply,
  type Credential,
  type FileHandle,
  type LeaseHolder,
  type LeaseState,
  type LeaseToken,
  Status,
  statusName,
} from '../vfs/mod.ts';

export type LostLease = Extract<LeaseState, { state: 'lost' }>;

/** What the layers of a session get of it. */
export interface OriginChannel {
  /** What both sides can (`Feature`); empty: a plain NFS server. */
  features(): readonly string[];
  /** Whether WRITE and SETATTR honour `expected`. */
  conditionalWrites(): boolean;
  /**
   * Asks for the exclusive right to change the tree that is mounted. `none`: the server knows no leases. Rejects with LEASE_HELD if
   * another holder has it (and `takeOver` is false), with ORIGIN_REFUSED if the server gives none to this user or for this directory.
   * `instance` (16 bytes, one character each) gets a lease back that this holder had in an earlier life.
   */
  acquireLease(request: LeaseWish): Promise<LeaseState>;
  lease(): LeaseState;
  /** Asks the server whether a lease that is held still stands; `lease()` says it afterwards. Rejects if the server cannot be asked. */
  checkLease(): Promise<void>;
  /** Told once, when another holder has taken the lease over. */
  onLeaseLost(listener: (lost: LostLease) => void): void;
  /** Gives the lease back. For when nothing is left to be written; closing the origin alone keeps the lease. */
  release(): Promise<void>;
}

export interface LeaseWish {
  readonly takeOver: boolean;
  readonly holder: string;
  readonly instance?: string | undefined;
}

export interface NfsChannelOptions {
  readonly client: RpcClient;
  readonly root: FileHandle;
  readonly credential: Credential;
  readonly hostName: string;
  /** 16 bytes, one character each: this life of the client. */
  readonly instance: string;
  /** The server has not been asked yet what it is. */
  readonly isUnknown?: boolean | undefined;
  /** For messages. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** A server that keeps silent about programs that it does not know is given up on, and plain. */
const helloTimeoutMs = 3_000;
/** As long as a kernel sends what a process that was killed has left in its socket: some two minutes. */
const echoMs = 180_000;

function helloArguments({ hostName, instance }: Pick<NfsChannelOptions, 'hostName' | 'instance'>): HelloArguments {
  const host = hostName.slice(0, wireLimits.holderBytes);
  return { highestVersion: protocolVersion, features: Object.values(Feature), host, instance };
}

/** Undefined: a plain NFS server. Never rejects with an operating error: if the server is gone, NFS calls will tell. */
export async function sayHello(
  caller: RpcCaller,
  who: { readonly hostName: string; readonly instance: string },
  options: CallOptions,
  log: Log,
): Promise<HelloReply | undefined> {
  try {
    const reply = await channelClient.hello(caller, helloArguments(who), { ...options, deadlineMs: helloTimeoutMs });
    return reply.version > 0 && reply.version <= protocolVersion ? reply : undefined;
  } catch (error) {
    if (!(error instanceof ViaductError)) throw error;
    log.debug({ code: error.code, cause: error.message }, 'the server does not speak the channel');
    return undefined;
  }
}

export class NfsChannel implements OriginChannel {
  readonly #options: NfsChannelOptions;
  #hello: HelloReply | undefined;
  #wish: (LeaseWish & { readonly instance: string }) | undefined;
  #token: LeaseToken | undefined;
  #state: LeaseState = { state: 'none' };
  readonly #listeners: ((lost: LostLease) => void)[] = [];
  #timer: Timer | undefined;
  #renewing: Promise<void> | undefined;
  #again = false;
  #renewMs = 10_000;
  #grantedMs = 0;
  #hasAskedAgain = false;
  #settling: Promise<void> | undefined;
  #isGreeting = false;
  #closed = false;

  constructor(options: NfsChannelOptions, said: HelloReply | undefined) {
    this.#options = options;
    this.#hello = said;
    this.#greet(said !== undefined || options.isUnknown === true);
  }

  /** What Nfs3Client does with `expected`. */
  readonly conditional: ConditionalProcedures = {
    isAvailable: () => this.conditionalWrites(),
    write: writeIf,
    setattr: setattrIf,
  };

  features(): readonly string[] {
    return this.#hello?.features ?? [];
  }

  conditionalWrites(): boolean {
    return this.features().includes(Feature.CONDITIONAL);
  }

  lease(): LeaseState {
    return this.#state;
  }

  onLeaseLost(listener: (lost: LostLease) => void): void {
    this.#listeners.push(listener);
  }

  async acquireLease(request: LeaseWish): Promise<LeaseState> {
    if (!this.features().includes(Feature.LEASES)) return this.#state;
    const before = { wish: this.#wish, state: this.#state };
    this.#wish = { ...request, instance: request.instance ?? this.#options.instance };
    this.#state = { state: 'acquiring' };
    try {
      const reply = await this.#acquire(this.#wish);
      if (reply.outcome !== 'granted') throw this.#refusal(reply);
    } catch (error) {
      // Above all, what was lost stays lost.
      this.#wish = before.wish;
      this.#state = before.state;
      throw error;
    }
    return this.#state;
  }

  async checkLease(): Promise<void> {
    if (this.#state.state === 'held') await this.#renew();
  }

  async release(): Promise<void> {
    const token = this.#token;
    this.#timer?.cancel();
    if (token === undefined || this.#state.state === 'lost') return;
    this.#wish = undefined;
    this.#token = undefined;
    this.#state = { state: 'none' };
    const { client, root } = this.#options;
    await channelClient.release(client, { tree: root, token }, this.#callOptions());
    if (this.#token === undefined) client.setFencing(undefined);
  }

  /** The server came back, perhaps as another program: asks again what it can, and whether the lease still stands. */
  reconnected(): void {
    this.#run(async () => {
      const { client, log, name } = this.#options;
      const before = this.#hello;
      const said = await sayHello(client, this.#options, this.#callOptions(), log);
      // Not to be taken for a plain server because the line broke again: the next reconnect asks once more.
      if (said === undefined && client.state().state !== 'connected') return;
      this.#hello = said;
      this.#greet(said !== undefined);
      if (said?.start !== before?.start)
        log.info({ origin: name, features: this.features() }, 'the server was restarted');
      if (this.#token !== undefined) await this.#renew();
    });
  }

  /** A change was refused: another holder may have taken the lease over. */
  doubt(): void {
    if (this.#state.state === 'held') this.#run(() => this.#renew());
  }

  /** Pending while a lease is being asked for: a change that is sent before would lack the token. */
  settled(): Promise<void> | undefined {
    return this.#settling;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  /** A Viaduct is told on each connection that we are one; a plain server is not asked again and again for what it does not know. */
  #greet(isWelcome: boolean): void {
    const { client, credential } = this.#options;
    const greeting = { program: channelNumbers, procedure: hello, args: helloArguments(this.#options), credential };
    if (isWelcome !== this.#isGreeting) client.setGreeting(isWelcome ? greeting : undefined);
    this.#isGreeting = isWelcome;
  }

  #callOptions(): CallOptions {
    return { credential: this.#options.credential, priority: 'demand' };
  }

  #acquire(wish: LeaseWish & { readonly instance: string }): Promise<AcquireReply> {
    const asking = this.#ask(wish);
    const settling = asking.then(ignored, ignored).then(() => {
      if (this.#settling === settling) this.#settling = undefined;
    });
    this.#settling = settling;
    return asking;
  }

  async #ask({ holder, instance, takeOver }: LeaseWish & { readonly instance: string }): Promise<AcquireReply> {
    const { client, root, log, name } = this.#options;
    const reply = await channelClient.acquire(client, { tree: root, holder, instance, takeOver }, this.#callOptions());
    if (reply.outcome === 'granted') {
      this.#token = reply.token;
      this.#state = { state: 'held' };
      if (!this.#hasAskedAgain) this.#grantedMs = this.#options.clock.now();
      client.setFencing(reply.token);
      log.info({ origin: name, tree: reply.path, holder }, 'the write lease is ours');
      this.#schedule(reply.renewMs);
    }
    return reply;
  }

  #schedule(renewMs: number): void {
    this.#renewMs = Math.max(100, renewMs);
    this.#timer?.cancel();
    if (this.#closed || this.#token === undefined) return;
    this.#timer = this.#options.clock.after(this.#renewMs, () => this.#run(() => this.#renew()));
  }

  /** One at a time; what comes meanwhile asks once more, and waits for that: the answer under way may be of before. */
  #renew(): Promise<void> {
    this.#again = this.#renewing !== undefined;
    this.#renewing ??= this.#renewWhileAsked();
    return this.#renewing;
  }

  async #renewWhileAsked(): Promise<void> {
    try {
      do {
        this.#again = false;
        await this.#renewOnce();
      } while (this.#again);
    } finally {
      this.#renewing = undefined;
      if (this.#state.state !== 'lost') this.#schedule(this.#renewMs);
    }
  }

  async #renewOnce(): Promise<void> {
    const { client, root, log, name } = this.#options;
    const token = this.#token;
    const wish = this.#wish;
    if (token === undefined || wish === undefined || this.#state.state === 'lost') return;
    const reply = await channelClient.renew(client, { tree: root, token }, this.#callOptions()).catch(gone);
    if (this.#token !== token) return;
    if (reply.outcome === 'held') this.#renewMs = Math.max(100, reply.renewMs);
    else if (reply.outcome === 'lost' && this.#mayBeEcho(reply.holder, wish)) {
      log.warn({ origin: name }, 'the write lease was given to an earlier life of this session; asking for it again');
      this.#hasAskedAgain = true;
      await this.#reacquire(wish);
    } else if (reply.outcome === 'lost') this.#lose(reply.holder, reply.sinceMs);
    else if (reply.outcome === 'refused') {
      log.warn(
        { origin: name, status: statusName(reply.status) },
        'the write lease could not be renewed; trying again',
      );
    } else {
      // Somebody ended it, and nobody has had it since.
      log.warn({ origin: name }, 'the write lease was ended at the server; asking for it again');
      await this.#reacquire(wish);
    }
  }

  /**
   * What a killed life of this session asked for may arrive after our own request and take our token's place. Once, and soon after the
   * grant: two sessions that go on with copies of one log have the same names, and only one of them may win.
   */
  #mayBeEcho(holder: string, wish: LeaseWish): boolean {
    return !this.#hasAskedAgain && holder === wish.holder && this.#options.clock.now() - this.#grantedMs < echoMs;
  }

  async #reacquire(wish: LeaseWish & { readonly instance: string }): Promise<void> {
    const { log, name } = this.#options;
    this.#state = { state: 'acquiring' };
    const reply = await this.#acquire({ ...wish, takeOver: false });
    if (reply.outcome === 'held') this.#lose(reply.by.holder, reply.by.sinceMs);
    else if (reply.outcome === 'refused') {
      log.warn(
        { origin: name, status: statusName(reply.status) },
        'the write lease could not be had again; trying again',
      );
    }
  }

  #lose(holder: string, sinceMs: number): void {
    if (this.#state.state === 'lost') return;
    const lost: LostLease = { state: 'lost', holder, sinceMs };
    this.#state = lost;
    this.#timer?.cancel();
    const { log, name } = this.#options;
    log.error(
      { origin: name, holder, since: new Date(sinceMs).toISOString() },
      'the write lease is lost: nothing is written any more',
    );
    for (const listener of this.#listeners) listener(lost);
  }

  /** In the background: calls end with an error when the origin is closed; then there is nobody to tell. */
  #run(action: () => Promise<void>): void {
    action().catch((error: unknown) => {
      if (this.#closed && error instanceof ViaductError) return;
      this.#options.log.warn(
        { origin: this.#options.name, error: String(error) },
        'the write lease could not be looked after',
      );
    });
  }

  #refusal(reply: Exclude<AcquireReply, { outcome: 'granted' }>): ViaductError {
    const { name } = this.#options;
    if (reply.outcome === 'held') return heldError(name, reply.by);
    const whole = reply.status === Status.NOTSUPP;
    return new ViaductError('ORIGIN_REFUSED', {
      cause: `${name}: the server gives no write lease: ${statusName(reply.status)}`,
      remedy: whole
        ? 'It cannot tell where its files lie, so only the whole export can be leased: mount "/".'
        : 'Check that this user may write to the directory, and that the server does not serve it read-only.',
    });
  }
}

function ignored(): void {}

/** A server that does not serve the channel any more has forgotten every lease. */
function gone(error: unknown): { readonly outcome: 'lost'; readonly holder: string; readonly sinceMs: number } {
  if (!(error instanceof ViaductError) || error.code !== 'RPC_UNAVAILABLE') throw error;
  return { outcome: 'lost', holder: '(the server knows no leases any more)', sinceMs: 0 };
}

function heldError(name: string, by: LeaseHolder): ViaductError {
  const time = (ms: number): string => new Date(ms).toISOString();
  const breakable = by.breakableMs === 0 ? 'only by a take-over' : `from ${time(by.breakableMs)} on`;
  return new ViaductError('LEASE_HELD', {
    cause: `${name}: ${JSON.stringify(by.holder)} holds the write lease of ${JSON.stringify(by.path)} since ${time(by.sinceMs)}; last seen ${time(by.seenMs)}; it can be had ${breakable}`,
    remedy:
      'End the session that holds it first; it may be another one of this host (`viaduct session list`, `viaduct status`). If it is gone for good, take the lease over (--take-over): what it has not written back stays with it.',
  });
}
