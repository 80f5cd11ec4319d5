/**
 * Pages of meta-data: read when first wanted, single-flight, and kept decoded while there is room.
 *
 * Invariants: what is kept is bounded by bytes, the longest unused goes; a page that is damaged is not asked for again; a page that
 * came tells the hint index which of its sectors are in the cache already.
 */
import { limits } from '../../base/mod.ts';
import { ContentError, decodePage, type HintIndex, type MetaPage, pageSectors } from '../../content/mod.ts';
import type { Call } from '../../vfs/mod.ts';
import type { BlockStore } from '../block-cache/open-file.ts';
import type { Described } from './described.ts';
import type { ContentStatistics } from './statistics.ts';

const { sectorBytes } = limits;
/** Pages ahead of a reader that are fetched with the one that it wants; each is 16 MiB of the file. */
const pagesAhead = 2;

export interface PagesOptions {
  readonly store: BlockStore;
  readonly hints: HintIndex;
  readonly statistics: ContentStatistics;
  readonly onDamage: (file: Described, what: string) => void;
  readonly mostBytes?: number | undefined;
}

interface Kept {
  readonly file: Described;
  readonly page: MetaPage;
}

export class Pages {
  readonly #options: PagesOptions;
  readonly #mostBytes: number;
  /** The longest unused first. */
  readonly #kept = new Map<string, Kept>();
  readonly #coming = new Map<string, Promise<MetaPage | undefined>>();
  #bytes = 0;

  constructor(options: PagesOptions) {
    this.#options = options;
    this.#mostBytes = options.mostBytes ?? limits.contentMemoryBytes;
  }

  get memoryBytes(): number {
    return this.#bytes;
  }

  /** If it is there. */
  get(file: Described, page: number): MetaPage | undefined {
    const name = nameOf(file, page);
    const kept = this.#kept.get(name);
    if (kept === undefined || kept.file !== file) return undefined;
    this.#kept.delete(name);
    this.#kept.set(name, kept);
    return kept.page;
  }

  /** Undefined: it cannot be had. The next ones are fetched as well, in the background. */
  load(file: Described, call: Call, page: number): Promise<MetaPage | undefined> {
    const loading = this.#load(file, call, page);
    this.loadAhead(file, call, page);
    return loading;
  }

  /** The pages behind this one, in the background: a reader who gets there must not wait for them with the link idle. */
  loadAhead(file: Described, call: Call, page: number): void {
    const { head } = file.content;
    const last = Math.min(page + pagesAhead, head.pageCount - 1);
    for (let next = page + 1; next <= last; next++) {
      if (head.page(next).count > 0 && this.#kept.get(nameOf(file, next))?.file !== file)
        void this.#load(file, { ...call, priority: 'prefetch' }, next);
    }
  }

  /** Pages that came with the head. */
  takeFrom(file: Described, bytes: Uint8Array): void {
    const { head } = file.content;
    for (let page = 0; page < head.pageCount; page++) {
      const { offset, count } = head.page(page);
      if (offset + count > bytes.length) return;
      if (count > 0) this.#take(file, page, bytes.subarray(offset, offset + count));
    }
  }

  forget(): void {
    this.#kept.clear();
    this.#bytes = 0;
  }

  #load(file: Described, call: Call, page: number): Promise<MetaPage | undefined> {
    const kept = this.get(file, page);
    if (kept !== undefined) return Promise.resolve(kept);
    if (file.badPages.has(page)) return Promise.resolve(undefined);
    const name = nameOf(file, page);
    const coming = this.#coming.get(name);
    if (coming !== undefined) return coming;
    const started = this.#read(file, call, page).finally(() => this.#coming.delete(name));
    this.#coming.set(name, started);
    return started;
  }

  async #read(file: Described, call: Call, page: number): Promise<MetaPage | undefined> {
    const place = file.content.head.page(page);
    const bytes = await file.meta.read({ ...call, peer: 'content' }, place.offset, place.count).catch(() => undefined);
    return bytes === undefined ? undefined : this.#take(file, page, bytes);
  }

  #take(file: Described, page: number, bytes: Uint8Array): MetaPage | undefined {
    try {
      const decoded = decodePage(file.content.head, page, bytes);
      this.#keep(file, decoded);
      this.#tellHints(file, decoded);
      return decoded;
    } catch (error) {
      if (!(error instanceof ContentError)) throw error;
      file.badPages.add(page);
      file.meta.forget();
      this.#options.onDamage(file, error.message);
      return undefined;
    }
  }

  #keep(file: Described, page: MetaPage): void {
    const before = this.#kept.get(nameOf(file, page.page));
    this.#kept.set(nameOf(file, page.page), { file, page });
    this.#bytes += page.memoryBytes - (before?.page.memoryBytes ?? 0);
    for (const [name, oldest] of this.#kept) {
      if (this.#bytes <= this.#mostBytes) return;
      this.#kept.delete(name);
      this.#bytes -= oldest.page.memoryBytes;
    }
  }

  /** What was cached before anybody knew its digests. */
  #tellHints(file: Described, page: MetaPage): void {
    const { content } = file;
    const cached = this.#options.store.find(content.key);
    if (cached?.matches(content.stamp) !== true) return;
    const begin = page.page * pageSectors * sectorBytes;
    const end = Math.min(begin + pageSectors * sectorBytes, cached.size);
    let at = begin;
    for (const gap of [...cached.missing(begin, end - begin), { offset: end, count: 0 }]) {
      for (; at < gap.offset; at += sectorBytes) {
        const sector = at / sectorBytes;
        if (content.head.isZero(sector) || !content.isDescribed(sector)) continue;
        this.#options.hints.add(page.digestOf(sector), content.key, sector);
      }
      at = gap.offset + gap.count;
    }
  }
}

function nameOf(file: Described, page: number): string {
  return `${page} ${file.content.key}`;
}
