/**
 * `--outage fail`: what has waited for the origin long enough while it is away fails with NFS3ERR_IO.
 *
 * A change that was refused may still be done when the origin is back: it cannot be called back. Its data is copied, since the
 * caller has its memory again with the refusal. What nobody waits for (prefetch, write-back) is never refused.
 */
import type { Eventual } from '../../base/mod.ts';
import type * as fs from '../../vfs/mod.ts';
import { ForwardingFilesystem, Status } from '../../vfs/mod.ts';
import type { OriginPresence } from '../origin-presence.ts';
import { OwedCalls, type OwedCallsOptions, type OwedCallsStats } from './owed-calls.ts';

const failed = { status: Status.IO } as const;
const failedChange = { status: Status.IO, wcc: {} } as const;
const failedName = { status: Status.IO, directoryWcc: {} } as const;
const failedRename = { status: Status.IO, fromWcc: {}, toWcc: {} } as const;

/** What a call pins in the layers below, without payload. */
const callBytes = 1024;

export class FailAfter extends ForwardingFilesystem {
  readonly #owed: OwedCalls;

  constructor(
    next: fs.Filesystem,
    context: Pick<OwedCallsOptions, 'clock' | 'failAfterMs'> & { readonly presence: OriginPresence },
  ) {
    super(next);
    // While the origin is there, no layer answers FSINFO by itself.
    this.#owed = new OwedCalls({ ...context, probe: (call) => next.fsinfo(call, { object: next.root }) });
  }

  stats(): OwedCallsStats {
    return this.#owed.stats();
  }

  #bound<Reply>(call: fs.Call, ask: () => Eventual<Reply>, refusal: Reply): Eventual<Reply> {
    if (call.priority === 'prefetch') return ask();
    return this.#owed.bound({ call, bytes: callBytes, ask, refusal });
  }

  override getattr(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.GetattrReply> {
    return this.#bound(call, () => this.next.getattr(call, args), failed);
  }
  override setattr(call: fs.Call, args: fs.SetattrArguments): Eventual<fs.WccReply> {
    return this.#bound(call, () => this.next.setattr(call, args), failedChange);
  }
  override lookup(call: fs.Call, args: fs.Place): Eventual<fs.LookupReply> {
    return this.#bound(call, () => this.next.lookup(call, args), failed);
  }
  override access(call: fs.Call, args: fs.AccessArguments): Eventual<fs.AccessReply> {
    return this.#bound(call, () => this.next.access(call, args), failed);
  }
  override readlink(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.ReadlinkReply> {
    return this.#bound(call, () => this.next.readlink(call, args), failed);
  }

  override read(call: fs.Call, args: fs.ReadArguments): Eventual<fs.ReadReply> {
    if (call.priority === 'prefetch') return this.next.read(call, args);
    const ask = (): Eventual<fs.ReadReply> => this.next.read(call, args);
    return this.#owed.bound({ call, bytes: callBytes, ask, refusal: failed, dispose: release });
  }

  override write(call: fs.Call, args: fs.WriteArguments): Eventual<fs.WriteReply> {
    if (call.priority === 'prefetch') return this.next.write(call, args);
    const own = { ...args, data: args.data.map((slice) => Buffer.from(slice)) };
    const ask = (): Eventual<fs.WriteReply> => this.next.write(call, own);
    return this.#owed.bound({ call, bytes: callBytes + args.count, ask, refusal: failedChange });
  }

  override create(call: fs.Call, args: fs.CreateArguments): Eventual<fs.CreateReply> {
    return this.#bound(call, () => this.next.create(call, args), failedName);
  }
  override mkdir(call: fs.Call, args: fs.MkdirArguments): Eventual<fs.CreateReply> {
    return this.#bound(call, () => this.next.mkdir(call, args), failedName);
  }
  override symlink(call: fs.Call, args: fs.SymlinkArguments): Eventual<fs.CreateReply> {
    return this.#bound(call, () => this.next.symlink(call, args), failedName);
  }
  override mknod(call: fs.Call, args: fs.MknodArguments): Eventual<fs.CreateReply> {
    return this.#bound(call, () => this.next.mknod(call, args), failedName);
  }
  override remove(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    return this.#bound(call, () => this.next.remove(call, args), failedName);
  }
  override rmdir(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    return this.#bound(call, () => this.next.rmdir(call, args), failedName);
  }
  override rename(call: fs.Call, args: fs.RenameArguments): Eventual<fs.RenameReply> {
    return this.#bound(call, () => this.next.rename(call, args), failedRename);
  }
  override link(call: fs.Call, args: fs.LinkArguments): Eventual<fs.LinkReply> {
    return this.#bound(call, () => this.next.link(call, args), failedName);
  }
  override readdir(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply> {
    return this.#bound(call, () => this.next.readdir(call, args), failed);
  }
  override readdirplus(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply<fs.DirectoryEntryPlus>> {
    return this.#bound(call, () => this.next.readdirplus(call, args), failed);
  }
  override fsstat(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.FsstatReply> {
    return this.#bound(call, () => this.next.fsstat(call, args), failed);
  }
  override fsinfo(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.FsinfoReply> {
    return this.#bound(call, () => this.next.fsinfo(call, args), failed);
  }
  override pathconf(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.PathconfReply> {
    return this.#bound(call, () => this.next.pathconf(call, args), failed);
  }
  override commit(call: fs.Call, args: fs.CommitArguments): Eventual<fs.CommitReply> {
    return this.#bound(call, () => this.next.commit(call, args), failedChange);
  }

  override close(): Promise<void> {
    this.#owed.close();
    return this.next.close();
  }
}

function release(reply: fs.ReadReply): void {
  if (reply.status === 0) reply.release?.();
}
