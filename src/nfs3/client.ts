/**
 * Any NFSv3 server as a `Filesystem`.
 *
 *     args -> RpcCaller -> reply -+-> refuse what a server should not say (replies.ts): IO
 *                                 +-> sent more than once? resolve echoes (echoes.ts)
 *                                 +-> JUKEBOX: ask again later, as kernel clients do
 *                                 +-> connection or server failed: a status, unless the client is being closed
 *
 * Invariants: statuses are values; a READ or WRITE is one call, cut to what the server takes in one (a short count tells the
 * caller); payload of replies is the received record itself, uncopied.
 */
import { type Clock, type Log, limits, silentLog, sleep, ViaductError } from '../base/mod.ts';
import type { RpcCaller } from '../rpc/mod.ts';
import * as vfs from '../vfs/mod.ts';
import * as echoes from './echoes.ts';
import { type Nfs3Procedure, nfsProgram } from './procedure.ts';
import * as replies from './replies.ts';
import { procedures } from './table.ts';

const { Status } = vfs;

export interface Nfs3ClientOptions {
  readonly caller: RpcCaller;
  readonly root: vfs.FileHandle;
  /** What the handles belong to; see `Filesystem.identity`. */
  readonly identity: string;
  readonly clock: Clock;
  readonly log?: Log | undefined;
  /** Milliseconds after which a call fails with IO. Without it calls wait for ever. */
  readonly deadlineMs?: number | undefined;
  /** rtmax and wtmax of the server (RFC 1813 3.3.19); `openNfs3Client` asks for them. */
  readonly readMaximum?: number | undefined;
  readonly writeMaximum?: number | undefined;
  /** How `expected` is checked, where the server has a program for that beside NFS; without it `expected` is ignored. */
  readonly conditional?: ConditionalProcedures | undefined;
  /** The server gave out the tokens of callers (`Call.fencing`): they go with their calls. Else they are of somebody on the way. */
  readonly forwardsFencing?: boolean | undefined;
}

export interface ConditionalProcedures {
  /** Whether the server has them at present. */
  isAvailable(): boolean;
  readonly write: Nfs3Procedure<vfs.WriteArguments, vfs.WriteReply>;
  readonly setattr: Nfs3Procedure<vfs.SetattrArguments, vfs.WccReply>;
}

/** First and longest pause before a call that was answered with JUKEBOX is sent again. */
const jukeboxFirstMs = 100;
const jukeboxLongestMs = 5000;
const replyHeadBytes = 256;

/** Asks the server what it takes in one call, then gives the client. Throws ORIGIN_REFUSED if the root is not to be had. */
export async function openNfs3Client(options: Nfs3ClientOptions, credential: vfs.Credential): Promise<Nfs3Client> {
  const probe = new Nfs3Client(options);
  const info = await probe.fsinfo({ credential, peer: 'self', priority: 'demand' }, { object: options.root });
  if (info.status !== 0) {
    throw new ViaductError('ORIGIN_REFUSED', {
      cause: `The server answered FSINFO on the root of ${options.identity} with ${vfs.statusName(info.status)}.`,
      remedy: 'Check that the export is still there and that this host and user may use it.',
    });
  }
  return new Nfs3Client({ ...options, readMaximum: info.readMaximum, writeMaximum: info.writeMaximum });
}

export class Nfs3Client implements vfs.Filesystem {
  readonly root: vfs.FileHandle;
  readonly identity: string;
  /** Most bytes of one READ and of one WRITE. */
  readonly readMaximum: number;
  readonly writeMaximum: number;
  readonly #caller: RpcCaller;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #deadlineMs: number | undefined;
  readonly #conditional: ConditionalProcedures | undefined;
  readonly #forwardsFencing: boolean;
  #closed = false;

  constructor(options: Nfs3ClientOptions) {
    this.root = options.root;
    this.identity = options.identity;
    // A server that says 0 means nothing by it.
    this.readMaximum = Math.min(options.readMaximum || limits.transferBytes, limits.transferBytes);
    this.writeMaximum = Math.min(options.writeMaximum || limits.transferBytes, limits.transferBytes);
    this.#caller = options.caller;
    this.#clock = options.clock;
    this.#log = options.log ?? silentLog;
    this.#deadlineMs = options.deadlineMs;
    this.#conditional = options.conditional;
    this.#forwardsFencing = options.forwardsFencing === true;
  }

  getattr(call: vfs.Call, args: vfs.GetattrArguments): Promise<vfs.GetattrReply> {
    return this.#perform(procedures.getattr, call, args);
  }

  setattr(call: vfs.Call, args: vfs.SetattrArguments): Promise<vfs.WccReply> {
    const { setattr } = this.#proceduresFor(args);
    return this.#performOnce(setattr, call, args, (reply) => echoes.resolveSetattr(this, call, args, reply));
  }

  lookup(call: vfs.Call, args: vfs.Place): Promise<vfs.LookupReply> {
    return this.#perform(procedures.lookup, call, args, replies.wrongLookup);
  }

  access(call: vfs.Call, args: vfs.AccessArguments): Promise<vfs.AccessReply> {
    return this.#perform(procedures.access, call, args).then((reply) => {
      if (reply.status !== 0 || (reply.access & ~args.access) === 0) return reply;
      return { status: 0, attributes: reply.attributes, access: reply.access & args.access };
    });
  }

  readlink(call: vfs.Call, args: vfs.GetattrArguments): Promise<vfs.ReadlinkReply> {
    return this.#perform(procedures.readlink, call, args);
  }

  read(call: vfs.Call, args: vfs.ReadArguments): Promise<vfs.ReadReply> {
    const { object, offset } = args;
    const asked = args.count <= this.readMaximum ? args : { object, offset, count: this.readMaximum };
    const wrong = (reply: vfs.ReadReply): string | undefined => replies.wrongRead(asked, reply);
    return this.#perform(procedures.read, call, asked, wrong, asked.count + replyHeadBytes);
  }

  write(call: vfs.Call, args: vfs.WriteArguments): Promise<vfs.WriteReply> {
    const given = args.count <= this.writeMaximum ? args : firstBytes(args, this.writeMaximum);
    return this.#perform(this.#proceduresFor(args).write, call, given, (reply) => replies.wrongWrite(given, reply));
  }

  create(call: vfs.Call, args: vfs.CreateArguments): Promise<vfs.CreateReply> {
    return this.#performOnce(procedures.create, call, args, (reply) => echoes.resolveCreate(this, call, args, reply));
  }

  mkdir(call: vfs.Call, args: vfs.MkdirArguments): Promise<vfs.CreateReply> {
    return this.#performOnce(procedures.mkdir, call, args, (reply) => echoes.resolveMkdir(this, call, args, reply));
  }

  symlink(call: vfs.Call, args: vfs.SymlinkArguments): Promise<vfs.CreateReply> {
    return this.#performOnce(procedures.symlink, call, args, (reply) => echoes.resolveSymlink(this, call, args, reply));
  }

  mknod(call: vfs.Call, args: vfs.MknodArguments): Promise<vfs.CreateReply> {
    return this.#performOnce(procedures.mknod, call, args, (reply) => echoes.resolveMknod(this, call, args, reply));
  }

  remove(call: vfs.Call, args: vfs.Place): Promise<vfs.RemoveReply> {
    return this.#performOnce(procedures.remove, call, args, echoes.resolveRemove);
  }

  rmdir(call: vfs.Call, args: vfs.Place): Promise<vfs.RemoveReply> {
    return this.#performOnce(procedures.rmdir, call, args, echoes.resolveRemove);
  }

  rename(call: vfs.Call, args: vfs.RenameArguments): Promise<vfs.RenameReply> {
    return this.#performOnce(procedures.rename, call, args, (reply) => echoes.resolveRename(this, call, args, reply));
  }

  link(call: vfs.Call, args: vfs.LinkArguments): Promise<vfs.LinkReply> {
    return this.#performOnce(procedures.link, call, args, (reply) => echoes.resolveLink(this, call, args, reply));
  }

  readdir(call: vfs.Call, args: vfs.ReaddirArguments): Promise<vfs.ReaddirReply> {
    const bytes = args.directoryBytes + replyHeadBytes;
    return this.#perform(procedures.readdir, call, args, replies.wrongReaddir, bytes);
  }

  readdirplus(call: vfs.Call, args: vfs.ReaddirArguments): Promise<vfs.ReaddirReply<vfs.DirectoryEntryPlus>> {
    const bytes = args.replyBytes + replyHeadBytes;
    return this.#perform(procedures.readdirplus, call, args, replies.wrongReaddir, bytes);
  }

  fsstat(call: vfs.Call, args: vfs.GetattrArguments): Promise<vfs.FsstatReply> {
    return this.#perform(procedures.fsstat, call, args);
  }

  fsinfo(call: vfs.Call, args: vfs.GetattrArguments): Promise<vfs.FsinfoReply> {
    return this.#perform(procedures.fsinfo, call, args);
  }

  pathconf(call: vfs.Call, args: vfs.GetattrArguments): Promise<vfs.PathconfReply> {
    return this.#perform(procedures.pathconf, call, args);
  }

  commit(call: vfs.Call, args: vfs.CommitArguments): Promise<vfs.CommitReply> {
    return this.#perform(procedures.commit, call, args);
  }

  /** A procedure of another program beside NFS, with all that a call of NFS gets: asked again after JUKEBOX, failures as statuses. */
  perform<Arguments, Reply extends { readonly status: number }>(
    procedure: Nfs3Procedure<Arguments, Reply>,
    call: vfs.Call,
    args: Arguments,
    options: {
      /** What is wrong with the reply, if something is. */
      readonly wrong?: ((reply: Reply) => string | undefined) | undefined;
      readonly replyBytes?: number | undefined;
    } = {},
  ): Promise<Reply> {
    return this.#perform(procedure, call, args, options.wrong, options.replyBytes);
  }

  /** Closes the caller too: calls under way reject. */
  close(): Promise<void> {
    this.#closed = true;
    return this.#caller.close();
  }

  #proceduresFor(args: {
    readonly expected?: vfs.WccAttributes | undefined;
  }): Pick<ConditionalProcedures, 'write' | 'setattr'> {
    const conditional = this.#conditional;
    return args.expected !== undefined && conditional?.isAvailable() === true ? conditional : procedures;
  }

  #perform<Arguments, Reply extends { readonly status: number }>(
    procedure: Nfs3Procedure<Arguments, Reply>,
    call: vfs.Call,
    args: Arguments,
    wrong?: (reply: Reply) => string | undefined,
    replyBytes?: number,
    onRetransmit?: () => void,
  ): Promise<Reply> {
    const { credential, priority, urgency } = call;
    const fencing = this.#forwardsFencing ? call.fencing : undefined;
    const options = { credential, priority, urgency, deadlineMs: this.#deadlineMs, replyBytes, onRetransmit, fencing };
    return this.#caller.call(procedure.program ?? nfsProgram, procedure, args, options).then(
      (reply) => {
        if (reply.status === Status.JUKEBOX) return this.#later(procedure, args, options, wrong);
        return this.#checked(procedure, reply, wrong);
      },
      (error: unknown) => procedure.refuse(this.#statusOf(procedure.name, error)),
    );
  }

  #checked<Reply>(
    procedure: Pick<Nfs3Procedure<unknown, Reply>, 'name' | 'refuse'>,
    reply: Reply,
    wrong: ((reply: Reply) => string | undefined) | undefined,
  ): Reply {
    const what = wrong?.(reply);
    if (what === undefined) return reply;
    this.#log.warn({ origin: this.identity, procedure: procedure.name, what }, 'the origin gave a wrong reply');
    return procedure.refuse(Status.IO);
  }

  /** A call that is not to be executed twice; `resolve` sees refusals that may be echoes of its first execution. */
  #performOnce<Arguments, Reply extends { readonly status: number }>(
    procedure: Nfs3Procedure<Arguments, Reply>,
    call: vfs.Call,
    args: Arguments,
    resolve: (reply: Reply) => Reply | Promise<Reply>,
  ): Promise<Reply> {
    let sentAgain = false;
    const onRetransmit = (): void => {
      sentAgain = true;
    };
    return this.#perform(procedure, call, args, undefined, undefined, onRetransmit).then((reply) =>
      sentAgain && reply.status !== 0 ? resolve(reply) : reply,
    );
  }

  /** JUKEBOX: not executed, come again (RFC 1813 2.6). Clients above us must not see it: libnfs fails at once. */
  async #later<Arguments, Reply extends { readonly status: number }>(
    procedure: Nfs3Procedure<Arguments, Reply>,
    args: Arguments,
    options: Parameters<RpcCaller['call']>[3],
    wrong: ((reply: Reply) => string | undefined) | undefined,
  ): Promise<Reply> {
    const started = this.#clock.now();
    for (let pauseMs = jukeboxFirstMs; ; pauseMs = Math.min(pauseMs * 2, jukeboxLongestMs)) {
      if (this.#deadlineMs !== undefined && this.#clock.now() + pauseMs - started > this.#deadlineMs) {
        return procedure.refuse(Status.IO);
      }
      await sleep(this.#clock, pauseMs);
      try {
        const reply = await this.#caller.call(procedure.program ?? nfsProgram, procedure, args, options);
        if (reply.status !== Status.JUKEBOX) return this.#checked(procedure, reply, wrong);
      } catch (error) {
        return procedure.refuse(this.#statusOf(procedure.name, error));
      }
    }
  }

  /** What a failed call means to the caller. While closing, and for bugs, the error goes on. */
  #statusOf(procedure: string, error: unknown): vfs.Failure {
    if (this.#closed || !(error instanceof ViaductError)) throw error;
    this.#log.warn({ origin: this.identity, procedure, code: error.code, cause: error.message }, 'a call failed');
    if (error.code === 'RPC_UNAVAILABLE') return Status.NOTSUPP;
    return error.code === 'ORIGIN_REFUSED' ? Status.ACCES : Status.IO;
  }
}

/** The first `count` bytes of a WRITE. */
function firstBytes(args: vfs.WriteArguments, count: number): vfs.WriteArguments {
  const data: Uint8Array[] = [];
  let left = count;
  for (const slice of args.data) {
    if (left === 0) break;
    data.push(slice.length <= left ? slice : slice.subarray(0, left));
    left -= Math.min(slice.length, left);
  }
  return { ...args, count, data };
}
