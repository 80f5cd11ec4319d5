/**
 * Serves the channel beside NFS for one `Filesystem`.
 *
 * Invariants: what is not among the features is refused; who asks for a lease may change the tree himself (ACCESS through the whole stack, so squashed and read-only
 * sessions refuse); conditional changes go through the same stack, and so through the leases, as plain ones.
 */
import type { Log } from '../base/mod.ts';
import { callOf, checkSetattr, checkWrite, serveOperation } from '../nfs3/mod.ts';
import type { RpcCall, RpcProgram, ServedProcedure } from '../rpc/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { chainProcedures } from './chain.ts';
import { setattrIf, writeIf } from './conditional.ts';
import { type DataOptions, dataProcedures } from './data-procedures.ts';
import { type HelloArguments, type HelloReply, hello } from './hello.ts';
import { leaseAcquire, leaseRelease, leaseRenew, leaseStatus } from './leases.ts';
import { Feature, channelProgram as numbers, protocolVersion, shownVersion } from './protocol.ts';

/** `filesystem`: the top of the stack. */
export interface ChannelProgramOptions extends DataOptions {
  /** Absent: this server gives none. */
  readonly leases?: vfs.LeaseService | undefined;
  /** Absent: what this server answers is at the origin. For the feature `chain`. */
  readonly chain?: vfs.ChainLink | undefined;
  /** 16 bytes, one character each. */
  readonly server: string;
  readonly start: string;
  readonly log: Log;
}

const { Access, FileType, Status } = vfs;
const instancesTold = 1024;
const unsupported = { outcome: 'refused', status: Status.NOTSUPP } as const;
const noLeases: vfs.LeaseService = {
  acquire: () => unsupported,
  renew: () => unsupported,
  release: () => unsupported,
  status: () => unsupported,
};
const changing = Access.MODIFY | Access.EXTEND | Access.DELETE;

export function channelProgram(options: ChannelProgramOptions): RpcProgram {
  return {
    ...numbers,
    name: 'CHANNEL',
    procedures: [
      undefined,
      helloOf(options),
      ...leaseProcedures(options),
      ...conditionalProcedures(options),
      ...dataProcedures(options),
      ...chainProcedures(options.filesystem, options.chain),
    ],
  };
}

function helloOf(options: ChannelProgramOptions): ServedProcedure<HelloArguments, HelloReply> {
  /** Said once for each of a client's connections; told once for each client. */
  const told = new Set<string>();
  return {
    procedure: hello,
    handle({ peer, notes }, { highestVersion, features: asked, host, instance }) {
      const version = Math.min(highestVersion, protocolVersion);
      const offered = [...options.features, ...(options.relayed?.() ?? [])];
      const features = offered.filter((feature) => asked.includes(feature));
      if (notes !== undefined) notes.isViaduct = version >= shownVersion;
      if (!told.has(instance)) {
        if (told.size >= instancesTold) told.clear();
        told.add(instance);
        options.log.info({ peer, host: JSON.stringify(host), version, features }, 'a Viaduct says hello');
      }
      return { version, features, server: options.server, start: options.start };
    },
  };
}

/** Procedures 2 to 5. */
function leaseProcedures({ filesystem, leases = noLeases }: ChannelProgramOptions) {
  return [
    {
      procedure: leaseAcquire,
      async handle(rpcCall: RpcCall, args: vfs.AcquireArguments): Promise<vfs.AcquireReply> {
        const call = callOf(rpcCall);
        const status = leases === noLeases ? 0 : await mayLease(filesystem, call, args.tree);
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
  ];
}

/** Procedures 6 and 7. A condition that nobody checks would be worse than none. */
function conditionalProcedures({ filesystem, features, relayed }: ChannelProgramOptions) {
  const isOffered = (): boolean =>
    features.includes(Feature.CONDITIONAL) || relayed?.().includes(Feature.CONDITIONAL) === true;
  return [
    serveOperation(writeIf, checkWrite, (call, args) =>
      isOffered() ? filesystem.write(call, args) : writeIf.refuse(Status.NOTSUPP),
    ),
    serveOperation(setattrIf, checkSetattr, (call, args) =>
      isOffered() ? filesystem.setattr(call, args) : setattrIf.refuse(Status.NOTSUPP),
    ),
  ];
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
