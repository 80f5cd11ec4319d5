/** A layer that sees every call through one method: the base of the test layers that delay, fail and record. */
import type { Eventual } from '../base/mod.ts';
import type * as fs from '../vfs/mod.ts';
import { ForwardingFilesystem } from '../vfs/mod.ts';

export abstract class InterceptingFilesystem extends ForwardingFilesystem {
  /** Answers the call, by `proceed` (the next layer) or by itself. */
  protected abstract intercept<R>(
    operation: fs.OperationName,
    call: fs.Call,
    args: unknown,
    proceed: () => Eventual<R>,
  ): Eventual<R>;

  override getattr(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.GetattrReply> {
    return this.intercept('getattr', call, args, () => this.next.getattr(call, args));
  }
  override setattr(call: fs.Call, args: fs.SetattrArguments): Eventual<fs.WccReply> {
    return this.intercept('setattr', call, args, () => this.next.setattr(call, args));
  }
  override lookup(call: fs.Call, args: fs.Place): Eventual<fs.LookupReply> {
    return this.intercept('lookup', call, args, () => this.next.lookup(call, args));
  }
  override access(call: fs.Call, args: fs.AccessArguments): Eventual<fs.AccessReply> {
    return this.intercept('access', call, args, () => this.next.access(call, args));
  }
  override readlink(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.ReadlinkReply> {
    return this.intercept('readlink', call, args, () => this.next.readlink(call, args));
  }
  override read(call: fs.Call, args: fs.ReadArguments): Eventual<fs.ReadReply> {
    return this.intercept('read', call, args, () => this.next.read(call, args));
  }
  override write(call: fs.Call, args: fs.WriteArguments): Eventual<fs.WriteReply> {
    return this.intercept('write', call, args, () => this.next.write(call, args));
  }
  override create(call: fs.Call, args: fs.CreateArguments): Eventual<fs.CreateReply> {
    return this.intercept('create', call, args, () => this.next.create(call, args));
  }
  override mkdir(call: fs.Call, args: fs.MkdirArguments): Eventual<fs.CreateReply> {
    return this.intercept('mkdir', call, args, () => this.next.mkdir(call, args));
  }
  override symlink(call: fs.Call, args: fs.SymlinkArguments): Eventual<fs.CreateReply> {
    return this.intercept('symlink', call, args, () => this.next.symlink(call, args));
  }
  override mknod(call: fs.Call, args: fs.MknodArguments): Eventual<fs.CreateReply> {
    return this.intercept('mknod', call, args, () => this.next.mknod(call, args));
  }
  override remove(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    return this.intercept('remove', call, args, () => this.next.remove(call, args));
  }
  override rmdir(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    return this.intercept('rmdir', call, args, () => this.next.rmdir(call, args));
  }
  override rename(call: fs.Call, args: fs.RenameArguments): Eventual<fs.RenameReply> {
    return this.intercept('rename', call, args, () => this.next.rename(call, args));
  }
  override link(call: fs.Call, args: fs.LinkArguments): Eventual<fs.LinkReply> {
    return this.intercept('link', call, args, () => this.next.link(call, args));
  }
  override readdir(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply> {
    return this.intercept('readdir', call, args, () => this.next.readdir(call, args));
  }
  override readdirplus(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply<fs.DirectoryEntryPlus>> {
    return this.intercept('readdirplus', call, args, () => this.next.readdirplus(call, args));
  }
  override fsstat(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.FsstatReply> {
    return this.intercept('fsstat', call, args, () => this.next.fsstat(call, args));
  }
  override fsinfo(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.FsinfoReply> {
    return this.intercept('fsinfo', call, args, () => this.next.fsinfo(call, args));
  }
  override pathconf(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.PathconfReply> {
    return this.intercept('pathconf', call, args, () => this.next.pathconf(call, args));
  }
  override commit(call: fs.Call, args: fs.CommitArguments): Eventual<fs.CommitReply> {
    return this.intercept('commit', call, args, () => this.next.commit(call, args));
  }
}
