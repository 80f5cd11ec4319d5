/**
 * Serves a `Filesystem` as NFSv3 (RFC 1813).
 *
 *     arguments -> check (checks.ts) -+-> refuse: the failure body, nothing optional
 *                                     +-> Filesystem -> keep the call's limits (access bits, directory bytes) -> reply
 *
 * Invariants: a `Filesystem` sees only arguments that its contract allows; a reply that is there goes out in the same turn;
 * READ's `release` is called once for each reply.
 */
import { chain, type Eventual, isPromise, limits } from '../base/mod.ts';
import type { RpcCall, RpcProgram, ServedProcedure } from '../rpc/mod.ts';
import * as vfs from '../vfs/mod.ts';
import * as checks from './checks.ts';
import * as echoes from './echoes.ts';
import { type Nfs3Procedure, nfsProgram } from './procedure.ts';
import { procedures } from './table.ts';
import { trimReaddir, trimReaddirplus } from './trim.ts';

const { Status } = vfs;

export interface Nfs3ProgramOptions {
  /** Largest READ that is served; `limits.transferBytes` unless given. */
  readonly transferBytes?: number;
}

/** More than the fields of any reply without its data or entries. */
const replyHeadBytes = 512;

export function nfs3Program(filesystem: vfs.Filesystem, options: Nfs3ProgramOptions = {}): RpcProgram {
  const transferBytes = Math.min(options.transferBytes ?? limits.transferBytes, limits.transferBytes);
  return {
    ...nfsProgram,
    name: 'NFS',
    procedures: [
      undefined,
      ...attributeProcedures(filesystem),
      ...dataProcedures(filesystem, transferBytes),
      ...nameProcedures(filesystem),
      ...directoryProcedures(filesystem),
      serveOperation(procedures.fsstat, checks.checkObject, (call, args) => filesystem.fsstat(call, args)),
      serveOperation(procedures.fsinfo, checks.checkObject, (call, args) => {
        const reply = filesystem.fsinfo(call, args);
        return isPromise(reply)
          ? reply.then((value) => clampFsinfo(value, transferBytes))
          : clampFsinfo(reply, transferBytes);
      }),
      serveOperation(procedures.pathconf, checks.checkObject, (call, args) => filesystem.pathconf(call, args)),
      serveOperation(procedures.commit, checks.checkObject, (call, args) => filesystem.commit(call, commitRange(args))),
    ],
  };
}

/** Also for procedures of another program that do what those of NFS do. */
export function serveOperation<Arguments, Reply>(
  procedure: Nfs3Procedure<Arguments, Reply>,
  check: (args: Arguments) => vfs.Failure | 0,
  perform: (call: vfs.Call, args: Arguments) => Eventual<Reply>,
): ServedProcedure<Arguments, Reply> {
  return {
    procedure,
    handle(rpcCall, args) {
      const status = check(args);
      return status === 0 ? perform(callOf(rpcCall), args) : procedure.refuse(status);
    },
  };
}

export function callOf({ credential, peer, fencing, isRepeat, notes }: RpcCall): vfs.Call {
  return { credential, peer, priority: 'demand', fencing, isRepeat, isViaduct: notes?.isViaduct };
}

/**
 * A procedure that is not to be executed twice: of a call that may have been executed before, refusals that its first execution explains
 * become the success that they hide.
 */
function serveOnce<Arguments, Reply extends { readonly status: number }>(
  filesystem: vfs.Filesystem,
  procedure: Nfs3Procedure<Arguments, Reply>,
  check: (args: Arguments) => vfs.Failure | 0,
  perform: (call: vfs.Call, args: Arguments) => Eventual<Reply>,
  resolve: (origin: vfs.Filesystem, call: vfs.Call, args: Arguments, reply: Reply) => Eventual<Reply>,
): ServedProcedure<Arguments, Reply> {
  return serveOperation(procedure, check, (call, args) => {
    const reply = perform.call(filesystem, call, args);
    if (call.isRepeat !== true) return reply;
    return chain(reply, (value) => (value.status === 0 ? value : resolve(filesystem, call, args, value)));
  });
}

/** GETATTR to READLINK, procedures 1 to 5. */
function attributeProcedures(filesystem: vfs.Filesystem) {
  return [
    serveOperation(procedures.getattr, checks.checkObject, (call, args) => filesystem.getattr(call, args)),
    serveOnce(filesystem, procedures.setattr, checks.checkSetattr, filesystem.setattr, echoes.resolveSetattr),
    serveOperation(procedures.lookup, checks.checkLookup, (call, args) => filesystem.lookup(call, args)),
    serveOperation(procedures.access, checks.checkObject, (call, args) => {
      const reply = filesystem.access(call, args);
      return isPromise(reply) ? reply.then((value) => maskAccess(value, args)) : maskAccess(reply, args);
    }),
    serveOperation(procedures.readlink, checks.checkObject, (call, args) => filesystem.readlink(call, args)),
  ];
}

/** libnfs opens a file only if the reply is what it asked for: no more bits than those. */
function maskAccess(reply: vfs.AccessReply, args: vfs.AccessArguments): vfs.AccessReply {
  if (reply.status !== 0 || (reply.access & ~args.access) === 0) return reply;
  return { status: 0, attributes: reply.attributes, access: reply.access & args.access };
}

/** READ and WRITE, procedures 6 and 7. */
function dataProcedures(filesystem: vfs.Filesystem, transferBytes: number) {
  const read = serveOperation(procedures.read, checks.checkObject, (call, args) => {
    if (args.offset > limits.fileBytes) return readBeyond(filesystem, call, args);
    const largest = Math.min(transferBytes, limits.fileBytes - args.offset);
    if (args.count <= largest) return filesystem.read(call, args);
    return filesystem.read(call, { object: args.object, offset: args.offset, count: largest });
  });
  const write = serveOperation(procedures.write, checks.checkWrite, (call, args) => filesystem.write(call, args));
  return [
    {
      ...read,
      replyBytes: (args: vfs.ReadArguments) => replyHeadBytes + Math.min(args.count, transferBytes),
      release(reply: vfs.ReadReply) {
        if (reply.status === 0) reply.release?.();
      },
    },
    write,
  ];
}

/** No file reaches beyond 2^53 bytes, so READ there is the end of any file that can be read. */
async function readBeyond(
  filesystem: vfs.Filesystem,
  call: vfs.Call,
  { object }: vfs.ReadArguments,
): Promise<vfs.ReadReply> {
  const found = await filesystem.getattr(call, { object });
  if (found.status !== 0) return found;
  const { attributes } = found;
  if (attributes.type === vfs.FileType.DIRECTORY) return { status: Status.ISDIR, attributes };
  if (attributes.type !== vfs.FileType.REGULAR) return { status: Status.INVAL, attributes };
  const granted = await filesystem.access(call, { object, access: vfs.Access.READ | vfs.Access.EXECUTE });
  const owner = attributes.uid === call.credential.uid;
  if (granted.status === 0 && granted.access === 0 && !owner) return { status: Status.ACCES, attributes };
  return { status: 0, attributes, data: [], count: 0, eof: true };
}

/** A range that a double cannot hold becomes the whole file: more is made stable than was asked for. */
function commitRange(args: vfs.CommitArguments): vfs.CommitArguments {
  if (args.offset + args.count <= limits.fileBytes) return args;
  return { object: args.object, offset: 0, count: 0 };
}

/** What this server takes, whatever the origin behind it would: a longer WRITE would not even decode. */
function clampFsinfo(reply: vfs.FsinfoReply, transferBytes: number): vfs.FsinfoReply {
  if (reply.status !== 0) return reply;
  return {
    ...reply,
    readMaximum: Math.min(reply.readMaximum, transferBytes),
    readPreferred: Math.min(reply.readPreferred, transferBytes),
    writeMaximum: Math.min(reply.writeMaximum, transferBytes),
    writePreferred: Math.min(reply.writePreferred, transferBytes),
    readdirPreferred: Math.min(reply.readdirPreferred, limits.directoryReplyBytes),
    maximumFileBytes: Math.min(reply.maximumFileBytes, limits.fileBytes),
  };
}

/** CREATE to LINK, procedures 8 to 15. */
function nameProcedures(filesystem: vfs.Filesystem) {
  const removed = (_origin: vfs.Filesystem, _call: vfs.Call, _place: vfs.Place, reply: vfs.RemoveReply) =>
    echoes.resolveRemove(reply);
  return [
    serveOnce(filesystem, procedures.create, checks.checkCreate, filesystem.create, echoes.resolveCreate),
    serveOnce(filesystem, procedures.mkdir, checks.checkMkdir, filesystem.mkdir, echoes.resolveMkdir),
    serveOnce(filesystem, procedures.symlink, checks.checkSymlink, filesystem.symlink, echoes.resolveSymlink),
    serveOnce(filesystem, procedures.mknod, checks.checkMknod, filesystem.mknod, echoes.resolveMknod),
    serveOnce(filesystem, procedures.remove, checks.checkRemove, filesystem.remove, removed),
    serveOnce(filesystem, procedures.rmdir, checks.checkRmdir, filesystem.rmdir, removed),
    serveOnce(filesystem, procedures.rename, checks.checkRename, filesystem.rename, echoes.resolveRename),
    serveOnce(filesystem, procedures.link, checks.checkLink, filesystem.link, echoes.resolveLink),
  ];
}

/** READDIR and READDIRPLUS, procedures 16 and 17. */
function directoryProcedures(filesystem: vfs.Filesystem) {
  const bounded = (args: vfs.ReaddirArguments): vfs.ReaddirArguments => {
    const most = limits.directoryReplyBytes;
    if (args.directoryBytes <= most && args.replyBytes <= most) return args;
    const { directoryBytes, replyBytes } = args;
    return { ...args, directoryBytes: Math.min(directoryBytes, most), replyBytes: Math.min(replyBytes, most) };
  };
  const readdir = serveOperation(procedures.readdir, checks.checkDirectory, (call, asked) => {
    const args = bounded(asked);
    const reply = filesystem.readdir(call, args);
    return isPromise(reply) ? reply.then((value) => trimReaddir(args, value)) : trimReaddir(args, reply);
  });
  const readdirplus = serveOperation(procedures.readdirplus, checks.checkDirectory, (call, asked) => {
    const args = bounded(asked);
    const reply = filesystem.readdirplus(call, args);
    return isPromise(reply) ? reply.then((value) => trimReaddirplus(args, value)) : trimReaddirplus(args, reply);
  });
  const replyBytes = (args: vfs.ReaddirArguments) =>
    replyHeadBytes + Math.min(args.replyBytes, limits.directoryReplyBytes);
  return [
    { ...readdir, replyBytes },
    { ...readdirplus, replyBytes },
  ];
}
