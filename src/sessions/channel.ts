/**
 * The channel of a session: the program beside NFS, and the leases of a server, kept in the origin's state directory.
 *
 *     serve             leases; conditions, and data by reference, if the origin is a directory
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
import type { Filesystem, TreeLocator } from '../vfs/mod.ts';
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

/** `top`: what clients see. */
export function sessionChannel(
  top: Filesystem,
  origin: ServedOrigin,
  { leases, isReadOnly }: { readonly leases: SessionLeases | undefined; readonly isReadOnly: boolean },
  { clock, log, random, stateDirectory }: ChannelSurroundings,
): RpcProgram {
  const isDirectory = origin.locator !== undefined;
  const features: string[] = [Feature.READ_VECTOR, Feature.WALK, Feature.IDENTITY];
  if (!isReadOnly) features.push(Feature.PUT);
  if (leases !== undefined) features.push(Feature.LEASES);
  if (leases !== undefined && isDirectory) features.push(Feature.CONDITIONAL, Feature.HAVE);
  return channelProgram({
    filesystem: top,
    leases: leases?.layer.service,
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
