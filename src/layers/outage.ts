/**
 * What becomes of calls that only the origin can answer, while it is away (docs/decisions/0010-outage-policies.md).
 *
 *     hold     they wait: this layer is not built
 *     fail     they fail with NFS3ERR_IO after a time                    outage/fail-after.ts
 *     stale    they are answered as last known; data and changes wait    outage/last-known.ts
 *
 * Stands over the block cache, which answers what is cached, and below write-back, which takes changes.
 */
import type { Clock } from '../base/mod.ts';
import { type Filesystem, ForwardingFilesystem } from '../vfs/mod.ts';
import type { OriginPresence } from './origin-presence.ts';
import { FailAfter } from './outage/fail-after.ts';
import { LastKnown } from './outage/last-known.ts';

export interface OutageOptions {
  readonly misses: 'fail' | 'stale';
  /** For `fail`: how long a call waits while the origin is away. */
  readonly failAfterMs: number;
}

export interface OutageContext {
  readonly clock: Clock;
  /** Shared by all layers over the same origin. */
  readonly presence: OriginPresence;
  readonly options: OutageOptions;
}

export class Outage extends ForwardingFilesystem {
  readonly #policy: FailAfter | LastKnown;

  constructor(next: Filesystem, { clock, presence, options: { misses, failAfterMs } }: OutageContext) {
    const policy =
      misses === 'fail' ? new FailAfter(next, { clock, presence, failAfterMs }) : new LastKnown(next, { presence });
    super(policy);
    this.#policy = policy;
  }

  stats(): object {
    return this.#policy.stats();
  }
}
