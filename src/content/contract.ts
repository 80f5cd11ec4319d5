/**
 * The face of content meta-data: what is known of a file's bytes without reading them. docs/content-format.md has the formats byte by
 * byte, and the rule by which they change.
 *
 * A file is a sequence of 4 KiB sectors (the clean cache's). A sector is zero or data; equal data sectors share a *chunk*; chunks
 * are numbered in the order of the pack. The pack holds each chunk once, in *groups* that are compressed together.
 *
 *   DIR/NAME                  the file, which is never touched
 *   DIR/.viaduct/NAME.meta    head: version of the file, zero map, places of pages and groups | pages, one for each 16 MiB of the file
 *   DIR/.viaduct/NAME.pack    header | groups, back to back, in working-set order
 *   DIR/.viaduct/NAME.PURPOSE.ws    blocks in the order in which they are wanted
 *
 * Invariants: nothing here does I/O; whatever bytes come in, the answer is a value or a ContentError, in bounded memory and time; a
 * chunk is believed only if its digest is that of the page, a page only if its checksum is that of the head.
 */
import type { FileStamp } from '../vfs/mod.ts';

/** Bytes of a sector, and of a chunk; the last of a file is filled up with zeros. Equal to limits.sectorBytes. */
export const chunkBytes = 4096;
/** SHA-256 cut to 128 bits: docs/content-format.md says why that is enough. */
export const digestBytes = 16;
/** Most chunks of one group: 128 KiB. Fewer at the end of a class. */
export const groupChunks = 32;
/** Sectors of one page: 16 MiB of the file. */
export const pageSectors = 4096;
export const contentDirectory = '.viaduct';

/** What is wrong with bytes that came from elsewhere: operating data, never a bug. Costs time only. */
export class ContentError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ContentError';
  }
}

/** Where one page is in the meta-data file, and what it must be. */
export interface PagePlace {
  readonly offset: number;
  /** Stored bytes; 0: no data sector in it, nothing is stored. */
  readonly count: number;
  /** crc32 of the stored bytes. */
  readonly checksum: number;
}

/** Where one group is in the pack. */
export interface GroupPlace {
  readonly group: number;
  /** In the pack file. */
  readonly offset: number;
  readonly count: number;
  readonly firstChunk: number;
  readonly chunkCount: number;
}

/** The head of a meta-data file: small, read first, kept in memory while the file is in use. */
export interface MetaHead {
  /** The version of the file that it was made of; `fileid` is not compared (the same file by another server may have another). */
  readonly stamp: FileStamp;
  /** 16 bytes; the pack that carries the same belongs to it. Absent: there is no pack. */
  readonly packId: Uint8Array | undefined;
  readonly packBytes: number;
  readonly sectorCount: number;
  readonly dataSectorCount: number;
  readonly chunkCount: number;
  readonly groupCount: number;
  readonly pageCount: number;
  /** Whoever packed it says: a host that uses the file will want all of it. */
  readonly isWantedWhole: boolean;
  /** Whole bytes of the meta-data file. */
  readonly metaBytes: number;
  isZero(sector: number): boolean;
  /** First sector at or after `sector` that is data (or zero); `sectorCount` if there is none. */
  nextData(sector: number): number;
  nextZero(sector: number): number;
  page(page: number): PagePlace;
  groupOf(chunk: number): GroupPlace;
  groupAt(group: number): GroupPlace;
  /** Bytes held in memory. */
  readonly memoryBytes: number;
}

/** One page, decoded: chunk and digest of each data sector in it. */
export interface MetaPage {
  readonly page: number;
  /** Undefined for zero sectors. */
  chunkOf(sector: number): number | undefined;
  /** A view of 16 bytes. Only for data sectors. */
  digestOf(sector: number): Uint8Array;
  readonly memoryBytes: number;
}

/** All that a meta-data file says, as the packer knows it. Arrays are in the order of the file's data sectors. */
export interface ContentTable {
  readonly stamp: FileStamp;
  /** Default: not. */
  readonly isWantedWhole?: boolean | undefined;
  /** One bit a sector, set for data; sector n is bit n % 8 of byte n / 8. */
  readonly dataMap: Uint8Array;
  readonly chunks: Uint32Array;
  /** 16 bytes for each data sector. */
  readonly digests: Uint8Array;
  readonly pack:
    | {
        readonly id: Uint8Array;
        /** Stored bytes of each group, in the order of the pack. */
        readonly groupBytes: Uint32Array;
        readonly groupChunks: Uint8Array;
      }
    | undefined;
}

/** What a working set is for: `boot`, `resume`, `written`, or a name of the user's (a-z, 0-9, -; at most 32). */
export type Purpose = string;

/** Blocks of 64 KiB in the order in which they are wanted, each once. */
export interface WorkingSet {
  readonly stamp: FileStamp;
  readonly purpose: Purpose;
  readonly blocks: Uint32Array;
  /** In how many of the runs that were merged each block was touched, 1 to 255. */
  readonly weights: Uint8Array;
  /** Runs merged. */
  readonly runs: number;
}

/**
 * Digest to place: where a chunk may lie in the clean cache. Bounded, lossy, verified on use; a wrong answer costs one look.
 * A place is a file key of the clean cache and a sector of that file.
 */
export interface HintIndex {
  add(digest: Uint8Array, key: string, sector: number): void;
  /** Candidates, most probable first, at most four. */
  find(digest: Uint8Array): readonly { readonly key: string; readonly sector: number }[];
  readonly memoryBytes: number;
}
