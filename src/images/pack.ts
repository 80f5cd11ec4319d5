/**
 * Packs one image: its meta-data and its pack are made beside it, under private names, and put in place when all of both is on the
 * disk. The image is only read, and packed only if it was the same file before and after.
 *
 *     settled ──► scan (threads) ──► .part ──► equal chunks ──► siblings, working sets: order ──► pack (threads) ──► .pack-part
 *      2 s old    holes are skipped  survives                                                                        survives kill -9 too
 *                                    kill -9     remove both ◄── rename meta ◄── rename pack ◄── same file? ◄── meta ◄──┘
 *
 * Memory: 28 bytes for each 4 KiB of data (digest 16, chunk 4, and 8 for the table of digests, later for the order), up to 4 for chunk
 * numbers as the meta-data have them, 0.4 for each 4 KiB of the file; beside it 0.2 GiB with two threads.
 */
import { fsyncSync } from 'node:fs';
import { type Clock, type Random, ViaductError } from '../base/mod.ts';
import { ContentError, chunkBytes, digestBytes, encodeMeta, metaName, newPackId, packName } from '../content/mod.ts';
import { closeDescriptor } from '../native/mod.ts';
import { type FileStamp, sameStamp } from '../vfs/mod.ts';
import { ContentFolder, checkOwner, followImage } from './content-folder.ts';
import { inOrder } from './crew.ts';
import { DigestTable } from './digest-table.ts';
import { attempt, ifPossible } from './failure.ts';
import { fitOf, fits } from './fit.ts';
import { writeFully } from './fully.ts';
import { type FileStatus, ImageFile } from './image-file.ts';
import { LocalMeta } from './local-meta.ts';
import { type Content, fingerprintOf, writeGroups } from './pack-groups.ts';
import { packOrder } from './pack-order.ts';
import { PackPart, type PackPartNames, packPartNames, removePackPart } from './pack-part.ts';
import { PartFile } from './part-file.ts';
import { privateName } from './paths.ts';
import { attemptAsync, changed, onDisk, pageLength, pagesWithData, type ReadingOptions, settled } from './reading.ts';
import { findShared, type Sibling } from './siblings.ts';
import { pageBytes, type ScanTask } from './tasks.ts';
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
  /** Bytes of the pack that an earlier packer had made. */
  readonly resumedPackBytes: number;
}

const ranksPerBreath = 500_000;

/** `path`: binary. Throws a ViaductError, or the reason of an abort, after which what was found and compressed is kept; the file is never touched, and what lay beside it stays until it is replaced. */
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
        resumedPackBytes: 0,
      },
    };
  } finally {
    meta.close();
  }
}

class Packing {
  readonly #image: ImageFile;
  readonly #folder: ContentFolder;
  readonly #names: Names;
  readonly #options: PackOptions;
  /** Names that no other packer has. */
  readonly #temporary: { readonly meta: string } & PackPartNames;

  constructor(image: ImageFile, folder: ContentFolder, names: Names, options: PackOptions) {
    this.#image = image;
    this.#folder = folder;
    this.#names = names;
    this.#options = options;
    const own = options.random.uint32().toString(16).padStart(8, '0');
    this.#temporary = {
      meta: privateName(image.name, `.meta.tmp-${own}`),
      part: privateName(image.name, `.pack.tmp-${own}`),
      list: privateName(image.name, `.list.tmp-${own}`),
    };
  }

  async run(): Promise<PackReport> {
    const status = await settled(this.#image, this.#options);
    const part = new PartFile(this.#folder, this.#image, status.stamp);
    try {
      this.#removeLeftOvers();
      const resumedBytes = await this.#scan(part, status.stamp);
      const report = await this.#finish(part, status);
      ifPossible(() => this.#forget(part));
      return { ...report, resumedBytes };
    } catch (error) {
      // A disk that is full needs the room; digests of another version are of no use.
      if (error instanceof ViaductError && (error.code === 'DISK_FULL' || error.code === 'IMAGE_CHANGED'))
        ifPossible(() => this.#forget(part));
      throw error;
    } finally {
      ifPossible(() => this.#folder.remove(this.#temporary.meta));
      if (!part.isLocked) ifPossible(() => removePackPart(this.#folder, this.#temporary));
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
    const made = chunkCount === 0 ? undefined : await this.#openPackPart(part, content);
    try {
      if (made !== undefined) await this.#writeGroups(made, content, stamp);
      this.#checkSame(stamp);
      const pack = made === undefined ? undefined : { id, groupBytes: made.groupBytes, groupChunks: order.groups };
      const metaBytes = this.#writeMeta(status, {
        stamp,
        dataMap,
        digests,
        chunks,
        pack,
        isWantedWhole: this.#isWantedWhole(),
      });
      made?.seal(id, this.#image, status);
      this.#checkSame(stamp);
      this.#putInPlace(made);
      return {
        path: this.#image.path,
        outcome: 'packed',
        sizeBytes: stamp.size,
        dataBytes: chunks.length * chunkBytes,
        distinctBytes: chunkCount * chunkBytes,
        sharedBytes: shared.count * chunkBytes,
        siblings: shared.siblings,
        packBytes: made?.bytes ?? 0,
        metaBytes,
        resumedPackBytes: made?.resumedBytes ?? 0,
      };
    } finally {
      made?.close();
    }
  }

  async #openPackPart(part: PartFile, content: Content): Promise<PackPart> {
    const fingerprint = await fingerprintOf(content, this.#options.level, () => this.#breathe());
    // Without a lock another packer may have the same names, and different bytes for them.
    const names = part.isLocked ? packPartNames(this.#image.name) : this.#temporary;
    const path = this.#folder.pathOf(this.#names.pack);
    return PackPart.open(this.#folder, names, path, { fingerprint, groups: content.order.groups }, async (bytes) => {
      await this.#breathe();
      await this.#mayGoOn(bytes);
    });
  }

  #writeGroups(made: PackPart, content: Content, { size }: FileStamp): Promise<void> {
    const { fd, path } = this.#image;
    const { crew, onProgress, level } = this.#options;
    const mayGoOn = (bytes: number): Promise<void> => this.#mayGoOn(bytes);
    return writeGroups(made, content, { fd, path, size, level }, { crew, onProgress, mayGoOn });
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
  #putInPlace(made: PackPart | undefined): void {
    const { meta, pack } = this.#names;
    made?.put(pack);
    this.#folder.put(this.#temporary.meta, meta);
    if (made === undefined) this.#folder.remove(pack);
    this.#folder.sync();
  }

  #checkSame(stamp: FileStamp): void {
    if (!sameStamp(this.#image.status().stamp, stamp) || !this.#image.isStillNamed()) throw changed(this.#image.path);
  }

  /** The part file last: it is the lock. */
  #forget(part: PartFile): void {
    removePackPart(this.#folder, packPartNames(this.#image.name));
    part.remove();
  }

  /** Of a packer that was killed, and is not gone on with. Nobody else has the lock. */
  #removeLeftOvers(): void {
    const prefixes = ['.meta.tmp-', '.pack.tmp-', '.list.tmp-'].map((suffix) => privateName(this.#image.name, suffix));
    for (const name of this.#folder.names()) {
      const prefix = prefixes.find((one) => name.startsWith(one));
      // The names of other images may begin so too.
      if (prefix !== undefined && /^[0-9a-f]{8}$/.test(name.slice(prefix.length))) this.#folder.remove(name);
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
