/** What the meta-data of an image say of it. Reads meta-data only, never the image. */
import { ContentError, chunkBytes, digestBytes, sameVersion } from '../content/mod.ts';
import { DigestTable } from './digest-table.ts';
import { type Fit, fitOf } from './fit.ts';
import type { LocalMeta } from './local-meta.ts';
import { notPacked, withMeta } from './open-meta.ts';
import { findShared, type Sibling } from './siblings.ts';
import { readWorkingSets } from './working-sets.ts';

export interface InspectedSet {
  readonly purpose: string;
  readonly blocks: number;
  readonly runs: number;
  /** Of this version of the file. */
  readonly isCurrent: boolean;
}

export interface InspectedImage {
  readonly path: string;
  readonly fit: Fit;
  readonly sizeBytes: number;
  readonly zeroBytes: number;
  readonly dataBytes: number;
  readonly distinctBytes: number;
  readonly sharedBytes: number;
  readonly siblings: readonly Sibling[];
  readonly metaBytes: number;
  readonly headBytes: number;
  /** Hosts that use it fetch all of it. */
  readonly isWantedWhole: boolean;
  readonly pack:
    | {
        readonly bytes: number;
        readonly groups: number;
        /** Stored bytes of a group. */
        readonly smallest: number;
        readonly median: number;
        readonly largest: number;
        /** Groups that are stored as they are. */
        readonly uncompressed: number;
      }
    | undefined;
  readonly workingSets: readonly InspectedSet[];
}

/** `path`: binary. `others`: further images or folders whose chunks may be in it. */
export function inspectImage(
  path: string,
  { others, signal }: { readonly others: readonly string[]; readonly signal: AbortSignal },
): Promise<InspectedImage> {
  return withMeta(path, async ({ image, folder, meta }) => {
    const { head } = meta;
    const digests = digestsOf(meta, image.path);
    const table = new DigestTable(digests);
    for (let chunk = 0; chunk < head.chunkCount; chunk++) table.add(chunk);
    const breathe = async (): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
    };
    const search = { image, folder, others, chunkCount: head.chunkCount, breathe };
    const shared = await findShared({ ...search, find: (digest) => table.find(digest) });
    const status = image.status();
    const sizeBytes = head.stamp.size;
    const dataBytes = Math.min(sizeBytes, head.dataSectorCount * chunkBytes);
    return {
      path: image.path,
      fit: fitOf(folder, image.name, meta, status),
      sizeBytes,
      zeroBytes: sizeBytes - dataBytes,
      dataBytes,
      distinctBytes: head.chunkCount * chunkBytes,
      sharedBytes: shared.count * chunkBytes,
      siblings: shared.siblings,
      metaBytes: head.metaBytes,
      headBytes: headBytesOf(meta),
      isWantedWhole: head.isWantedWhole,
      pack: packOf(meta),
      workingSets: readWorkingSets(folder, image.name).map(({ purpose, blocks, runs, stamp }) => ({
        ...{ purpose, blocks: blocks.length, runs },
        isCurrent: sameVersion(stamp, status.stamp),
      })),
    };
  });
}

/** Of each chunk. */
function digestsOf(meta: LocalMeta, path: string): Uint8Array {
  const digests = new Uint8Array(meta.head.chunkCount * digestBytes);
  try {
    for (const { chunk, digest } of meta.chunks()) digests.set(digest, chunk * digestBytes);
  } catch (error) {
    if (error instanceof ContentError) throw notPacked(`the meta-data of ${path} are damaged: ${error.message}`);
    throw error;
  }
  return digests;
}

/** Pages begin where the head ends. */
function headBytesOf({ head }: LocalMeta): number {
  return head.pageCount === 0 ? head.metaBytes : head.page(0).offset;
}

function packOf({ head }: LocalMeta): InspectedImage['pack'] {
  if (head.packId === undefined) return undefined;
  const sizes = new Uint32Array(head.groupCount);
  let uncompressed = 0;
  for (let group = 0; group < sizes.length; group++) {
    const { count, chunkCount } = head.groupAt(group);
    sizes[group] = count;
    if (count === chunkCount * chunkBytes) uncompressed++;
  }
  sizes.sort();
  return {
    ...{ bytes: head.packBytes, groups: head.groupCount, uncompressed },
    smallest: sizes[0] ?? 0,
    median: sizes[sizes.length >>> 1] ?? 0,
    largest: sizes.at(-1) ?? 0,
  };
}
