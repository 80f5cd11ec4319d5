/**
 * One call of the client from its encoding to its settling. It keeps the encoded bytes (views of the writer's arena and of the
 * caller's payload) so that a second sending encodes and copies nothing: payload must not change until the call settles.
 *
 *     queued -> sent -> settled (reply, error, deadline, close)
 *        ^       |
 *        +-------+ connection lost, or silence of `retransmitMs`: the same xid again
 */
import type { Procedure } from './procedure.ts';
import type { CallName } from './reply.ts';

export interface PendingCall {
  readonly xid: number;
  /** The whole record, mark included. */
  readonly pieces: readonly Buffer[];
  /** What it puts on its connection: its own bytes and the reply's, about. */
  readonly loadBytes: number;
  // biome-ignore lint/suspicious/noExplicitAny: calls of different procedures share one table
  readonly procedure: Procedure<any, any>;
  readonly name: CallName;
  /** May become one while it waits. */
  demand: boolean;
  /** On the clock's scale; infinite for a call that waits for ever. */
  readonly deadline: number;
  readonly startedAt: number;
  readonly resolve: (reply: never) => void;
  readonly reject: (error: Error) => void;
  /** Called before a second sending. */
  readonly onRetransmit: (() => void) | undefined;
  /** Sent at least once: the server may have executed it. */
  sent: boolean;
  /** Waits in a connection's queue. */
  queued: boolean;
  resendAt: number;
  resendDelayMs: number;
}
