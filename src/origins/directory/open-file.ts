/**
 * One file or directory that the origin holds open, under its handle. A rename does not touch it.
 *
 *   pathFd    O_PATH: attributes, names below it, and to open the others through /proc/self/fd (special files never get more)
 *   readFd    O_RDONLY, from the first READ or READDIR on
 *   writeFd   O_RDWR, from the first WRITE on: kept apart, for a file that is open for writing cannot be executed locally
 *
 * Data that was written and not synced makes it `dirty`; a dirty file is synced before it is closed, since a descriptor opened
 * later might not be told of the error. Descriptors are closed when the last use has ended.
 */
import { constants } from 'node:fs';
import { closeDescriptor, reopen } from '../../native/mod.ts';
import { type Attributes, type FileHandle, FileType, type FileTypeCode, type Time, timeEquals } from '../../vfs/mod.ts';
import type { AclEntry } from './permission.ts';
import { type Disk, SyncGroup } from './sync.ts';
import { Turns } from './turns.ts';

const readFlags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
const writeFlags = constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY;

export class OpenFile {
  readonly handle: FileHandle;
  readonly type: FileTypeCode;
  readonly pathFd: number;
  readonly #disk: Disk;
  readonly syncs: SyncGroup;
  #readFd = -1;
  #writeFd: number;
  #uses = 0;
  #closed = false;
  dirty = false;
  /** WRITE, SETATTR and whatever else changes content or attributes under this handle. */
  readonly turns = new Turns();
  lastUsedMs = 0;
  /** The ACL as of the change time beside it. */
  acl: readonly AclEntry[] | undefined;
  aclTime: Time | undefined;

  /** Takes the descriptor over. `writable` says that it is O_RDWR rather than O_PATH. */
  constructor(handle: FileHandle, type: FileTypeCode, fd: number, disk: Disk, writable = false) {
    this.#disk = disk;
    this.handle = handle;
    this.type = type;
    this.pathFd = fd;
    this.#writeFd = writable ? fd : -1;
    this.syncs = new SyncGroup((dataOnly) => this.#sync(dataOnly));
  }

  get descriptors(): number {
    return 1 + (this.#readFd >= 0 ? 1 : 0) + (this.#writeFd >= 0 && this.#writeFd !== this.pathFd ? 1 : 0);
  }
  get busy(): boolean {
    return this.#uses > 0;
  }

  /** A descriptor to read a file or list a directory with, or a negative errno. */
  reader(): number {
    if (this.#writeFd >= 0) return this.#writeFd;
    if (this.#readFd < 0) {
      const flags = this.type === FileType.DIRECTORY ? readFlags | constants.O_DIRECTORY : readFlags;
      const fd = reopen(this.pathFd, flags);
      if (fd < 0) return fd;
      this.#readFd = fd;
    }
    return this.#readFd;
  }

  /** A descriptor to write a regular file with, or a negative errno. */
  writer(): number {
    if (this.#writeFd < 0) {
      const fd = reopen(this.pathFd, writeFlags);
      if (fd < 0) return fd;
      this.#writeFd = fd;
    }
    return this.#writeFd;
  }

  /** Keeps the descriptors open until `release`. */
  use(): void {
    this.#uses++;
  }
  release(): void {
    this.#uses--;
    if (this.#closed && this.#uses === 0) this.#closeAll();
  }

  /** Closes as soon as nobody uses it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#uses === 0) this.#closeAll();
  }

  aclIsOf(attributes: Attributes): boolean {
    return this.aclTime !== undefined && timeEquals(this.aclTime, attributes.ctime);
  }

  #closeAll(): void {
    closeDescriptor(this.pathFd);
    if (this.#readFd >= 0) closeDescriptor(this.#readFd);
    if (this.#writeFd >= 0 && this.#writeFd !== this.pathFd) closeDescriptor(this.#writeFd);
  }

  #sync(dataOnly: boolean): Promise<number> {
    const fd = this.reader();
    if (fd < 0) return Promise.resolve(fd);
    this.use();
    return this.#disk.sync(fd, dataOnly).then((result) => {
      this.release();
      return result;
    });
  }
}
