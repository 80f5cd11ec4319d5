/**
 * The second pass over an image: its chunks are read again, in the order of the pack, and compressed in groups.
 *
 *     what was found, in which order ──fingerprint──► pack part: groups that are there ──► tasks (threads) for the others ──► appended
 */
import { createHash } from 'node:crypto';
import { assert } from '../base/mod.ts';
import { chunkBytes, digestBytes, encodePackHeader } from '../content/mod.ts';
import { inOrder } from './crew.ts';
import type { PackOrder } from './pack-order.ts';
import type { PackPart } from './pack-part.ts';
import { attemptAsync, changed, type ReadingOptions } from './reading.ts';
import type { Shared } from './siblings.ts';
import type { PackResult, PackTask } from './tasks.ts';

/** What the first pass found, and what is equal in it. */
export interface Content {
  readonly dataMap: Uint8Array;
  readonly digests: Uint8Array;
  /** First a number by first appearance, then the number in the pack. */
  readonly chunks: Uint32Array;
  readonly chunkCount: number;
  readonly shared: Shared;
  readonly order: PackOrder;
}

/** Groups that one task compresses: a MiB or so. */
const groupsPerTask = 8;
const hashedPerBreath = 8 * 1024 * 1024;

/** Of all that decides the bytes of the pack but its id: what the chunks are, their order and groups, how they are compressed. */
export async function fingerprintOf(
  { dataMap, digests, order }: Content,
  level: number | undefined,
  breathe: () => Promise<void>,
): Promise<string> {
  const { sectors, groups } = order;
  const parts = [dataMap, digests, new Uint8Array(sectors.buffer, sectors.byteOffset, sectors.byteLength), groups];
  const lengths = parts.map(({ length }) => length);
  const hash = createHash('sha256');
  hash.update(JSON.stringify({ lengths, level, groupsPerTask, zstd: process.versions.zstd }));
  // Which version of the format it is.
  hash.update(encodePackHeader(new Uint8Array(16)));
  for (const part of parts) {
    for (let at = 0; at < part.length; at += hashedPerBreath) {
      hash.update(part.subarray(at, at + hashedPerBreath));
      await breathe();
    }
  }
  return hash.digest('hex');
}

/** Appends what the part has not. */
export async function writeGroups(
  part: PackPart,
  content: Content,
  file: Pick<PackTask, 'fd' | 'size' | 'level'> & { readonly path: string },
  options: Pick<ReadingOptions, 'crew' | 'onProgress'> & { readonly mayGoOn: (bytes: number) => Promise<void> },
): Promise<void> {
  const { path, ...read } = file;
  const { crew, onProgress, mayGoOn } = options;
  const first = part.groupCount;
  let done = chunksIn(content.order.groups.subarray(0, first));
  const tell = (): void =>
    onProgress?.({ path, stage: 'pack', doneBytes: done * chunkBytes, totalBytes: content.chunkCount * chunkBytes });
  if (first > 0) tell();
  const take = (result: PackResult, task: PackTask): void => {
    if (result.isChanged) throw changed(path);
    part.append(result);
    done += task.sectors.length;
    tell();
  };
  await attemptAsync(`read ${path}`, () =>
    inOrder(crew, packTasks(content, read, first), take, ({ sectors }) => mayGoOn(sectors.length * chunkBytes)),
  );
}

function* packTasks(
  { order, digests, chunks }: Content,
  file: Pick<PackTask, 'fd' | 'size' | 'level'>,
  firstGroup: number,
): Iterable<PackTask> {
  let chunk = chunksIn(order.groups.subarray(0, firstGroup));
  for (let group = firstGroup; group < order.groups.length; group += groupsPerTask) {
    const groups = order.groups.slice(group, group + groupsPerTask);
    const count = chunksIn(groups);
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

function chunksIn(groups: Uint8Array): number {
  return groups.reduce((sum, count) => sum + count, 0);
}
