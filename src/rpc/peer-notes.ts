/** What programs have learnt of the peer on this connection, and what its later calls there are told apart by. */
export interface PeerNotes {
  /** It is a Viaduct that knows what ordinary clients are not shown (docs/channel.md, HELLO). */
  isViaduct: boolean;
}
