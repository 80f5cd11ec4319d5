/**
 * Giving out, renewing and ending leases.
 *
 *     acquire ── held by another, and not to be taken over ──► held (by whom, since when, breakable when)
 *             └─ free, own, taken over or breakable ──► durable in the store ──► all that was let through before is answered ──► granted
 *
 * A lease is breakable by whoever asks once its holder was not seen for the policy's time, counted from this server's start at the
 * earliest: a server that was down is no reason to fork a machine. `manual`: never.
 */
import { type Clock, type Log, limits, ViaductError } from '../../base/mod.ts';
import {
  type AcquireArguments,
  type AcquireReply,
  type Call,
  type Failure,
  type FileHandle,
  type LeaseHolder,
  type LeaseRecord,
  type LeaseReference,
  type LeaseService,
  type LeaseStatusReply,
  type LeaseStore,
  type ReleaseReply,
  type RenewReply,
  Status,
  type TreeLocator,
} from '../../vfs/mod.ts';
import type { InFlight } from './in-flight.ts';
import type { LeaseTable } from './table.ts';

export type TakeoverPolicy = 'manual' | number;

export interface LeasesOptions {
  readonly store: LeaseStore;
  readonly locator: TreeLocator | undefined;
  /** `manual`, or the milliseconds without a sign of life after which whoever asks gets the lease. */
  readonly takeover: TakeoverPolicy;
  readonly clock: Clock;
  readonly log: Log;
}

const renewMs = 10_000;
const shortestRenewMs = 200;
/** Of LEASE_STATUS: one reply. */
const listedLeases = 64;
const grantTries = 10;

export class Leasing implements LeaseService {
  readonly #options: LeasesOptions;
  readonly #table: LeaseTable;
  readonly #inFlight: InFlight;
  readonly #root: FileHandle;
  readonly #startedMs: number;

  constructor(options: LeasesOptions, table: LeaseTable, inFlight: InFlight, root: FileHandle) {
    this.#options = options;
    this.#table = table;
    this.#inFlight = inFlight;
    this.#root = root;
    this.#startedMs = options.clock.wallTimeMs();
  }

  async acquire(call: Call, args: AcquireArguments): Promise<AcquireReply> {
    const reply = this.#guarded(() => this.#grant(call, args));
    // From the grant on nothing of the former holder is let through; what was before ends first.
    if (reply.outcome === 'granted') await this.#inFlight.quiet();
    return reply;
  }

  renew(_call: Call, { tree, token }: LeaseReference): RenewReply {
    return this.#guarded(() => {
      const { store, clock } = this.#options;
      const record = store.find(tree);
      if (record === undefined) return { outcome: 'ended' };
      if (record.token !== token) return { outcome: 'lost', holder: record.holder, sinceMs: record.sinceMs };
      const { ended } = record;
      if (ended?.how === 'broken') return { outcome: 'lost', holder: ended.by, sinceMs: ended.atMs };
      if (ended !== undefined) return { outcome: 'ended' };
      const renewed = store.renew(tree, token, clock.wallTimeMs());
      this.#table.reload();
      return renewed ? { outcome: 'held', renewMs: this.#renewMs() } : { outcome: 'ended' };
    });
  }

  release(call: Call, { tree, token }: LeaseReference): ReleaseReply {
    return this.#guarded(() => {
      const { store, clock, log } = this.#options;
      const ended = { how: 'released', by: 'its holder', atMs: clock.wallTimeMs() } as const;
      const released = store.end(tree, token, ended);
      this.#table.reload();
      if (released) log.info({ peer: call.peer }, 'a write lease was released');
      return { outcome: released ? 'released' : 'not-held' };
    });
  }

  status(_call: Call, { tree }: { readonly tree: FileHandle }): LeaseStatusReply {
    return this.#guarded(() => {
      const located = this.#locate(tree);
      if (typeof located === 'number') return { outcome: 'refused', status: located };
      this.#table.reload();
      const touching = this.#table.touching(tree);
      const leases = touching.slice(0, listedLeases).map((lease) => this.#describe(lease));
      return { outcome: 'listed', leases, more: touching.length > listedLeases };
    });
  }

  #grant(call: Call, { tree, holder, instance, takeOver }: AcquireArguments): AcquireReply {
    const { store, clock, log } = this.#options;
    if (!/^[\x20-\x7e]{1,255}$/.test(holder)) return { outcome: 'refused', status: Status.INVAL };
    const path = this.#locate(tree);
    if (typeof path === 'number') return { outcome: 'refused', status: path };
    for (let tries = 0; tries < grantTries; tries++) {
      this.#table.reload();
      const touching = this.#table.touching(tree);
      const others = touching.filter((lease) => lease.instance !== instance);
      const inTheWay = takeOver ? undefined : others.find((lease) => !this.#isBreakable(lease));
      if (inTheWay !== undefined) return { outcome: 'held', by: this.#describe(inTheWay) };
      if (this.#table.held().length - touching.length >= limits.leases)
        return { outcome: 'refused', status: Status.NOSPC };
      const replaces = touching.map((lease) => lease.tree);
      const request = {
        tree,
        path,
        holder,
        instance,
        atMs: clock.wallTimeMs(),
        replaces,
        seenVersion: this.#table.version(),
      };
      const record = store.grant(request);
      if (record === undefined) continue;
      this.#table.reload();
      const from = others.map((lease) => `${lease.holder}: ${lease.path}`);
      if (from.length > 0) log.warn({ path, holder, from, peer: call.peer }, 'a write lease was taken over');
      else log.info({ path, holder, peer: call.peer }, 'a write lease was given');
      return { outcome: 'granted', token: record.token, renewMs: this.#renewMs(), path };
    }
    return { outcome: 'refused', status: Status.SERVERFAULT };
  }

  /** The tree's path; NOTSUPP if it is not the whole export and nothing else can be told apart. */
  #locate(tree: FileHandle): string | Failure {
    const { locator } = this.#options;
    if (locator === undefined) return tree === this.#root ? '/' : Status.NOTSUPP;
    const path = locator.pathOf(tree);
    if (path === undefined) return Status.STALE;
    return path.length <= limits.pathBytes ? path : `${path.slice(0, limits.pathBytes - 3)}...`;
  }

  #renewMs(): number {
    const { takeover } = this.#options;
    return takeover === 'manual' ? renewMs : Math.max(shortestRenewMs, Math.min(renewMs, Math.floor(takeover / 3)));
  }

  #breakableMs(lease: LeaseRecord): number {
    const { takeover } = this.#options;
    return takeover === 'manual' ? 0 : Math.max(lease.seenMs, this.#startedMs) + takeover;
  }

  #isBreakable(lease: LeaseRecord): boolean {
    const atMs = this.#breakableMs(lease);
    return atMs !== 0 && atMs <= this.#options.clock.wallTimeMs();
  }

  #describe(lease: LeaseRecord): LeaseHolder {
    const { path, holder, sinceMs, seenMs } = lease;
    return { path, holder, sinceMs, seenMs, breakableMs: Math.floor(this.#breakableMs(lease)) };
  }

  /** A store that fails refuses; the server goes on. */
  #guarded<Reply>(action: () => Reply): Reply | { readonly outcome: 'refused'; readonly status: Failure } {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof ViaductError)) throw error;
      this.#options.log.error({ error: error.message, remedy: error.remedy }, 'a lease could not be looked after');
      return { outcome: 'refused', status: Status.SERVERFAULT };
    }
  }
}
