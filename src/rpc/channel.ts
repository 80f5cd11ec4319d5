/**
 * Where the replies to one peer go: a TCP connection or a UDP port. The dispatcher writes messages; the channel frames and sends.
 *
 *     dispatcher   begin() -> mark    encode into writer    releaseLater?    finish(mark)      or, on a failed encode, writer.rewind(mark)
 */
import type { WriterMark, XdrWriter } from '../xdr/mod.ts';
import type { CredentialReader } from './auth.ts';
import type { PeerNotes } from './peer-notes.ts';
import type { ServedProcedure } from './procedure.ts';

// biome-ignore lint/suspicious/noExplicitAny: a table of procedures of different types
export type AnyServed = ServedProcedure<any, any>;

/** One end of a conversation, as programs see it. */
export interface Peer {
  /** `address:port`. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Absent where each message is a conversation of its own (UDP). */
  readonly notes?: PeerNotes | undefined;
}

export interface ReplyChannel {
  readonly peer: Peer;
  readonly credentials: CredentialReader;
  readonly writer: XdrWriter;
  /** False once the peer is gone: replies are released at once. */
  readonly open: boolean;
  /** Starts a message; the mark rewinds to before its frame. */
  begin(): WriterMark;
  /** Ends the message begun at `mark`, and has it sent soon. */
  finish(mark: WriterMark): void;
  /** Called between `begin` and `finish`: has `served.release(reply)` called once this message has left. */
  releaseLater(served: AnyServed, reply: unknown): void;
  /** Whether the same call is being worked on already: this one is a retransmission and is dropped. */
  holds(xid: number, procedure: number): boolean;
  /** The call will be answered later; `bytes` is what it pins and will need. */
  hold(xid: number, procedure: number, bytes: number): void;
  /** The held call is over, whether it was answered or not. */
  unhold(xid: number, bytes: number): void;
}
