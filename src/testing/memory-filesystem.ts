/**
 * A whole file system in memory: the reference `Filesystem` that tests put under layers, servers and clients.
 *
 * It answers at once, checks permissions by mode bits, and keeps what it says: with `volatile`, data written UNSTABLE is lost by
 * `restart()` unless a COMMIT came before, and the write verifier changes, as it does when a real server crashes.
 */
import { assert, type Clock, limits, systemClock } from '../base/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { MemoryListing } from './memory-listing.ts';
import { MemoryNames } from './memory-names.ts';
import type { MemoryNode } from './memory-node.ts';
import { accessBits, mayRead, mayWrite } from './memory-permission.ts';
import { MemoryStore } from './memory-store.ts';

const { Status } = vfs;

export interface MemoryFilesystemOptions {
  readonly clock?: Clock;
  readonly identity?: string;
  /** Who owns the root, and its mode; user 0 and 0755 unless given. */
  readonly root?: { readonly mode: number; readonly uid: number; readonly gid: number };
  /** Data written UNSTABLE is lost by `restart()` unless it was committed. Without it every write is FILE_SYNC. */
  readonly volatile?: boolean;
  /** Above this WRITE answers NOSPC. */
  readonly capacityBytes?: number;
  /** READ gives private copies that are overwritten when they are released: use after release shows. */
  readonly poisonReleased?: boolean;
  readonly transferBytes?: number;
  /** Times are whole multiples of this, as on file systems with coarse times; without it every change shows. */
  readonly timeStepMs?: number;
}

export class MemoryFilesystem implements vfs.Filesystem {
  readonly root: vfs.FileHandle;
  readonly identity: string;
  /** READ replies whose `release` has not been called (only counted with `poisonReleased`). */
  unreleased = 0;
  readonly #store: MemoryStore;
  readonly #names: MemoryNames;
  readonly #listing: MemoryListing;
  readonly #options: MemoryFilesystemOptions;
  #generation = 1;

  constructor(options: MemoryFilesystemOptions = {}) {
    this.identity = options.identity ?? 'memory';
    this.#options = options;
    this.#store = new MemoryStore(
      options.clock ?? systemClock,
      this.identity,
      options.root ?? { mode: 0o755, uid: 0, gid: 0 },
      options.timeStepMs,
    );
    this.#names = new MemoryNames(this.#store);
    this.#listing = new MemoryListing(this.#store);
    this.root = this.#store.root.handle;
  }

  /** Eight bytes that change with every `restart` and `changeVerifier`. */
  get verifier(): vfs.Verifier {
    return String.fromCharCode(0x56, 0, 0, 0, 0, 0, (this.#generation >> 8) & 255, this.#generation & 255);
  }

  changeVerifier(): void {
    this.#generation++;
  }

  /** What a crash and a restart of a server do. Answers how many files had unstable data; writes of it stay if `keeps` says so. */
  restart(keeps: () => boolean = () => false): number {
    let lost = 0;
    for (const node of this.#store.nodes()) {
      const used = node.content?.used ?? 0;
      if (node.content?.revert(keeps) !== true) continue;
      this.#store.usedBytes += node.content.used - used;
      node.changed();
      lost++;
    }
    this.changeVerifier();
    return lost;
  }

  /** For assertions: the content of a regular file as callers see it, or as a crash that loses all it may would leave it. */
  contentOf(
    handle: vfs.FileHandle,
    after: 'now' | 'crash',
  ): { size: number; read(offset: number, count: number): Buffer } {
    const node = this.#store.find(handle);
    const content = typeof node === 'number' ? undefined : node.content;
    assert(content !== undefined, 'no such regular file');
    if (after === 'now') return { size: content.size, read: (...range) => Buffer.concat(content.read(...range)) };
    return { size: content.stableSize, read: (...range) => Buffer.concat(content.readStable(...range)) };
  }

  getattr(_call: vfs.Call, args: vfs.GetattrArguments): vfs.GetattrReply {
    const node = this.#store.find(args.object);
    return typeof node === 'number' ? { status: node } : { status: 0, attributes: this.#store.attributesOf(node) };
  }

  setattr(call: vfs.Call, args: vfs.SetattrArguments): vfs.WccReply {
    const node = this.#store.find(args.object);
    if (typeof node === 'number') return { status: node, wcc: {} };
    const before = node.wccAttributes();
    let status: vfs.Failure | 0 = 0;
    if (args.guard !== undefined && !vfs.timeEquals(args.guard, node.ctime)) status = Status.NOT_SYNC;
    else if ((args.set.size ?? 0) > limits.fileBytes) status = Status.FBIG;
    else status = this.#store.mayApply(node, args.set, call.credential);
    if (status === 0) this.#store.apply(node, args.set, call.credential);
    return { status, wcc: this.#store.wcc(before, node) };
  }

  lookup(call: vfs.Call, args: vfs.Place): vfs.LookupReply {
    return this.#names.lookup(call, args);
  }

  access(call: vfs.Call, args: vfs.AccessArguments): vfs.AccessReply {
    const node = this.#store.find(args.object);
    if (typeof node === 'number') return { status: node };
    const attributes = this.#store.attributesOf(node);
    return { status: 0, attributes, access: accessBits(node, call.credential, args.access) };
  }

  readlink(_call: vfs.Call, args: vfs.GetattrArguments): vfs.ReadlinkReply {
    const node = this.#store.find(args.object);
    if (typeof node === 'number') return { status: node };
    const attributes = this.#store.attributesOf(node);
    if (node.type !== vfs.FileType.SYMLINK) return { status: Status.INVAL, attributes };
    return { status: 0, attributes, target: node.target };
  }

  read(call: vfs.Call, args: vfs.ReadArguments): vfs.ReadReply {
    const node = this.#store.find(args.object);
    if (typeof node === 'number') return { status: node };
    const attributes = this.#store.attributesOf(node);
    if (node.content === undefined) return { status: notRegular(node), attributes };
    if (!mayRead(node, call.credential)) return { status: Status.ACCES, attributes };
    const count = Math.max(0, Math.min(args.count, this.#transferBytes(), node.size - args.offset));
    const eof = args.offset + count >= node.size;
    const data = node.content.read(args.offset, count);
    if (this.#options.poisonReleased !== true) return { status: 0, attributes, data, count, eof };
    const copy = Buffer.concat(data);
    this.unreleased++;
    let released = false;
    const release = (): void => {
      assert(!released, 'a READ reply was released twice');
      released = true;
      this.unreleased--;
      copy.fill(0xdd);
    };
    return { status: 0, attributes, data: [copy], count, eof, release };
  }

  write(call: vfs.Call, args: vfs.WriteArguments): vfs.WriteReply {
    const node = this.#store.find(args.object);
    if (typeof node === 'number') return { status: node, wcc: {} };
    const before = node.wccAttributes();
    const status = this.#mayWrite(call, args, node);
    if (status !== 0) return { status, wcc: this.#store.wcc(before, node) };
    const content = node.content!;
    const stable = args.stable !== vfs.Stability.UNSTABLE || this.#options.volatile !== true;
    if (args.count > 0) {
      const used = content.used;
      content.write(args.offset, args.data, !stable);
      this.#store.usedBytes += content.used - used;
      if (call.credential.uid !== 0) node.mode &= ~0o6000;
      node.modified(this.#store.now());
    }
    return {
      status: 0,
      wcc: this.#store.wcc(before, node),
      count: args.count,
      committed: stable ? vfs.Stability.FILE_SYNC : vfs.Stability.UNSTABLE,
      verifier: this.verifier,
    };
  }

  create(call: vfs.Call, args: vfs.CreateArguments): vfs.CreateReply {
    return this.#names.create(call, args);
  }

  mkdir(call: vfs.Call, args: vfs.MkdirArguments): vfs.CreateReply {
    return this.#names.make(call, args.where, { type: vfs.FileType.DIRECTORY, set: args.set, mode: 0o755 });
  }

  symlink(call: vfs.Call, args: vfs.SymlinkArguments): vfs.CreateReply {
    const set = { ...args.set, mode: 0o777 };
    return this.#names.make(call, args.where, { type: vfs.FileType.SYMLINK, set, mode: 0o777, target: args.target });
  }

  mknod(call: vfs.Call, args: vfs.MknodArguments): vfs.CreateReply {
    return this.#names.mknod(call, args);
  }

  remove(call: vfs.Call, args: vfs.Place): vfs.RemoveReply {
    return this.#names.remove(call, args, false);
  }

  rmdir(call: vfs.Call, args: vfs.Place): vfs.RemoveReply {
    return this.#names.remove(call, args, true);
  }

  rename(call: vfs.Call, args: vfs.RenameArguments): vfs.RenameReply {
    return this.#names.rename(call, args);
  }

  link(call: vfs.Call, args: vfs.LinkArguments): vfs.LinkReply {
    return this.#names.link(call, args);
  }

  readdir(call: vfs.Call, args: vfs.ReaddirArguments): vfs.ReaddirReply {
    return this.#listing.list(call, args, false);
  }

  readdirplus(call: vfs.Call, args: vfs.ReaddirArguments): vfs.ReaddirReply<vfs.DirectoryEntryPlus> {
    return this.#listing.list(call, args, true);
  }

  fsstat(_call: vfs.Call, args: vfs.GetattrArguments): vfs.FsstatReply {
    const node = this.#store.find(args.object);
    if (typeof node === 'number') return { status: node };
    const totalBytes = this.#options.capacityBytes ?? 2 ** 40;
    const freeBytes = Math.max(0, totalBytes - this.#store.usedBytes);
    return {
      status: 0,
      attributes: this.#store.attributesOf(node),
      totalBytes,
      freeBytes,
      availableBytes: freeBytes,
      totalFiles: 1_000_000,
      freeFiles: Math.max(0, 1_000_000 - this.#store.fileCount),
      availableFiles: Math.max(0, 1_000_000 - this.#store.fileCount),
      invariantSeconds: 0,
    };
  }

  fsinfo(_call: vfs.Call, args: vfs.GetattrArguments): vfs.FsinfoReply {
    const node = this.#store.find(args.object);
    if (typeof node === 'number') return { status: node };
    const { LINK, SYMLINK, HOMOGENEOUS, CANSETTIME } = vfs.FsProperty;
    const transferBytes = this.#transferBytes();
    return {
      status: 0,
      attributes: this.#store.attributesOf(node),
      readMaximum: transferBytes,
      readPreferred: transferBytes,
      readMultiple: 4096,
      writeMaximum: transferBytes,
      writePreferred: transferBytes,
      writeMultiple: 4096,
      readdirPreferred: limits.directoryReplyBytes,
      maximumFileBytes: limits.fileBytes,
      timeDelta: { seconds: 0, nanoseconds: 1 },
      properties: LINK | SYMLINK | HOMOGENEOUS | CANSETTIME,
    };
  }

  pathconf(_call: vfs.Call, args: vfs.GetattrArguments): vfs.PathconfReply {
    const node = this.#store.find(args.object);
    if (typeof node === 'number') return { status: node };
    return {
      status: 0,
      attributes: this.#store.attributesOf(node),
      linkMaximum: 32_000,
      nameMaximum: limits.nameBytes,
      noTruncation: true,
      chownRestricted: true,
      caseInsensitive: false,
      casePreserving: true,
    };
  }

  commit(_call: vfs.Call, args: vfs.CommitArguments): vfs.CommitReply {
    const node = this.#store.find(args.object);
    if (typeof node === 'number') return { status: node, wcc: {} };
    const wcc = this.#store.wcc(node.wccAttributes(), node);
    if (node.content === undefined) return { status: notRegular(node), wcc };
    node.content.commit();
    return { status: 0, wcc, verifier: this.verifier };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #transferBytes(): number {
    return this.#options.transferBytes ?? limits.transferBytes;
  }

  #mayWrite(call: vfs.Call, args: vfs.WriteArguments, node: MemoryNode): vfs.Failure | 0 {
    if (node.content === undefined) return notRegular(node);
    if (!mayWrite(node, call.credential)) return Status.ACCES;
    if (args.offset + args.count > limits.fileBytes) return Status.FBIG;
    const capacity = this.#options.capacityBytes;
    if (capacity === undefined) return 0;
    return this.#store.usedBytes + node.content.growth(args.offset, args.count) > capacity ? Status.NOSPC : 0;
  }
}

function notRegular(node: MemoryNode): vfs.Failure {
  return node.directory !== undefined ? Status.ISDIR : Status.INVAL;
}
