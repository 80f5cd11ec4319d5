/** The operations on names in memory: LOOKUP, CREATE and its kin, REMOVE, RMDIR, RENAME, LINK (RFC 1813 3.3.3, 3.3.8 to 3.3.15). */
import * as vfs from '../vfs/mod.ts';
import type { MemoryNode } from './memory-node.ts';
import { granted, mayChangeEntries, Permission } from './memory-permission.ts';
import type { MemoryStore } from './memory-store.ts';

const { Status, FileType } = vfs;
const linkMaximum = 32_000;

export interface NewFile {
  readonly type: vfs.FileTypeCode;
  readonly set: vfs.SetAttributes;
  /** Used if `set` has none. */
  readonly mode: number;
  readonly target?: string;
  readonly deviceMajor?: number;
  readonly deviceMinor?: number;
}

export class MemoryNames {
  readonly #store: MemoryStore;

  constructor(store: MemoryStore) {
    this.#store = store;
  }

  lookup(call: vfs.Call, args: vfs.Place): vfs.LookupReply {
    const found = this.#store.find(args.directory);
    if (typeof found === 'number') return { status: found };
    const directoryAttributes = this.#store.attributesOf(found);
    if (found.directory === undefined) return { status: Status.NOTDIR, directoryAttributes };
    if (!granted(found, call.credential, Permission.EXECUTE)) return { status: Status.ACCES, directoryAttributes };
    const node = resolve(found, args.name);
    if (node === undefined) return { status: Status.NOENT, directoryAttributes };
    return { status: 0, object: node.handle, attributes: this.#store.attributesOf(node), directoryAttributes };
  }

  create(call: vfs.Call, args: vfs.CreateArguments): vfs.CreateReply {
    const parent = this.#store.findDirectory(args.where.directory);
    if (typeof parent === 'number') return { status: parent, directoryWcc: {} };
    const set = args.how.mode === 'exclusive' ? {} : args.how.set;
    const existing = parent.directory!.get(args.where.name);
    if (existing === undefined) {
      const file = { type: FileType.REGULAR, set, mode: 0o644 };
      const reply = this.make(call, args.where, file);
      if (reply.status === 0 && args.how.mode === 'exclusive') {
        parent.directory!.get(args.where.name)!.createVerifier = args.how.verifier;
      }
      return reply;
    }
    const before = parent.wccAttributes();
    const status = this.#reuse(call, args.how, parent, existing);
    const directoryWcc = this.#store.wcc(before, parent);
    if (status !== 0) return { status, directoryWcc };
    return { status: 0, object: existing.handle, attributes: this.#store.attributesOf(existing), directoryWcc };
  }

  /** CREATE of a name that is there (RFC 1813 3.3.8). */
  #reuse(call: vfs.Call, how: vfs.CreateArguments['how'], parent: MemoryNode, existing: MemoryNode): vfs.Failure | 0 {
    if (!granted(parent, call.credential, Permission.EXECUTE)) return Status.ACCES;
    if (how.mode === 'guarded' || existing.content === undefined) return Status.EXIST;
    if (how.mode === 'exclusive') return existing.createVerifier === how.verifier ? 0 : Status.EXIST;
    if (how.set.size === undefined) return 0;
    const set = { size: how.set.size };
    const status = this.#store.mayApply(existing, set, call.credential);
    if (status === 0) this.#store.apply(existing, set, call.credential);
    return status;
  }

  mknod(call: vfs.Call, args: vfs.MknodArguments): vfs.CreateReply {
    const device = args.type === FileType.BLOCK || args.type === FileType.CHARACTER;
    const { where, type, set, deviceMajor, deviceMinor } = args;
    if (!device && type !== FileType.SOCKET && type !== FileType.FIFO) {
      return this.#refuse(where.directory, Status.BADTYPE);
    }
    if (device && call.credential.uid !== 0) return this.#refuse(where.directory, Status.PERM);
    return this.make(call, where, { type, set, mode: 0o644, ...(device ? { deviceMajor, deviceMinor } : {}) });
  }

  make(call: vfs.Call, where: vfs.Place, file: NewFile): vfs.CreateReply {
    const parent = this.#store.findDirectory(where.directory);
    if (typeof parent === 'number') return { status: parent, directoryWcc: {} };
    const before = parent.wccAttributes();
    let status: vfs.Failure | 0 = 0;
    if (!granted(parent, call.credential, Permission.EXECUTE)) status = Status.ACCES;
    else if (resolve(parent, where.name) !== undefined) status = Status.EXIST;
    else if (!mayChangeEntries(parent, call.credential)) status = Status.ACCES;
    else if (file.type === FileType.DIRECTORY && parent.nlink >= linkMaximum) status = Status.MLINK;
    if (status !== 0) return { status, directoryWcc: this.#store.wcc(before, parent) };
    const node = this.#store.makeFor(call.credential, parent, file);
    this.#store.enter(parent, where.name, node, node.ctime);
    const attributes = this.#store.attributesOf(node);
    return { status: 0, object: node.handle, attributes, directoryWcc: this.#store.wcc(before, parent) };
  }

  remove(call: vfs.Call, args: vfs.Place, directory: boolean): vfs.RemoveReply {
    const parent = this.#store.findDirectory(args.directory);
    if (typeof parent === 'number') return { status: parent, directoryWcc: {} };
    const before = parent.wccAttributes();
    const node = parent.directory!.get(args.name);
    let status: vfs.Failure | 0 = 0;
    if (!granted(parent, call.credential, Permission.EXECUTE)) status = Status.ACCES;
    else if (node === undefined) status = Status.NOENT;
    else if (!mayChangeEntries(parent, call.credential, node)) status = Status.ACCES;
    else if (directory && node.directory === undefined) status = Status.NOTDIR;
    else if (!directory && node.directory !== undefined) status = Status.ISDIR;
    else if (directory && node.directory!.size > 0) status = Status.NOTEMPTY;
    if (status === 0) {
      const time = this.#store.now();
      this.#store.leave(parent, args.name, node!, time);
      this.#store.drop(node!, time);
    }
    return { status, directoryWcc: this.#store.wcc(before, parent) };
  }

  rename(call: vfs.Call, args: vfs.RenameArguments): vfs.RenameReply {
    const from = this.#store.findDirectory(args.from.directory);
    const to = this.#store.findDirectory(args.to.directory);
    if (typeof from === 'number') return { status: from, fromWcc: {}, toWcc: {} };
    if (typeof to === 'number') return { status: to, fromWcc: {}, toWcc: {} };
    const fromBefore = from.wccAttributes();
    const toBefore = to.wccAttributes();
    const status = this.#move(call.credential, from, args.from.name, to, args.to.name);
    return { status, fromWcc: this.#store.wcc(fromBefore, from), toWcc: this.#store.wcc(toBefore, to) };
  }

  #move(who: vfs.Credential, from: MemoryNode, fromName: string, to: MemoryNode, toName: string): vfs.Failure | 0 {
    if (!granted(from, who, Permission.EXECUTE) || !granted(to, who, Permission.EXECUTE)) return Status.ACCES;
    const node = from.directory!.get(fromName);
    if (node === undefined) return Status.NOENT;
    const target = to.directory!.get(toName);
    if (!mayChangeEntries(from, who, node) || !mayChangeEntries(to, who, target)) return Status.ACCES;
    if (node.directory !== undefined && from !== to && !granted(node, who, Permission.WRITE)) return Status.ACCES;
    if (target === node) return 0;
    for (let above: MemoryNode | undefined = to; above !== undefined; above = above.directory!.parent) {
      if (above === node) return Status.INVAL;
    }
    if (target !== undefined) {
      if (node.directory !== undefined && target.directory === undefined) return Status.NOTDIR;
      if (node.directory === undefined && target.directory !== undefined) return Status.ISDIR;
      if (target.directory !== undefined && target.directory.size > 0) return Status.NOTEMPTY;
    }
    const time = this.#store.now();
    if (target !== undefined) {
      this.#store.leave(to, toName, target, time);
      this.#store.drop(target, time);
    }
    this.#store.leave(from, fromName, node, time);
    this.#store.enter(to, toName, node, time);
    node.altered(time);
    return 0;
  }

  link(call: vfs.Call, args: vfs.LinkArguments): vfs.LinkReply {
    const node = this.#store.find(args.object);
    const parent = this.#store.findDirectory(args.where.directory);
    if (typeof node === 'number') return { status: node, directoryWcc: {} };
    if (typeof parent === 'number') {
      return { status: parent, attributes: this.#store.attributesOf(node), directoryWcc: {} };
    }
    const before = parent.wccAttributes();
    let status: vfs.Failure | 0 = 0;
    if (node.directory !== undefined) status = Status.ISDIR;
    else if (!granted(parent, call.credential, Permission.EXECUTE)) status = Status.ACCES;
    else if (resolve(parent, args.where.name) !== undefined) status = Status.EXIST;
    else if (!mayChangeEntries(parent, call.credential)) status = Status.ACCES;
    else if (node.nlink >= linkMaximum) status = Status.MLINK;
    if (status === 0) {
      const time = this.#store.now();
      node.nlink++;
      node.altered(time);
      this.#store.enter(parent, args.where.name, node, time);
    }
    const attributes = this.#store.attributesOf(node);
    return { status, attributes, directoryWcc: this.#store.wcc(before, parent) };
  }

  #refuse(directory: vfs.FileHandle, status: vfs.Failure): vfs.CreateReply {
    const parent = this.#store.findDirectory(directory);
    if (typeof parent === 'number') return { status: parent, directoryWcc: {} };
    return { status, directoryWcc: this.#store.wcc(parent.wccAttributes(), parent) };
  }
}

function resolve(directory: MemoryNode, name: string): MemoryNode | undefined {
  if (name === '.') return directory;
  if (name === '..') return directory.directory!.parent ?? directory;
  return directory.directory!.get(name);
}
