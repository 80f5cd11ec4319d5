/**
 * One bit for each block of a file, in pages that are made when they are needed: a test costs two look-ups in arrays, and a file
 * that is touched here and there takes 512 bytes for each 256 MiB of it that was touched.
 */
const pageBlocks = 4096;
const pageShift = 12;

export class BlockBits {
  readonly #pages: (Uint32Array | undefined)[] = [];
  #count = 0;

  /** Bits that are set. */
  get count(): number {
    return this.#count;
  }

  has(block: number): boolean {
    const page = this.#pages[block >>> pageShift];
    return page !== undefined && (page[(block & (pageBlocks - 1)) >>> 5]! & (1 << (block & 31))) !== 0;
  }

  /** False: it was set before. */
  add(block: number): boolean {
    const index = block >>> pageShift;
    const page = this.#pages[index] ?? this.#make(index);
    const word = (block & (pageBlocks - 1)) >>> 5;
    const bit = 1 << (block & 31);
    if ((page[word]! & bit) !== 0) return false;
    page[word]! |= bit;
    this.#count++;
    return true;
  }

  /** How many of [from, end) are set. */
  countIn(from: number, end: number): number {
    let found = 0;
    for (let at = from; at < end && this.#count > 0; ) {
      const page = this.#pages[at >>> pageShift];
      const pageEnd = Math.min(end, ((at >>> pageShift) + 1) << pageShift);
      for (; page !== undefined && at < pageEnd; at++) {
        // Whole words that are empty, which are most of them.
        if ((at & 31) === 0 && page[(at & (pageBlocks - 1)) >>> 5] === 0) at += 31;
        else if (this.has(at)) found++;
      }
      at = pageEnd;
    }
    return found;
  }

  delete(block: number): void {
    if (!this.has(block)) return;
    this.#pages[block >>> pageShift]![(block & (pageBlocks - 1)) >>> 5]! &= ~(1 << (block & 31));
    this.#count--;
  }

  #make(index: number): Uint32Array {
    const page = new Uint32Array(pageBlocks / 32);
    this.#pages[index] = page;
    return page;
  }
}
