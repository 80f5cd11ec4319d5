/**
 * Packs one image: its meta-data and its pack are made beside it, under private names, and put in place when all of both is on the
 * disk. The image is only read, and packed only if it was the same file before and after.
 *
 *     settled ──► scan (threads) ──► .part ──► equal chunks ──► siblings, working sets: order ──► pack (threads) ──► same file?
 *      2 s old    holes are skipped  survives                                                     a temporary name       │
 *                                    kill -9                        remove .part ◄── rename meta ◄── rename pack ◄───────┘
 *
 * Memory: 28 bytes for each 4 KiB of data (digest 16, chunk 4, and 8 for the table of digests, later for the order), up to 4 for chunk
 * numbers as the meta-data have them, 0.4 for each 4 KiB of the file; beside it 0.2 GiB with two threads.
 */
import { fsyncSync, writeSync } from 'node:fs';
import { assert, type Clock, type Random, ViaductError } from '../base/mod.ts';
import {
  ContentError,
  chunkBytes,
  digestBytes,
  encodeMeta,
  encodePackHeader,
  metaName,
  newPackId,
  packHeaderBytes,
  packName,
} from '../content/mod.ts';
import { closeDescriptor } from '../native/mod.ts';
import { type FileStamp, sameStamp } from '../vfs/mod.ts';
import { ContentFolder, checkOwner, followImage } from './content-folder.ts';
import { inOrder } from './crew.ts';
import { DigestTable } from './digest-table.ts';
import { attempt } from './failure.ts';
import { fitOf, fits } from './fit.ts';
import { type FileStatus, ImageFile } from './image-file.ts';
import { LocalMeta } from './local-meta.ts';
import { type PackOrder, packOrder } from './pack-order.ts';
import { PartFile } from './part-file.ts';
import { privateName } from './paths.ts';
import { attemptAsync, changed, onDisk, pageLength, pagesWithData, type ReadingOptions, settled } from './reading.ts';
import { findShared, type Shared, type Sibling } from './siblings.ts';
import { type PackTask, pageBytes, type ScanTask } from './tasks.ts';
import { readWorkingSets } from './working-sets.ts';

export interface PackOptions extends ReadingOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Of zstd. */
  readonly level?: number | undefined;
  /** Images or folders of images whose chunks most hosts will have. */
  readonly others?: readonly string[];
  /** Whether hosts that use the image shall fetch all of it. Default: as the meta-data had it before. */
  readonly isWantedWhole?: boolean | undefined;
  /** Also if the meta-data fit already. */
  readonly isAgain?: boolean;
}

export interface PackReport {
  readonly path: string;
  /** `current`: the meta-data fit already. */
  readonly outcome: 'packed' | 'current';
  readonly sizeBytes: number;
  readonly dataBytes: number;
  readonly distinctBytes: number;
  readonly sharedBytes: number;
  readonly siblings: readonly Sibling[];
  readonly packBytes: number;
  readonly metaBytes: number;
  /** Bytes of the file that an earlier packer had scanned. */
  readonly resumedBytes: number;
}

/** Groups that one task compresses: a MiB or so. */
const groupsPerTask = 8;
const ranksPerBreath = 500_000;

/** `path`: binary. Throws a ViaductError, or the reason of an abort, after which the first pass is kept; the file is never touched, and what lay beside it stays until it is replaced. */
export async function packImage(path: string, options: PackOptions): Promise<PackReport> {
  const image = ImageFile.open(path);
  try {
    const status = image.status();
    checkOwner(image, status);
    const names = namesOf(image);
    const folder = ContentFolder.make(image);
    try {
      const current =
        options.isAgain === true ? undefined : currentReport(folder, image, status, options.isWantedWhole);
      return current ?? (await new Packing(image, folder, names, options).run());
    } finally {
      folder.close();
    }
  } finally {
    image.close();
  }
}

interface Names {
  readonly meta: string;
  readonly pack: string;
}

function namesOf(image: ImageFile): Names {
  const meta = metaName(image.name);
  const pack = packName(image.name);
  if (meta !== undefined && pack !== undefined) return { meta, pack };
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `the name of ${image.path} is too long for meta-data beside it (at most 250 bytes).`,
    remedy: 'Give the image a shorter name.',
  });
}

function currentReport(
  folder: ContentFolder,
  image: ImageFile,
  status: FileStatus,
  isWantedWhole: boolean | undefined,
): PackReport | undefined {
  let meta: LocalMeta | undefined;
  try {
    meta = LocalMeta.open(folder, image.name);
  } catch (error) {
    if (!(error instanceof ContentError)) throw error;
  }
  if (meta === undefined) return undefined;
  try {
    if (!fits(fitOf(folder, image.name, meta, status))) return undefined;
    if (isWantedWhole !== undefined && isWantedWhole !== meta.head.isWantedWhole) return undefined;
    const { stamp, dataSectorCount, chunkCount, packBytes, metaBytes } = meta.head;
    return {
      ...{ path: image.path, outcome: 'current', sizeBytes: stamp.size, dataBytes: dataSectorCount * chunkBytes },
      ...{
        distinctBytes: chunkCount * chunkBytes,
        sharedBytes: 0,
        siblings: [],
        packBytes,
        metaBytes,
        resumedBytes: 0,
      },
    };
  } finally {
    meta.close();
  }
}

/** What the first pass found, and what is equal in it. */
interface Content {
  readonly dataMap: Uint8Array;
  readonly digests: Uint8Array;
  /** First a number by first appearance, then the number in the pack. */
  readonly chunks: Uint32Array;
  readonly chunkCount: number;
  readonly shared: Shared;
  readonly order: PackOrder;
}

class Packing {
  readonly #image: ImageFile;
  readonly #folder: ContentFolder;
  readonly #names: Names;
  readonly #options: PackOptions;
  readonly #temporary: { readonly meta: string; readonly pack: string };

  constructor(image: ImageFile, folder: ContentFolder, names: Names, options: PackOptions) {
    this.#image = image;
    this.#folder = folder;
    this.#names = names;
    this.#options = options;
    const own = options.random.uint32().toString(16).padStart(8, '0');
    this.#temporary = {
      meta: privateName(image.name, `.meta.tmp-${own}`),
      pack: privateName(image.name, `.pack.tmp-${own}`),
    };
  }

  async run(): Promise<PackReport> {
    const status = await settled(this.#image, this.#options);
    const part = new PartFile(this.#folder, this.#image, status.stamp);
    try {
      this.#removeLeftOvers();
      const resumedBytes = await this.#scan(part, status.stamp);
      const report = await this.#finish(part, status);
      part.remove();
      return { ...report, resumedBytes };
    } catch (error) {
      // A disk that is full needs the room; digests of another version are of no use.
      if (error instanceof ViaductError && (error.code === 'DISK_FULL' || error.code === 'IMAGE_CHANGED'))
        part.remove();
      throw error;
    } finally {
      this.#folder.remove(this.#temporary.pack);
      this.#folder.remove(this.#temporary.meta);
      part.close();
    }
  }

  /** Answers how many bytes need not be read again. */
  async #scan(part: PartFile, stamp: FileStamp): Promise<number> {
    const { fd, path } = this.#image;
    const { crew, onProgress } = this.#options;
    const { size } = stamp;
    let resumed = 0;
    await attemptAsync(`write ${path} to its disk`, () => onDisk(fd));
    const tasks = function* (): Iterable<ScanTask> {
      for (const page of pagesWithData(fd, size)) {
        if (part.has(page)) resumed += pageLength(page, size);
        else yield { kind: 'scan', fd, page, size, withHoles: false };
      }
    };
    const take = (result: Parameters<PartFile['append']>[1], { page }: ScanTask): void => {
      if (result.isShort) throw changed(path);
      part.append(page, result);
      onProgress?.({ path, stage: 'scan', doneBytes: Math.min((page + 1) * pageBytes, size), totalBytes: size });
    };
    await attemptAsync(`read ${path}`, () =>
      inOrder(crew, tasks(), take, ({ page }) => this.#mayGoOn(pageLength(page, size))),
    );
    onProgress?.({ path, stage: 'scan', doneBytes: size, totalBytes: size });
    return resumed;
  }

  async #finish(part: PartFile, status: FileStatus): Promise<Omit<PackReport, 'resumedBytes'>> {
    const { stamp } = status;
    const content = await this.#content(part, stamp);
    const { chunkCount, order, shared, digests, dataMap, chunks } = content;
    const id = newPackId(this.#options.random);
    const groupBytes = chunkCount === 0 ? undefined : await this.#writePack(status, content, id);
    this.#checkSame(stamp);
    const pack = groupBytes === undefined ? undefined : { id, groupBytes, groupChunks: order.groups };
    const metaBytes = this.#writeMeta(status, {
      stamp,
      dataMap,
      digests,
      chunks,
      pack,
      isWantedWhole: this.#isWantedWhole(),
    });
    this.#checkSame(stamp);
    this.#putInPlace(pack !== undefined);
    return {
      path: this.#image.path,
      outcome: 'packed',
      sizeBytes: stamp.size,
      dataBytes: chunks.length * chunkBytes,
      distinctBytes: chunkCount * chunkBytes,
      sharedBytes: shared.count * chunkBytes,
      siblings: shared.siblings,
      packBytes: groupBytes === undefined ? 0 : groupBytes.reduce((sum, count) => sum + count, packHeaderBytes),
      metaBytes,
    };
  }

  async #content(part: PartFile, { size }: FileStamp): Promise<Content> {
    const dataMap = new Uint8Array(Math.ceil(size / chunkBytes / 8));
    const digests = new Uint8Array(part.dataCount * digestBytes);
    part.readAll(dataMap, digests);
    const chunks = new Uint32Array(part.dataCount);
    const table = new DigestTable(digests);
    let chunkCount = 0;
    for (let rank = 0; rank < chunks.length; rank++) {
      const first = table.add(rank);
      chunks[rank] = first === rank ? chunkCount++ : chunks[first]!;
      if (rank % ranksPerBreath === 0) await this.#breathe();
    }
    const shared = await findShared({
      image: this.#image,
      folder: this.#folder,
      others: this.#options.others ?? [],
      chunkCount,
      find: (digest) => {
        const rank = table.find(digest);
        return rank < 0 ? -1 : chunks[rank]!;
      },
      breathe: () => this.#breathe(),
    });
    const sets = readWorkingSets(this.#folder, this.#image.name);
    const order = packOrder(
      { dataMap, chunks, chunkCount, shared: shared.chunks },
      sets.flatMap((set) => [...set.blocks]),
      table.release(),
    );
    for (let rank = 0; rank < chunks.length; rank++) chunks[rank] = order.numbers[chunks[rank]!]!;
    return { dataMap, digests, chunks, chunkCount, shared, order };
  }

  /** Answers the stored bytes of each group. */
  async #writePack(status: FileStatus, content: Content, id: Uint8Array): Promise<Uint32Array> {
    const { path, fd: file } = this.#image;
    const { crew, onProgress } = this.#options;
    const { order, chunkCount } = content;
    const groupBytes = new Uint32Array(order.groups.length);
    const writing = `write ${this.#folder.pathOf(this.#names.pack)}`;
    const fd = this.#folder.create(this.#temporary.pack);
    try {
      followImage(fd, this.#image, status);
      let end = attempt(writing, () => writeFully(fd, encodePackHeader(id), 0));
      let group = 0;
      let done = 0;
      const take = (
        result: { bytes: Uint8Array; groupBytes: Uint32Array; isChanged: boolean },
        task: PackTask,
      ): void => {
        if (result.isChanged) throw changed(path);
        end += attempt(writing, () => writeFully(fd, result.bytes, end));
        groupBytes.set(result.groupBytes, group);
        group += result.groupBytes.length;
        done += task.sectors.length;
        onProgress?.({ path, stage: 'pack', doneBytes: done * chunkBytes, totalBytes: chunkCount * chunkBytes });
      };
      const tasks = packTasks(content, { fd: file, size: status.stamp.size, level: this.#options.level });
      await attemptAsync(`read ${path}`, () =>
        inOrder(crew, tasks, take, ({ sectors }) => this.#mayGoOn(sectors.length * chunkBytes)),
      );
      attempt(writing, () => fsyncSync(fd));
    } finally {
      closeDescriptor(fd);
    }
    return groupBytes;
  }

  #isWantedWhole(): boolean {
    const wish = this.#options.isWantedWhole;
    if (wish !== undefined) return wish;
    let before: LocalMeta | undefined;
    try {
      before = LocalMeta.open(this.#folder, this.#image.name);
      return before?.head.isWantedWhole === true;
    } catch (error) {
      if (error instanceof ContentError) return false;
      throw error;
    } finally {
      before?.close();
    }
  }

  /** Answers its bytes. */
  #writeMeta(status: FileStatus, table: Parameters<typeof encodeMeta>[0]): number {
    const parts = encoded(this.#image, table);
    const fd = this.#folder.create(this.#temporary.meta);
    try {
      followImage(fd, this.#image, status);
      return attempt(`write ${this.#folder.pathOf(this.#names.meta)}`, () => {
        let end = 0;
        for (const part of parts) end += writeFully(fd, part, end);
        fsyncSync(fd);
        return end;
      });
    } finally {
      closeDescriptor(fd);
    }
  }

  /** The pack first: old meta-data beside a new pack know that it is not theirs. */
  #putInPlace(hasPack: boolean): void {
    const { meta, pack } = this.#names;
    if (hasPack) this.#folder.put(this.#temporary.pack, pack);
    this.#folder.put(this.#temporary.meta, meta);
    if (!hasPack) this.#folder.remove(pack);
    this.#folder.sync();
  }

  #checkSame(stamp: FileStamp): void {
    if (!sameStamp(this.#image.status().stamp, stamp) || !this.#image.isStillNamed()) throw changed(this.#image.path);
  }

  /** Of a packer that was killed. Nobody else has the lock. */
  #removeLeftOvers(): void {
    const prefixes = ['.meta.tmp-', '.pack.tmp-'].map((suffix) => privateName(this.#image.name, suffix));
    for (const name of this.#folder.names()) {
      if (prefixes.some((prefix) => name.startsWith(prefix))) this.#folder.remove(name);
    }
  }

  async #mayGoOn(bytes: number): Promise<void> {
    this.#options.signal.throwIfAborted();
    await this.#options.pace?.(bytes);
    this.#options.signal.throwIfAborted();
  }

  /** Lets signals and messages in. */
  async #breathe(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#options.signal.throwIfAborted();
  }
}

function* packTasks(
  { order, digests, chunks }: Content,
  file: Pick<PackTask, 'fd' | 'size' | 'level'>,
): Iterable<PackTask> {
  let chunk = 0;
  for (let group = 0; group < order.groups.length; group += groupsPerTask) {
    const groups = order.groups.slice(group, group + groupsPerTask);
    const count = groups.reduce((sum, one) => sum + one, 0);
    const sectors = order.sectors.slice(chunk, chunk + count);
    const wanted = new Uint8Array(count * digestBytes);
    for (const [index, sector] of sectors.entries()) {
      const rank = order.rankOf(sector);
      assert(chunks[rank] === chunk + index, `sector ${sector} is not chunk ${chunk + index}`);
      wanted.set(digests.subarray(rank * digestBytes, (rank + 1) * digestBytes), index * digestBytes);
    }
    chunk += count;
    yield { kind: 'pack', ...file, sectors, digests: wanted, groups };
  }
}

function writeFully(fd: number, bytes: Uint8Array, position: number): number {
  let done = 0;
  while (done < bytes.length) done += writeSync(fd, bytes, done, bytes.length - done, position + done);
  return done;
}

function encoded(image: ImageFile, table: Parameters<typeof encodeMeta>[0]): Iterable<Uint8Array> {
  try {
    return encodeMeta(table);
  } catch (error) {
    if (!(error instanceof ContentError)) throw error;
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `${image.path}: ${error.message}.`,
      remedy: 'It is read without meta-data.',
      from: error,
    });
  }
}
