/**
 * Chunks that lie on this host already: the hint index says where, the clean cache gives the bytes, the digest decides.
 *
 * Invariants: nothing is used whose digest was not computed here, now; runs of sectors that lie side by side are one read; each hit
 * is released by whoever got it.
 */
import { chain, type Eventual, limits } from '../../base/mod.ts';
import type { CachedFile, CacheHit } from '../../cache/mod.ts';
import { digestOf, type HintIndex } from '../../content/mod.ts';
import type { BlockStore } from '../block-cache/open-file.ts';
import type { ContentStatistics } from './statistics.ts';

const { sectorBytes } = limits;

/** A sector that somebody reads. */
export interface Wanted {
  readonly sector: number;
  readonly digest: Uint8Array;
  readonly chunk: number;
  /** A whole sector, once it was found. */
  bytes: Uint8Array | undefined;
}

export interface LocalChunksOptions {
  readonly store: BlockStore;
  readonly hints: HintIndex;
  readonly statistics: ContentStatistics;
}

interface Candidate {
  readonly wanted: Wanted;
  readonly file: CachedFile;
  readonly sector: number;
}

export class LocalChunks {
  readonly #options: LocalChunksOptions;

  constructor(options: LocalChunksOptions) {
    this.#options = options;
  }

  /** Fills in what it finds. What was lent for it is to be released when the bytes are not read any more. */
  async find(wanted: readonly Wanted[]): Promise<CacheHit[]> {
    const lent: CacheHit[] = [];
    const candidates = new Map(wanted.map((one) => [one, this.#options.hints.find(one.digest)]));
    const files = new Map<string, CachedFile | undefined>();
    for (let round = 0; ; round++) {
      const places: Candidate[] = [];
      let isMore = false;
      for (const [one, hints] of candidates) {
        const hint = one.bytes === undefined ? hints[round] : undefined;
        if (hint === undefined) continue;
        isMore = true;
        if (!files.has(hint.key)) files.set(hint.key, this.#options.store.find(hint.key));
        const file = files.get(hint.key);
        if (file !== undefined && isPresent(file, hint.sector)) places.push({ wanted: one, file, sector: hint.sector });
      }
      if (!isMore) return lent;
      await Promise.all(runsOf(places).map((run) => this.#use(run, lent)));
    }
  }

  #use(run: readonly Candidate[], lent: CacheHit[]): Eventual<void> {
    const { file, sector } = run[0]!;
    const offset = sector * sectorBytes;
    const count = Math.min(run.length * sectorBytes, file.size - offset);
    return chain(file.read(offset, count), (hit) => {
      if (hit === undefined) return;
      lent.push(hit);
      for (const [index, bytes] of sectorsOf(hit.slices).entries()) this.#check(run[index]!.wanted, bytes);
    });
  }

  #check(wanted: Wanted, bytes: Uint8Array): void {
    if (Buffer.compare(digestOf(bytes), wanted.digest) === 0) wanted.bytes = bytes;
    else this.#options.statistics.wrongHints++;
  }
}

function isPresent(file: CachedFile, sector: number): boolean {
  const offset = sector * sectorBytes;
  return offset < file.size && file.has(offset, Math.min(sectorBytes, file.size - offset));
}

function runsOf(places: readonly Candidate[]): Candidate[][] {
  const runs: Candidate[][] = [];
  for (const place of places) {
    const run = runs.at(-1);
    const before = run?.at(-1);
    if (run !== undefined && before?.file === place.file && before.sector + 1 === place.sector) run.push(place);
    else runs.push([place]);
  }
  return runs;
}

/** Whole sectors; the file's last is filled up with zeros. */
function sectorsOf(slices: readonly Uint8Array[]): Uint8Array[] {
  const sectors: Uint8Array[] = [];
  let open: Buffer | undefined;
  let filled = 0;
  for (const slice of slices) {
    for (let at = 0; at < slice.length; ) {
      if (open === undefined && slice.length - at >= sectorBytes) {
        sectors.push(slice.subarray(at, at + sectorBytes));
        at += sectorBytes;
        continue;
      }
      open ??= Buffer.alloc(sectorBytes);
      const part = slice.subarray(at, at + sectorBytes - filled);
      open.set(part, filled);
      at += part.length;
      filled += part.length;
      if (filled === sectorBytes) {
        sectors.push(open);
        open = undefined;
        filled = 0;
      }
    }
  }
  if (open !== undefined) sectors.push(open);
  return sectors;
}
