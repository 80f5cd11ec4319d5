/** What a session's supervisor is given, and what it says of the session. */
import type { Clock, Log } from '../base/mod.ts';
import type { CleanCache } from '../cache/mod.ts';
import type { ErrorRecord } from './error-record.ts';
import type { HeldAddress, ListeningPlace } from './messages.ts';
import type { SessionPlan } from './plan.ts';
import { deathMemoryMs, type PooledWorker } from './pooled-worker.ts';

/** What its starter knows of earlier lives of it. */
export interface EarlierLives {
  /** It was open before, on this port: clients are there. */
  readonly port?: number | undefined;
  /** And with a log, which must be there too. */
  readonly hadLog?: boolean | undefined;
  /** It is opened again and again until it serves, like one that had been ready. */
  readonly isKept?: boolean | undefined;
  /** What listens there already, for one life: its holder closes it when that is ready or over. */
  readonly takeListener?: (() => HeldAddress | undefined) | undefined;
}

export interface SupervisorOptions extends EarlierLives {
  /** Of the session, in its pool. */
  readonly number: number;
  readonly plan: SessionPlan;
  readonly cache: CleanCache | undefined;
  readonly worker: PooledWorker;
  readonly clock: Clock;
  readonly log: Log;
  /** One that keeps ending its worker is left closed, for the sake of the others. */
  readonly isQuarantined?: boolean | undefined;
  /** Its status is another. */
  readonly onChange?: (() => void) | undefined;
}

export interface EndOptions {
  /** The process ends with it: nobody else will want its log meanwhile. */
  readonly isLast?: boolean | undefined;
}

export type SupervisorState = 'starting' | 'running' | 'waiting' | 'closing' | 'ended';

export interface SupervisorStatus {
  readonly state: SupervisorState;
  readonly place: ListeningPlace | undefined;
  readonly restarts: number;
  /** Why it was last opened again, or is not running. */
  readonly lastError: ErrorRecord | undefined;
}

/** Within five minutes. */
export const mostDeaths = 3;

/** Why it is left closed. */
export function quarantined({ cause }: ErrorRecord): ErrorRecord {
  return {
    code: 'SESSION_FAILED',
    cause: `The session ended its worker ${mostDeaths} times in ${deathMemoryMs / 60_000} minutes, and is left closed. The last time: ${cause}`,
    remedy:
      'What it wrote is kept. `viaduct session reopen NAME` tries again. This is a bug in Viaduct; please report it with the report file.',
  };
}
