/** fstatfs(2) and fpathconf(3). struct statfs is the same on x86_64 and arm64: 64-bit words, then the fsid's two halves. */
import { lastErrno, libc } from './libc.ts';

const fstatfs = libc.func('int fstatfs(int, void*)');
const fpathconf = libc.func('int64_t fpathconf(int, int)');
const _PC_LINK_MAX = 0;

export interface FileSystemStatus {
  /** The magic number of statfs(2): 0xef53 is ext4. */
  readonly type: number;
  readonly blockBytes: number;
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly availableBytes: number;
  readonly totalFiles: number;
  readonly freeFiles: number;
  readonly nameMaximum: number;
  /** f_fsid, a binary string. */
  readonly id: string;
}

export function fileSystemStatus(fd: number): FileSystemStatus | number {
  const buffer = Buffer.alloc(256);
  if (fstatfs(fd, buffer) < 0) return -lastErrno();
  const word = (index: number): number => Number(buffer.readBigUInt64LE(index * 8));
  const blockBytes = word(9) || word(1);
  return {
    type: word(0),
    blockBytes,
    totalBytes: word(2) * blockBytes,
    freeBytes: word(3) * blockBytes,
    availableBytes: word(4) * blockBytes,
    totalFiles: word(5),
    freeFiles: word(6),
    id: buffer.toString('latin1', 56, 64),
    nameMaximum: word(8),
  };
}

/** The largest number of names of one file, as the C library knows it for the file system. */
export function linkMaximum(fd: number): number {
  const value = Number(fpathconf(fd, _PC_LINK_MAX));
  return value < 1 ? 127 : value;
}
