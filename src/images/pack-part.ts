/**
 * What the second pass over an image has made so far, on the disk: a packer that was killed compresses no group twice.
 *
 *     .viaduct/.NAME.pack-part    the pack as it will be; its header is zeros until all groups are there
 *     .viaduct/.NAME.pack-list    512 bytes: JSON, version and fingerprint | for each task that is done:
 *                                 { groups u32, bytes u32, crc32 of the bytes u32, crc32 of this record u32 }, stored bytes of each group u32
 *
 *     fingerprint ──another──► begun anew          same ──► bytes of each task ──crc32──► cut behind the last good one ──► append ...
 *     (all that decides the bytes of the pack)                                                 put in place ◄── owner, mode ◄── header
 *
 * Private to one version of Viaduct, and to whoever holds the lock of the part file (part-file.ts). The bytes of a task are written
 * before its record; after a power loss either may be missing or wrong, which the sums find. The id of a pack is of the packer that
 * ends it: no two packs have the same.
 */
import { fsyncSync, ftruncateSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { assert, ViaductError } from '../base/mod.ts';
import { chunkBytes, encodePackHeader, packHeaderBytes } from '../content/mod.ts';
import { closeDescriptor } from '../native/mod.ts';
import { type ContentFolder, followImage } from './content-folder.ts';
import { attempt } from './failure.ts';
import { readFully, writeFully } from './fully.ts';
import type { FileStatus, ImageFile } from './image-file.ts';
import { privateName } from './paths.ts';
import type { PackResult } from './tasks.ts';

const formatVersion = 1;
const headerBytes = 512;
const recordBytes = 16;

/** No suffix of such names ends another one: what belongs to `disk` is nobody else's, and nothing of `disk.pack`. */
export interface PackPartNames {
  readonly part: string;
  readonly list: string;
}

export interface PackPlan {
  /** Of all that decides the bytes of the pack. */
  readonly fingerprint: string;
  /** Chunks of each group. */
  readonly groups: Uint8Array;
}

/** One task, as its record has it. */
interface Done {
  readonly groupBytes: Uint32Array;
  readonly count: number;
  readonly sum: number;
}

export function packPartNames(image: string): PackPartNames {
  return { part: privateName(image, '.pack-part'), list: privateName(image, '.pack-list') };
}

export function removePackPart(folder: ContentFolder, { part, list }: PackPartNames): void {
  folder.remove(list);
  folder.remove(part);
}

export class PackPart {
  /** Stored bytes of each group, of the first `groupCount`. */
  readonly groupBytes: Uint32Array;
  readonly #folder: ContentFolder;
  readonly #names: PackPartNames;
  readonly #path: string;
  readonly #groups: Uint8Array;
  readonly #part: number;
  readonly #list: number;
  #groupCount = 0;
  #end = packHeaderBytes;
  #listEnd = headerBytes;
  #resumedBytes = 0;

  private constructor(
    folder: ContentFolder,
    names: PackPartNames,
    path: string,
    groups: Uint8Array,
    fds: [number, number],
  ) {
    this.#folder = folder;
    this.#names = names;
    this.#path = path;
    this.#groups = groups;
    this.groupBytes = new Uint32Array(groups.length);
    [this.#part, this.#list] = fds;
  }

  /** With what an earlier packer left. `path`: of the pack, for people. `mayGoOn` is awaited before so many bytes are read. */
  static async open(
    folder: ContentFolder,
    names: PackPartNames,
    path: string,
    { fingerprint, groups }: PackPlan,
    mayGoOn: (bytes: number) => Promise<void>,
  ): Promise<PackPart> {
    const part = folder.openOwn(names.part);
    let list: number;
    try {
      list = folder.openOwn(names.list);
    } catch (error) {
      closeDescriptor(part);
      throw error;
    }
    const made = new PackPart(folder, names, path, groups, [part, list]);
    try {
      await made.#resume(headerOf(fingerprint), mayGoOn);
      return made;
    } catch (error) {
      made.close();
      throw error;
    }
  }

  /** Groups that are there. */
  get groupCount(): number {
    return this.#groupCount;
  }

  /** Of the pack so far. */
  get bytes(): number {
    return this.#end;
  }

  /** Bytes of groups that an earlier packer had made. */
  get resumedBytes(): number {
    return this.#resumedBytes;
  }

  /** The groups of the next task. */
  append({ bytes, groupBytes }: Pick<PackResult, 'bytes' | 'groupBytes'>): void {
    const done = { groupBytes, count: bytes.length, sum: crc32(bytes) };
    this.#writing(() => {
      writeFully(this.#part, bytes, this.#end);
      writeFully(this.#list, encodeRecord(done), this.#listEnd);
    });
    this.#note(done);
  }

  /** All groups are there: the header, owner and mode, all of it on the disk. Owner and mode last: only a file of its own is gone on with. */
  seal(id: Uint8Array, image: ImageFile, status: FileStatus): void {
    assert(this.#groupCount === this.#groups.length, `${this.#groupCount} of ${this.#groups.length} groups`);
    this.#writing(() => {
      writeFully(this.#part, encodePackHeader(id), 0);
      fsyncSync(this.#part);
    });
    followImage(this.#part, image, status);
    this.#writing(() => fsyncSync(this.#part));
  }

  /** Under the pack's name; not what somebody else put in the place of ours meanwhile. */
  put(name: string): void {
    if (!this.#folder.isNamed(this.#part, this.#names.part)) {
      throw new ViaductError('IMAGE_BUSY', {
        cause: `${this.#path}: another process packs the image too, and what was made of the pack is gone.`,
        remedy: 'Let one of them pack it.',
      });
    }
    this.#folder.put(this.#names.part, name);
  }

  close(): void {
    closeDescriptor(this.#part);
    closeDescriptor(this.#list);
  }

  async #resume(header: Buffer, mayGoOn: (bytes: number) => Promise<void>): Promise<void> {
    const found = Buffer.alloc(headerBytes);
    const isSame = attempt(`read ${this.#path}`, () => readFully(this.#list, found, headerBytes, 0)) === headerBytes;
    if (isSame && found.equals(header)) {
      for (let done = this.#nextRecord(); done !== undefined; done = this.#nextRecord()) {
        await mayGoOn(done.count);
        if (!this.#holds(done)) break;
        this.#note(done);
      }
    }
    this.#resumedBytes = this.#end - packHeaderBytes;
    this.#writing(() => {
      // The list first: what is not in it is not there.
      ftruncateSync(this.#list, this.#groupCount === 0 ? 0 : this.#listEnd);
      ftruncateSync(this.#part, this.#end);
      if (this.#groupCount === 0) writeFully(this.#list, header, 0);
    });
  }

  /** Undefined: there is none that is whole. */
  #nextRecord(): Done | undefined {
    const record = this.#readList(recordBytes, 0);
    const groups = record?.readUInt32LE(0) ?? 0;
    if (record === undefined || groups === 0 || groups > this.#groups.length - this.#groupCount) return undefined;
    const sizes = this.#readList(4 * groups, recordBytes);
    if (sizes === undefined || sumOf(record, sizes) !== record.readUInt32LE(12)) return undefined;
    const groupBytes = new Uint32Array(groups);
    let count = 0;
    for (let index = 0; index < groups; index++) {
      groupBytes[index] = sizes.readUInt32LE(4 * index);
      count += groupBytes[index]!;
      const most = this.#groups[this.#groupCount + index]! * chunkBytes;
      if (groupBytes[index] === 0 || groupBytes[index]! > most) return undefined;
    }
    return count === record.readUInt32LE(4) ? { groupBytes, count, sum: record.readUInt32LE(8) } : undefined;
  }

  #readList(count: number, from: number): Buffer | undefined {
    const bytes = Buffer.alloc(count);
    const read = attempt(`read ${this.#path}`, () => readFully(this.#list, bytes, count, this.#listEnd + from));
    return read === count ? bytes : undefined;
  }

  /** Whether the bytes are those that the task wrote. */
  #holds({ count, sum }: Done): boolean {
    const bytes = Buffer.allocUnsafe(count);
    const read = attempt(`read ${this.#path}`, () => readFully(this.#part, bytes, count, this.#end));
    return read === count && crc32(bytes) === sum;
  }

  #note({ groupBytes, count }: Done): void {
    this.groupBytes.set(groupBytes, this.#groupCount);
    this.#groupCount += groupBytes.length;
    this.#end += count;
    this.#listEnd += recordBytes + 4 * groupBytes.length;
  }

  #writing(action: () => void): void {
    attempt(`write ${this.#path}`, action);
  }
}

function encodeRecord({ groupBytes, count, sum }: Done): Buffer {
  const bytes = Buffer.alloc(recordBytes + 4 * groupBytes.length);
  bytes.writeUInt32LE(groupBytes.length, 0);
  bytes.writeUInt32LE(count, 4);
  bytes.writeUInt32LE(sum, 8);
  for (const [index, stored] of groupBytes.entries()) bytes.writeUInt32LE(stored, recordBytes + 4 * index);
  bytes.writeUInt32LE(sumOf(bytes, bytes.subarray(recordBytes)), 12);
  return bytes;
}

function sumOf(record: Buffer, sizes: Buffer): number {
  return crc32(sizes, crc32(record.subarray(0, 12)));
}

function headerOf(fingerprint: string): Buffer {
  const text = JSON.stringify({ viaduct: 'pack-part', formatVersion, fingerprint });
  return Buffer.from(text.padEnd(headerBytes, '\n'), 'latin1');
}
