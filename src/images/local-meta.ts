/** A meta-data file on this host's disk, open: its head in memory, its pages read one at a time. */
import {
  ContentError,
  decodeHead,
  decodePackHeader,
  decodePage,
  headBytes,
  type MetaHead,
  type MetaPage,
  metaHeaderBytes,
  metaName,
  packHeaderBytes,
  packName,
  pageSectors,
} from '../content/mod.ts';
import { closeDescriptor } from '../native/mod.ts';
import type { ContentFolder } from './content-folder.ts';
import { attempt, failure } from './failure.ts';
import { readFully } from './fully.ts';
import { type FileStatus, statusOf } from './image-file.ts';

export interface Chunk {
  readonly sector: number;
  readonly chunk: number;
  /** A view of 16 bytes. */
  readonly digest: Uint8Array;
}

export class LocalMeta {
  /** For people. */
  readonly path: string;
  readonly fd: number;
  readonly status: FileStatus;
  readonly head: MetaHead;

  private constructor(path: string, fd: number, status: FileStatus, head: MetaHead) {
    this.path = path;
    this.fd = fd;
    this.status = status;
    this.head = head;
  }

  /** Of an image in the folder; undefined: it has none. ContentError: it is damaged, or of another format version. */
  static open(folder: ContentFolder, image: string): LocalMeta | undefined {
    const name = metaName(image);
    return name === undefined ? undefined : LocalMeta.openFile(folder, name);
  }

  /** By its own name. */
  static openFile(folder: ContentFolder, name: string): LocalMeta | undefined {
    const fd = folder.open(name);
    if (fd === undefined) return undefined;
    const path = folder.pathOf(name);
    try {
      const status = statusOf(fd);
      if (typeof status === 'number') throw failure(`look at ${path}`, status);
      const head = decodeHead(readHead(fd, path));
      if (status.stamp.size !== head.metaBytes) throw new ContentError('meta: the file has another size');
      return new LocalMeta(path, fd, status, head);
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
  }

  /** ContentError: it is damaged. */
  page(page: number): MetaPage {
    const { offset, count } = this.head.page(page);
    return decodePage(this.head, page, readAt(this.fd, offset, count, this.path));
  }

  /** All data sectors, in order. ContentError: a page is damaged. */
  *chunks(): Iterable<Chunk> {
    const { head } = this;
    for (let page = 0; page < head.pageCount; page++)
      if (head.page(page).count > 0) yield* chunksOf(head, this.page(page));
  }

  close(): void {
    closeDescriptor(this.fd);
  }
}

export function* chunksOf(head: MetaHead, page: MetaPage): Iterable<Chunk> {
  const first = page.page * pageSectors;
  const end = Math.min(first + pageSectors, head.sectorCount);
  for (let sector = head.nextData(first); sector < end; ) {
    const runEnd = Math.min(head.nextZero(sector), end);
    for (; sector < runEnd; sector++) {
      const chunk = page.chunkOf(sector);
      if (chunk !== undefined) yield { sector, chunk, digest: page.digestOf(sector) };
    }
    sector = head.nextData(sector);
  }
}

/** A descriptor of the pack that the meta-data name, or what is wrong with it. */
export function openPack(folder: ContentFolder, image: string, head: MetaHead): number | string {
  const name = packName(image);
  const fd = name === undefined ? undefined : folder.open(name);
  if (fd === undefined) return 'there is no pack';
  const problem = packProblem(fd, head, folder.pathOf(name!));
  if (problem === undefined) return fd;
  closeDescriptor(fd);
  return problem;
}

function packProblem(fd: number, head: MetaHead, path: string): string | undefined {
  const status = statusOf(fd);
  if (typeof status === 'number') throw failure(`look at ${path}`, status);
  try {
    const id = decodePackHeader(readAt(fd, 0, packHeaderBytes, path));
    if (Buffer.compare(id, head.packId ?? new Uint8Array(0)) !== 0) return 'the pack is of another version';
  } catch (error) {
    if (error instanceof ContentError) return error.message;
    throw error;
  }
  return status.stamp.size === head.packBytes ? undefined : 'the pack has another size';
}

/** May be short at the end of the file; what is made of it finds that out. */
export function readAt(fd: number, position: number, count: number, path: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(count);
  return bytes.subarray(
    0,
    attempt(`read ${path}`, () => readFully(fd, bytes, count, position)),
  );
}

function readHead(fd: number, path: string): Buffer {
  return readAt(fd, 0, headBytes(readAt(fd, 0, metaHeaderBytes, path)), path);
}
