/**
 * The channel of a session: the program beside NFS, and the leases of a server, kept in the origin's state directory.
 *
 *     serve             leases; conditions, and data by reference, if the origin is a directory
 *     write-back        leases of its own          write-through   those of the server behind it, and its conditions
 *     all that write    packed data            all         vectored reads, walks, identity
 */
import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Clock, Log, Random } from '../base/mod.ts';
import { ChunkIndex, channelProgram, Feature } from '../channel/mod.ts';
import { Leases, type TakeoverPolicy } from '../layers/mod.ts';
import { makeDirectory } from '../native/mod.ts';
import type { NfsOrigin } from '../origins/mod.ts';
import type { RpcProgram } from '../rpc/mod.ts';
import type { Filesystem, TreeLocator, WorkingSetPublisher } from '../vfs/mod.ts';
import type { SessionChain } from './chain.ts';
import { OriginNames } from './origin-names.ts';
import { SqliteLeaseStore } from './sqlite-lease-store.ts';

export interface ServedOrigin {
  readonly filesystem: Filesystem;
  /** Present if it is an NFS server. */
  readonly nfs?: NfsOrigin | undefined;
  /** Present if it is a directory: then it honours `expected` too. */
  readonly locator?: TreeLocator | undefined;
}

export interface ChannelSurroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly stateDirectory: string;
}

/** The layer and its store. */
export class SessionLeases {
  readonly layer: Leases;
  readonly serverId: string;

  /** Throws LEASE_STORE_FAILED. */
  constructor(next: Filesystem, origin: ServedOrigin, takeover: TakeoverPolicy, surroundings: ChannelSurroundings) {
    const { clock, log, random, stateDirectory } = surroundings;
    makeDirectory(stateDirectory, 0o700);
    const store = new SqliteLeaseStore({ path: leasesFile(stateDirectory), clock, random });
    this.serverId = store.serverId;
    this.layer = new Leases(next, { store, locator: origin.locator, takeover, clock, log });
  }
}

export interface ChannelParts {
  readonly leases: SessionLeases | undefined;
  readonly isReadOnly: boolean;
  /** It keeps changes: a condition would have to wait until they are at the origin. */
  readonly keepsChanges: boolean;
  readonly chain: SessionChain;
  /** Who takes what others learned of files. */
  readonly publisher: WorkingSetPublisher | undefined;
}

/** `top`: what clients see. */
export function sessionChannel(
  top: Filesystem,
  origin: ServedOrigin,
  { leases, isReadOnly, keepsChanges, chain, publisher }: ChannelParts,
  { clock, log, random, stateDirectory }: ChannelSurroundings,
): RpcProgram {
  const isDirectory = origin.locator !== undefined && !keepsChanges;
  const { nfs } = origin;
  const features: string[] = [Feature.READ_VECTOR, Feature.WALK, Feature.IDENTITY];
  if (!isReadOnly) features.push(Feature.PUT);
  if (leases !== undefined) features.push(Feature.LEASES);
  if (leases !== undefined && isDirectory) features.push(Feature.CONDITIONAL, Feature.HAVE);
  if (publisher !== undefined) features.push(Feature.WORKING_SETS);
  if (chain.mayKeep) features.push(Feature.CHAIN);
  const relay = leases === undefined ? nfs?.relay : undefined;
  const relayed = [Feature.LEASES, Feature.CONDITIONAL];
  return channelProgram({
    filesystem: top,
    chain: chain.mayKeep ? chain : undefined,
    publisher,
    leases: leases?.layer.service ?? relay,
    relayed: relay && (() => nfs!.channel.features().filter((feature) => relayed.some((one) => one === feature))),
    features,
    identifier: new OriginNames(origin),
    chunks: isDirectory ? new ChunkIndex({ filesystem: top, clock, log }) : undefined,
    server: leases?.serverId ?? nameOf(top, stateDirectory),
    start: Buffer.from(random.bytes(new Uint8Array(16))).toString('latin1'),
    log,
  });
}

/** Of a server that keeps no state of its own on the channel: the same as long as it serves this from here. */
function nameOf({ identity }: Filesystem, stateDirectory: string): string {
  const text = JSON.stringify(['server', hostname(), stateDirectory, identity]);
  return createHash('sha256').update(text).digest().toString('latin1', 0, 16);
}

export function leasesFile(stateDirectory: string): string {
  return join(stateDirectory, 'leases.sqlite');
}
