/** What the headers of all content files share: magic, version, the stamp of the file they are made of, a checksum at their end. */
import { crc32 } from 'node:zlib';
import { assert, limits } from '../base/mod.ts';
import type { FileStamp } from '../vfs/mod.ts';
import { ContentError } from './contract.ts';

/** Where the fields of a header begin. */
export const fieldsOffset = 20;
/** Bytes of a stamp: size, mtime, ctime, fileid. */
export const stampBytes = 40;
const magicBytes = 16;
const twoTo32 = 2 ** 32;

/** The header of one kind of file. */
export class HeaderFormat {
  readonly #kind: string;
  readonly #magic: Buffer;
  readonly #version: number;
  readonly bytes: number;

  constructor(kind: string, version: number, bytes: number) {
    this.#kind = kind;
    this.#magic = Buffer.from(`viaduct-${kind}\r\n`.padEnd(magicBytes, '\0'), 'latin1');
    assert(this.#magic.length === magicBytes, `the magic of ${kind} is too long`);
    this.#version = version;
    this.bytes = bytes;
  }

  create(): Buffer {
    const header = Buffer.alloc(this.bytes);
    this.#magic.copy(header);
    header.writeUInt32LE(this.#version, magicBytes);
    return header;
  }

  seal(header: Buffer): Buffer {
    header.writeUInt32LE(crc32(header.subarray(0, this.bytes - 4)), this.bytes - 4);
    return header;
  }

  /** The header's bytes if they are whole and of this version; more may follow them. */
  open(bytes: Uint8Array): Buffer {
    if (bytes.length < this.bytes) throw new ContentError(`${this.#kind}: the header is cut short`);
    const header = Buffer.from(bytes.buffer, bytes.byteOffset, this.bytes);
    if (!header.subarray(0, magicBytes).equals(this.#magic)) throw new ContentError(`${this.#kind}: foreign bytes`);
    const version = header.readUInt32LE(magicBytes);
    if (version !== this.#version) throw new ContentError(`${this.#kind}: version ${version}`);
    if (crc32(header.subarray(0, this.bytes - 4)) !== header.readUInt32LE(this.bytes - 4)) {
      throw new ContentError(`${this.#kind}: the header is damaged`);
    }
    return header;
  }
}

export function writeSize(bytes: Buffer, value: number, offset: number): void {
  bytes.writeUInt32LE(value % twoTo32, offset);
  bytes.writeUInt32LE(Math.floor(value / twoTo32), offset + 4);
}

export function readSize(bytes: Buffer, offset: number): number {
  const value = bytes.readUInt32LE(offset + 4) * twoTo32 + bytes.readUInt32LE(offset);
  if (value > limits.fileBytes) throw new ContentError('a size is out of range');
  return value;
}

export function writeStamp(bytes: Buffer, stamp: FileStamp, offset: number): void {
  writeSize(bytes, stamp.size, offset);
  bytes.writeBigInt64LE(BigInt(stamp.mtimeSeconds), offset + 8);
  bytes.writeUInt32LE(stamp.mtimeNanoseconds, offset + 16);
  bytes.writeBigInt64LE(BigInt(stamp.ctimeSeconds), offset + 20);
  bytes.writeUInt32LE(stamp.ctimeNanoseconds, offset + 28);
  bytes.writeBigUInt64LE(stamp.fileid, offset + 32);
}

export function readStamp(bytes: Buffer, offset: number): FileStamp {
  return {
    size: readSize(bytes, offset),
    mtimeSeconds: Number(bytes.readBigInt64LE(offset + 8)),
    mtimeNanoseconds: bytes.readUInt32LE(offset + 16),
    ctimeSeconds: Number(bytes.readBigInt64LE(offset + 20)),
    ctimeNanoseconds: bytes.readUInt32LE(offset + 28),
    fileid: bytes.readBigUInt64LE(offset + 32),
  };
}

/** Whether meta-data with stamp `a` is of the file with stamp `b`: the fileid may differ, as by another server or after a copy. */
export function sameVersion(a: FileStamp, b: FileStamp): boolean {
  return (
    a.size === b.size &&
    a.mtimeSeconds === b.mtimeSeconds &&
    a.mtimeNanoseconds === b.mtimeNanoseconds &&
    a.ctimeSeconds === b.ctimeSeconds &&
    a.ctimeNanoseconds === b.ctimeNanoseconds
  );
}
