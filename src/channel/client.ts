/** The client side of the channel. Refusals are values; connection and RPC failures reject as `RpcCaller.call` says. */
import type { CallOptions, RpcCaller } from '../rpc/mod.ts';
import type {
  AcquireArguments,
  AcquireReply,
  FileHandle,
  LeaseReference,
  LeaseStatusReply,
  ReleaseReply,
  RenewReply,
} from '../vfs/mod.ts';
import { type HelloArguments, type HelloReply, hello } from './hello.ts';
import { leaseAcquire, leaseRelease, leaseRenew, leaseStatus } from './leases.ts';
import { channelProgram } from './protocol.ts';

export const channelClient = {
  hello(caller: RpcCaller, args: HelloArguments, options: CallOptions): Promise<HelloReply> {
    return caller.call(channelProgram, hello, args, options);
  },
  acquire(caller: RpcCaller, args: AcquireArguments, options: CallOptions): Promise<AcquireReply> {
    return caller.call(channelProgram, leaseAcquire, args, options);
  },
  renew(caller: RpcCaller, args: LeaseReference, options: CallOptions): Promise<RenewReply> {
    return caller.call(channelProgram, leaseRenew, args, options);
  },
  release(caller: RpcCaller, args: LeaseReference, options: CallOptions): Promise<ReleaseReply> {
    return caller.call(channelProgram, leaseRelease, args, options);
  },
  status(caller: RpcCaller, tree: FileHandle, options: CallOptions): Promise<LeaseStatusReply> {
    return caller.call(channelProgram, leaseStatus, { tree }, options);
  },
} as const;
