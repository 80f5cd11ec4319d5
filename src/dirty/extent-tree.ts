/**
 * Which record of the log has the newest bytes of each place of one file: disjoint extents in the order of their offsets.
 *
 *     leaves:  [ 0 .. ][ 512K .. ][ 7M .. ]      each up to 128 extents, in typed arrays: start, count, address
 *
 * Invariants: extents are disjoint, not empty and ascending; no leaf is empty; `bytes` is the sum of their counts. An extent is never
 * joined with another one: its address names the one record that it is a part of. About 28 bytes an extent, however long.
 */
import { assert } from '../base/mod.ts';

const mostEntries = 128;
const fewestEntries = 4;

class Leaf {
  starts: Float64Array;
  addresses: Float64Array;
  counts: Uint32Array;
  length = 0;

  constructor(capacity: number) {
    this.starts = new Float64Array(capacity);
    this.addresses = new Float64Array(capacity);
    this.counts = new Uint32Array(capacity);
  }

  endAt(index: number): number {
    return this.starts[index]! + this.counts[index]!;
  }

  insert(index: number, start: number, count: number, address: number): void {
    if (this.length === this.counts.length) this.#grow();
    this.starts.copyWithin(index + 1, index, this.length);
    this.addresses.copyWithin(index + 1, index, this.length);
    this.counts.copyWithin(index + 1, index, this.length);
    this.starts[index] = start;
    this.addresses[index] = address;
    this.counts[index] = count;
    this.length++;
  }

  remove(from: number, to: number): void {
    this.starts.copyWithin(from, to, this.length);
    this.addresses.copyWithin(from, to, this.length);
    this.counts.copyWithin(from, to, this.length);
    this.length -= to - from;
  }

  /** Moves what is at `index` and after it to a new leaf. */
  split(index: number): Leaf {
    const right = new Leaf(mostEntries);
    right.starts.set(this.starts.subarray(index, this.length));
    right.addresses.set(this.addresses.subarray(index, this.length));
    right.counts.set(this.counts.subarray(index, this.length));
    right.length = this.length - index;
    this.length = index;
    return right;
  }

  #grow(): void {
    const capacity = this.counts.length * 2;
    const { starts, addresses, counts } = this;
    this.starts = new Float64Array(capacity);
    this.addresses = new Float64Array(capacity);
    this.counts = new Uint32Array(capacity);
    this.starts.set(starts);
    this.addresses.set(addresses);
    this.counts.set(counts);
  }
}

export type VisitExtent = (offset: number, count: number, address: number) => void;

export class ExtentTree {
  #leaves: Leaf[] = [];
  #bytes = 0;
  #extents = 0;

  /** Sum of all counts. */
  get bytes(): number {
    return this.#bytes;
  }

  get extents(): number {
    return this.#extents;
  }

  /** The newest bytes of this place are in the record at `address`. */
  set(offset: number, count: number, address: number): void {
    if (count === 0) return;
    this.clear(offset, offset + count);
    let leafIndex = this.#leafFor(offset);
    let leaf = this.#leaves[leafIndex];
    if (leaf === undefined) {
      leaf = new Leaf(fewestEntries);
      this.#leaves.push(leaf);
    }
    let index = entryAfter(leaf, offset);
    if (leaf.length === mostEntries) {
      // At the very end a file is written in order: leaves are left full then.
      const atEnd = index === mostEntries && leafIndex === this.#leaves.length - 1;
      this.#leaves.splice(leafIndex + 1, 0, leaf.split(atEnd ? mostEntries : mostEntries / 2));
      if (index > leaf.length || atEnd) {
        index -= leaf.length;
        leafIndex++;
        leaf = this.#leaves[leafIndex]!;
      }
    }
    leaf.insert(index, offset, count, address);
    this.#bytes += count;
    this.#extents++;
  }

  /** Forgets [from, to): only what lies in records before `below`, if given. */
  clear(from: number, to: number, below = Number.POSITIVE_INFINITY): void {
    let leafIndex = this.#leafFor(from);
    let leaf = this.#leaves[leafIndex];
    if (leaf === undefined) return;
    let index = Math.max(0, entryAfter(leaf, from) - 1);
    while (leaf !== undefined) {
      if (index >= leaf.length) {
        leaf = this.#leaves[++leafIndex];
        index = 0;
        continue;
      }
      const start = leaf.starts[index]!;
      if (start >= to) return;
      const end = leaf.endAt(index);
      if (end <= from || leaf.addresses[index]! >= below) {
        index++;
      } else if (start < from || end > to) {
        if (this.#cut(leafIndex, index, from, to)) return;
        index++;
      } else {
        const run = this.#runInside(leaf, index, to, below);
        leaf.remove(index, run);
        if (leaf.length === 0) {
          this.#leaves.splice(leafIndex, 1);
          leaf = this.#leaves[leafIndex];
        }
      }
    }
  }

  /** Forgets all that lies in records before `below`. */
  sweep(below: number): void {
    this.clear(0, Number.POSITIVE_INFINITY, below);
  }

  /** The bytes of [from, to) that were in record `old` are in record `address` now. */
  readdress(from: number, to: number, old: number, address: number): void {
    for (let leafIndex = this.#leafFor(from); leafIndex < this.#leaves.length; leafIndex++) {
      const leaf = this.#leaves[leafIndex]!;
      for (let index = Math.max(0, entryAfter(leaf, from) - 1); index < leaf.length; index++) {
        if (leaf.starts[index]! >= to) return;
        if (leaf.addresses[index] === old) leaf.addresses[index] = address;
      }
    }
  }

  /** Shows the parts of extents inside [from, to), ascending. */
  walk(from: number, to: number, visit: VisitExtent): void {
    for (let leafIndex = this.#leafFor(from); leafIndex < this.#leaves.length; leafIndex++) {
      const leaf = this.#leaves[leafIndex]!;
      for (let index = Math.max(0, entryAfter(leaf, from) - 1); index < leaf.length; index++) {
        const start = Math.max(from, leaf.starts[index]!);
        if (start >= to) return;
        const end = Math.min(to, leaf.endAt(index));
        if (start < end) visit(start, end - start, leaf.addresses[index]!);
      }
    }
  }

  /** The extent at `index` covers more than [from, to): keeps what is outside. True if nothing after it is inside. */
  #cut(leafIndex: number, index: number, from: number, to: number): boolean {
    const leaf = this.#leaves[leafIndex]!;
    const start = leaf.starts[index]!;
    const end = leaf.endAt(index);
    this.#bytes -= Math.min(end, to) - Math.max(start, from);
    if (start >= from) {
      leaf.starts[index] = to;
      leaf.counts[index] = end - to;
      return true;
    }
    leaf.counts[index] = from - start;
    if (end <= to) return false;
    const address = leaf.addresses[index]!;
    if (leaf.length === mostEntries) {
      const right = leaf.split(mostEntries / 2);
      this.#leaves.splice(leafIndex + 1, 0, right);
      if (index >= leaf.length) right.insert(index - leaf.length + 1, to, end - to, address);
      else leaf.insert(index + 1, to, end - to, address);
    } else {
      leaf.insert(index + 1, to, end - to, address);
    }
    this.#extents++;
    return true;
  }

  /** Past the last of the extents from `index` on, in this leaf, that lie wholly before `to`; takes them off the sums. */
  #runInside(leaf: Leaf, index: number, to: number, below: number): number {
    let past = index;
    while (past < leaf.length && leaf.endAt(past) <= to && leaf.addresses[past]! < below) {
      this.#bytes -= leaf.counts[past]!;
      this.#extents--;
      past++;
    }
    assert(past > index, 'the first extent of a run is inside');
    return past;
  }

  /** The last leaf that begins at or before `offset`, or the first. */
  #leafFor(offset: number): number {
    let low = 0;
    let high = this.#leaves.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.#leaves[middle]!.starts[0]! <= offset) low = middle;
      else high = middle;
    }
    return low;
  }
}

/** The first entry of the leaf that begins after `offset`. */
function entryAfter(leaf: Leaf, offset: number): number {
  let low = 0;
  let high = leaf.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (leaf.starts[middle]! <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
