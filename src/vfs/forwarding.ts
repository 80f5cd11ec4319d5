/** A layer that passes everything on. Layers extend it and override the calls that they care for. */
import type { Eventual } from '../base/mod.ts';
import type * as fs from './filesystem.ts';

export class ForwardingFilesystem implements fs.Filesystem {
  protected readonly next: fs.Filesystem;

  constructor(next: fs.Filesystem) {
    this.next = next;
  }

  get root(): fs.FileHandle {
    return this.next.root;
  }
  get identity(): string {
    return this.next.identity;
  }

  getattr(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.GetattrReply> {
    return this.next.getattr(call, args);
  }
  setattr(call: fs.Call, args: fs.SetattrArguments): Eventual<fs.WccReply> {
    return this.next.setattr(call, args);
  }
  lookup(call: fs.Call, args: fs.Place): Eventual<fs.LookupReply> {
    return this.next.lookup(call, args);
  }
  access(call: fs.Call, args: fs.AccessArguments): Eventual<fs.AccessReply> {
    return this.next.access(call, args);
  }
  readlink(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.ReadlinkReply> {
    return this.next.readlink(call, args);
  }
  read(call: fs.Call, args: fs.ReadArguments): Eventual<fs.ReadReply> {
    return this.next.read(call, args);
  }
  write(call: fs.Call, args: fs.WriteArguments): Eventual<fs.WriteReply> {
    return this.next.write(call, args);
  }
  create(call: fs.Call, args: fs.CreateArguments): Eventual<fs.CreateReply> {
    return this.next.create(call, args);
  }
  mkdir(call: fs.Call, args: fs.MkdirArguments): Eventual<fs.CreateReply> {
    return this.next.mkdir(call, args);
  }
  symlink(call: fs.Call, args: fs.SymlinkArguments): Eventual<fs.CreateReply> {
    return this.next.symlink(call, args);
  }
  mknod(call: fs.Call, args: fs.MknodArguments): Eventual<fs.CreateReply> {
    return this.next.mknod(call, args);
  }
  remove(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    return this.next.remove(call, args);
  }
  rmdir(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    return this.next.rmdir(call, args);
  }
  rename(call: fs.Call, args: fs.RenameArguments): Eventual<fs.RenameReply> {
    return this.next.rename(call, args);
  }
  link(call: fs.Call, args: fs.LinkArguments): Eventual<fs.LinkReply> {
    return this.next.link(call, args);
  }
  readdir(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply> {
    return this.next.readdir(call, args);
  }
  readdirplus(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply<fs.DirectoryEntryPlus>> {
    return this.next.readdirplus(call, args);
  }
  fsstat(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.FsstatReply> {
    return this.next.fsstat(call, args);
  }
  fsinfo(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.FsinfoReply> {
    return this.next.fsinfo(call, args);
  }
  pathconf(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.PathconfReply> {
    return this.next.pathconf(call, args);
  }
  commit(call: fs.Call, args: fs.CommitArguments): Eventual<fs.CommitReply> {
    return this.next.commit(call, args);
  }

  close(): Promise<void> {
    return this.next.close();
  }
}
