/**
 * The sectors of a reply as they come together, in any order.
 *
 *     [offset        first, inner and last sectors        end)      a piece is zero, a whole sector of bytes, or missing
 */
import { assert, limits } from '../../base/mod.ts';
import type { ByteRange } from '../../cache/mod.ts';
import { cut } from '../block-cache/slices.ts';
import { zeroSlices } from './zeros.ts';

const { sectorBytes } = limits;

/** A range that was read from the file itself. */
export interface PlainPart extends ByteRange {
  readonly data: readonly Uint8Array[];
}

export class Pieces {
  readonly offset: number;
  readonly end: number;
  readonly firstSector: number;
  readonly endSector: number;
  zeroCount = 0;
  readonly #pieces: (Uint8Array | 'zero' | undefined)[];

  constructor(offset: number, end: number) {
    this.offset = offset;
    this.end = end;
    this.firstSector = Math.floor(offset / sectorBytes);
    this.endSector = Math.ceil(end / sectorBytes);
    this.#pieces = new Array(this.endSector - this.firstSector).fill(undefined);
  }

  get byteCount(): number {
    return this.end - this.offset;
  }

  put(sector: number, bytes: Uint8Array): void {
    this.#pieces[sector - this.firstSector] = bytes;
  }

  putZero(sector: number): void {
    this.#pieces[sector - this.firstSector] = 'zero';
    this.zeroCount++;
  }

  everyPut(isRight: (sector: number) => boolean): boolean {
    return this.#pieces.every((piece, index) => piece === undefined || isRight(this.firstSector + index));
  }

  /** What no piece is there for, of the sectors that are asked about: ascending, merged, within the range. */
  missing(isAsked: (sector: number) => boolean): ByteRange[] {
    const ranges: { offset: number; count: number }[] = [];
    for (const [index, piece] of this.#pieces.entries()) {
      if (piece !== undefined || !isAsked(this.firstSector + index)) continue;
      const { offset, end } = this.#rangeOf(index);
      const last = ranges.at(-1);
      if (last !== undefined && last.offset + last.count === offset) last.count += end - offset;
      else ranges.push({ offset, count: end - offset });
    }
    return ranges;
  }

  /** All of it, with the plain parts where no piece is. Neighbours in one buffer become one slice. */
  assemble(plain: readonly PlainPart[]): Uint8Array[] {
    const slices: Uint8Array[] = [];
    const parts = plain.toSorted((a, b) => a.offset - b.offset);
    let zeros = 0;
    for (const [index, piece] of this.#pieces.entries()) {
      const { offset, end } = this.#rangeOf(index);
      if (piece === 'zero') {
        zeros += end - offset;
        continue;
      }
      if (zeros > 0) slices.push(...zeroSlices(zeros));
      zeros = 0;
      if (piece === undefined) appendPlain(slices, parts, offset, end);
      else {
        const from = offset - (this.firstSector + index) * sectorBytes;
        append(slices, piece.subarray(from, from + end - offset));
      }
    }
    if (zeros > 0) slices.push(...zeroSlices(zeros));
    return slices;
  }

  #rangeOf(index: number): { offset: number; end: number } {
    const begin = (this.firstSector + index) * sectorBytes;
    return { offset: Math.max(begin, this.offset), end: Math.min(begin + sectorBytes, this.end) };
  }
}

function appendPlain(slices: Uint8Array[], parts: readonly PlainPart[], begin: number, end: number): void {
  for (let at = begin; at < end; ) {
    const part = parts.find((one) => one.offset <= at && at < one.offset + one.count);
    assert(part !== undefined, 'a sector of the reply came from nowhere');
    const upTo = Math.min(end, part.offset + part.count);
    for (const slice of cut(part.data, at - part.offset, upTo - part.offset, [])) append(slices, slice);
    at = upTo;
  }
}

function append(slices: Uint8Array[], next: Uint8Array): void {
  const last = slices.at(-1);
  const isBehind = last?.buffer === next.buffer && last.byteOffset + last.length === next.byteOffset;
  if (last === undefined || !isBehind) slices.push(next);
  else slices[slices.length - 1] = Buffer.from(last.buffer, last.byteOffset, last.length + next.length);
}
