/**
 * Meta-data for the same bytes after a copy, a rename, chmod or touch: the image is read and compared, and if every sector is what they
 * say, the header gets the new stamp, and meta-data and pack the owner and mode of the image. The pack stays as it is.
 */
import { fstatSync, fsyncSync } from 'node:fs';
import { type Clock, type Random, ViaductError } from '../base/mod.ts';
import { metaName, withStamp } from '../content/mod.ts';
import { closeDescriptor } from '../native/mod.ts';
import { sameStamp } from '../vfs/mod.ts';
import { type Comparison, compare } from './compare.ts';
import { checkOwner, followImage } from './content-folder.ts';
import { attempt, ifPossible } from './failure.ts';
import { fitOf, fits } from './fit.ts';
import { writeFully } from './fully.ts';
import type { FileStatus } from './image-file.ts';
import { type LocalMeta, openPack, readAt } from './local-meta.ts';
import { type ImageWithMeta, notPacked, openMeta, withMeta } from './open-meta.ts';
import { packPartNames, removePackPart } from './pack-part.ts';
import { lockImage } from './part-file.ts';
import { privateName } from './paths.ts';
import { changed, type ReadingOptions, settled } from './reading.ts';

export interface AdoptOptions extends ReadingOptions {
  readonly clock: Clock;
  readonly random: Random;
}

export interface AdoptReport extends Comparison {
  readonly path: string;
  /** `current`: nothing was to be done; `different`: the file has other bytes, and nothing was changed. */
  readonly outcome: 'adopted' | 'current' | 'different';
}

const same: Comparison = { wrongSectors: 0, firstWrong: undefined, damagedPages: [] };
const copyBytes = 1024 * 1024;

/** `path`: binary. */
export function adoptImage(path: string, options: AdoptOptions): Promise<AdoptReport> {
  return withMeta(path, async (open) => {
    const { image, folder } = open;
    checkOwner(image, image.status());
    const early = answerOf(open);
    if (early !== undefined) return early;
    const lock = lockImage(folder, image.name, image.path);
    let meta: LocalMeta | undefined;
    let isDone = false;
    try {
      // Again: another packer may have put others there before the lock was ours.
      meta = openMeta(folder, image);
      const report = await adoptLocked({ image, folder, meta }, options);
      isDone = report.outcome !== 'different';
      return report;
    } finally {
      meta?.close();
      // What a packer left is gone on with by the next one, unless there is nothing left to pack.
      ifPossible(() => {
        if (isDone) removePackPart(folder, packPartNames(image.name));
        if (isDone || fstatSync(lock.fd).size === 0) folder.remove(privateName(image.name, '.part'));
      });
      closeDescriptor(lock.fd);
    }
  });
}

/** What can be said without looking at any byte of the image. */
function answerOf({ image, folder, meta }: ImageWithMeta): AdoptReport | undefined {
  const status = image.status();
  if (fits(fitOf(folder, image.name, meta, status))) return { path: image.path, outcome: 'current', ...same };
  if (status.stamp.size === meta.head.stamp.size) return undefined;
  const compared = { wrongSectors: meta.head.sectorCount, firstWrong: 0, damagedPages: [] };
  return { path: image.path, outcome: 'different', ...compared };
}

async function adoptLocked(open: ImageWithMeta, options: AdoptOptions): Promise<AdoptReport> {
  const { image, folder, meta } = open;
  const early = answerOf(open);
  if (early !== undefined) return early;
  const pack = meta.head.packId === undefined ? undefined : openPack(folder, image.name, meta.head);
  if (typeof pack === 'string') throw notPacked(`${image.path}: ${pack}`);
  try {
    const status = await settled(image, options);
    const compared = await compare(image, meta, options);
    if (compared.wrongSectors > 0 || compared.damagedPages.length > 0) {
      return { path: image.path, outcome: 'different', ...compared };
    }
    rewrite(open, status, pack, options.random);
    return { path: image.path, outcome: 'adopted', ...compared };
  } finally {
    if (pack !== undefined) closeDescriptor(pack);
  }
}

function rewrite(
  { image, folder, meta }: ImageWithMeta,
  status: FileStatus,
  pack: number | undefined,
  random: Random,
): void {
  const name = metaName(image.name)!;
  const temporary = privateName(image.name, `.meta.tmp-${random.uint32().toString(16).padStart(8, '0')}`);
  const fd = folder.create(temporary);
  try {
    followImage(fd, image, status);
    attempt(`write ${meta.path}`, () => {
      for (let at = 0; at < meta.head.metaBytes; ) {
        const bytes = readAt(meta.fd, at, Math.min(copyBytes, meta.head.metaBytes - at), meta.path);
        if (bytes.length === 0) throw new ViaductError('IMAGE_UNREADABLE', shortened(meta.path));
        if (at === 0) bytes.set(withStamp(bytes, status.stamp));
        at += writeFully(fd, bytes, at);
      }
      fsyncSync(fd);
    });
    if (!sameStamp(image.status().stamp, status.stamp) || !image.isStillNamed()) throw changed(image.path);
    if (pack !== undefined) followImage(pack, image, status);
    folder.put(temporary, name);
    folder.sync();
  } finally {
    closeDescriptor(fd);
    folder.remove(temporary);
  }
}

function shortened(path: string): { cause: string; remedy: string } {
  return { cause: `${path} became shorter while it was copied.`, remedy: 'Pack the image: viaduct image pack FILE.' };
}
