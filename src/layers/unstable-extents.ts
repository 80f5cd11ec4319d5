/**
 * Data of one file that the origin has taken UNSTABLE: kept until the origin's COMMIT, to be sent again if it restarts first.
 *
 *     extents, ordered and disjoint    [0 .. 4096) v1   [8192 .. 12288) v2   [12288 .. 16384) v2
 *
 * Invariants: a newer write replaces what it overlaps, so that extents may be sent again in any order; every extent owns its
 * buffer alone, and the buffer is at most twice the extent; `bytes` is what all of them hold, with an allowance for each so that
 * one-byte writes are bounded too.
 */
import type { Call, Verifier } from '../vfs/mod.ts';

export interface Extent {
  readonly offset: number;
  readonly data: Buffer;
  /** The origin's verifier in the reply to the WRITE. */
  readonly verifier: Verifier;
  /** When the reply came, in the layer's order of events. */
  readonly tick: number;
  /** Who wrote it. */
  readonly call: Call;
}

/** What an extent costs beside its data. */
const extentOverheadBytes = 256;

export class UnstableExtents {
  #extents: Extent[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#extents.length;
  }

  list(): readonly Extent[] {
    return this.#extents;
  }

  /** Extents that were taken by another instance of the origin than this one. */
  lost(verifier: Verifier): Extent[] {
    return this.#extents.filter((extent) => extent.verifier !== verifier);
  }

  hasLost(verifier: Verifier): boolean {
    return this.#extents.some((extent) => extent.verifier !== verifier);
  }

  add(extent: Extent): void {
    if (extent.data.length === 0) return;
    this.cut(extent.offset, extent.offset + extent.data.length);
    this.#extents.splice(this.#firstEndingAfter(extent.offset), 0, extent);
    this.#bytes += cost(extent);
  }

  /** Forgets [start, end): overwritten by stable data, or truncated. With `tick`, only what came before it. */
  cut(start: number, end: number, tick = Number.POSITIVE_INFINITY): void {
    const first = this.#firstEndingAfter(start);
    let last = first;
    while (last < this.#extents.length && this.#extents[last]!.offset < end) last++;
    if (first === last) return;
    const pieces: Extent[] = [];
    for (const extent of this.#extents.slice(first, last)) {
      this.#bytes -= cost(extent);
      if (extent.tick >= tick) {
        pieces.push(extent);
        continue;
      }
      const extentEnd = extent.offset + extent.data.length;
      const head = extent.offset < start;
      const tail = extentEnd > end;
      if (head) pieces.push(part(extent, extent.offset, start));
      if (tail) pieces.push(part(extent, end, extentEnd));
    }
    for (const piece of pieces) this.#bytes += cost(piece);
    this.#extents.splice(first, last - first, ...pieces);
  }

  /** The origin has committed [start, end) as the instance `verifier`, by a COMMIT that was issued at `tick`. */
  committed(start: number, end: number, verifier: Verifier, tick: number): void {
    this.#extents = this.#extents.filter((extent) => {
      const inside = extent.offset >= start && extent.offset + extent.data.length <= end;
      if (!inside || extent.verifier !== verifier || extent.tick >= tick) return true;
      this.#bytes -= cost(extent);
      return false;
    });
  }

  clear(): void {
    this.#extents = [];
    this.#bytes = 0;
  }

  /** Index of the first extent that ends after `offset`. */
  #firstEndingAfter(offset: number): number {
    let low = 0;
    let high = this.#extents.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const extent = this.#extents[middle]!;
      if (extent.offset + extent.data.length > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function cost(extent: Extent): number {
  return extent.data.buffer.byteLength + extentOverheadBytes;
}

/** [start, end) of the extent; copied if it would hold more than twice its size. Of two parts one always is. */
function part(extent: Extent, start: number, end: number): Extent {
  const view = extent.data.subarray(start - extent.offset, end - extent.offset);
  const copies = view.length * 2 < extent.data.buffer.byteLength;
  return { ...extent, offset: start, data: copies ? copied([view], view.length) : view };
}

/** A copy of the first `length` bytes of the slices, in a buffer of its own. */
export function copied(slices: readonly Uint8Array[], length: number): Buffer {
  const target = Buffer.allocUnsafeSlow(length);
  let position = 0;
  for (let i = 0; i < slices.length && position < length; i++) {
    const slice = slices[i]!;
    const piece = position + slice.length > length ? slice.subarray(0, length - position) : slice;
    target.set(piece, position);
    position += piece.length;
  }
  return target;
}
