/**
 * Serves the channel beside NFS for one `Filesystem`.
 *
 * Invariants: who asks for a lease may change the tree himself (ACCESS through the whole stack, so squashed and read-only
 * sessions refuse); conditional changes go through the same stack, and so through the leases, as plain ones.
 */
import type { Log } from '../base/mod.ts';
import { callOf, checkSetattr, checkWrite, serveOperation } from '../nfs3/mod.ts';
import type { RpcCall, RpcProgram } from '../rpc/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { setattrIf, writeIf } from './conditional.ts';
import { type HelloArguments, type HelloReply, hello } from './hello.ts';
import { leaseAcquire, leaseRelease, leaseRenew, leaseStatus } from './leases.ts';
import { channelProgram as numbers, protocolVersion } from './protocol.ts';

export interface ChannelProgramOptions {
  /** The top of the stack. */
  readonly filesystem: vfs.Filesystem;
  readonly leases: vfs.LeaseService;
  /** What this server can; see `Feature`. */
  readonly features: readonly string[];
  /** 16 bytes, one character each. */
  readonly server: string;
  readonly start: string;
  readonly log: Log;
}

const { Access, FileType, Status } = vfs;
const changing = Access.MODIFY | Access.EXTEND | Access.DELETE;

export function channelProgram(options: ChannelProgramOptions): RpcProgram {
  const { filesystem, leases } = options;
  return {
    ...numbers,
    name: 'CHANNEL',
    procedures: [
      undefined,
      { procedure: hello, handle: (call: RpcCall, args: HelloArguments) => answerHello(options, call, args) },
      {
        procedure: leaseAcquire,
        async handle(rpcCall: RpcCall, args: vfs.AcquireArguments): Promise<vfs.AcquireReply> {
          const call = callOf(rpcCall);
          const status = await mayLease(filesystem, call, args.tree);
          return status === 0 ? leases.acquire(call, args) : { outcome: 'refused', status };
        },
      },
      { procedure: leaseRenew, handle: (call: RpcCall, args: vfs.LeaseReference) => leases.renew(callOf(call), args) },
      {
        procedure: leaseRelease,
        handle: (call: RpcCall, args: vfs.LeaseReference) => leases.release(callOf(call), args),
      },
      {
        procedure: leaseStatus,
        handle: (call: RpcCall, args: { tree: vfs.FileHandle }) => leases.status(callOf(call), args),
      },
      serveOperation(writeIf, checkWrite, (call, args) => filesystem.write(call, args)),
      serveOperation(setattrIf, checkSetattr, (call, args) => filesystem.setattr(call, args)),
    ],
  };
}

function answerHello(options: ChannelProgramOptions, call: RpcCall, args: HelloArguments): HelloReply {
  const version = Math.min(args.highestVersion, protocolVersion);
  const features = options.features.filter((feature) => args.features.includes(feature));
  options.log.info({ peer: call.peer, host: JSON.stringify(args.host), version, features }, 'a Viaduct says hello');
  return { version, features, server: options.server, start: options.start };
}

/** The directory's own permissions decide, as they would for a change in it. */
async function mayLease(filesystem: vfs.Filesystem, call: vfs.Call, tree: vfs.FileHandle): Promise<vfs.Failure | 0> {
  if (tree.length === 0) return Status.BADHANDLE;
  const found = await filesystem.getattr(call, { object: tree });
  if (found.status !== 0) return found.status;
  if (found.attributes.type !== FileType.DIRECTORY) return Status.NOTDIR;
  const granted = await filesystem.access(call, { object: tree, access: changing });
  if (granted.status !== 0) return granted.status;
  return (granted.access & Access.MODIFY) === 0 ? Status.ACCES : 0;
}
