/**
 * Which digests are equal: an open hash table over digests that lie back to back in memory already, 4 bytes a slot. Digests are
 * spread evenly, so their first 32 bits are the place.
 *
 * Memory: 8 bytes for each digest that it has room for, which whoever is done with it may use for something else.
 */
import { assert } from '../base/mod.ts';
import { digestBytes } from '../content/mod.ts';

const words = digestBytes / 4;
const slotsPerDigest = 2;

export class DigestTable {
  readonly #digests: Uint32Array;
  /** Rank of a digest plus 1; 0: free. */
  readonly #slots: Uint32Array;
  /** One digest that is asked for, aligned. */
  readonly #asked = new Uint32Array(words);
  readonly #askedBytes = new Uint8Array(this.#asked.buffer);

  /** `digests`: 16 bytes each, at the beginning of their buffer. */
  constructor(digests: Uint8Array) {
    assert(digests.byteOffset % 4 === 0 && digests.length % digestBytes === 0, 'digests are aligned');
    this.#digests = new Uint32Array(digests.buffer, digests.byteOffset, digests.length / 4);
    this.#slots = new Uint32Array((digests.length / digestBytes) * slotsPerDigest + 1);
  }

  /** The rank of the first digest that is equal to that of `rank`: `rank` itself if there was none. */
  add(rank: number): number {
    const slot = this.#slotOf(this.#digests, rank * words);
    const found = this.#slots[slot]!;
    if (found !== 0) return found - 1;
    this.#slots[slot] = rank + 1;
    return rank;
  }

  /** The rank of the equal digest that was added first, or -1. */
  find(digest: Uint8Array): number {
    this.#askedBytes.set(digest);
    return this.#slots[this.#slotOf(this.#asked, 0)]! - 1;
  }

  /** Its memory, at least two numbers for each digest. It must not be asked any more. */
  release(): Uint32Array {
    return this.#slots;
  }

  /** Where it is, or where it would be. */
  #slotOf(from: Uint32Array, at: number): number {
    const slots = this.#slots;
    const digests = this.#digests;
    let slot = Math.floor((from[at]! / 2 ** 32) * slots.length);
    for (;;) {
      const found = slots[slot]!;
      if (found === 0) return slot;
      const other = (found - 1) * words;
      if (
        digests[other] === from[at] &&
        digests[other + 1] === from[at + 1] &&
        digests[other + 2] === from[at + 2] &&
        digests[other + 3] === from[at + 3]
      ) {
        return slot;
      }
      slot = slot + 1 === slots.length ? 0 : slot + 1;
    }
  }
}
