/**
 * The write lease of a write-back session: two writers of one disk image would destroy it.
 *
 *     origin answers      acquire ──held by another──► the start fails with LEASE_HELD
 *     origin is away      start ──► acquiring ──origin is back──► held          nothing is written back before
 *                                       └──held by another──► still acquiring: all is kept, and asked again
 *
 * Invariant: once the origin is known to give leases, nothing is written back without one.
 */
import { type Clock, type Log, sleep, ViaductError } from '../base/mod.ts';
import type { NfsOrigin } from '../origins/mod.ts';
import type { LeaseState } from '../vfs/mod.ts';

export interface SessionLeaseOptions {
  readonly origin: Pick<NfsOrigin, 'channel' | 'stats' | 'opened'>;
  readonly takeOver: boolean;
  /** This host's name, for people. */
  readonly holder: string;
  /** 16 bytes, one character each: the same for all lives of this session. */
  readonly instance: string;
  readonly clock: Clock;
  readonly log: Log;
}

const retryMs = 10_000;
/** An origin that does not answer is not waited for long at the end; then the lease stays ours. */
const releaseMs = 1_000;
const checkMs = 500;

export class SessionLease {
  readonly #options: SessionLeaseOptions;
  #isAsking = false;
  #problem: string | undefined;
  #closed = false;

  private constructor(options: SessionLeaseOptions) {
    this.#options = options;
  }

  /** Rejects with LEASE_HELD or ORIGIN_REFUSED if the origin is there. */
  static async acquire(options: SessionLeaseOptions): Promise<SessionLease> {
    const lease = new SessionLease(options);
    if (options.origin.stats().opening) void lease.#keepAsking();
    else await lease.#ask();
    return lease;
  }

  state(): LeaseState {
    const { origin } = this.#options;
    if (!this.#isAsking) return origin.channel.lease();
    return { state: 'acquiring', ...(this.#problem === undefined ? {} : { problem: this.#problem }) };
  }

  /** Whether it is still held, as the origin says now. Its answer is waited for, but not for long. */
  async check(): Promise<void> {
    const { origin, clock } = this.#options;
    if (this.#isAsking || origin.channel.lease().state !== 'held') return;
    const asked = origin.channel.checkLease().catch(() => {});
    await Promise.race([asked, sleep(clock, checkMs)]);
  }

  /** Nothing is left to be written back: others may have it. An origin that is known to be away (`isAway`) is told and not waited for. */
  async release(isAway = false): Promise<void> {
    this.#closed = true;
    const { origin, clock, log } = this.#options;
    const released = origin.channel.release().catch((error: unknown) => {
      log.warn({ error: String(error) }, 'the write lease could not be given back');
    });
    if (!isAway) await Promise.race([released, sleep(clock, releaseMs)]);
  }

  close(): void {
    this.#closed = true;
  }

  async #ask(): Promise<void> {
    const { origin, takeOver, holder, instance } = this.#options;
    await origin.channel.acquireLease({ takeOver, holder, instance });
  }

  async #keepAsking(): Promise<void> {
    const { clock, log } = this.#options;
    this.#isAsking = true;
    // A request that a cut line delivers after this process has ended would take the lease from its next life.
    await this.#options.origin.opened().catch(() => {});
    while (!this.#closed) {
      try {
        await this.#ask();
        this.#isAsking = false;
        this.#problem = undefined;
        return;
      } catch (error) {
        if (this.#closed) return;
        const { code, message } =
          error instanceof ViaductError ? error : { code: 'UNEXPECTED', message: String(error) };
        this.#problem = message;
        log.error({ code, cause: message }, 'no write lease: everything is kept here and nothing is written back');
      }
      await sleep(clock, retryMs);
    }
  }
}
