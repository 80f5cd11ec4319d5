/** The channel of a session that serves an origin: its leases, kept in the origin's state directory, and the program beside NFS. */
import { join } from 'node:path';
import type { Clock, Log, Random } from '../base/mod.ts';
import { channelProgram, Feature } from '../channel/mod.ts';
import { Leases, type TakeoverPolicy } from '../layers/mod.ts';
import { makeDirectory } from '../native/mod.ts';
import type { RpcProgram } from '../rpc/mod.ts';
import type { Filesystem, TreeLocator } from '../vfs/mod.ts';
import { SqliteLeaseStore } from './sqlite-lease-store.ts';

export interface ServedOrigin {
  readonly filesystem: Filesystem;
  /** Present if it is a directory: then it honours `expected` too. */
  readonly locator?: TreeLocator | undefined;
}

export interface ChannelSurroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly stateDirectory: string;
}

export class SessionChannel {
  readonly layer: Leases;
  readonly #store: SqliteLeaseStore;
  readonly #isConditional: boolean;
  readonly #surroundings: ChannelSurroundings;

  /** Throws LEASE_STORE_FAILED. */
  constructor(next: Filesystem, origin: ServedOrigin, takeover: TakeoverPolicy, surroundings: ChannelSurroundings) {
    const { clock, log, random, stateDirectory } = surroundings;
    makeDirectory(stateDirectory, 0o700);
    this.#store = new SqliteLeaseStore({ path: leasesFile(stateDirectory), clock, random });
    this.layer = new Leases(next, { store: this.#store, locator: origin.locator, takeover, clock, log });
    this.#isConditional = origin.locator !== undefined;
    this.#surroundings = surroundings;
  }

  /** `top`: what clients see. */
  program(top: Filesystem): RpcProgram {
    const { log, random } = this.#surroundings;
    return channelProgram({
      filesystem: top,
      leases: this.layer.service,
      features: this.#isConditional ? [Feature.LEASES, Feature.CONDITIONAL] : [Feature.LEASES],
      server: this.#store.serverId,
      start: Buffer.from(random.bytes(new Uint8Array(16))).toString('latin1'),
      log,
    });
  }
}

export function leasesFile(stateDirectory: string): string {
  return join(stateDirectory, 'leases.sqlite');
}
