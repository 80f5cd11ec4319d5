/** Floor 2: ONC RPC version 2 (RFC 5531) over TCP, server and client. */
export { CredentialReader } from './auth.ts';
export type { Peer, ReplyChannel } from './channel.ts';
export { RpcClient, type RpcClientOptions, type RpcClientStats } from './client.ts';
export type { ClientState } from './client-health.ts';
export { callDatagram, type DatagramCallOptions } from './datagram-call.ts';
export { DatagramServer } from './datagram-server.ts';
export { Dispatcher } from './dispatch.ts';
export { type DuplicateOptions, DuplicateRequestCache } from './duplicates.ts';
export { anyUid, PeerPolicy, type PeerPolicyOptions, plainAddress } from './peer-policy.ts';
export {
  type CallOptions,
  defaultReplyBytes,
  noReply,
  type Procedure,
  type RpcCall,
  type RpcCaller,
  type RpcProgram,
  type ServedProcedure,
} from './procedure.ts';
export { type ListenAddress, listenError, RpcServer, type RpcServerOptions, type RpcServerStats } from './server.ts';
