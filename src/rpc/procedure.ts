/**
 * What a program hands to the RPC server and asks of the RPC client. Nothing in here knows what a procedure means.
 */
import type { Eventual } from '../base/mod.ts';
import type { Credential, Urgency } from '../vfs/mod.ts';
import type { Codec } from '../xdr/mod.ts';
import type { PeerNotes } from './peer-notes.ts';

/** The wire form of one procedure, used by both sides. */
export interface Procedure<Arguments, Reply> {
  readonly number: number;
  readonly name: string;
  readonly arguments: Codec<Arguments>;
  readonly reply: Codec<Reply>;
  /**
   * Whether a second execution does no harm. Replies of the others go through the duplicate request cache before they are
   * sent, and the client sends their retries from the same source port.
   */
  readonly idempotent: boolean;
}

/** The call as the server received it. */
export interface RpcCall {
  readonly xid: number;
  readonly credential: Credential;
  readonly flavor: 'none' | 'sys';
  /** The fencing token in the verifier, if there is one (docs/channel.md). */
  readonly fencing?: string | undefined;
  /** It may have been executed before, by a process that ended before it had the reply (duplicates.ts). */
  readonly isRepeat?: boolean | undefined;
  /** `address:port` of the client. */
  readonly peer: string;
  readonly peerAddress: string;
  readonly peerPort: number;
  /** Of the connection that the call came on: lives as long as it. */
  readonly notes?: PeerNotes | undefined;
}

/** What `handle` returns when the protocol asks for silence (RFC 1833 3.2, CALLIT): the call is forgotten. */
export const noReply: unique symbol = Symbol('noReply');

export const defaultReplyBytes = 1024;

/** One procedure with what to do when it is called. */
export interface ServedProcedure<Arguments, Reply> {
  readonly procedure: Procedure<Arguments, Reply>;
  /** Answers now or later. A rejection is a bug: it is logged and answered with SYSTEM_ERR. */
  handle(call: RpcCall, args: Arguments): Eventual<Reply | typeof noReply>;
  /**
   * About how many bytes the reply will have, known from the arguments: bounds what one connection may have under way. Without
   * it, `defaultReplyBytes`.
   */
  replyBytes?(args: Arguments): number;
  /** Called once for each reply, after its bytes have been handed to the kernel or the connection is gone. */
  release?(reply: Reply): void;
}

/** One version of one program. `procedures[n]` is procedure n; a hole is PROC_UNAVAIL. Procedure 0 is answered by the server. */
export interface RpcProgram {
  readonly program: number;
  readonly version: number;
  readonly name: string;
  // biome-ignore lint/suspicious/noExplicitAny: a table of procedures of different types
  readonly procedures: readonly (ServedProcedure<any, any> | undefined)[];
}

export interface CallOptions {
  readonly credential: Credential;
  /** Milliseconds until the call fails with a `ViaductError` TIMED_OUT; without it the call waits for ever (hold). */
  readonly deadlineMs?: number | undefined;
  readonly priority?: 'demand' | 'prefetch' | undefined;
  /** Of a prefetch: when it is raised, the call overtakes as a demand does. */
  readonly urgency?: Urgency | undefined;
  /** About how many bytes the reply will have, to spread calls over connections; without it, the procedure's average. */
  readonly replyBytes?: number | undefined;
  /**
   * Called before the call is sent again (time-out or new connection): from then on the server may have executed it more than
   * once, and a reply like EXIST or NOENT may be the echo of the first execution.
   */
  readonly onRetransmit?: (() => void) | undefined;
  /** The fencing token of whom the call is made for; without it, the client's own (`RpcClient.setFencing`). */
  readonly fencing?: string | undefined;
}

/** The client side of one server, over one or several connections. */
export interface RpcCaller {
  /**
   * Rejects with `ViaductError`: TIMED_OUT (deadline), ORIGIN_UNREACHABLE (closed, or the policy says fail), RPC_UNAVAILABLE
   * (PROG_UNAVAIL, PROG_MISMATCH, PROC_UNAVAIL), ORIGIN_REFUSED (authentication) or UNEXPECTED (GARBAGE_ARGS, or a reply
   * that does not decode). Retransmits and reconnects by itself until then.
   */
  call<Arguments, Reply>(
    program: { readonly program: number; readonly version: number },
    procedure: Procedure<Arguments, Reply>,
    args: Arguments,
    options: CallOptions,
  ): Promise<Reply>;
  close(): Promise<void>;
}
