/** An image compared with its meta-data, sector by sector: by digest, zero for zero. Every byte is read; nothing is believed to be a hole. */
import { ContentError, digestBytes, pageSectors } from '../content/mod.ts';
import { inOrder } from './crew.ts';
import type { ImageFile } from './image-file.ts';
import { chunksOf, type LocalMeta } from './local-meta.ts';
import { attemptAsync, changed, pageLength, type ReadingOptions } from './reading.ts';
import { pageBytes, pageMapBytes, type ScanResult, type ScanTask } from './tasks.ts';

export interface Comparison {
  /** Sectors that are not what the meta-data say, and the first of them. */
  readonly wrongSectors: number;
  readonly firstWrong: number | undefined;
  /** Pages of the meta-data that cannot be read, so that what they say is not known. */
  readonly damagedPages: readonly number[];
}

/** Sizes are equal already. `learn`: is told each chunk that the meta-data speak of. */
export async function compare(
  image: ImageFile,
  meta: LocalMeta,
  { crew, signal, onProgress, pace }: ReadingOptions,
  learn: (chunk: number, digest: Uint8Array) => void = () => {},
): Promise<Comparison> {
  const { path, fd } = image;
  const { head } = meta;
  const { size } = head.stamp;
  const damagedPages: number[] = [];
  let wrongSectors = 0;
  let firstWrong: number | undefined;
  const comparePage = (page: number, found: ScanResult): void => {
    let expected: ExpectedPage;
    try {
      expected = expectedPage(meta, page, learn);
    } catch (error) {
      if (!(error instanceof ContentError)) throw error;
      damagedPages.push(page);
      return;
    }
    for (const sector of differences(expected, found)) {
      firstWrong ??= page * pageSectors + sector;
      wrongSectors++;
    }
  };
  const tasks = function* (): Iterable<ScanTask> {
    for (let page = 0; page < head.pageCount; page++) yield { kind: 'scan', fd, page, size, withHoles: true };
  };
  const take = (result: ScanResult, { page }: ScanTask): void => {
    if (result.isShort) throw changed(path);
    comparePage(page, result);
    onProgress?.({ path, stage: 'scan', doneBytes: page * pageBytes + pageLength(page, size), totalBytes: size });
  };
  const mayGoOn = async ({ page }: ScanTask): Promise<void> => {
    signal.throwIfAborted();
    await pace?.(pageLength(page, size));
    signal.throwIfAborted();
  };
  await attemptAsync(`read ${path}`, () => inOrder(crew, tasks(), take, mayGoOn));
  return { wrongSectors, firstWrong, damagedPages };
}

interface ExpectedPage {
  readonly map: Uint8Array;
  readonly digests: Uint8Array;
}

function expectedPage(meta: LocalMeta, page: number, learn: (chunk: number, digest: Uint8Array) => void): ExpectedPage {
  const map = new Uint8Array(pageMapBytes);
  const digests = new Uint8Array(pageSectors * digestBytes);
  let rank = 0;
  if (meta.head.page(page).count > 0) {
    for (const { sector, chunk, digest } of chunksOf(meta.head, meta.page(page))) {
      const inPage = sector % pageSectors;
      map[inPage >>> 3]! |= 1 << (inPage & 7);
      digests.set(digest, digestBytes * rank++);
      learn(chunk, digest);
    }
  }
  return { map, digests: digests.subarray(0, rank * digestBytes) };
}

/** Sectors of the page, counted from its first. */
function* differences(expected: ExpectedPage, found: ScanResult): Iterable<number> {
  if (Buffer.compare(expected.map, found.map) === 0 && Buffer.compare(expected.digests, found.digests) === 0) return;
  let expectedAt = 0;
  let foundAt = 0;
  for (let sector = 0; sector < pageSectors; sector++) {
    const wanted = ((expected.map[sector >>> 3]! >>> (sector & 7)) & 1) === 1;
    const there = ((found.map[sector >>> 3]! >>> (sector & 7)) & 1) === 1;
    const one = expected.digests.subarray(expectedAt, expectedAt + digestBytes);
    const other = found.digests.subarray(foundAt, foundAt + digestBytes);
    if (wanted !== there || (wanted && Buffer.compare(one, other) !== 0)) yield sector;
    if (wanted) expectedAt += digestBytes;
    if (there) foundAt += digestBytes;
  }
}
