/**
 * A directory as a `Filesystem`: each operation goes to the noun that does it (names, content, listing, set-attributes); the
 * small ones are here.
 */
import { type Eventual, limits } from '../../base/mod.ts';
import { closeDescriptor, fileSystemStatus, linkMaximum, readLink } from '../../native/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { Content } from './content.ts';
import type { Export } from './export.ts';
import { Listing } from './listing.ts';
import { Names } from './names.ts';
import type { OpenFile } from './open-file.ts';
import { accessBits } from './permission.ts';
import { setattr } from './set-attributes.ts';
import { Trees } from './trees.ts';

const { Status, FileType, Access, FsProperty } = vfs;
const writeBits = Access.MODIFY | Access.EXTEND | Access.DELETE;
const EXT4 = 0xef53;

interface Looked {
  readonly file: OpenFile;
  readonly attributes: vfs.Attributes;
}

export class DirectoryFilesystem implements vfs.Filesystem {
  readonly root: vfs.FileHandle;
  readonly identity: string;
  readonly locator: vfs.TreeLocator;
  readonly #export: Export;
  readonly #names: Names;
  readonly #content: Content;
  readonly #listing: Listing;
  readonly #pending = new Set<Promise<unknown>>();

  constructor(exported: Export, identity: string) {
    this.#export = exported;
    this.root = exported.parts.root;
    this.identity = identity;
    this.locator = new Trees(exported);
    this.#names = new Names(exported);
    this.#content = new Content(exported);
    this.#listing = new Listing(exported);
  }

  getattr(_call: vfs.Call, args: vfs.GetattrArguments): vfs.GetattrReply {
    const looked = this.#look(args.object);
    return typeof looked === 'number' ? { status: looked } : { status: 0, attributes: looked.attributes };
  }

  setattr(call: vfs.Call, args: vfs.SetattrArguments): Eventual<vfs.WccReply> {
    return this.#track(setattr(this.#export, call, args));
  }

  lookup(call: vfs.Call, args: vfs.Place): vfs.LookupReply {
    return this.#names.lookup(call, args);
  }

  access(call: vfs.Call, args: vfs.AccessArguments): vfs.AccessReply {
    const looked = this.#look(args.object);
    if (typeof looked === 'number') return { status: looked };
    const { file, attributes } = looked;
    const { privileged, own, readOnly } = this.#export.parts;
    let access = args.access & accessBits(this.#export.subject(file, attributes, call.credential), call.credential);
    // Without privilege the kernel asks what we ourselves may do.
    if (!privileged) access &= accessBits(this.#export.subject(file, attributes, own), own);
    if (readOnly) access &= ~writeBits;
    return { status: 0, attributes, access };
  }

  readlink(_call: vfs.Call, args: vfs.GetattrArguments): vfs.ReadlinkReply {
    const looked = this.#look(args.object);
    if (typeof looked === 'number') return { status: looked };
    const { file, attributes } = looked;
    if (file.type !== FileType.SYMLINK) return { status: Status.INVAL, attributes };
    const target = readLink(file.pathFd);
    if (typeof target === 'number') return { status: this.#export.failure(target), attributes };
    return { status: 0, attributes, target };
  }

  read(call: vfs.Call, args: vfs.ReadArguments): Eventual<vfs.ReadReply> {
    return this.#track(this.#content.read(call, args));
  }
  write(call: vfs.Call, args: vfs.WriteArguments): Eventual<vfs.WriteReply> {
    return this.#track(this.#content.write(call, args));
  }
  create(call: vfs.Call, args: vfs.CreateArguments): Eventual<vfs.CreateReply> {
    return this.#track(this.#names.create(call, args));
  }
  mkdir(call: vfs.Call, args: vfs.MkdirArguments): Eventual<vfs.CreateReply> {
    return this.#track(this.#names.mkdir(call, args));
  }
  symlink(call: vfs.Call, args: vfs.SymlinkArguments): Eventual<vfs.CreateReply> {
    return this.#track(this.#names.symlink(call, args));
  }
  mknod(call: vfs.Call, args: vfs.MknodArguments): Eventual<vfs.CreateReply> {
    return this.#track(this.#names.mknod(call, args));
  }
  remove(call: vfs.Call, args: vfs.Place): Eventual<vfs.RemoveReply> {
    return this.#track(this.#changingNames(call, () => this.#names.remove(call, args, false)));
  }
  rmdir(call: vfs.Call, args: vfs.Place): Eventual<vfs.RemoveReply> {
    return this.#track(this.#names.remove(call, args, true));
  }
  rename(call: vfs.Call, args: vfs.RenameArguments): Eventual<vfs.RenameReply> {
    return this.#track(this.#changingNames(call, () => this.#names.rename(call, args)));
  }
  link(call: vfs.Call, args: vfs.LinkArguments): Eventual<vfs.LinkReply> {
    return this.#track(this.#changingNames(call, () => this.#names.link(call, args)));
  }
  readdir(call: vfs.Call, args: vfs.ReaddirArguments): vfs.ReaddirReply {
    return this.#listing.readdir(call, args);
  }
  readdirplus(call: vfs.Call, args: vfs.ReaddirArguments): vfs.ReaddirReply<vfs.DirectoryEntryPlus> {
    return this.#listing.readdirplus(call, args);
  }
  commit(call: vfs.Call, args: vfs.CommitArguments): Eventual<vfs.CommitReply> {
    return this.#track(this.#content.commit(call, args));
  }

  fsstat(_call: vfs.Call, args: vfs.GetattrArguments): vfs.FsstatReply {
    const looked = this.#look(args.object);
    if (typeof looked === 'number') return { status: looked };
    const { attributes } = looked;
    const found = fileSystemStatus(looked.file.pathFd);
    if (typeof found === 'number') return { status: this.#export.failure(found), attributes };
    const { totalBytes, freeBytes, availableBytes, totalFiles, freeFiles } = found;
    const files = { totalFiles, freeFiles, availableFiles: freeFiles };
    return { status: 0, attributes, totalBytes, freeBytes, availableBytes, ...files, invariantSeconds: 0 };
  }

  fsinfo(_call: vfs.Call, args: vfs.GetattrArguments): vfs.FsinfoReply {
    const looked = this.#look(args.object);
    if (typeof looked === 'number') return { status: looked };
    const { attributes } = looked;
    const found = fileSystemStatus(looked.file.pathFd);
    if (typeof found === 'number') return { status: this.#export.failure(found), attributes };
    // ext4 numbers a file's blocks with 32 bits; the others go beyond what offsets here can say.
    const maximumFileBytes = found.type === EXT4 ? found.blockBytes * (2 ** 32 - 1) : limits.fileBytes;
    return {
      status: 0,
      attributes,
      readMaximum: limits.transferBytes,
      readPreferred: limits.transferBytes,
      readMultiple: 4096,
      writeMaximum: limits.transferBytes,
      writePreferred: limits.transferBytes,
      writeMultiple: 4096,
      readdirPreferred: limits.directoryReplyBytes,
      maximumFileBytes: Math.min(maximumFileBytes, limits.fileBytes),
      timeDelta: { seconds: 0, nanoseconds: 1 },
      properties: FsProperty.LINK | FsProperty.SYMLINK | FsProperty.HOMOGENEOUS | FsProperty.CANSETTIME,
    };
  }

  pathconf(_call: vfs.Call, args: vfs.GetattrArguments): vfs.PathconfReply {
    const looked = this.#look(args.object);
    if (typeof looked === 'number') return { status: looked };
    const found = fileSystemStatus(looked.file.pathFd);
    const { attributes } = looked;
    if (typeof found === 'number') return { status: this.#export.failure(found), attributes };
    return {
      status: 0,
      attributes,
      linkMaximum: linkMaximum(looked.file.pathFd),
      nameMaximum: Math.min(found.nameMaximum, limits.nameBytes),
      noTruncation: true,
      chownRestricted: true,
      caseInsensitive: false,
      casePreserving: true,
    };
  }

  async close(): Promise<void> {
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending);
    await this.#export.files.close();
    this.#export.parts.resolver.close();
    closeDescriptor(this.#export.parts.rootFd);
  }

  #look(handle: vfs.FileHandle): Looked | vfs.Failure {
    const file = this.#export.find(handle);
    if (typeof file === 'number') return file;
    const attributes = this.#export.attributes(file);
    return typeof attributes === 'number' ? attributes : { file, attributes };
  }

  #changingNames<Reply>(call: vfs.Call, change: () => Eventual<Reply>): Eventual<Reply> {
    return call.fencing === undefined ? change() : this.#export.chains.duringNameChange(change);
  }

  /** `close` waits for what is under way. */
  #track<Reply>(reply: Eventual<Reply>): Eventual<Reply> {
    if (!(reply instanceof Promise)) return reply;
    this.#pending.add(reply);
    const done = (): void => {
      this.#pending.delete(reply);
    };
    reply.then(done, done);
    return reply;
  }
}
