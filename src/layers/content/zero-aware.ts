/**
 * The clean cache with the zeros that meta-data knows of: zero sectors are present without having been fetched, and take no room.
 *
 * Invariants: a sector counts as zero only while the cached version stands for the very stamp that the meta-data stands for (it
 * follows our own changes and nobody else's), so that what another session of this host changes is never hidden; what our own
 * changes touched is the cache's again; a file without meta-data costs one map look-up.
 *
 *     block cache ──has, missing, read, fill──> ZeroAwareFile ──zero runs──> one shared zero buffer
 *                                                    └──all else──> CachedFile
 */
import { type Eventual, isPromise, limits } from '../../base/mod.ts';
import type { ByteRange, CachedFile, CacheHit, FileCare, FillTicket, PendingWrite } from '../../cache/mod.ts';
import { type FileStamp, sameStamp } from '../../vfs/mod.ts';
import type { BlockStore } from '../block-cache/open-file.ts';
import { cut } from '../block-cache/slices.ts';
import type { FileContent } from './file-content.ts';
import { zeroSlices } from './zeros.ts';

const { blockBytes, sectorBytes } = limits;

export interface KnownContents {
  /** By the clean cache's key. */
  get(key: string): FileContent | undefined;
  /** Bytes of zeros that were answered. */
  noteZeros(bytes: number): void;
}

export class ZeroAwareStore implements BlockStore {
  readonly #inner: BlockStore;
  readonly #contents: KnownContents;

  constructor(inner: BlockStore, contents: KnownContents) {
    this.#inner = inner;
    this.#contents = contents;
  }

  file(key: string, stamp: FileStamp): CachedFile {
    return new ZeroAwareFile(this.#inner.file(key, stamp), this.#contents);
  }

  find(key: string): CachedFile | undefined {
    const found = this.#inner.find(key);
    return found && new ZeroAwareFile(found, this.#contents);
  }

  clear(): Promise<void> {
    return this.#inner.clear();
  }
}

interface Run extends ByteRange {
  readonly isZero: boolean;
}

class ZeroAwareFile implements CachedFile {
  readonly key: string;
  readonly #inner: CachedFile;
  readonly #contents: KnownContents;

  constructor(inner: CachedFile, contents: KnownContents) {
    this.key = inner.key;
    this.#inner = inner;
    this.#contents = contents;
  }

  get live(): boolean {
    return this.#inner.live;
  }
  get size(): number {
    return this.#inner.size;
  }
  matches(stamp: FileStamp): boolean {
    return this.#inner.matches(stamp);
  }

  has(offset: number, count: number): boolean {
    const content = this.#withZerosIn(offset, count);
    if (content === undefined) return this.#inner.has(offset, count);
    return this.#runs(content, offset, count).every((run) => run.isZero || this.#inner.has(run.offset, run.count));
  }

  missing(offset: number, count: number): ByteRange[] {
    const content = this.#withZerosIn(offset, Math.min(count, this.size - offset));
    if (content === undefined) return this.#inner.missing(offset, count);
    const runs = this.#runs(content, offset, count);
    return runs.flatMap((run) => (run.isZero ? [] : this.#inner.missing(run.offset, run.count)));
  }

  read(offset: number, count: number): Eventual<CacheHit | undefined> {
    const content = this.#withZerosIn(offset, count);
    if (content === undefined) return this.#inner.read(offset, count);
    const runs = this.#runs(content, offset, count);
    if (runs.length === 1) return this.#zeroHit(count);
    // In one go where a fill has laid zeros beside the data.
    if (this.#inner.has(offset, count)) return this.#inner.read(offset, count);
    const hits = runs.map((run) => (run.isZero ? this.#zeroHit(run.count) : this.#inner.read(run.offset, run.count)));
    return hits.some(isPromise) ? Promise.all(hits).then(joined) : joined(hits as (CacheHit | undefined)[]);
  }

  ticket(offset: number, count: number): FillTicket {
    return this.#inner.ticket(offset, count);
  }

  /** Whole blocks of zeros are not kept: they are present already. */
  fill(
    ticket: FillTicket,
    stamp: FileStamp,
    offset: number,
    slices: readonly Uint8Array[],
    count: number,
  ): Eventual<number> {
    const content = ticket.good ? this.#withZerosIn(offset, count) : undefined;
    if (content === undefined || !sameStamp(stamp, content.stamp))
      return this.#inner.fill(ticket, stamp, offset, slices, count);
    const runs = blockRuns(content, offset, count);
    if (runs.every((run) => !run.isZero)) return this.#inner.fill(ticket, stamp, offset, slices, count);
    const kept = runs.map((run) => {
      if (run.isZero) return run.count;
      return this.#inner.fill(
        ticket,
        stamp,
        run.offset,
        cut(slices, run.offset - offset, run.offset - offset + run.count, []),
        run.count,
      );
    });
    return Promise.all(kept).then((parts) => parts.reduce((sum, bytes) => sum + bytes, 0));
  }

  beginWrite(offset: number, count: number): Eventual<PendingWrite> {
    this.#contents.get(this.key)?.cover(offset, offset + count);
    return this.#inner.beginWrite(offset, count);
  }

  invalidate(offset: number, count: number): void {
    this.#contents.get(this.key)?.cover(offset, offset + count);
    this.#inner.invalidate(offset, count);
  }

  restamp(from: FileStamp, to: FileStamp): boolean {
    this.#contents.get(this.key)?.hop(from, to);
    return this.#inner.restamp(from, to);
  }

  forget(): void {
    this.#inner.forget();
  }

  setCare(care: FileCare): void {
    this.#inner.setCare(care);
  }

  /** The content, if it knows zeros in the range and holds for the cached version. */
  #withZerosIn(offset: number, count: number): FileContent | undefined {
    const content = this.#contents.get(this.key);
    if (content === undefined || count <= 0) return undefined;
    const end = Math.ceil((offset + count) / sectorBytes);
    if (content.nextZero(Math.floor(offset / sectorBytes), end) >= end) return undefined;
    if (offset + count > this.#inner.size || !this.#inner.matches(content.stamp)) return undefined;
    return content;
  }

  #runs(content: FileContent, offset: number, count: number): Run[] {
    const runs: Run[] = [];
    const stop = offset + count;
    const end = Math.ceil(stop / sectorBytes);
    for (let at = Math.floor(offset / sectorBytes); at < end; ) {
      const other = content.nextOther(at, end);
      const isZero = other > at;
      const next = isZero ? other : content.nextZero(at, end);
      const begin = Math.max(at * sectorBytes, offset);
      runs.push({ isZero, offset: begin, count: Math.min(next * sectorBytes, stop) - begin });
      at = next;
    }
    return runs;
  }

  #zeroHit(count: number): CacheHit {
    this.#contents.noteZeros(count);
    return { slices: zeroSlices(count), release: nothing };
  }
}

/** Whole zero blocks, and what lies between. */
function blockRuns(content: FileContent, offset: number, count: number): Run[] {
  const runs: Run[] = [];
  const stop = offset + count;
  for (let begin = offset; begin < stop; ) {
    const end = Math.min((Math.floor(begin / blockBytes) + 1) * blockBytes, stop);
    const lastSector = Math.ceil(end / sectorBytes);
    const isZero = content.nextOther(Math.floor(begin / sectorBytes), lastSector) >= lastSector;
    const before = runs.at(-1);
    if (before?.isZero === isZero) runs[runs.length - 1] = { ...before, count: before.count + end - begin };
    else runs.push({ isZero, offset: begin, count: end - begin });
    begin = end;
  }
  return runs;
}

function joined(hits: readonly (CacheHit | undefined)[]): CacheHit | undefined {
  const release = (): void => {
    for (const hit of hits) hit?.release();
  };
  const slices: Buffer[] = [];
  for (const hit of hits) {
    if (hit === undefined) {
      release();
      return undefined;
    }
    slices.push(...hit.slices);
  }
  return { slices, release };
}

function nothing(): void {}
