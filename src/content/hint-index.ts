/**
 * Digest to place in the clean cache: where on this host a chunk may lie. Sets of eight entries, most lately told first; a full
 * set forgets its last. An entry holds 32 bits of the digest beside those that choose the set, so that a wrong candidate is rare; it
 * costs one look, since whoever uses a candidate checks the digest of what lies there.
 *
 *   entry   tag u32 | file number + 1 u32, 0: free | sector u32
 *
 * Keys of files are kept once, under a number. When their room is used up, the files with the fewest entries are forgotten.
 */
import { assert, limits } from '../base/mod.ts';
import type { HintIndex } from './contract.ts';
import { decodeHints, encodeHints, type HintEntry, longestKey } from './hint-index-format.ts';

const ways = 8;
const entryWords = 3;
const setWords = ways * entryWords;
const mostCandidates = 4;
/** What a file costs beside its key's characters: an entry of a Map and a place in two arrays, roughly. */
const fileMemoryBytes = 120;

export interface HintIndexOptions {
  /** Rounded up to a power of two. */
  readonly entries?: number;
  readonly files?: number;
}

export interface Hint {
  readonly key: string;
  readonly sector: number;
}

export class MemoryHintIndex implements HintIndex {
  readonly #words: Uint32Array;
  readonly #setMask: number;
  readonly #mostFiles: number;
  readonly #numbers = new Map<string, number>();
  /** Undefined: the number is free. */
  readonly #keys: (string | undefined)[] = [];
  readonly #freeNumbers: number[] = [];
  #keyCharacters = 0;

  constructor(options: HintIndexOptions = {}) {
    const wanted = Math.min(options.entries ?? limits.hintEntries, limits.hintEntries);
    const sets = 2 ** Math.ceil(Math.log2(Math.max(1, wanted / ways)));
    this.#words = new Uint32Array(sets * setWords);
    this.#setMask = sets - 1;
    this.#mostFiles = Math.max(1, Math.min(options.files ?? limits.hintFiles, limits.hintFiles));
  }

  get memoryBytes(): number {
    return this.#words.byteLength + this.#keys.length * fileMemoryBytes + this.#keyCharacters;
  }

  get fileCount(): number {
    return this.#numbers.size;
  }

  add(digest: Uint8Array, key: string, sector: number): void {
    assert(sector >= 0 && sector <= 0xffff_ffff, `no sector ${sector}`);
    assert(key.length <= longestKey, 'a key is too long');
    this.#addWords(wordOf(digest, 0), wordOf(digest, 4), key, sector);
  }

  #addWords(choice: number, tag: number, key: string, sector: number): void {
    const words = this.#words;
    const file = this.#numberOf(key) + 1;
    const start = (choice & this.#setMask) * setWords;
    const end = start + setWords;
    let at = start;
    // Its own place if it is known, else the first free one, else the last.
    while (at < end - entryWords && words[at + 1] !== 0) {
      if (words[at] === tag && words[at + 1] === file && words[at + 2] === sector) break;
      at += entryWords;
    }
    words.copyWithin(start + entryWords, start, at);
    words[start] = tag;
    words[start + 1] = file;
    words[start + 2] = sector;
  }

  find(digest: Uint8Array): readonly Hint[] {
    const words = this.#words;
    const tag = wordOf(digest, 4);
    const start = (wordOf(digest, 0) & this.#setMask) * setWords;
    const found: Hint[] = [];
    for (let at = start; at < start + setWords && words[at + 1] !== 0; at += entryWords) {
      if (words[at] !== tag) continue;
      found.push({ key: this.#keys[words[at + 1]! - 1]!, sector: words[at + 2]! });
      if (found.length === mostCandidates) break;
    }
    return found;
  }

  /** To outlive a restart; `decode` is the way back. */
  encode(): Uint8Array {
    let entryCount = 0;
    for (let at = 1; at < this.#words.length; at += entryWords) if (this.#words[at] !== 0) entryCount++;
    return encodeHints({ setCount: this.#setMask + 1, entryCount, entries: this.#entries() });
  }

  /** As large as it was, or as `options` allow if that is less. ContentError: the bytes are damaged. */
  static decode(bytes: Uint8Array, options: HintIndexOptions = {}): MemoryHintIndex {
    const stored = decodeHints(bytes);
    const entries = Math.min(options.entries ?? limits.hintEntries, stored.setCount * ways);
    const index = new MemoryHintIndex({ ...options, entries });
    for (const entry of stored.entries) index.#addWords(entry.choice, entry.tag, entry.key, entry.sector);
    return index;
  }

  /** Of each set the oldest first, so that telling them again in this order restores it. */
  *#entries(): Iterable<HintEntry> {
    const words = this.#words;
    for (let choice = 0; choice <= this.#setMask; choice++) {
      const start = choice * setWords;
      for (let at = start + setWords - entryWords; at >= start; at -= entryWords) {
        if (words[at + 1] === 0) continue;
        yield { choice, tag: words[at]!, key: this.#keys[words[at + 1]! - 1]!, sector: words[at + 2]! };
      }
    }
  }

  #numberOf(key: string): number {
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    if (this.#numbers.size >= this.#mostFiles) this.#forgetFiles();
    const number = this.#freeNumbers.pop() ?? this.#keys.length;
    this.#keys[number] = key;
    this.#numbers.set(key, number);
    this.#keyCharacters += key.length;
    return number;
  }

  /** Half of the files, those with the fewest entries: a pass over all entries, once in many new files. */
  #forgetFiles(): void {
    const words = this.#words;
    const counts = new Uint32Array(this.#keys.length);
    for (let at = 1; at < words.length; at += entryWords) if (words[at] !== 0) counts[words[at]! - 1]!++;
    const numbers = [...this.#numbers.values()].sort((a, b) => counts[a]! - counts[b]!);
    const gone = new Uint8Array(this.#keys.length);
    for (const number of numbers.slice(0, Math.ceil(numbers.length / 2))) {
      const key = this.#keys[number]!;
      gone[number] = 1;
      this.#numbers.delete(key);
      this.#keyCharacters -= key.length;
      this.#keys[number] = undefined;
      this.#freeNumbers.push(number);
    }
    for (let start = 0; start < words.length; start += setWords) this.#removeFrom(start, gone);
  }

  /** The entries that stay move up: behind a free entry there is none. */
  #removeFrom(start: number, gone: Uint8Array): void {
    const words = this.#words;
    let to = start;
    for (let at = start; at < start + setWords; at += entryWords) {
      const file = words[at + 1]!;
      if (file === 0 || gone[file - 1] === 1) continue;
      if (to !== at) words.copyWithin(to, at, at + entryWords);
      to += entryWords;
    }
    words.fill(0, to, start + setWords);
  }
}

function wordOf(digest: Uint8Array, at: number): number {
  return (digest[at]! | (digest[at + 1]! << 8) | (digest[at + 2]! << 16) | (digest[at + 3]! << 24)) >>> 0;
}
