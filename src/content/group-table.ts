/**
 * Where the groups lie in the pack, and which chunks each holds. Stored as four planes of one byte a group: the stored bytes,
 * lowest byte first, then the chunk count.
 */
import { assert } from '../base/mod.ts';
import { ContentError, chunkBytes, type GroupPlace, groupChunks } from './contract.ts';

/** Of the pack's header; the first group follows it. */
export const packHeaderBytes = 4096;
/** Bytes of the table in the meta-data file, and in memory, for each group. */
export const groupEntryBytes = 4;
export const groupMemoryBytes = 12;

export class GroupTable {
  readonly groupCount: number;
  /** Offset in the pack; one more, its end. */
  readonly #offsets: Float64Array;
  readonly #firstChunks: Uint32Array;

  constructor(planes: Uint8Array, groupCount: number) {
    this.groupCount = groupCount;
    this.#offsets = new Float64Array(groupCount + 1);
    this.#firstChunks = new Uint32Array(groupCount + 1);
    let offset = packHeaderBytes;
    let chunk = 0;
    for (let group = 0; group < groupCount; group++) {
      this.#offsets[group] = offset;
      this.#firstChunks[group] = chunk;
      const low = planes[group]! | (planes[groupCount + group]! << 8);
      const count = low | (planes[2 * groupCount + group]! << 16);
      const chunks = planes[3 * groupCount + group]!;
      if (!isGroup(count, chunks)) throw new ContentError('the table of groups is damaged');
      offset += count;
      chunk += chunks;
    }
    this.#offsets[groupCount] = offset;
    this.#firstChunks[groupCount] = chunk;
  }

  get packBytes(): number {
    return this.#offsets[this.groupCount]!;
  }

  get chunkCount(): number {
    return this.#firstChunks[this.groupCount]!;
  }

  at(group: number): GroupPlace {
    const offset = this.#offsets[group]!;
    const firstChunk = this.#firstChunks[group]!;
    return {
      group,
      offset,
      count: this.#offsets[group + 1]! - offset,
      firstChunk,
      chunkCount: this.#firstChunks[group + 1]! - firstChunk,
    };
  }

  /** The group that holds the chunk. */
  find(chunk: number): number {
    let low = 0;
    let high = this.groupCount - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#firstChunks[middle]! <= chunk) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

function isGroup(count: number, chunks: number): boolean {
  return chunks > 0 && chunks <= groupChunks && count > 0 && count <= chunks * chunkBytes;
}

export function encodeGroups(bytes: Uint32Array, chunks: Uint8Array): Uint8Array {
  const count = bytes.length;
  assert(chunks.length === count, 'each group has bytes and chunks');
  const planes = new Uint8Array(groupEntryBytes * count);
  for (let group = 0; group < count; group++) {
    assert(isGroup(bytes[group]!, chunks[group]!), `group ${group}: ${bytes[group]} bytes, ${chunks[group]} chunks`);
    planes[group] = bytes[group]!;
    planes[count + group] = bytes[group]! >>> 8;
    planes[2 * count + group] = bytes[group]! >>> 16;
  }
  planes.set(chunks, 3 * count);
  return planes;
}
