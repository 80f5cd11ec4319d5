/**
 * Any NFSv3 server as an origin: found, mounted, checked, and held on to while it goes and comes back.
 *
 *     open: ports -> MNT -> FSINFO, GETATTR of the root (and HELLO of the channel beside it)     refused for its source port? once more from below 1024, if root
 *           away, and remembered (nfs-memory.ts)? started with that, and opened when it comes (nfs-late-mount.ts)
 *     run:  Nfs3Client -> RootGuard -> RpcClient (several connections; reconnects; calls are held)
 *
 * Invariant: the identity (server address and fsid) is fixed when it is opened.
 */
import { hostname } from 'node:os';
import {
  type Clock,
  chain,
  type Eventual,
  type Log,
  limits,
  type Random,
  silentLog,
  sleep,
  ViaductError,
} from '../base/mod.ts';
import { Nfs3Client, nfsProgram, procedures } from '../nfs3/mod.ts';
import { type ClientState, RpcClient, type RpcClientStats } from '../rpc/mod.ts';
import {
  type Call,
  type CommitArguments,
  type CommitReply,
  type Credential,
  type Filesystem,
  ForwardingFilesystem,
  type FsinfoReply,
  type FsstatReply,
  type PathconfReply,
  type ReadArguments,
  type ReadReply,
  type SetattrArguments,
  Stability,
  statusName,
  type WccReply,
  type WriteArguments,
  type WriteReply,
} from '../vfs/mod.ts';
import { formatOrigin, type NfsAddress } from './address.ts';
import { NfsChain } from './nfs-chain.ts';
import { NfsChannel, type OriginChannel, sayHello } from './nfs-channel.ts';
import { type ChannelDataStats, NfsChannelData } from './nfs-channel-data.ts';
import { LateMount } from './nfs-late-mount.ts';
import { LeaseRelay } from './nfs-lease-relay.ts';
import { OriginMemory, type RememberedOrigin } from './nfs-memory.ts';
import { mountOrigin } from './nfs-mount.ts';
import { PackedReads, type PackedReadsStats } from './nfs-packed-reads.ts';
import { RootGuard } from './nfs-root-guard.ts';

export interface NfsOriginOptions {
  readonly address: NfsAddress;
  /** Default: what the address says, else 4. */
  readonly connections?: number | undefined;
  /** Default: what the address says; else tried when the server refuses and this process is root. */
  readonly privilegedPort?: boolean | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** Who mounts and checks the root; callers use their own. */
  readonly credential: Credential;
  /** Milliseconds after which a call of a running session fails with IO; without it calls are held for ever. */
  readonly deadlineMs?: number | undefined;
  /** Milliseconds for each step of opening. */
  readonly openTimeoutMs?: number | undefined;
  /** The portmapper's port; 111 outside of tests. */
  readonly portmapPort?: number | undefined;
  /** Where the origin is remembered, so that a session can start while it is away; without it, it must be there. */
  readonly stateDirectory?: string | undefined;
  /** Milliseconds that an origin that is remembered may be silent at the start before it is taken to be away. */
  readonly openPatienceMs?: number | undefined;
  /** What the server is told of us; default: this host's name. */
  readonly hostName?: string | undefined;
  /** `origin`: what is stable is at the origin itself, past Viaducts on the way that would keep it on a disk of theirs. */
  readonly reach?: 'origin' | undefined;
  /** Leases are the server's own matter: callers' fencing tokens go on to it. */
  readonly relaysLeases?: boolean | undefined;
}

export interface NfsOriginStats extends RpcClientStats, PackedReadsStats, ChannelDataStats {
  readonly state: ClientState;
  /** The server serves another file system now: calls are answered STALE. */
  readonly foreign: boolean;
  /** The session started while the server was away, and it has not come yet. */
  readonly opening: boolean;
}

/** What was said of the root when it was opened last, this time or before; without attributes. */
export interface NfsOriginFacts {
  readonly fsinfo: FsinfoReply;
  readonly pathconf: PathconfReply | undefined;
  readonly fsstat: FsstatReply | undefined;
}

/** Whoever wants to know whether the server is there. */
export interface NfsOriginListener {
  /** It came back (it may have restarted). Called before replies that came after that are passed on. */
  onReconnect?(): void;
  /** It answered some call. Called before the reply is passed on; a reply that must be checked first is none yet. */
  onReply?(): void;
  /** It cannot be reached, and calls are owed: they wait. */
  onLost?(reason: string): void;
}

const defaultConnections = 4;
const defaultOpenTimeoutMs = 15_000;
const defaultOpenPatienceMs = 3_000;
const lateTimeoutMs = 5_000;

interface Self {
  readonly hostName: string;
  readonly instance: string;
}

/** Rejects with ORIGIN_UNREACHABLE, ORIGIN_REFUSED, TIMED_OUT, RPC_UNAVAILABLE or PRIVILEGE_NEEDED. */
export async function openNfsOrigin(options: NfsOriginOptions): Promise<NfsOrigin> {
  const { address, clock, log, random, stateDirectory } = options;
  const patienceMs = options.openPatienceMs ?? defaultOpenPatienceMs;
  const instance = Buffer.from(random.bytes(new Uint8Array(16))).toString('latin1');
  const self = { hostName: options.hostName ?? hostname(), instance };
  const memory = stateDirectory === undefined ? undefined : new OriginMemory(stateDirectory, address, log);
  const remembered = memory?.load();
  const first = openFromAnyPort(options, self);
  const found = await (remembered === undefined
    ? first
    : Promise.race([first.catch(awayOnly), sleep(clock, patienceMs)]));
  const opened = found ?? remembered!;
  if (found !== undefined) {
    memory?.save(found);
    return start(options, self, found);
  }
  const name = formatOrigin(address);
  log.warn({ origin: name }, 'the origin is away: the session starts with what is remembered of it');
  // A lost packet of an attempt that began before the link was back must not cost long.
  const openTimeoutMs = Math.min(options.openTimeoutMs ?? lateTimeoutMs, lateTimeoutMs);
  const again = (): Promise<RememberedOrigin> => openFromAnyPort({ ...options, openTimeoutMs }, self);
  const late = new LateMount({ first, attempt: again, clock, log, name });
  late.mounted.then((mounted) => {
    // Another file system is none that this session can go on with (nfs-root-guard.ts).
    if (mounted.fsid === opened.fsid && mounted.fileid === opened.fileid) memory?.save(mounted);
  }, ignored);
  return start(options, self, opened, late);
}

/** Undefined: it cannot be reached at present. What it refuses is refused for good. */
function awayOnly(error: unknown): undefined {
  const isAway = error instanceof ViaductError && (error.code === 'ORIGIN_UNREACHABLE' || error.code === 'TIMED_OUT');
  if (!isAway) throw error;
}

async function openFromAnyPort(options: NfsOriginOptions, self: Self): Promise<RememberedOrigin> {
  const asked = options.privilegedPort ?? options.address.privilegedPort;
  if (asked !== undefined) return await open(options, asked, self);
  try {
    return await open(options, false, self);
  } catch (error) {
    const refused = error instanceof ViaductError && error.code === 'ORIGIN_REFUSED';
    if (!refused || process.getuid?.() !== 0) throw error;
    options.log.info({ cause: error.message }, 'the origin refused; trying once more from a source port below 1024');
    // If that does not help either, the source port was not the reason: the second answer is as good as the first.
    return await open(options, true, self);
  }
}

async function open(options: NfsOriginOptions, privilegedPort: boolean, self: Self): Promise<RememberedOrigin> {
  const { address, clock, log, random, credential, portmapPort } = options;
  const timeoutMs = options.openTimeoutMs ?? defaultOpenTimeoutMs;
  const mounted = await mountOrigin(address, {
    clock,
    log,
    random,
    credential,
    timeoutMs,
    privilegedPort,
    portmapPort,
  });
  const { host } = address;
  const client = new RpcClient({
    host,
    port: mounted.nfsPort,
    privilegedPort,
    clock,
    log: silentLog,
    random,
    unreachable: 'fail',
  });
  try {
    const callOptions = { credential, deadlineMs: timeoutMs };
    const object = { object: mounted.root };
    const info = await client.call(nfsProgram, procedures.fsinfo, object, callOptions);
    if (info.status !== 0) throw refusedRoot(address, 'FSINFO', info.status);
    // In the same round trip: a plain NFS server says at once that it has no such program.
    const [root, pathconf, fsstat, hello] = await Promise.all([
      client.call(nfsProgram, procedures.getattr, object, callOptions),
      client.call(nfsProgram, procedures.pathconf, object, callOptions),
      client.call(nfsProgram, procedures.fsstat, object, callOptions),
      sayHello(client, self, { credential }, log),
    ]);
    if (root.status !== 0) throw refusedRoot(address, 'GETATTR', root.status);
    const { fsid, fileid } = root.attributes;
    const names = pathconf.status === 0 ? plain(pathconf) : undefined;
    const room = fsstat.status === 0 ? plain(fsstat) : undefined;
    return { ...mounted, privilegedPort, fsid, fileid, info: plain(info), pathconf: names, fsstat: room, hello };
  } finally {
    await client.close();
  }
}

function start(
  options: NfsOriginOptions,
  self: Self,
  opened: RememberedOrigin,
  late?: LateMount<RememberedOrigin>,
): NfsOrigin {
  const { address, clock, log, random, credential, deadlineMs } = options;
  const { root, nfsPort, privilegedPort, fsid, fileid, info, pathconf, fsstat } = opened;
  const { readMaximum, writeMaximum } = info;
  const connections = options.connections ?? address.connections ?? defaultConnections;
  const name = formatOrigin(address);
  const listeners: NfsOriginListener[] = [];
  const onState = ({ state, reason }: ClientState): void => {
    if (state !== 'disconnected') return;
    for (const listener of listeners) listener.onLost?.(reason ?? 'the connection was lost');
  };
  const onReconnect = (): void => {
    for (const listener of listeners) listener.onReconnect?.();
    channel.reconnected();
  };
  const onReply = (): void => {
    for (const listener of listeners) listener.onReply?.();
  };
  const { host } = address;
  const client = new RpcClient({ host, port: nfsPort, connections, privilegedPort, clock, log, random, onState });
  const isUnknown = late !== undefined;
  const channel = new NfsChannel({ client, root, credential, name, clock, log, isUnknown, ...self }, opened.hello);
  const { conditional } = channel;
  const mounted = late?.mounted.then((found) => client.moveTo(found.nfsPort));
  const attributes = { fsid, fileid };
  const mayChange = (): Promise<void> | undefined => channel.settled();
  const told = { onReconnect, onReply, onReadOnly: () => channel.doubt(), mayChange, mounted };
  const caller = new RootGuard({ client, root, attributes, credential, name, clock, log, ...told });
  // The host, not the port: a server keeps its files when it moves to another port.
  const identity = `nfs:${host.toLowerCase()}:${fsid.toString(16)}`;
  const next = new Nfs3Client({
    caller,
    root,
    identity,
    clock,
    log,
    deadlineMs,
    readMaximum,
    writeMaximum,
    conditional,
    forwardsFencing: options.relaysLeases,
  });
  const isOpen = (): void =>
    log.info(
      {
        origin: name,
        identity,
        nfsPort,
        connections,
        privilegedPort,
        readMaximum: next.readMaximum,
        channel: channel.features(),
      },
      'the origin is open',
    );
  if (mounted === undefined) {
    isOpen();
    client.connect();
  } else mounted.then(isOpen, ignored);
  const facts: NfsOriginFacts = {
    fsinfo: { status: 0, ...info },
    pathconf: pathconf && { status: 0, ...pathconf },
    fsstat: fsstat && { status: 0, ...fsstat },
  };
  const relay = options.relaysLeases === true ? new LeaseRelay(caller) : undefined;
  return new NfsOrigin(next, {
    client,
    clock,
    guard: caller,
    channel,
    listeners,
    late,
    facts,
    relay,
    reach: options.reach,
  });
}

export class NfsOrigin extends ForwardingFilesystem implements Filesystem {
  /** Most bytes of one READ and of one WRITE: what the server says, at most `limits.transferBytes`. */
  readonly readMaximum: number;
  readonly writeMaximum: number;
  readonly channel: OriginChannel;
  /** What it does beyond NFS if it is a Viaduct. */
  readonly data: NfsChannelData;
  /** What it does for others in a row with it. */
  readonly chain: NfsChain;
  readonly facts: NfsOriginFacts;
  /** Its leases, for clients of ours. */
  readonly relay: LeaseRelay | undefined;
  readonly #reads: PackedReads;
  readonly #reach: 'origin' | undefined;
  readonly #channel: NfsChannel;
  readonly #client: RpcClient;
  readonly #guard: RootGuard;
  readonly #listeners: NfsOriginListener[];
  readonly #late: LateMount<unknown> | undefined;

  constructor(
    next: Nfs3Client,
    parts: {
      readonly client: RpcClient;
      readonly clock: Clock;
      readonly guard: RootGuard;
      readonly channel: NfsChannel;
      readonly listeners: NfsOriginListener[];
      readonly late: LateMount<unknown> | undefined;
      readonly facts: NfsOriginFacts;
      readonly relay: LeaseRelay | undefined;
      readonly reach: 'origin' | undefined;
    },
  ) {
    super(next);
    this.readMaximum = Math.min(next.readMaximum, limits.transferBytes);
    this.writeMaximum = Math.min(next.writeMaximum, limits.transferBytes);
    this.channel = parts.channel;
    this.data = new NfsChannelData(next, () => parts.channel.features());
    const receivedBytes = (): number => parts.client.stats().bytesIn;
    const { data, readMaximum } = this;
    this.#reads = new PackedReads({ next, data, clock: parts.clock, receivedBytes, readMaximum });
    this.chain = new NfsChain(next, () => parts.channel.features());
    this.relay = parts.relay;
    this.#reach = parts.reach;
    this.#channel = parts.channel;
    this.#client = parts.client;
    this.#guard = parts.guard;
    this.#listeners = parts.listeners;
    this.#late = parts.late;
    this.facts = parts.facts;
  }

  override read(call: Call, args: ReadArguments): Eventual<ReadReply> {
    return this.#reads.read(call, args);
  }

  override write(call: Call, args: WriteArguments): Eventual<WriteReply> {
    const { data } = this;
    const reply = data.writeKnown(call, args) ?? data.writePacked(call, args) ?? this.next.write(call, args);
    if (args.stable === Stability.UNSTABLE || !this.#goesThrough(call)) return reply;
    return chain(reply, (value) => this.chain.written(call, args, value));
  }

  override setattr(call: Call, args: SetattrArguments): Eventual<WccReply> {
    const reply = this.next.setattr(call, args);
    return this.#goesThrough(call) ? chain(reply, (value) => this.chain.changed(call, args, value)) : reply;
  }

  override commit(call: Call, args: CommitArguments): Eventual<CommitReply> {
    return this.#goesThrough(call) ? this.chain.commit(call, args) : this.next.commit(call, args);
  }

  /** The next is a Viaduct whose own idea of stable is not enough. */
  #goesThrough(call: Call): boolean {
    return (call.reach ?? this.#reach) === 'origin' && this.chain.mayKeep();
  }

  listen(listener: NfsOriginListener): void {
    this.#listeners.push(listener);
    if (this.#guard.isOpening()) listener.onLost?.('it was away when the session started');
  }

  /** Pending while the server has been away since the start: what is not idempotent must not be sent into the dark. */
  opened(): Promise<void> {
    return this.#guard.opened();
  }

  override close(): Promise<void> {
    this.#late?.close();
    this.#channel.close();
    return super.close();
  }

  stats(): NfsOriginStats {
    const { foreign, opening } = { foreign: this.#guard.isForeign(), opening: this.#guard.isOpening() };
    return {
      ...this.#client.stats(),
      ...this.#reads.stats(),
      ...this.data.stats(),
      state: this.#client.state(),
      foreign,
      opening,
    };
  }
}

function plain<Reply extends { readonly status: 0; readonly attributes?: unknown }>(
  reply: Reply,
): Omit<Reply, 'status' | 'attributes'> {
  const { status: _status, attributes: _attributes, ...rest } = reply;
  return rest;
}

/** Whoever makes a call is told. */
function ignored(): void {}

function refusedRoot(address: NfsAddress, procedure: string, status: number): ViaductError {
  return new ViaductError('ORIGIN_REFUSED', {
    cause: `${formatOrigin(address)}: the server answered ${procedure} of the root with ${statusName(status)}`,
    remedy:
      'Check that the export admits this host and user. It may demand a source port below 1024: run as root with --privileged-port.',
  });
}
