/**
 * One page of a meta-data file: chunk and digest of each data sector among 4096.
 *
 *   [chunk numbers as planes, squeezed][digests, 16 bytes each]       in the order of the data sectors
 */
import { crc32 } from 'node:zlib';
import { assert } from '../base/mod.ts';
import { ContentError, digestBytes, type MetaHead, type MetaPage, pageSectors } from './contract.ts';
import { fromPlanes } from './planes.ts';
import { unsqueeze } from './squeeze.ts';

/** `bytes`: what the file holds at `head.page(page)`. Nothing of them is kept. */
export function decodePage(head: MetaHead, page: number, bytes: Uint8Array): MetaPage {
  const place = head.page(page);
  if (bytes.length !== place.count) throw new ContentError(`page ${page}: ${bytes.length} bytes of ${place.count}`);
  if (place.count > 0 && crc32(bytes) !== place.checksum) throw new ContentError(`page ${page} is damaged`);
  const ranks = new Int16Array(pageSectors).fill(-1);
  const data = rankData(head, page, ranks);
  const numberBytes = bytes.length - data * digestBytes;
  const planes = unsqueeze(bytes.subarray(0, numberBytes), 4 * data, `page ${page}`);
  const chunks = fromPlanes(planes, data);
  for (const chunk of chunks) if (chunk >= head.chunkCount) throw new ContentError(`page ${page}: no chunk ${chunk}`);
  return new Page(page, ranks, chunks, Uint8Array.from(bytes.subarray(numberBytes)));
}

function rankData(head: MetaHead, page: number, ranks: Int16Array): number {
  const first = page * pageSectors;
  const end = Math.min(first + pageSectors, head.sectorCount);
  let rank = 0;
  for (let sector = head.nextData(first); sector < end; ) {
    const runEnd = Math.min(head.nextZero(sector), end);
    while (sector < runEnd) ranks[sector++ - first] = rank++;
    sector = head.nextData(sector);
  }
  return rank;
}

class Page implements MetaPage {
  readonly page: number;
  readonly memoryBytes: number;
  readonly #first: number;
  /** Of each sector of the page: how many data sectors are before it; -1 for a zero sector. */
  readonly #ranks: Int16Array;
  readonly #chunks: Uint32Array;
  readonly #digests: Uint8Array;

  constructor(page: number, ranks: Int16Array, chunks: Uint32Array, digests: Uint8Array) {
    this.page = page;
    this.#first = page * pageSectors;
    this.#ranks = ranks;
    this.#chunks = chunks;
    this.#digests = digests;
    this.memoryBytes = ranks.byteLength + chunks.byteLength + digests.byteLength;
  }

  chunkOf(sector: number): number | undefined {
    const rank = this.#ranks[sector - this.#first];
    assert(rank !== undefined, `sector ${sector} is not in page ${this.page}`);
    return rank < 0 ? undefined : this.#chunks[rank];
  }

  digestOf(sector: number): Uint8Array {
    const rank = this.#ranks[sector - this.#first];
    assert(rank !== undefined && rank >= 0, `sector ${sector} has no digest in page ${this.page}`);
    return this.#digests.subarray(rank * digestBytes, (rank + 1) * digestBytes);
  }
}
