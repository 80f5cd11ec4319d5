/** Working sets of several runs made one: what most runs wanted, in the mean order in which they wanted it. */
import { assert, limits } from '../base/mod.ts';
import type { WorkingSet } from './contract.ts';

/** Runs beyond which all weights are halved: what only long ago runs touched fades, and a changed guest is learned anew. */
const mostRuns = 64;

interface Block {
  readonly block: number;
  weight: number;
  /** Sum of its positions, each as often as it has weight. */
  positions: number;
  /** It is in the newest set, and does not fade away in the merge that first learns of it. */
  readonly fresh: boolean;
}

/**
 * `sets`: the newest first; the result has its stamp and purpose, and no blocks beyond that version's end. Of more blocks than
 * `mostBlocks`, those touched in most runs stay, among equals the earlier wanted ones.
 */
export function mergeWorkingSets(sets: readonly WorkingSet[], options: { readonly mostBlocks: number }): WorkingSet {
  const newest = sets[0];
  assert(newest !== undefined, 'there is a working set to merge');
  const blockEnd = Math.ceil(newest.stamp.size / limits.blockBytes);
  const found = new Map<number, Block>();
  let runs = 0;
  for (const set of sets) {
    runs += set.runs;
    for (let position = 0; position < set.blocks.length; position++) {
      const block = set.blocks[position]!;
      if (block >= blockEnd) continue;
      const weight = set.weights[position]!;
      const entry = found.get(block);
      if (entry === undefined) found.set(block, { block, weight, positions: position * weight, fresh: set === newest });
      else {
        entry.weight += weight;
        entry.positions += position * weight;
      }
    }
  }
  const kept = chosen([...found.values()], Math.min(options.mostBlocks, limits.workingSetBlocks));
  return faded(newest, kept, runs);
}

function chosen(blocks: Block[], mostBlocks: number): Block[] {
  if (blocks.length > mostBlocks) {
    blocks.sort((a, b) => b.weight - a.weight || byPosition(a, b));
    blocks.length = mostBlocks;
  }
  return blocks.sort(byPosition);
}

function byPosition(a: Block, b: Block): number {
  return a.positions / a.weight - b.positions / b.weight || a.block - b.block;
}

function faded(newest: WorkingSet, blocks: readonly Block[], runs: number): WorkingSet {
  const divisor = 2 ** Math.max(0, Math.ceil(Math.log2(runs / mostRuns)));
  const weightOf = (entry: Block): number => Math.max(Math.floor(entry.weight / divisor), entry.fresh ? 1 : 0);
  const kept = blocks.filter((entry) => weightOf(entry) > 0);
  return {
    stamp: newest.stamp,
    purpose: newest.purpose,
    blocks: Uint32Array.from(kept, (entry) => entry.block),
    weights: Uint8Array.from(kept, weightOf),
    runs: Math.floor(runs / divisor),
  };
}
