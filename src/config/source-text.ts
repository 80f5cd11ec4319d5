/**
 * The text of a configuration file with its lines, so that a place in it can be told as people count: from line 1, column 1.
 *
 * Pure: reading the file is `read-text.ts`.
 */

/** Where something stands: from the first character to behind the last. */
export type Range = readonly [start: number, end: number];

export interface Position {
  readonly line: number;
  readonly column: number;
}

export class SourceText {
  readonly text: string;
  readonly #starts: number[] = [0];

  constructor(text: string) {
    this.text = text;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.#starts.push(at + 1);
  }

  positionOf(offset: number): Position {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#starts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: offset - this.#starts[low]! + 1 };
  }

  /** Without what ends it. Empty beyond the last. */
  line(number: number): string {
    const start = this.#starts[number - 1];
    if (start === undefined) return '';
    const end = this.#starts[number];
    return this.text.slice(start, end === undefined ? undefined : end - 1).replace(/\r$/, '');
  }
}
