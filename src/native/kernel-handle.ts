/**
 * name_to_handle_at(2) and open_by_handle_at(2): the kernel's own name of a file, with its inode's generation, so that it never
 * comes to mean another file. Making one needs no privilege; opening one needs CAP_DAC_READ_SEARCH.
 *
 * struct file_handle: u32 bytes, i32 type, then the bytes.
 */
import { lastErrno, libc } from './libc.ts';

const nameToHandle = libc.func('int name_to_handle_at(int, const void*, void*, void*, int)');
const openByHandle = libc.func('int open_by_handle_at(int, const void*, int)');
const AT_EMPTY_PATH = 0x1000;
const headerBytes = 8;
/** MAX_HANDLE_SZ of the kernel. */
const maximumBytes = 128;
const empty = Buffer.alloc(1);

export class KernelHandles {
  readonly #handle = Buffer.alloc(headerBytes + maximumBytes);
  readonly #mount = Buffer.alloc(8);

  /** Type and bytes of the file behind a descriptor: `type` is below 256, `bytes` a binary string. A negative errno if none. */
  of(fd: number): { readonly type: number; readonly bytes: string } | number {
    this.#handle.writeUInt32LE(maximumBytes, 0);
    if (nameToHandle(fd, empty, this.#handle, this.#mount, AT_EMPTY_PATH) < 0) return -lastErrno();
    const length = this.#handle.readUInt32LE(0);
    return {
      type: this.#handle.readInt32LE(4),
      bytes: this.#handle.toString('latin1', headerBytes, headerBytes + length),
    };
  }

  /** A descriptor, or a negative errno: ESTALE if the file is gone. `mount` is a descriptor of any file on the file system. */
  open(mount: number, type: number, bytes: string, flags: number): number {
    this.#handle.writeUInt32LE(bytes.length, 0);
    this.#handle.writeInt32LE(type, 4);
    this.#handle.write(bytes, headerBytes, 'latin1');
    const fd = openByHandle(mount, this.#handle, flags);
    return fd < 0 ? -lastErrno() : fd;
  }
}
