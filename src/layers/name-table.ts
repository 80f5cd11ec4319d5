/**
 * Which name means which file, per directory, with the callers that are known to be allowed to search it.
 *
 * Knows no time order: `AttributeCache` decides whether a reply may be taken over. A directory's names stand for one state of
 * the directory and go together when somebody else changed it (`forgetDirectory`); each also has its own time-out, since a
 * directory's ctime may be too coarse to show a second change. Names are bounded in total; the oldest directories go first.
 */
import { BoundedMap, type Touchable } from './bounded-map.ts';

interface Found {
  /** Undefined: there is no such name. */
  readonly object: string | undefined;
  readonly validUntilMs: number;
}

interface Directory extends Touchable {
  readonly names: Map<string, Found>;
  /** Credential keys that the origin has let search the directory. */
  readonly searchers: Set<string>;
}

/** Callers remembered per directory; above it they start anew. */
const searchersMaximum = 64;

export class NameTable {
  readonly #directories: BoundedMap<string, Directory>;
  readonly #limit: number;
  #count = 0;

  constructor(limit: number) {
    this.#limit = limit;
    this.#directories = new BoundedMap(limit, (_handle, directory) => {
      this.#count -= directory.names.size;
    });
  }

  /** Names held. */
  get size(): number {
    return this.#count;
  }

  /** What the name means, if it is known and the caller may know it. `{ object: undefined }`: no such name. */
  find(directory: string, name: string, credentialKey: string, nowMs: number): Found | undefined {
    const known = this.#directories.get(directory);
    if (known === undefined || !known.searchers.has(credentialKey)) return undefined;
    const found = known.names.get(name);
    if (found === undefined || nowMs >= found.validUntilMs) return undefined;
    known.touched = true;
    return found;
  }

  /** The file that the name was last known to mean, whoever asks; null if there was none; undefined if it is not known. */
  object(directory: string, name: string): string | null | undefined {
    const found = this.#directories.get(directory)?.names.get(name);
    return found === undefined ? undefined : (found.object ?? null);
  }

  *all(): Iterable<readonly [{ readonly directory: string; readonly name: string }, string]> {
    for (const [directory, { names }] of this.#directories.entries())
      for (const [name, { object }] of names) if (object !== undefined) yield [{ directory, name }, object];
  }

  record(directory: string, name: string, object: string | undefined, validUntilMs: number): void {
    const known = this.#directory(directory);
    if (!known.names.has(name)) {
      if (known.names.size * 2 >= this.#limit) this.#drop(known, known.names.keys().next().value!);
      while (this.#count >= this.#limit) this.#directories.evict();
      // The eviction may have hit this very directory.
      if (this.#directories.get(directory) !== known) this.#directories.set(directory, empty(known));
      this.#count++;
    }
    this.#directories.get(directory)!.names.set(name, { object, validUntilMs });
  }

  forget(directory: string, name: string): void {
    const known = this.#directories.get(directory);
    if (known !== undefined) this.#drop(known, name);
  }

  /** The directory changed, or its permissions did: names and callers go. */
  forgetDirectory(directory: string): void {
    const known = this.#directories.get(directory);
    if (known === undefined) return;
    this.#count -= known.names.size;
    this.#directories.delete(directory);
  }

  clear(): void {
    this.#directories.clear();
    this.#count = 0;
  }

  /** The origin let the caller search the directory. */
  admit(directory: string, credentialKey: string): void {
    const { searchers } = this.#directory(directory);
    if (searchers.has(credentialKey)) return;
    if (searchers.size >= searchersMaximum) searchers.clear();
    searchers.add(credentialKey);
  }

  #directory(handle: string): Directory {
    let known = this.#directories.get(handle);
    if (known === undefined) {
      known = { names: new Map(), searchers: new Set(), touched: true };
      this.#directories.set(handle, known);
    }
    return known;
  }

  #drop(known: Directory, name: string): void {
    if (known.names.delete(name)) this.#count--;
  }
}

/** The directory without its names, for one whose eviction has already been counted. */
function empty(directory: Directory): Directory {
  directory.names.clear();
  directory.touched = true;
  return directory;
}
