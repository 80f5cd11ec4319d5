/**
 * Viaducts in a row: what those between a host and the origin keep, and how it is brought on (docs/channel.md).
 *
 *     host ── hop ── hop ── origin          each answers for itself and asks the one behind it
 */
import type { Call } from './filesystem.ts';
import type { Failure } from './status.ts';

/** As `WriteBackStatus.drain.state`; `passing`: it keeps nothing. */
export type HopState =
  | 'passing'
  | 'idle'
  | 'waiting'
  | 'writing'
  | 'origin-away'
  | 'refused'
  | 'lease-lost'
  | 'damaged';

/** What one of them says of itself. */
export interface Hop {
  /** Its host's name, for people. */
  readonly host: string;
  /** As its session has it. */
  readonly policy: 'read-only' | 'write-through' | 'write-back' | 'redirect';
  /** Nothing that it answered is missing behind it. */
  readonly isAtNext: boolean;
  readonly pendingBytes: number;
  readonly pendingFiles: number;
  readonly conflicts: number;
  readonly oldestAgeMs: number | undefined;
  readonly state: HopState;
  readonly secondsLeft: number | undefined;
}

export type ChainReply =
  | {
      readonly status: 0;
      /** The nearest first. */
      readonly hops: readonly Hop[];
      /** `silent`: behind the last of them is another, which did not answer in time. `cut`: there are more than can be told. */
      readonly end: 'origin' | 'silent' | 'cut';
    }
  | { readonly status: Failure };

export type WriteBackOutcome =
  | { readonly status: 0; readonly outcome: 'done' | 'conflict' | 'refused' | 'lease-lost' | 'closed' }
  | { readonly status: Failure };

/** One Viaduct and those behind it. */
export interface ChainLink {
  /** Answers within about `patienceMs`, whoever is away. */
  pending(call: Call, args: { readonly patienceMs: number }): Promise<ChainReply>;
  /** Answers when all that was there at the call is at the origin, or cannot be. */
  writeBack(call: Call): Promise<WriteBackOutcome>;
}
