/**
 * What the content meta-data beside a server's files says of where content lies: for HAVE and WRITE_REF.
 *
 *     HAVE near DIR ──► DIR/.viaduct/*.meta ──► digest, file, sector       looked at again after a while, what is new is read
 *
 * Invariants: bounded in memory, and in what it reads for one directory; it is read as the caller, by whoever asks first; meta-data is not
 * believed here (hints only: whoever uses one computes the digest), so damage and age cost a look. What is of no use is not read again.
 */
import { type Clock, type Eventual, type Log, limits, sleep } from '../base/mod.ts';
import {
  ContentError,
  contentDirectory,
  decodeHead,
  decodePage,
  headBytes,
  MemoryHintIndex,
  type MetaHead,
  metaHeaderBytes,
  metaName,
  pageSectors,
} from '../content/mod.ts';
import type { Call, ChunkPlace, ChunkSource, FileHandle, Filesystem, Name } from '../vfs/mod.ts';

export interface ChunkIndexOptions {
  readonly filesystem: Filesystem;
  readonly clock: Clock;
  readonly log: Log;
}

/** As long a directory is taken for known. */
const knownMs = 10_000;
/** As long somebody waits for it to be read: what is not found is sent. */
const patienceMs = 1_000;
const mostDirectories = 1024;
const mostMetas = 4096;
/** Of one directory at a time: of 30 GiB of data. */
const mostMetaBytes = 128 * 1024 * 1024;
const mostPages = 64;
const pageBytes = 64 * 1024;
const suffix = '.meta';
const noVerifier = '\0'.repeat(8);

/** It says nothing about what the meta-data is worth. */
class NotRead extends ContentError {}

interface Known {
  readonly atMs: number;
  /** Absent once it has been read. */
  loading?: Promise<void> | undefined;
}

export class ChunkIndex implements ChunkSource {
  readonly #options: ChunkIndexOptions;
  readonly #directories = new Map<FileHandle, Known>();
  /** Meta-data files that have been read, or are of no use to anybody, by handle: a new version is a new file. */
  readonly #metas = new Set<FileHandle>();
  #index: MemoryHintIndex | undefined;

  constructor(options: ChunkIndexOptions) {
    this.#options = options;
  }

  prepare(call: Call, near: FileHandle): Eventual<void> {
    const { clock } = this.#options;
    let known = this.#directories.get(near);
    if (known === undefined || (known.loading === undefined && clock.now() - known.atMs >= knownMs)) {
      if (this.#directories.size >= mostDirectories) this.#directories.clear();
      known = this.#begin({ ...call, isViaduct: true }, near);
      this.#directories.set(near, known);
    }
    return known.loading && Promise.race([known.loading, sleep(clock, patienceMs)]);
  }

  #begin(call: Call, near: FileHandle): Known {
    const { clock, log } = this.#options;
    const known: Known = { atMs: clock.now() };
    known.loading = this.#load(call, near)
      .catch((error: unknown) => log.warn({ error: String(error) }, 'content meta-data could not be looked through'))
      .finally(() => {
        known.loading = undefined;
      });
    return known;
  }

  find(digest: Uint8Array): readonly ChunkPlace[] {
    const hints = this.#index?.find(digest) ?? [];
    return hints.map(({ key, sector }) => ({ object: key, offset: sector * limits.sectorBytes }));
  }

  async #load(call: Call, directory: FileHandle): Promise<void> {
    const { filesystem, log } = this.#options;
    const content = await filesystem.lookup(call, { directory, name: contentDirectory });
    if (content.status !== 0) return;
    let left = mostMetaBytes;
    for (const name of await this.#metaNames(call, content.object)) {
      const [meta, file] = await Promise.all([
        filesystem.lookup(call, { directory: content.object, name }),
        filesystem.lookup(call, { directory, name: name.slice(0, -suffix.length) }),
      ]);
      if (meta.status !== 0 || file.status !== 0 || this.#metas.has(meta.object)) continue;
      const bytes = meta.attributes?.size ?? 0;
      if (bytes > mostMetaBytes) {
        log.debug({ bytes }, 'content meta-data is larger than is read here');
        this.#done(meta.object);
        continue;
      }
      // What was read before it is known the next time.
      if (bytes > left) return;
      left -= await this.#learn(call, meta.object, file.object, left);
      if (left <= 0) return;
    }
  }

  async #metaNames(call: Call, directory: FileHandle): Promise<Name[]> {
    const names: Name[] = [];
    let [cookie, cookieVerifier] = [0n, noVerifier];
    for (let pages = 0; pages < mostPages; pages++) {
      const asked = { directory, cookie, cookieVerifier, directoryBytes: pageBytes, replyBytes: pageBytes };
      const page = await this.#options.filesystem.readdir(call, asked);
      if (page.status !== 0) break;
      for (const { name } of page.entries) {
        if (name.length > suffix.length && metaName(name.slice(0, -suffix.length)) === name) names.push(name);
      }
      const last = page.entries[page.entries.length - 1];
      if (page.eof || last === undefined) break;
      cookie = last.cookie;
      cookieVerifier = page.cookieVerifier;
    }
    return names;
  }

  /** Bytes that it took. */
  async #learn(call: Call, meta: FileHandle, file: FileHandle, mostBytes: number): Promise<number> {
    let taken = 0;
    const read = async (offset: number, count: number): Promise<Uint8Array> => {
      taken += count;
      if (taken > mostMetaBytes) throw new ContentError('more than is read of one directory');
      if (taken > mostBytes) throw new NotRead('more than is left to be read of this directory');
      return this.#read(call, meta, offset, count);
    };
    try {
      const bytes = headBytes(await read(0, metaHeaderBytes));
      const head = decodeHead(await read(0, bytes));
      for (let page = 0; page < head.pageCount; page++) {
        const { offset, count } = head.page(page);
        if (count > 0) this.#add(head, page, await read(offset, count), file);
      }
      this.#done(meta);
    } catch (error) {
      if (!(error instanceof ContentError)) throw error;
      this.#options.log.debug({ cause: error.message }, 'content meta-data is of no use here');
      // It may be read the next time, or by another caller.
      if (!(error instanceof NotRead)) this.#done(meta);
    }
    return taken;
  }

  #done(meta: FileHandle): void {
    if (this.#metas.size >= mostMetas) this.#metas.clear();
    this.#metas.add(meta);
  }

  #add(head: MetaHead, page: number, bytes: Uint8Array, file: FileHandle): void {
    const decoded = decodePage(head, page, bytes);
    this.#index ??= new MemoryHintIndex();
    const end = Math.min((page + 1) * pageSectors, head.sectorCount);
    for (let sector = head.nextData(page * pageSectors); sector < end; sector = head.nextData(sector + 1)) {
      this.#index.add(decoded.digestOf(sector), file, sector);
    }
  }

  async #read(call: Call, object: FileHandle, offset: number, count: number): Promise<Uint8Array> {
    const whole = new Uint8Array(count);
    for (let at = 0; at < count; ) {
      const part = Math.min(count - at, limits.transferBytes);
      const reply = await this.#options.filesystem.read(call, { object, offset: offset + at, count: part });
      if (reply.status !== 0) throw new NotRead(`status ${reply.status} for meta-data`);
      for (const slice of reply.data) {
        whole.set(slice, at);
        at += slice.length;
      }
      reply.release?.();
      if (reply.count === 0) throw new ContentError('meta-data is cut short');
    }
    return whole;
  }
}
