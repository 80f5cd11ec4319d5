/** From statx to fattr3 (RFC 1813 2.5). */
import type { StatusReader } from '../../native/mod.ts';
import { type Attributes, FileType, type FileTypeCode, type WccAttributes } from '../../vfs/mod.ts';

/** By the type bits of st_mode, shifted down. */
const typeOfMode: Readonly<Record<number, FileTypeCode>> = {
  1: FileType.FIFO,
  2: FileType.CHARACTER,
  4: FileType.DIRECTORY,
  6: FileType.BLOCK,
  8: FileType.REGULAR,
  10: FileType.SYMLINK,
  12: FileType.SOCKET,
};

export const typeBits: Readonly<Record<FileTypeCode, number>> = {
  [FileType.FIFO]: 0o010000,
  [FileType.CHARACTER]: 0o020000,
  [FileType.DIRECTORY]: 0o040000,
  [FileType.BLOCK]: 0o060000,
  [FileType.REGULAR]: 0o100000,
  [FileType.SYMLINK]: 0o120000,
  [FileType.SOCKET]: 0o140000,
};

export function fileType(status: StatusReader): FileTypeCode {
  return typeOfMode[status.mode >>> 12] ?? FileType.REGULAR;
}

/** What the reader holds now. */
export function attributesFrom(status: StatusReader, fsid: bigint): Attributes {
  return {
    type: fileType(status),
    mode: status.mode & 0o7777,
    nlink: status.nlink,
    uid: status.uid,
    gid: status.gid,
    size: status.size,
    used: status.used,
    deviceMajor: status.specialMajor,
    deviceMinor: status.specialMinor,
    fsid,
    fileid: status.inode,
    atime: { seconds: status.atimeSeconds, nanoseconds: status.atimeNanoseconds },
    mtime: { seconds: status.mtimeSeconds, nanoseconds: status.mtimeNanoseconds },
    ctime: { seconds: status.ctimeSeconds, nanoseconds: status.ctimeNanoseconds },
  };
}

export function wccAttributes(attributes: Attributes): WccAttributes {
  return { size: attributes.size, mtime: attributes.mtime, ctime: attributes.ctime };
}
