/**
 * Images whose chunks may be in the one that is packed: those of the same folder that have meta-data, and those that were named. Only
 * their meta-data are read, a page at a time.
 */
import { statSync } from 'node:fs';
import { limits, ViaductError } from '../base/mod.ts';
import { ContentError, metaName } from '../content/mod.ts';
import { closeDescriptor } from '../native/mod.ts';
import { ContentFolder } from './content-folder.ts';
import { attempt } from './failure.ts';
import { ImageFile, openFolder } from './image-file.ts';
import { type Chunk, LocalMeta } from './local-meta.ts';
import { pathBuffer, toBinary } from './paths.ts';

export interface Sibling {
  /** Of the image, for people. */
  readonly path: string;
  /** How many distinct chunks of ours it has. */
  readonly chunks: number;
}

export interface Shared {
  /** One bit a chunk of ours, set if a sibling has it. */
  readonly chunks: Uint8Array;
  readonly count: number;
  /** Those that have any. */
  readonly siblings: readonly Sibling[];
}

export interface SiblingSearch {
  readonly image: ImageFile;
  readonly folder: ContentFolder;
  /** Images, or folders of images. */
  readonly others: readonly string[];
  readonly chunkCount: number;
  /** The number of our chunk with that digest, or -1. */
  readonly find: (digest: Uint8Array) => number;
  /** Awaited now and then; throws to end it. */
  readonly breathe: () => Promise<void>;
}

const sectorsPerBreath = 100_000;

export async function findShared(search: SiblingSearch): Promise<Shared> {
  const { chunkCount, find, breathe } = search;
  const chunks = new Uint8Array(Math.ceil(chunkCount / 8));
  const siblings: Sibling[] = [];
  let count = 0;
  if (chunkCount === 0) return { chunks, count, siblings };
  const candidates = new Candidates(search.folder);
  try {
    for (const path of search.others) candidates.addPath(path);
    for (const { path, folder, name } of candidates.newest(search.image)) {
      const own = new Uint8Array(chunks.length);
      let ownCount = 0;
      let sectors = 0;
      for (const { digest } of chunksOfMeta(folder, name)) {
        if (++sectors % sectorsPerBreath === 0) await breathe();
        const chunk = find(digest);
        if (chunk < 0 || !setBit(own, chunk)) continue;
        ownCount++;
        if (setBit(chunks, chunk)) count++;
      }
      if (ownCount > 0) siblings.push({ path, chunks: ownCount });
      await breathe();
    }
  } finally {
    candidates.close();
  }
  return { chunks, count, siblings: siblings.sort((a, b) => b.chunks - a.chunks) };
}

/** Of what is damaged or cannot be read, what comes before: it only helps with the order. */
function* chunksOfMeta(folder: ContentFolder, name: string): Iterable<Chunk> {
  let meta: LocalMeta | undefined;
  try {
    meta = LocalMeta.openFile(folder, name);
    if (meta !== undefined) yield* meta.chunks();
  } catch (error) {
    if (!(error instanceof ContentError || error instanceof ViaductError)) throw error;
  } finally {
    meta?.close();
  }
}

interface Candidate {
  /** Of the image. */
  readonly path: string;
  readonly folder: ContentFolder;
  readonly name: string;
  readonly changedSeconds: number;
}

/** Meta-data files by what they are on the disk, so that none counts twice. */
class Candidates {
  readonly #own: ContentFolder;
  readonly #found = new Map<string, Candidate>();
  readonly #opened: ContentFolder[] = [];

  /** `own`: of the image that is packed. */
  constructor(own: ContentFolder) {
    this.#own = own;
    this.#addAll(own);
  }

  /** An image, or a folder of images. */
  addPath(path: string): void {
    const binary = toBinary(path);
    if (attempt(`look at ${path}`, () => statSync(pathBuffer(binary))).isDirectory()) {
      const around = openFolder(binary, `open ${path}`);
      try {
        this.#keep(ContentFolder.find(around, path), (folder) => this.#addAll(folder));
      } finally {
        closeDescriptor(around);
      }
      return;
    }
    const image = ImageFile.open(binary);
    try {
      this.#keep(ContentFolder.of(image), (folder) => this.#add(folder, metaName(image.name)));
    } finally {
      image.close();
    }
  }

  newest(image: ImageFile): Candidate[] {
    const own = this.#own.look(metaName(image.name) ?? '');
    if (own !== undefined) this.#found.delete(own.key);
    const sorted = [...this.#found.values()].sort((a, b) => b.changedSeconds - a.changedSeconds);
    return sorted.slice(0, limits.imageSiblings);
  }

  close(): void {
    for (const folder of this.#opened) folder.close();
  }

  #keep(folder: ContentFolder | undefined, use: (folder: ContentFolder) => void): void {
    if (folder === undefined) return;
    this.#opened.push(folder);
    use(folder);
  }

  #addAll(folder: ContentFolder): void {
    for (const name of folder.names()) if (name.endsWith('.meta') && !name.startsWith('.')) this.#add(folder, name);
  }

  #add(folder: ContentFolder, name: string | undefined): void {
    const seen = name === undefined ? undefined : folder.look(name);
    if (name === undefined || seen === undefined) return;
    const path = folder.imagePathOf(name.slice(0, -'.meta'.length));
    this.#found.set(seen.key, { path, folder, name, changedSeconds: seen.changedSeconds });
  }
}

/** Whether it was not set before. */
function setBit(bits: Uint8Array, index: number): boolean {
  const mask = 1 << (index & 7);
  const byte = bits[index >>> 3]!;
  bits[index >>> 3] = byte | mask;
  return (byte & mask) === 0;
}
