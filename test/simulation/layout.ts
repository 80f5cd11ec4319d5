/**
 * A file as cells: places where writes begin and end, and what a version of a cell looks like.
 *
 *     bytes   0      511 512            4096  4097            9000 ...
 *     cells   |  0    | 1 |      2       | 3   |       4       |       boundaries around sectors and at odd places
 *
 * All writes and sizes lie on boundaries, so that a few hundred cells tell all that the bytes can. Version n of a cell has one of 255
 * contents, other ones than its neighbours': bytes at the wrong place, of the wrong file or of a forgotten version show.
 */
import type { Chance } from '../../src/testing/mod.ts';

const cellMaximum = 32 * 1024;
const patterns: Buffer[] = [];
const zeros = Buffer.alloc(cellMaximum);

function patternOf(value: number): Buffer {
  if (value === 0) return zeros;
  let pattern = patterns[value];
  if (pattern === undefined) {
    pattern = Buffer.alloc(cellMaximum);
    for (let i = 0; i < cellMaximum; i++) pattern[i] = (value + i * 37 + (i >> 8) * 101) & 255;
    patterns[value] = pattern;
  }
  return pattern;
}

export class Layout {
  /** Where each cell begins, and the end of the last one. */
  readonly boundaries: readonly number[];

  constructor(boundaries: readonly number[]) {
    this.boundaries = boundaries;
  }

  static draw(chance: Chance): Layout {
    const style = chance.pick(['odd', 'odd', 'sectors', 'large'] as const);
    const cells = chance.between(20, style === 'large' ? 60 : 100);
    const boundaries = [0];
    for (let at = 0; boundaries.length <= cells; boundaries.push(at)) at += widthOf(style, at, chance);
    return new Layout(boundaries);
  }

  get cells(): number {
    return this.boundaries.length - 1;
  }

  get bytes(): number {
    return this.boundaries.at(-1)!;
  }

  start(cell: number): number {
    return this.boundaries[cell]!;
  }

  width(cell: number): number {
    return this.boundaries[cell + 1]! - this.boundaries[cell]!;
  }

  /** The cell that begins at this byte or contains it. */
  cellAt(byte: number): number {
    let low = 0;
    let high = this.boundaries.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.boundaries[middle]! <= byte) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** What the cell holds in the n-th version written to it. */
  valueOf(file: number, cell: number, version: number): number {
    return ((version + file * 83 + cell * 29) % 255) + 1;
  }

  /** Bytes of a cell with this value; 0 is a hole. */
  content(cell: number, value: number): Uint8Array {
    return patternOf(value).subarray(0, this.width(cell));
  }

  /** Whether `count` bytes at `at` are those that the value has from `from` (within its cell). */
  matches(value: number, bytes: Uint8Array, at = 0, count = bytes.length - at, from = 0): boolean {
    return patternOf(value).compare(bytes, at, at + count, from, from + count) === 0;
  }

  /** How many of them are. */
  matching(value: number, bytes: Uint8Array, at: number, count: number, from: number): number {
    if (this.matches(value, bytes, at, count, from)) return count;
    const pattern = patternOf(value);
    let length = 0;
    while (length < count && bytes[at + length] === pattern[from + length]) length++;
    return length;
  }
}

function widthOf(style: 'odd' | 'sectors' | 'large', at: number, chance: Chance): number {
  const toSector = 4096 - (at % 4096);
  if (style === 'sectors') return chance.pick([4096, 4096, 4096, 8192, 512]);
  if (style === 'large') return chance.pick([4096, 16_384, cellMaximum, cellMaximum, toSector, 1 + chance.below(9000)]);
  return chance.pick([
    1,
    511,
    512,
    toSector,
    toSector,
    toSector + 1,
    Math.max(1, toSector - 1),
    1 + chance.below(6000),
  ]);
}
