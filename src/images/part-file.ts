/**
 * What the first pass over an image has found so far, on the disk: a packer that was killed reads no page of the image twice. It is also
 * where digests wait until all are known, so that memory holds them once. And it is the lock: who holds it is the only packer.
 *
 *     .viaduct/.NAME.part     512 bytes: JSON, version and stamp | records in order: { page u32, data sectors u32, crc32 u32, 0 }
 *                                                                 then, if there are any, map[512], digests[16 each]
 *
 * Private to one version of Viaduct. What does not verify, or is of another version of the file, is not there. No promise over a power
 * loss but that: a record is whole or the first one that does not count.
 */
import { ftruncateSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { ViaductError } from '../base/mod.ts';
import { digestBytes, pageSectors } from '../content/mod.ts';
import { closeDescriptor, flockExclusive } from '../native/mod.ts';
import type { FileStamp } from '../vfs/mod.ts';
import type { ContentFolder } from './content-folder.ts';
import { attempt } from './failure.ts';
import { readFully, writeFully } from './fully.ts';
import { privateName } from './paths.ts';
import { pageBytes, pageMapBytes, type ScanResult } from './tasks.ts';

const formatVersion = 1;
const headerBytes = 512;
const recordBytes = 16;
const EWOULDBLOCK = -11;

/** The descriptor is of the part file: closed, the lock is gone. */
export interface ImageLock {
  readonly fd: number;
  /** The file system has locks: two packers that both think they are the only one would waste work, no more. */
  readonly isSure: boolean;
}

/** Takes the lock that says who packs the image. */
export function lockImage(folder: ContentFolder, name: string, path: string): ImageLock {
  const own = privateName(name, '.part');
  for (;;) {
    const fd = folder.openOwn(own);
    const locked = flockExclusive(fd);
    const isHeld = locked === EWOULDBLOCK;
    if (!isHeld && folder.isNamed(fd, own)) return { fd, isSure: locked === 0 };
    closeDescriptor(fd);
    if (isHeld) {
      throw new ViaductError('IMAGE_BUSY', {
        cause: `another process is packing ${path}.`,
        remedy: 'Wait until it is done; `viaduct serve` does it in the background (--pack off: not).',
      });
    }
  }
}

export class PartFile {
  /** There is no other packer for sure. */
  readonly isLocked: boolean;
  readonly #fd: number;
  readonly #folder: ContentFolder;
  readonly #name: string;
  readonly #pageCount: number;
  /** Where the record of a page begins; 0: not there yet. */
  readonly #places: Float64Array;
  readonly #counts: Uint16Array;
  #end = headerBytes;
  #dataCount = 0;

  /** Locks it, and reads what an earlier packer left of this very version of the file. */
  constructor(folder: ContentFolder, image: { readonly name: string; readonly path: string }, stamp: FileStamp) {
    this.#folder = folder;
    this.#name = privateName(image.name, '.part');
    this.#pageCount = Math.ceil(stamp.size / pageBytes);
    this.#places = new Float64Array(this.#pageCount);
    this.#counts = new Uint16Array(this.#pageCount);
    const lock = lockImage(folder, image.name, image.path);
    this.#fd = lock.fd;
    this.isLocked = lock.isSure;
    try {
      this.#carefully(() => {
        const header = headerOf(stamp);
        const found = Buffer.alloc(headerBytes);
        if (readFully(this.#fd, found, headerBytes, 0) === headerBytes && found.equals(header)) this.#load();
        else writeFully(this.#fd, header, 0);
        ftruncateSync(this.#fd, this.#end);
      });
    } catch (error) {
      // The lock is the descriptor's: kept, nobody could pack the image as long as this process runs.
      closeDescriptor(this.#fd);
      throw error;
    }
  }

  get dataCount(): number {
    return this.#dataCount;
  }

  has(page: number): boolean {
    return this.#places[page] !== 0;
  }

  append(page: number, { dataCount, map, digests }: ScanResult): void {
    const header = Buffer.alloc(recordBytes);
    header.writeUInt32LE(page, 0);
    header.writeUInt32LE(dataCount, 4);
    const body = dataCount === 0 ? Buffer.alloc(0) : Buffer.concat([map, digests]);
    header.writeUInt32LE(crc32(body, crc32(header.subarray(0, 8))), 8);
    const record = Buffer.concat([header, body]);
    this.#carefully(() => writeFully(this.#fd, record, this.#end));
    this.#note(page, dataCount);
  }

  /** All pages, in order: fills `map` (a bit for each sector of the file), and `digests` (16 bytes for each data sector). */
  readAll(map: Uint8Array, digests: Uint8Array): void {
    let rank = 0;
    const pageMap = Buffer.alloc(pageMapBytes);
    for (let page = 0; page < this.#pageCount; page++) {
      const count = this.#counts[page]!;
      if (count === 0) continue;
      const place = this.#places[page]! + recordBytes;
      this.#carefully(() => {
        this.#read(pageMap, place);
        map.set(pageMap.subarray(0, map.length - page * pageMapBytes), page * pageMapBytes);
        this.#read(digests.subarray(rank * digestBytes, (rank + count) * digestBytes), place + pageMapBytes);
      });
      rank += count;
    }
  }

  /** Done, or not worth keeping. */
  remove(): void {
    this.#folder.remove(this.#name);
  }

  close(): void {
    closeDescriptor(this.#fd);
  }

  #load(): void {
    const header = Buffer.alloc(recordBytes);
    const body = Buffer.alloc(pageMapBytes + pageSectors * digestBytes);
    while (readFully(this.#fd, header, recordBytes, this.#end) === recordBytes) {
      const page = header.readUInt32LE(0);
      const count = header.readUInt32LE(4);
      if (page >= this.#pageCount || count > pageSectors || this.has(page)) return;
      const bytes = body.subarray(0, bodyBytes(count));
      if (readFully(this.#fd, bytes, bytes.length, this.#end + recordBytes) < bytes.length) return;
      if (crc32(bytes, crc32(header.subarray(0, 8))) !== header.readUInt32LE(8)) return;
      this.#note(page, count);
    }
  }

  #note(page: number, count: number): void {
    this.#places[page] = this.#end;
    this.#counts[page] = count;
    this.#dataCount += count;
    this.#end += recordBytes + bodyBytes(count);
  }

  #read(target: Uint8Array, position: number): void {
    const read = readFully(this.#fd, target, target.length, position);
    if (read < target.length) throw new Error(`it ends at byte ${position + read}`);
  }

  #carefully(action: () => void): void {
    attempt(`keep what was found in ${this.#folder.pathOf(this.#name)}`, action);
  }
}

function bodyBytes(dataCount: number): number {
  return dataCount === 0 ? 0 : pageMapBytes + dataCount * digestBytes;
}

function headerOf(stamp: FileStamp): Buffer {
  const text = JSON.stringify({ viaduct: 'part', formatVersion, ...stamp, fileid: stamp.fileid.toString() });
  return Buffer.from(text.padEnd(headerBytes, '\n'), 'latin1');
}
