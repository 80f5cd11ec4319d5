/**
 * File handles of a directory origin.
 *
 *   0        1        2       4            16                     <= 56
 *   | format | kind   | zero  | MAC        | identity             |
 *
 * The identity is the kernel's own handle of the file (`kind` is its type), which has the inode's generation; or the hash of one
 * that is longer than 40 bytes (kind 254); or, where the file system has none, inode number and birth time (kind 255). So
 * equal files have equal handles, over restarts, renames and with or without privilege, and a handle never comes to mean another file.
 *
 * The MAC is keyed with a secret of the state directory and of the exported root: a handle of another export, or one
 * that somebody made up, is STALE; what does not even have the form is BADHANDLE. Eight bytes of the 64 stay free for a session's tag.
 */
import { createHash, hash, timingSafeEqual } from 'node:crypto';
import type { KernelHandles, StatusReader } from '../../native/mod.ts';
import { type Failure, type FileHandle, Status } from '../../vfs/mod.ts';

const formatVersion = 1;
const headerBytes = 4;
const macBytes = 12;
const identityOffset = headerBytes + macBytes;
export const identityBytes = 40;
export const HandleKind = { HASHED: 254, STATUS: 255 } as const;

export interface FileIdentity {
  readonly kind: number;
  readonly bytes: string;
}

/** The identity of the file behind a descriptor, or a negative errno. */
export function identityOf(fd: number, kernel: KernelHandles, status: StatusReader): FileIdentity | number {
  const handle = kernel.of(fd);
  if (typeof handle !== 'number' && handle.type >= 0 && handle.type < HandleKind.HASHED) {
    if (handle.bytes.length <= identityBytes) return { kind: handle.type, bytes: handle.bytes };
    const digest = createHash('sha256').update(`${handle.type}:${handle.bytes}`, 'latin1').digest().toString('latin1');
    return { kind: HandleKind.HASHED, bytes: digest };
  }
  const result = status.ofDescriptor(fd);
  if (result < 0) return result;
  const inode = Buffer.alloc(8);
  inode.writeBigUInt64BE(status.inode);
  return { kind: HandleKind.STATUS, bytes: inode.toString('latin1') + (status.hasBirthTime ? status.birthTime : '') };
}

export class HandleCodec {
  readonly #key: string;

  /** `key` is 32 secret bytes. */
  constructor(key: Buffer) {
    this.#key = key.toString('latin1');
  }

  encode(identity: FileIdentity): FileHandle {
    const header = String.fromCharCode(formatVersion, identity.kind, 0, 0);
    return header + this.#mac(header, identity.bytes) + identity.bytes;
  }

  decode(handle: FileHandle): FileIdentity | Failure {
    const length = handle.length - identityOffset;
    const formed = length > 0 && length <= identityBytes && handle.charCodeAt(0) === formatVersion;
    if (!formed || handle.charCodeAt(2) !== 0 || handle.charCodeAt(3) !== 0) return Status.BADHANDLE;
    const bytes = handle.slice(identityOffset);
    const mac = Buffer.from(handle.slice(headerBytes, identityOffset), 'latin1');
    const right = Buffer.from(this.#mac(handle.slice(0, headerBytes), bytes), 'latin1');
    return timingSafeEqual(mac, right) ? { kind: handle.charCodeAt(1), bytes } : Status.STALE;
  }

  /** A keyed hash; truncation to 96 of 256 bits leaves nothing to extend, and the key has a fixed length. */
  #mac(header: string, identity: string): string {
    return hash('sha256', Buffer.from(this.#key + header + identity, 'latin1'), 'buffer').toString(
      'latin1',
      0,
      macBytes,
    );
  }
}
