/**
 * An image as it lies in its folder, held open: by descriptors, so that what is put beside it lands beside this very file, whatever
 * becomes of its path.
 */
import { constants, realpathSync } from 'node:fs';
import { ViaductError } from '../base/mod.ts';
import { AT_FDCWD, closeDescriptor, extendedAttribute, openAt, StatusReader } from '../native/mod.ts';
import type { FileStamp } from '../vfs/mod.ts';
import { attempt, failure, succeeded } from './failure.ts';
import { pathBuffer, toText } from './paths.ts';

/** What decides who may write meta-data of it, and whether meta-data fit. */
export interface FileStatus {
  readonly stamp: FileStamp;
  readonly device: bigint;
  readonly uid: number;
  readonly gid: number;
  /** Permission bits. */
  readonly mode: number;
}

const regular = 0o100000;
const typeBits = 0o170000;

export class ImageFile {
  /** For people. */
  readonly path: string;
  /** Binary. */
  readonly name: string;
  readonly fd: number;
  /** Descriptor of the folder around it. */
  readonly around: number;

  private constructor(path: string, name: string, fd: number, around: number) {
    this.path = path;
    this.name = name;
    this.fd = fd;
    this.around = around;
  }

  /** `path`: binary. A symbolic link leads to the file that it names, beside which the meta-data lies. */
  static open(path: string): ImageFile {
    const text = toText(path);
    // The other realpathSync takes the bytes for UTF-8.
    const real = attempt(`find ${text}`, () => realpathSync.native(pathBuffer(path), 'buffer')).toString('latin1');
    const slash = real.lastIndexOf('/');
    const folder = real.slice(0, slash + 1);
    const name = real.slice(slash + 1);
    const around = openFolder(folder, `open the folder of ${text}`);
    try {
      // Opening a named pipe must not wait for whoever writes to it.
      const fd = succeeded(`open ${text}`, openAt(around, name, constants.O_RDONLY | constants.O_NONBLOCK));
      if (isRegular(fd)) return new ImageFile(toText(real), name, fd, around);
      closeDescriptor(fd);
      throw new ViaductError('CONFIGURATION_INVALID', {
        cause: `${text} is not a regular file.`,
        remedy: 'Name an image file, or a folder of images.',
      });
    } catch (error) {
      closeDescriptor(around);
      throw error;
    }
  }

  status(): FileStatus {
    const status = statusOf(this.fd);
    if (typeof status === 'number') throw failure(`look at ${this.path}`, status);
    return status;
  }

  /** Whether the name still means this file. */
  isStillNamed(): boolean {
    const reader = new StatusReader();
    if (reader.ofName(this.around, this.name) < 0) return false;
    const { stamp, device } = this.status();
    return reader.inode === stamp.fileid && reader.device === device;
  }

  close(): void {
    closeDescriptor(this.fd);
    closeDescriptor(this.around);
  }
}

/** A descriptor. Those of Node count what they open and close in a thread, and these are opened and closed by hand. */
export function openFolder(path: string, doing: string): number {
  return succeeded(doing, openAt(AT_FDCWD, `${path}/.`, constants.O_RDONLY | constants.O_DIRECTORY));
}

/** Of an open file, or a negative errno. Seconds as NFS has them, which is how a proxy compares them. */
export function statusOf(fd: number): FileStatus | number {
  const reader = new StatusReader();
  const result = reader.ofDescriptor(fd);
  if (result < 0) return result;
  const stamp = {
    size: reader.size,
    mtimeSeconds: reader.mtimeSeconds,
    mtimeNanoseconds: reader.mtimeNanoseconds,
    ctimeSeconds: reader.ctimeSeconds,
    ctimeNanoseconds: reader.ctimeNanoseconds,
    fileid: reader.inode,
  };
  return { stamp, device: reader.device, uid: reader.uid, gid: reader.gid, mode: reader.mode & 0o7777 };
}

export function isRegular(fd: number): boolean {
  const reader = new StatusReader();
  return reader.ofDescriptor(fd) === 0 && (reader.mode & typeBits) === regular;
}

/** Whether the group bits of the mode are no longer the group's alone (acl(5)). */
export function hasAccessList(fd: number): boolean {
  return typeof extendedAttribute(fd, 'system.posix_acl_access') !== 'number';
}
