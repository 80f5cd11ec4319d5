/**
 * A map that holds at most `limit` entries and gives up those that were not used for a while (CLOCK): a hand goes round
 * the entries; a touched one is spared once and its mark taken off, an untouched one goes.
 *
 *     insert at the limit:   [a*] [b ] [c*] [d ]
 *                             ^hand: spare a, evict b, stop
 *
 * The hand is a live `Map` iterator: starting a new one for each eviction would step over all deleted slots again.
 */
export interface Touchable {
  /** Set by whoever uses the entry. */
  touched: boolean;
}

export class BoundedMap<Key, Value extends Touchable> {
  readonly #entries = new Map<Key, Value>();
  readonly #limit: number;
  readonly #evicted: ((key: Key, value: Value) => void) | undefined;
  #hand: Iterator<[Key, Value]> | undefined;

  constructor(limit: number, evicted?: (key: Key, value: Value) => void) {
    this.#limit = limit;
    this.#evicted = evicted;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: Key): Value | undefined {
    return this.#entries.get(key);
  }

  set(key: Key, value: Value): void {
    if (!this.#entries.has(key)) while (this.#entries.size >= this.#limit) this.evict();
    this.#entries.set(key, value);
  }

  entries(): Iterable<[Key, Value]> {
    return this.#entries.entries();
  }

  delete(key: Key): boolean {
    return this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
    this.#hand = undefined;
  }

  /** Gives up one entry. Ends after two rounds at most, since the first takes every mark off. */
  evict(): void {
    while (this.#entries.size > 0) {
      this.#hand ??= this.#entries.entries();
      const step = this.#hand.next();
      if (step.done === true) {
        this.#hand = undefined;
        continue;
      }
      const [key, value] = step.value;
      if (value.touched) {
        value.touched = false;
        continue;
      }
      this.#entries.delete(key);
      this.#evicted?.(key, value);
      return;
    }
  }
}
