/**
 * Names relative to a directory descriptor, as raw bytes: openat(2) and its kin, and the few calls on a descriptor that Node
 * lacks. A path is never resolved by its text, so a rename or a symbolic link elsewhere cannot lead a call astray.
 *
 * Names are binary strings (one character a byte). Results are 0 or a descriptor, or a negative errno.
 */
import { constants } from 'node:fs';
import { lastErrno, libc } from './libc.ts';

/** Flags that node:fs does not name; the same numbers on x86_64 and arm64. */
export const O_PATH = 0x200000;
export const O_CLOEXEC = 0x80000;
export const AT_FDCWD = -100;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_REMOVEDIR = 0x200;
export const AT_EMPTY_PATH = 0x1000;
/** Nanoseconds of utimensat(2) that mean "now" and "leave". */
export const UTIME_NOW = 0x3fffffff;
export const UTIME_OMIT = 0x3ffffffe;

const native = {
  openat: libc.func('int openat(int, const void*, int, uint32_t)'),
  close: libc.func('int close(int)'),
  mkdirat: libc.func('int mkdirat(int, const void*, uint32_t)'),
  mknodat: libc.func('int mknodat(int, const void*, uint32_t, uint64_t)'),
  unlinkat: libc.func('int unlinkat(int, const void*, int)'),
  renameat: libc.func('int renameat(int, const void*, int, const void*)'),
  linkat: libc.func('int linkat(int, const void*, int, const void*, int)'),
  symlinkat: libc.func('int symlinkat(const void*, int, const void*)'),
  readlinkat: libc.func('int64_t readlinkat(int, const void*, void*, size_t)'),
  fchownat: libc.func('int fchownat(int, const void*, uint32_t, uint32_t, int)'),
  fchmodat: libc.func('int fchmodat(int, const void*, uint32_t, int)'),
  utimensat: libc.func('int utimensat(int, const void*, const void*, int)'),
  ftruncate: libc.func('int ftruncate(int, int64_t)'),
  getxattr: libc.func('int64_t getxattr(const void*, const void*, void*, size_t)'),
  syncfs: libc.func('int syncfs(int)'),
};

function result(value: number): number {
  return value < 0 ? -lastErrno() : value;
}

function bytes(name: string): Buffer {
  return Buffer.from(`${name}\0`, 'latin1');
}

/** A path that means the file behind a descriptor, whatever it is called now; it is not followed if it is a symbolic link. */
function self(fd: number): Buffer {
  return bytes(`/proc/self/fd/${fd}`);
}

/** Opens `name`, never following a symbolic link in the last component; a name has no other component. */
export function openAt(directory: number, name: string, flags: number, mode = 0): number {
  return result(native.openat(directory, bytes(name), flags | O_CLOEXEC | constants.O_NOFOLLOW, mode));
}

/** Opens the file behind an O_PATH descriptor again with other flags. */
export function reopen(fd: number, flags: number): number {
  return result(native.openat(AT_FDCWD, self(fd), flags | O_CLOEXEC, 0));
}

export function closeDescriptor(fd: number): number {
  return result(native.close(fd));
}

export function makeDirectoryAt(directory: number, name: string, mode: number): number {
  return result(native.mkdirat(directory, bytes(name), mode));
}

/** `mode` has the type bits of st_mode. The device number is put together as makedev(3) does. */
export function makeNodeAt(directory: number, name: string, mode: number, major: number, minor: number): number {
  const low = BigInt((minor & 0xff) | ((major & 0xfff) << 8)) & 0xfffffn;
  const device = low | (BigInt(minor >>> 8) << 20n) | (BigInt(major >>> 12) << 44n);
  return result(native.mknodat(directory, bytes(name), mode, device));
}

export function unlinkAt(directory: number, name: string, flags = 0): number {
  return result(native.unlinkat(directory, bytes(name), flags));
}

export function renameAt(from: number, fromName: string, to: number, toName: string): number {
  return result(native.renameat(from, bytes(fromName), to, bytes(toName)));
}

/** Gives the file behind `fd` (a symbolic link too) another name. */
export function linkAt(fd: number, directory: number, name: string): number {
  return result(native.linkat(AT_FDCWD, self(fd), directory, bytes(name), AT_SYMLINK_FOLLOW));
}

export function symbolicLinkAt(target: string, directory: number, name: string): number {
  return result(native.symlinkat(bytes(target), directory, bytes(name)));
}

/** The target of the symbolic link behind an O_PATH descriptor, as a binary string, or a negative errno. */
export function readLink(fd: number): string | number {
  const target = Buffer.allocUnsafe(4096);
  const length = result(native.readlinkat(fd, bytes(''), target, target.length));
  return length < 0 ? length : target.toString('latin1', 0, length);
}

/** Owner and group of the file behind `fd` itself; 0xffffffff leaves one as it is. */
export function changeOwner(fd: number, uid: number, gid: number): number {
  return result(native.fchownat(fd, bytes(''), uid, gid, AT_EMPTY_PATH));
}

export function changeMode(fd: number, mode: number): number {
  return result(native.fchmodat(AT_FDCWD, self(fd), mode, 0));
}

export interface TimeToSet {
  readonly seconds: number;
  /** Or UTIME_NOW or UTIME_OMIT. */
  readonly nanoseconds: number;
}

export function changeTimes(fd: number, atime: TimeToSet, mtime: TimeToSet): number {
  const times = Buffer.alloc(32);
  times.writeUInt32LE(atime.seconds, 0);
  times.writeUInt32LE(atime.nanoseconds, 8);
  times.writeUInt32LE(mtime.seconds, 16);
  times.writeUInt32LE(mtime.nanoseconds, 24);
  return result(native.utimensat(AT_FDCWD, self(fd), times, 0));
}

export function truncateFile(fd: number, size: number): number {
  return result(native.ftruncate(fd, size));
}

/** An extended attribute of the file behind `fd`, or a negative errno. */
export function extendedAttribute(fd: number, name: string): Buffer | number {
  let value = Buffer.allocUnsafe(1024);
  let length = result(native.getxattr(self(fd), bytes(name), value, value.length));
  if (length === -34) {
    // ERANGE: at most 64 KiB by the kernel's own limit.
    value = Buffer.allocUnsafe(65536);
    length = result(native.getxattr(self(fd), bytes(name), value, value.length));
  }
  return length < 0 ? length : value.subarray(0, length);
}

/** Writes the whole file system to its disk, in a thread. */
export function syncFileSystem(fd: number): Promise<number> {
  return new Promise((resolve, reject) => {
    native.syncfs.async(fd, (error: Error | null, value: number) => {
      if (error) reject(error);
      // errno of another thread cannot be read from here: EIO stands for all.
      else resolve(value < 0 ? -5 : 0);
    });
  });
}
