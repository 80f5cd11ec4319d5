/**
 * The exported directory: what all operations stand on. Handles become open files here, files become attributes, and what was
 * changed is brought to the disk.
 *
 * - Everything below the root is reached through descriptors, never through paths, so no symbolic link is followed.
 * - Other mounts below the root are not entered: LOOKUP of their mount point is ACCES.
 * - Synchronous code between two turns of the event loop may hold an `OpenFile` freely: nothing is evicted meanwhile. Code that
 *   waits must `use` it.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:os';
import { assert, type Clock, type Log, type Random } from '../../base/mod.ts';
import {
  closeDescriptor,
  extendedAttribute,
  type KernelHandles,
  O_PATH,
  openAt,
  type StatusReader,
  syncFileSystem,
} from '../../native/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { attributesFrom, fileType, wccAttributes } from './attributes.ts';
import { ChangeChains } from './change-chains.ts';
import { type HandleCodec, identityOf } from './handle.ts';
import { OpenFile } from './open-file.ts';
import type { OpenFiles } from './open-files.ts';
import { parseAcl, type Subject } from './permission.ts';
import type { Resolver } from './resolver.ts';
import { statusOf } from './status.ts';
import type { Disk } from './sync.ts';

const { Status, FileType } = vfs;
const { errno } = constants;

export interface ExportParts {
  readonly rootFd: number;
  readonly root: vfs.FileHandle;
  readonly fsid: bigint;
  readonly mount: bigint;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** As user 0, callers are acted for; else all is done as `own`. */
  readonly privileged: boolean;
  readonly own: vfs.Credential;
  readonly readOnly: boolean;
  readonly umask: number;
  readonly codec: HandleCodec;
  readonly kernel: KernelHandles;
  readonly status: StatusReader;
  readonly resolver: Resolver;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
}

export interface Found {
  readonly handle: vfs.FileHandle;
  readonly attributes: vfs.Attributes;
}

export class Export {
  readonly parts: ExportParts;
  readonly files: OpenFiles;
  readonly chains = new ChangeChains();
  readonly log: Log;
  #verifier: vfs.Verifier;

  constructor(parts: ExportParts, files: OpenFiles) {
    this.parts = parts;
    this.files = files;
    this.log = parts.log;
    this.#verifier = newVerifier(parts.random);
  }

  /** Changes when unstable data may have been lost (RFC 1813 3.3.7). */
  get verifier(): vfs.Verifier {
    return this.#verifier;
  }

  failure(result: number): vfs.Failure {
    return statusOf(result, this.log);
  }

  find(handle: vfs.FileHandle): OpenFile | vfs.Failure {
    const open = this.files.get(handle);
    if (open !== undefined) return open;
    const identity = this.parts.codec.decode(handle);
    if (typeof identity === 'number') return identity;
    const fd = this.parts.resolver.open(handle, identity);
    if (fd === -errno.EMFILE || fd === -errno.ENFILE || fd === -errno.ENOMEM) return this.failure(fd);
    if (fd < 0) return Status.STALE;
    const { status } = this.parts;
    if (status.ofDescriptor(fd) < 0 || status.nlink === 0) {
      closeDescriptor(fd);
      return Status.STALE;
    }
    const file = new OpenFile(handle, fileType(status), fd, this.parts.disk);
    this.files.add(file);
    return file;
  }

  findDirectory(handle: vfs.FileHandle): OpenFile | vfs.Failure {
    const file = this.find(handle);
    return typeof file === 'number' || file.type === FileType.DIRECTORY ? file : Status.NOTDIR;
  }

  attributes(file: OpenFile): vfs.Attributes | vfs.Failure {
    const { status } = this.parts;
    const result = status.ofDescriptor(file.pathFd);
    if (result < 0) return this.failure(result);
    if (status.nlink === 0) {
      this.files.drop(file.handle);
      return Status.STALE;
    }
    return attributesFrom(status, this.#fsid());
  }

  /** For replies where attributes are welcome and not needed. */
  attributesIfThere(file: OpenFile): vfs.Attributes | undefined {
    const attributes = this.attributes(file);
    return typeof attributes === 'number' ? undefined : attributes;
  }

  wcc(before: vfs.Attributes, file: OpenFile): vfs.WccData {
    return { before: wccAttributes(before), after: this.attributesIfThere(file) };
  }

  /** What permission checks look at. The ACL is read again only after the change time moved. */
  subject(file: OpenFile, attributes: vfs.Attributes, who: vfs.Credential): Subject {
    if (who.uid === 0 || who.uid === attributes.uid || file.type === FileType.SYMLINK) {
      return { attributes, acl: undefined };
    }
    if (!file.aclIsOf(attributes)) {
      const value = extendedAttribute(file.pathFd, 'system.posix_acl_access');
      file.acl = typeof value === 'number' ? undefined : parseAcl(value);
      file.aclTime = attributes.ctime;
    }
    return { attributes, acl: file.acl };
  }

  /**
   * Takes over a descriptor just opened as `name` in `parent`; `writable` says it is O_RDWR rather than O_PATH. The file is
   * kept open, for most look-ups are followed by a use.
   */
  enter(fd: number, parent: OpenFile, name: vfs.Name, writable = false): OpenFile | vfs.Failure {
    const found = this.#describe(fd);
    if (typeof found === 'number') {
      closeDescriptor(fd);
      return found;
    }
    const { handle, attributes } = found;
    const remembered = this.remember([{ handle, parent: parent.handle, name, inode: attributes.fileid }]);
    const open = this.files.get(handle);
    if (remembered !== 0 || open !== undefined) closeDescriptor(fd);
    if (remembered !== 0) return remembered;
    if (open !== undefined) return open;
    const file = new OpenFile(handle, attributes.type, fd, this.parts.disk, writable);
    this.files.add(file);
    return file;
  }

  /** Handle and attributes of a name, without keeping it open. Names that are to be remembered are the caller's business. */
  peek(directoryFd: number, name: vfs.Name): Found | vfs.Failure {
    const fd = openAt(directoryFd, name, O_PATH);
    if (fd < 0) return this.failure(fd);
    const found = this.#describe(fd);
    closeDescriptor(fd);
    return found;
  }

  remember(rows: Parameters<Resolver['seen']>[0]): vfs.Failure | 0 {
    return this.guarded(() => this.parts.resolver.seen(rows));
  }

  /** The table of handles may fail as any disk does: then the operation fails, not the process. */
  guarded(action: () => void): vfs.Failure | 0 {
    try {
      action();
      return 0;
    } catch (error) {
      this.log.error({ error: String(error) }, 'the table of file handles cannot be written');
      return Status.IO;
    }
  }

  /** Brings changes to the disk, each file's in a group with its others. On an error the verifier changes. */
  async persist(files: readonly OpenFile[], dataOnly = false): Promise<vfs.Failure | 0> {
    let status: vfs.Failure | 0 = 0;
    for (const result of await Promise.all(files.map((file) => this.#sync(file, dataOnly)))) {
      if (result < 0) status = this.failure(result);
    }
    return status;
  }

  async #sync(file: OpenFile, dataOnly: boolean): Promise<number> {
    const syncable = file.type === FileType.REGULAR || file.type === FileType.DIRECTORY;
    const wasDirty = file.dirty;
    file.dirty = false;
    let result = await (syncable ? file.syncs.request(dataOnly) : syncFileSystem(this.parts.rootFd));
    // We may be unable to open what its owner made unreadable, and some file systems cannot sync a directory.
    if (result === -errno.EACCES || (result === -errno.EINVAL && syncable)) {
      result = await syncFileSystem(this.parts.rootFd);
    }
    if (result < 0) {
      file.dirty ||= wasDirty;
      this.syncFailed(file, result);
    }
    return result;
  }

  /** Unstable data may be lost: every client must send again what it has not committed. */
  syncFailed(file: OpenFile, result: number): void {
    this.#verifier = newVerifier(this.parts.random);
    this.log.error({ errno: -result, handle: Buffer.from(file.handle, 'latin1').toString('hex') }, 'a sync failed');
  }

  /** The reader holds the file's status. */
  #fsid(): bigint {
    const { status, fsid, deviceMajor, deviceMinor } = this.parts;
    if (status.deviceMinor === deviceMinor && status.deviceMajor === deviceMajor) return fsid;
    // A subvolume: inode numbers begin anew in it.
    return BigInt.asUintN(64, fsid ^ (status.device * 0x9e3779b97f4a7c15n));
  }

  #describe(fd: number): Found | vfs.Failure {
    const { status, kernel, codec, mount } = this.parts;
    const result = status.ofDescriptor(fd);
    if (result < 0) return this.failure(result);
    if (status.mount !== mount) return Status.ACCES;
    const attributes = attributesFrom(status, this.#fsid());
    const identity = identityOf(fd, kernel, status);
    if (typeof identity === 'number') return this.failure(identity);
    return { handle: codec.encode(identity), attributes };
  }
}

function newVerifier(random: Random): vfs.Verifier {
  return Buffer.from(random.bytes(new Uint8Array(8))).toString('latin1');
}

/** Eight bytes that stand for the export, the same after every restart. */
export function fsidOf(domain: string): bigint {
  const digest = createHash('sha256').update(domain, 'latin1').digest();
  const fsid = digest.readBigUInt64BE(0);
  assert(digest.length === 32, 'sha256 has 32 bytes');
  return fsid;
}
