/** All that the meta-data and the pack of an image say, compared with its bytes. Reads only. */
import { digestBytes, type GroupPlace } from '../content/mod.ts';
import { closeDescriptor } from '../native/mod.ts';
import { type Comparison, compare } from './compare.ts';
import { inOrder } from './crew.ts';
import { type Fit, fitOf } from './fit.ts';
import type { ImageFile } from './image-file.ts';
import { openPack } from './local-meta.ts';
import { type ImageWithMeta, withMeta } from './open-meta.ts';
import { attemptAsync, type ReadingOptions } from './reading.ts';
import type { CheckResult, CheckTask } from './tasks.ts';

export interface VerifyReport extends Comparison {
  readonly path: string;
  readonly fit: Fit;
  /** Why the meta-data cannot be used at all: damaged at their head, or of another format version. Then nothing was compared. */
  readonly unusable?: string;
  readonly checkedBytes: number;
  readonly checkedGroups: number;
  /** Groups of the pack that do not hold what the digests say. */
  readonly damagedGroups: readonly number[];
  readonly isRight: boolean;
}

const groupsPerTask = 8;

/** `path`: binary. */
export function verifyImage(path: string, options: ReadingOptions): Promise<VerifyReport> {
  return withMeta(path, (open) => verifyOpen(open, options), unusableReport);
}

async function verifyOpen(open: ImageWithMeta, options: ReadingOptions): Promise<VerifyReport> {
  const { image, folder, meta } = open;
  const { head } = meta;
  const status = image.status();
  const fit = fitOf(folder, image.name, meta, status);
  // Bytes of a file of another size are beyond comparing.
  const isComparable = status.stamp.size === head.stamp.size;
  const digests = new Uint8Array(head.chunkCount * digestBytes);
  const learn = (chunk: number, digest: Uint8Array): void => digests.set(digest, chunk * digestBytes);
  const compared: Comparison = isComparable
    ? await compare(image, meta, options, learn)
    : { wrongSectors: head.sectorCount, firstWrong: 0, damagedPages: [] };
  const damagedGroups = isComparable ? await checkGroups(open, digests, options) : [];
  const isWhole = compared.wrongSectors + compared.damagedPages.length + damagedGroups.length === 0;
  return {
    path: image.path,
    fit,
    ...compared,
    checkedBytes: isComparable ? head.stamp.size : 0,
    checkedGroups: isComparable && fit.packless === undefined ? head.groupCount : 0,
    damagedGroups,
    isRight: isWhole && Object.keys(fit).length === 0,
  };
}

function unusableReport({ path }: ImageFile, unusable: string): VerifyReport {
  const nothing = { wrongSectors: 0, firstWrong: undefined, damagedPages: [], damagedGroups: [] };
  return { path, fit: {}, unusable, ...nothing, checkedBytes: 0, checkedGroups: 0, isRight: false };
}

async function checkGroups(
  { image, folder, meta }: ImageWithMeta,
  digests: Uint8Array,
  { crew, signal, onProgress }: ReadingOptions,
): Promise<number[]> {
  const { head } = meta;
  if (head.packId === undefined) return [];
  const fd = openPack(folder, image.name, head);
  // `fit` tells it already.
  if (typeof fd === 'string') return [];
  const tasks = function* (): Iterable<CheckTask> {
    for (let group = 0; group < head.groupCount; group += groupsPerTask) {
      const places: GroupPlace[] = [];
      for (let at = group; at < Math.min(group + groupsPerTask, head.groupCount); at++) places.push(head.groupAt(at));
      const last = places.at(-1)!;
      const [first, end] = [places[0]!.firstChunk, last.firstChunk + last.chunkCount];
      yield { kind: 'check', fd, places, digests: digests.slice(first * digestBytes, end * digestBytes) };
    }
  };
  const damaged: number[] = [];
  const take = (result: CheckResult, { places }: CheckTask): void => {
    damaged.push(...result.damaged);
    const { offset, count } = places.at(-1)!;
    onProgress?.({ path: image.path, stage: 'pack', doneBytes: offset + count, totalBytes: head.packBytes });
  };
  try {
    await attemptAsync(`read the pack of ${image.path}`, () =>
      inOrder(crew, tasks(), take, () => signal.throwIfAborted()),
    );
  } finally {
    closeDescriptor(fd);
  }
  return damaged;
}
