/** The operations on names: LOOKUP, CREATE and its kin, REMOVE, RMDIR, RENAME, LINK (RFC 1813 3.3.3, 3.3.8 to 3.3.15). */
import { constants } from 'node:fs';
import { chain, type Eventual, limits } from '../../base/mod.ts';
import { AT_REMOVEDIR, closeDescriptor, linkAt, O_PATH, openAt, renameAt, unlinkAt } from '../../native/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import type { Export, Found } from './export.ts';
import { makeFile, type NewFile } from './new-file.ts';
import type { OpenFile } from './open-file.ts';
import { granted, mayChangeEntries, Permission, type Subject } from './permission.ts';
import { apply, mayApply } from './set-attributes.ts';

const { Status, FileType } = vfs;
const slash = 0x2f;

/** A directory that an entry is to change in, as it was just before. */
interface Parent {
  readonly file: OpenFile;
  readonly before: vfs.Attributes;
  readonly subject: Subject;
}

export class Names {
  readonly #export: Export;

  constructor(exported: Export) {
    this.#export = exported;
  }

  lookup(call: vfs.Call, args: vfs.Place): vfs.LookupReply {
    const directory = this.#export.find(args.directory);
    if (typeof directory === 'number') return { status: directory };
    const directoryAttributes = this.#export.attributes(directory);
    if (typeof directoryAttributes === 'number') return { status: directoryAttributes };
    const refuse = (status: vfs.Failure): vfs.LookupReply => ({ status, directoryAttributes });
    if (directory.type !== FileType.DIRECTORY) return refuse(Status.NOTDIR);
    const subject = this.#export.subject(directory, directoryAttributes, call.credential);
    if (!granted(subject, call.credential, Permission.EXECUTE)) return refuse(Status.ACCES);
    const problem = problemOf(args.name);
    if (problem !== 0) return refuse(problem);
    const file = this.#step(directory, args.name);
    if (typeof file === 'number') return refuse(file);
    const attributes = this.#export.attributes(file);
    if (typeof attributes === 'number') return refuse(attributes);
    return { status: 0, object: file.handle, attributes, directoryAttributes };
  }

  #step(directory: OpenFile, name: vfs.Name): OpenFile | vfs.Failure {
    const { root } = this.#export.parts;
    if (name === '.' || (name === '..' && directory.handle === root)) return directory;
    if (name === '..') return this.#above(directory);
    const fd = openAt(directory.pathFd, name, O_PATH);
    return fd < 0 ? this.#export.failure(fd) : this.#export.enter(fd, directory, name);
  }

  /** The parent, only if the way up from there meets the root: a directory that was moved out of the export leads nowhere. */
  #above(directory: OpenFile): OpenFile | vfs.Failure {
    const flags = O_PATH | constants.O_DIRECTORY;
    const { root } = this.#export.parts;
    let found: Found | vfs.Failure = this.#export.peek(directory.pathFd, '..');
    if (typeof found === 'number') return found;
    const parent = found.handle;
    let fd = openAt(directory.pathFd, '..', flags);
    let last = '';
    while (fd >= 0 && typeof found !== 'number' && found.handle !== root && found.handle !== last) {
      last = found.handle;
      found = this.#export.peek(fd, '..');
      const next = openAt(fd, '..', flags);
      closeDescriptor(fd);
      fd = next;
    }
    if (fd >= 0) closeDescriptor(fd);
    const inside = typeof found !== 'number' && found.handle === root;
    return inside ? this.#export.find(parent) : Status.STALE;
  }

  create(call: vfs.Call, args: vfs.CreateArguments): Eventual<vfs.CreateReply> {
    const { where, how } = args;
    const parent = this.#parent(call, where);
    if (typeof parent === 'number') return { status: parent, directoryWcc: {} };
    const existing = this.#existing(parent, where.name);
    if (typeof existing === 'number' && existing !== Status.NOENT) return this.#refuse(parent, existing);
    if (typeof existing !== 'number') return this.#reuse(call, parent, where.name, how, existing);
    const exclusive = how.mode === 'exclusive';
    const set = exclusive ? { mode: 0o600, ...timesOf(how.verifier) } : how.set;
    return this.#make(call, where, parent, { type: FileType.REGULAR, set, mode: 0o644 });
  }

  /** CREATE of a name that is there (RFC 1813 3.3.8). */
  #reuse(
    call: vfs.Call,
    parent: Parent,
    name: vfs.Name,
    how: vfs.CreateArguments['how'],
    existing: Found,
  ): Eventual<vfs.CreateReply> {
    const { attributes } = existing;
    if (how.mode === 'guarded' || attributes.type !== FileType.REGULAR) return this.#refuse(parent, Status.EXIST);
    if (how.mode === 'exclusive') {
      const { atime, mtime } = timesOf(how.verifier);
      const same = attributes.size === 0 && vfs.timeEquals(attributes.atime, atime);
      if (!same || !vfs.timeEquals(attributes.mtime, mtime)) return this.#refuse(parent, Status.EXIST);
    }
    const file = this.#step(parent.file, name);
    if (typeof file === 'number') return this.#refuse(parent, file);
    if (how.mode === 'exclusive' || how.set.size === undefined) return this.#made(parent, file, []);
    const set = { size: how.set.size };
    const both = [file, parent.file];
    for (const one of both) one.use();
    const applied = file.turns.take(() => this.#resize(call, file, set));
    return chain(applied, (status) => {
      // What others did to the directory meanwhile is not this caller's doing.
      const before = this.#export.attributesIfThere(parent.file) ?? parent.before;
      const now = { ...parent, before };
      const reply = status === 0 ? this.#made(now, file, [file]) : this.#refuse(now, status);
      for (const one of both) one.release();
      return reply;
    });
  }

  /** In the file's turn. */
  #resize(call: vfs.Call, file: OpenFile, set: vfs.SetAttributes): vfs.Failure | 0 {
    const before = this.#export.attributes(file);
    if (typeof before === 'number') return before;
    const status = mayApply(this.#export.subject(file, before, call.credential), set, call.credential);
    return status === 0 ? apply(this.#export, file, before, set, call.credential) : status;
  }

  mkdir(call: vfs.Call, args: vfs.MkdirArguments): Eventual<vfs.CreateReply> {
    return this.#makeAt(call, args.where, { type: FileType.DIRECTORY, set: args.set, mode: 0o755 });
  }

  symlink(call: vfs.Call, args: vfs.SymlinkArguments): Eventual<vfs.CreateReply> {
    const { target } = args;
    if (target === '' || target.includes('\0')) return this.#refuseAt(call, args.where, Status.INVAL);
    return this.#makeAt(call, args.where, { type: FileType.SYMLINK, set: args.set, mode: 0o777, target });
  }

  mknod(call: vfs.Call, args: vfs.MknodArguments): Eventual<vfs.CreateReply> {
    const { where, type, set, deviceMajor, deviceMinor } = args;
    const device = type === FileType.BLOCK || type === FileType.CHARACTER;
    if (!device && type !== FileType.SOCKET && type !== FileType.FIFO) {
      return this.#refuseAt(call, where, Status.BADTYPE);
    }
    if (device && call.credential.uid !== 0) return this.#refuseAt(call, where, Status.PERM);
    return this.#makeAt(call, where, { type, set, mode: 0o644, ...(device ? { deviceMajor, deviceMinor } : {}) });
  }

  remove(call: vfs.Call, args: vfs.Place, asDirectory: boolean): Eventual<vfs.RemoveReply> {
    const parent = this.#parent(call, args);
    if (typeof parent === 'number') return { status: parent, directoryWcc: {} };
    const refuse = (status: vfs.Failure): vfs.RemoveReply => this.#refuse(parent, status);
    if (args.name === '.' || args.name === '..') return refuse(args.name === '.' ? Status.INVAL : Status.EXIST);
    const victim = this.#existing(parent, args.name);
    if (typeof victim === 'number') return refuse(victim);
    if (!mayChangeEntries(parent.subject, call.credential, victim.attributes)) return refuse(Status.ACCES);
    const isDirectory = victim.attributes.type === FileType.DIRECTORY;
    if (isDirectory !== asDirectory) return refuse(asDirectory ? Status.NOTDIR : Status.ISDIR);
    const result = unlinkAt(parent.file.pathFd, args.name, asDirectory ? AT_REMOVEDIR : 0);
    if (result < 0) return refuse(this.#export.failure(result));
    this.#gone(parent, args.name, victim);
    const directoryWcc = this.#export.wcc(parent.before, parent.file);
    return this.#synced([parent.file], (status) => ({ status, directoryWcc }));
  }

  rename(call: vfs.Call, args: vfs.RenameArguments): Eventual<vfs.RenameReply> {
    const from = this.#parent(call, args.from);
    if (typeof from === 'number') return { status: from, fromWcc: {}, toWcc: {} };
    const to = this.#parent(call, args.to);
    if (typeof to === 'number') return { status: to, fromWcc: {}, toWcc: {} };
    const status = this.#move(call.credential, from, args.from.name, to, args.to.name);
    const fromWcc = this.#export.wcc(from.before, from.file);
    const toWcc = this.#export.wcc(to.before, to.file);
    if (status !== 0) return { status, fromWcc, toWcc };
    const directories = from.file === to.file ? [from.file] : [from.file, to.file];
    return this.#synced(directories, (synced) => ({ status: synced, fromWcc, toWcc }));
  }

  #move(who: vfs.Credential, from: Parent, fromName: string, to: Parent, toName: string): vfs.Failure | 0 {
    if (isDots(fromName) || isDots(toName)) return Status.INVAL;
    const moved = this.#existing(from, fromName);
    if (typeof moved === 'number') return moved;
    const victim = this.#existing(to, toName);
    if (typeof victim === 'number' && victim !== Status.NOENT) return victim;
    const replaced = typeof victim === 'number' ? undefined : victim;
    if (!mayChangeEntries(from.subject, who, moved.attributes)) return Status.ACCES;
    if (!mayChangeEntries(to.subject, who, replaced?.attributes)) return Status.ACCES;
    // Its `..` changes, which is a write to the directory itself.
    const across = moved.attributes.type === FileType.DIRECTORY && from.file !== to.file;
    if (across && !this.#mayWriteTo(from.file, fromName, who)) return Status.ACCES;
    const result = renameAt(from.file.pathFd, fromName, to.file.pathFd, toName);
    if (result < 0) return this.#export.failure(result);
    // rename(2) between two names of one file does nothing.
    if (replaced?.handle === moved.handle) return 0;
    if (replaced !== undefined) this.#gone(to, toName, replaced);
    const inode = moved.attributes.fileid;
    return this.#export.guarded(() =>
      this.#export.parts.resolver.moved(
        moved.handle,
        { parent: from.file.handle, name: fromName, inode },
        { parent: to.file.handle, name: toName, inode },
      ),
    );
  }

  #mayWriteTo(parent: OpenFile, name: vfs.Name, who: vfs.Credential): boolean {
    const file = this.#step(parent, name);
    const attributes = typeof file === 'number' ? file : this.#export.attributes(file);
    if (typeof file === 'number' || typeof attributes === 'number') return false;
    return granted(this.#export.subject(file, attributes, who), who, Permission.WRITE);
  }

  link(call: vfs.Call, args: vfs.LinkArguments): Eventual<vfs.LinkReply> {
    const { where } = args;
    const file = this.#export.find(args.object);
    if (typeof file === 'number') return { status: file, directoryWcc: {} };
    const parent = this.#parent(call, where);
    if (typeof parent === 'number') {
      return { status: parent, attributes: this.#export.attributesIfThere(file), directoryWcc: {} };
    }
    const status = this.#link(call.credential, file, parent, where.name);
    const attributes = this.#export.attributesIfThere(file);
    const directoryWcc = this.#export.wcc(parent.before, parent.file);
    if (status !== 0) return { status, attributes, directoryWcc };
    return this.#synced([parent.file], (synced) => ({ status: synced, attributes, directoryWcc }));
  }

  #link(who: vfs.Credential, file: OpenFile, parent: Parent, name: vfs.Name): vfs.Failure | 0 {
    const attributes = this.#export.attributes(file);
    if (typeof attributes === 'number') return attributes;
    if (file.type === FileType.DIRECTORY) return Status.ISDIR;
    const existing = this.#existing(parent, name);
    if (existing !== Status.NOENT) return typeof existing === 'number' ? existing : Status.EXIST;
    if (!mayChangeEntries(parent.subject, who)) return Status.ACCES;
    const result = linkAt(file.pathFd, parent.file.pathFd, name);
    if (result < 0) return this.#export.failure(result);
    const row = { handle: file.handle, parent: parent.file.handle, name, inode: attributes.fileid };
    return this.#export.remember([row]);
  }

  #makeAt(call: vfs.Call, where: vfs.Place, plan: NewFile): Eventual<vfs.CreateReply> {
    const parent = this.#parent(call, where);
    if (typeof parent === 'number') return { status: parent, directoryWcc: {} };
    const existing = this.#existing(parent, where.name);
    if (existing !== Status.NOENT) {
      return this.#refuse(parent, typeof existing === 'number' ? existing : Status.EXIST);
    }
    return this.#make(call, where, parent, plan);
  }

  #make(call: vfs.Call, where: vfs.Place, parent: Parent, plan: NewFile): Eventual<vfs.CreateReply> {
    if (!mayChangeEntries(parent.subject, call.credential)) return this.#refuse(parent, Status.ACCES);
    const made = makeFile(this.#export, parent.file, where.name, plan, call.credential);
    if (typeof made === 'number') return this.#refuse(parent, made);
    return this.#made(parent, made.file, made.touched ? [parent.file, made.file] : [parent.file]);
  }

  #made(parent: Parent, file: OpenFile, changed: readonly OpenFile[]): Eventual<vfs.CreateReply> {
    const attributes = this.#export.attributesIfThere(file);
    const directoryWcc = this.#export.wcc(parent.before, parent.file);
    const reply: vfs.CreateReply = { status: 0, object: file.handle, attributes, directoryWcc };
    if (changed.length === 0) return reply;
    return this.#synced(changed, (status) => (status === 0 ? reply : { status, directoryWcc }));
  }

  /** The name's file, without keeping it open. */
  #existing(parent: Parent, name: vfs.Name): Found | vfs.Failure {
    const problem = problemOf(name);
    return problem === 0 ? this.#export.peek(parent.file.pathFd, name) : problem;
  }

  /** The directory of an operation that changes an entry; the caller can search it, and we may write. */
  #parent(call: vfs.Call, place: vfs.Place): Parent | vfs.Failure {
    const file = this.#export.findDirectory(place.directory);
    if (typeof file === 'number') return file;
    const before = this.#export.attributes(file);
    if (typeof before === 'number') return before;
    const subject = this.#export.subject(file, before, call.credential);
    if (this.#export.parts.readOnly) return Status.ROFS;
    if (!granted(subject, call.credential, Permission.EXECUTE)) return Status.ACCES;
    return { file, before, subject };
  }

  /** A name of the victim went. If it was the last, nothing of it stays open. */
  #gone(parent: Parent, name: vfs.Name, victim: Found): void {
    const directory = victim.attributes.type === FileType.DIRECTORY;
    const last = directory || victim.attributes.nlink === 1;
    if (last) this.#export.files.drop(victim.handle);
    this.#export.guarded(() => this.#export.parts.resolver.removed(victim.handle, parent.file.handle, name, last));
  }

  #refuse(parent: Parent, status: vfs.Failure): { status: vfs.Failure; directoryWcc: vfs.WccData } {
    return { status, directoryWcc: this.#export.wcc(parent.before, parent.file) };
  }

  #refuseAt(call: vfs.Call, where: vfs.Place, status: vfs.Failure): vfs.CreateReply {
    const parent = this.#parent(call, where);
    return typeof parent === 'number' ? { status: parent, directoryWcc: {} } : this.#refuse(parent, status);
  }

  #synced<Reply>(files: readonly OpenFile[], reply: (status: vfs.Failure | 0) => Reply): Promise<Reply> {
    for (const file of files) file.use();
    return this.#export.persist(files).then((status) => {
      for (const file of files) file.release();
      return reply(status);
    });
  }
}

function isDots(name: vfs.Name): boolean {
  return name === '.' || name === '..';
}

/** The NFS server checks names; here a wrong one would leave the directory, so they are checked again. */
function problemOf(name: vfs.Name): vfs.Failure | 0 {
  if (name === '') return Status.ACCES;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    // Above 255 it is no byte, and would be cut to one: perhaps to a slash.
    if (code === 0 || code === slash || code > 255) return Status.ACCES;
  }
  return name.length > limits.nameBytes ? Status.NAMETOOLONG : 0;
}

/** An exclusive CREATE keeps its verifier in the new file's times, as the Linux server does, so that it survives a restart. */
function timesOf(verifier: vfs.Verifier): { readonly atime: vfs.Time; readonly mtime: vfs.Time } {
  const bytes = Buffer.from(verifier, 'latin1');
  const half = (at: number): vfs.Time => ({ seconds: bytes.readUInt32BE(at) & 0x7fffffff, nanoseconds: 0 });
  return { atime: half(0), mtime: half(4) };
}
