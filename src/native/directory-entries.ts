/**
 * getdents64(2): directory entries with the position behind each (d_off), which Node does not give.
 *
 * struct linux_dirent64: u64 d_ino, s64 d_off, u16 d_reclen, u8 d_type, name, NUL.
 */
import { lastErrno, libc } from './libc.ts';

const getdents = libc.func('int64_t getdents64(int, void*, size_t)');
const lseek = libc.func('int64_t lseek(int, int64_t, int)');
const SEEK_SET = 0;

export interface RawEntry {
  readonly inode: bigint;
  /** Where the next entry is. */
  readonly position: bigint;
  /** DT_*: 4 is a directory, 0 unknown. */
  readonly type: number;
  readonly name: string;
}

export class DirectoryReader {
  readonly #buffer: Buffer;

  constructor(bufferBytes = 32 * 1024) {
    this.#buffer = Buffer.allocUnsafe(bufferBytes);
  }

  /** Sets where the next read begins: 0 or an entry's position. 0 or a negative errno. */
  seek(fd: number, position: bigint): number {
    return Number(lseek(fd, position, SEEK_SET)) < 0 ? -lastErrno() : 0;
  }

  /** The next entries, none at the end, or a negative errno. `maximumBytes` bounds how much the kernel gathers at a time. */
  next(fd: number, maximumBytes = this.#buffer.length): RawEntry[] | number {
    const buffer = this.#buffer;
    const length = Number(getdents(fd, buffer, Math.min(maximumBytes, buffer.length)));
    if (length < 0) return -lastErrno();
    const entries: RawEntry[] = [];
    for (let at = 0; at < length; ) {
      const recordBytes = buffer.readUInt16LE(at + 16);
      let end = at + 19;
      while (buffer[end] !== 0) end++;
      entries.push({
        inode: buffer.readBigUInt64LE(at),
        position: buffer.readBigInt64LE(at + 8),
        type: buffer[at + 18]!,
        name: buffer.toString('latin1', at + 19, end),
      });
      at += recordBytes;
    }
    return entries;
  }
}
