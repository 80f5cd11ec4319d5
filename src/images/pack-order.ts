/**
 * In which order a pack holds its chunks, and so their numbers: two classes, what no other pack has and what a sibling has, each in
 * the order in which blocks are wanted; blocks that no working set names come last, as in the file.
 *
 *     new:    blocks of working sets | all other blocks        shared:    blocks of working sets | all other blocks
 */
import { assert, limits } from '../base/mod.ts';
import { chunkBytes, groupChunks } from '../content/mod.ts';

/** Sectors of a block: 16, two bytes of the map. */
const blockSectors = limits.blockBytes / chunkBytes;
assert(blockSectors === 16, 'the ranks below count 16 sectors a block');
const unset = 0xffff_ffff;

export interface Described {
  /** One bit a sector of the file. */
  readonly dataMap: Uint8Array;
  /** A number for each data sector, equal for equal sectors, below `chunkCount`. */
  readonly chunks: Uint32Array;
  readonly chunkCount: number;
  /** One bit a chunk, set for those that a sibling has. */
  readonly shared: Uint8Array;
}

export interface PackOrder {
  /** The number in the pack of each chunk. */
  readonly numbers: Uint32Array;
  /** Where the file has each chunk, by its number in the pack: where it is wanted first. */
  readonly sectors: Uint32Array;
  /** Chunks of the first class. */
  readonly newCount: number;
  /** Chunks of each group. A group is of one class. */
  readonly groups: Uint8Array;
  /** How many data sectors are before this one. */
  rankOf(sector: number): number;
}

/**
 * `wanted`: blocks in the order in which they are wanted; the first time counts. `room`: for two numbers a chunk, which the result
 * takes; a garbage collector would let go of other memory too late.
 */
export function packOrder(
  { dataMap, chunks, chunkCount, shared }: Described,
  wanted: Iterable<number>,
  room: Uint32Array = new Uint32Array(2 * chunkCount),
): PackOrder {
  const ranks = ranksOf(dataMap);
  const blockCount = ranks.length;
  const order = orderOf(wanted, blockCount);
  const numbers = room.subarray(0, chunkCount).fill(unset);
  const sectors = room.subarray(chunkCount, 2 * chunkCount);
  let next = 0;
  const walk = (block: number, isShared: number): void => {
    let bits = dataMap[2 * block]! | ((dataMap[2 * block + 1] ?? 0) << 8);
    for (let rank = ranks[block]!; bits !== 0; rank++) {
      const chunk = chunks[rank]!;
      if (numbers[chunk] === unset && ((shared[chunk >>> 3]! >>> (chunk & 7)) & 1) === isShared) {
        sectors[next] = blockSectors * block + 31 - Math.clz32(bits & -bits);
        numbers[chunk] = next++;
      }
      bits &= bits - 1;
    }
  };
  const walkAll = (isShared: number): void => {
    for (const block of order.first) walk(block, isShared);
    for (let block = 0; block < blockCount; block++) if (!order.has(block)) walk(block, isShared);
  };
  walkAll(0);
  const newCount = next;
  walkAll(1);
  assert(next === chunkCount, `${next} of ${chunkCount} chunks have a number`);
  const rankOf = (sector: number): number => {
    const block = Math.floor(sector / blockSectors);
    const below = (1 << (sector % blockSectors)) - 1;
    return ranks[block]! + bitsIn((dataMap[2 * block]! | ((dataMap[2 * block + 1] ?? 0) << 8)) & below);
  };
  return { numbers, sectors, newCount, groups: groupsOf(newCount, chunkCount - newCount), rankOf };
}

/** How many data sectors are before each block. */
function ranksOf(dataMap: Uint8Array): Uint32Array {
  const ranks = new Uint32Array(Math.ceil(dataMap.length / 2));
  let rank = 0;
  for (let block = 0; block < ranks.length; block++) {
    ranks[block] = rank;
    rank += bitsIn(dataMap[2 * block]! | ((dataMap[2 * block + 1] ?? 0) << 8));
  }
  return ranks;
}

function orderOf(wanted: Iterable<number>, blockCount: number): { first: number[]; has(block: number): boolean } {
  const seen = new Uint8Array(Math.ceil(blockCount / 8));
  const has = (block: number): boolean => ((seen[block >>> 3]! >>> (block & 7)) & 1) === 1;
  const first: number[] = [];
  for (const block of wanted) {
    if (block >= blockCount || has(block)) continue;
    seen[block >>> 3]! |= 1 << (block & 7);
    first.push(block);
  }
  return { first, has };
}

function groupsOf(newCount: number, sharedCount: number): Uint8Array {
  const groups: number[] = [];
  for (const count of [newCount, sharedCount]) {
    for (let left = count; left > 0; left -= groupChunks) groups.push(Math.min(left, groupChunks));
  }
  return Uint8Array.from(groups);
}

function bitsIn(value: number): number {
  let bits = value - ((value >>> 1) & 0x5555);
  bits = (bits & 0x3333) + ((bits >>> 2) & 0x3333);
  bits = (bits + (bits >>> 4)) & 0x0f0f;
  return (bits + (bits >>> 8)) & 0x1f;
}
