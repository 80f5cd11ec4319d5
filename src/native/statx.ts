/**
 * statx(2): its structure is the same on every architecture, and it alone tells birth times and mounts.
 *
 * A reader owns one buffer. Its fields are those of the last successful call: copy what must live longer.
 */
import { lastErrno, libc } from './libc.ts';

const native = libc.func('int statx(int, const void*, int, uint32_t, void*)');
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_NO_AUTOMOUNT = 0x800;
const AT_EMPTY_PATH = 0x1000;
const STATX_BTIME = 0x800;
const STATX_MNT_ID = 0x1000;
const wanted = 0x7ff | STATX_BTIME | STATX_MNT_ID;
const empty = Buffer.alloc(1);

export class StatusReader {
  readonly #bytes = new ArrayBuffer(256);
  readonly #view = new Uint8Array(this.#bytes);
  readonly #u16 = new Uint16Array(this.#bytes);
  readonly #u32 = new Uint32Array(this.#bytes);
  readonly #u64 = new BigUint64Array(this.#bytes);

  /** The file behind a descriptor. 0 or a negative errno. */
  ofDescriptor(fd: number): number {
    const result = native(fd, empty, AT_EMPTY_PATH, wanted, this.#view);
    return result < 0 ? -lastErrno() : 0;
  }

  /** A name in a directory; a symbolic link is not followed, nothing is mounted. 0 or a negative errno. */
  ofName(directory: number, name: string): number {
    const path = Buffer.from(`${name}\0`, 'latin1');
    const result = native(directory, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, wanted, this.#view);
    return result < 0 ? -lastErrno() : 0;
  }

  get nlink(): number {
    return this.#u32[4]!;
  }
  get uid(): number {
    return this.#u32[5]!;
  }
  get gid(): number {
    return this.#u32[6]!;
  }
  /** st_mode with its type bits. */
  get mode(): number {
    return this.#u16[14]!;
  }
  get inode(): bigint {
    return this.#u64[4]!;
  }
  get size(): number {
    return this.#u32[10]! + this.#u32[11]! * 0x1_0000_0000;
  }
  /** Bytes allocated. */
  get used(): number {
    return (this.#u32[12]! + this.#u32[13]! * 0x1_0000_0000) * 512;
  }
  /** Seconds as NFS has them: the lower 32 bits. */
  get atimeSeconds(): number {
    return this.#u32[16]!;
  }
  get atimeNanoseconds(): number {
    return this.#u32[18]!;
  }
  get ctimeSeconds(): number {
    return this.#u32[24]!;
  }
  get ctimeNanoseconds(): number {
    return this.#u32[26]!;
  }
  get mtimeSeconds(): number {
    return this.#u32[28]!;
  }
  get mtimeNanoseconds(): number {
    return this.#u32[30]!;
  }
  /** The device that a special file stands for. */
  get specialMajor(): number {
    return this.#u32[32]!;
  }
  get specialMinor(): number {
    return this.#u32[33]!;
  }
  /** The device that the file lies on: major, then minor. */
  get device(): bigint {
    return (BigInt(this.#u32[34]!) << 32n) | BigInt(this.#u32[35]!);
  }
  get deviceMajor(): number {
    return this.#u32[34]!;
  }
  get deviceMinor(): number {
    return this.#u32[35]!;
  }
  /** Which mount the file was found through; the device where the kernel (before 5.8) does not tell. */
  get mount(): bigint {
    return (this.#u32[0]! & STATX_MNT_ID) !== 0 ? this.#u64[18]! : this.device;
  }
  get hasBirthTime(): boolean {
    return (this.#u32[0]! & STATX_BTIME) !== 0;
  }
  /** The birth time's 16 bytes, as a binary string. */
  get birthTime(): string {
    return Buffer.from(this.#bytes, 80, 12).toString('latin1');
  }
}
