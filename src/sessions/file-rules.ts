/**
 * Which settings hold for which file of a session: the first rule that matches its path and size, else the session's own.
 *
 *     attribute cache ──named, renamed, unnamed, seen──► FileRules ──of(file)──► attribute cache, block cache, working sets, guard
 *     main thread ──────────────replace────────────────►    └─ generation: grows when an answer that somebody has may be another now
 *
 * A file is known by one place (directory and name), the last one that it was found at; of a file with several links the first, until that
 * is gone. Names are hints: they outlive what the caches know, and a file whose path is not known has the session's own settings until it
 * is. Sizes are the origin's.
 *
 * What is remembered is bounded by roll calls: what nobody asked for since the last one goes, and the generation grows, so that whoever uses
 * a file asks for it again before the next one.
 *
 * Invariants: without rules nothing is remembered and `of` is one comparison; what is remembered is bounded; the answer for a file is the
 * same object as long as nothing changes. The answer is kept with the file until a directory above it gets another place (`#epoch`), its
 * own place changes, or its size crosses a bound of a rule.
 */

import { limits } from '../base/mod.ts';
import type { FileWitness, KnownFiles } from '../layers/mod.ts';
import { globMatcher } from '../policy/mod.ts';
import {
  type Attributes,
  type FileChanges,
  type FileHandle,
  type FileRule,
  type FileRuleSet,
  type FileSettings,
  type FileSettingsProvider,
  FileType,
  type Name,
  type Place,
} from '../vfs/mod.ts';
import { FilePlaces } from './file-rules-places.ts';
import { readable } from './paths.ts';

interface Entry {
  /** Asked for since the last roll call, or above what was. */
  touched: boolean;
  place: Place | undefined;
  /** Of a file; null: it is something else; undefined: not known yet. */
  size: number | null | undefined;
  /** Places below it are known. */
  isAbove: boolean;
  /** Undefined: nobody has asked since it was last looked at. */
  answer: FileSettings | undefined;
  /** The answer follows from its path, and from its size if that may say whether it is read-only. */
  isSure: boolean;
  epoch: number;
}

interface Rule extends FileRule {
  readonly matches: (path: string) => boolean;
  /** Its own settings, and the session's where it leaves them open. */
  readonly merged: FileSettings;
}

interface Known extends Pick<KnownFiles, 'attributes'> {
  names(): Iterable<readonly [Place, FileHandle]>;
}

/** At most so much is left after a roll call. */
const keptShare = 3 / 4;
/** Directories above one another; more are a circle of hints that are out of date. */
const deepest = 256;

export class FileRules implements FileSettingsProvider, FileWitness {
  generation = 0;
  /** Some file may not be changed. */
  hasReadOnly = false;
  /** The most that any of them may have in flight. */
  readAheadBytes: number;
  readonly #root: FileHandle;
  readonly #session: FileSettings;
  readonly #entries = new Map<FileHandle, Entry>();
  /** Of entries, by their places. */
  readonly #places = new FilePlaces();
  #known: Known | undefined;
  #own: FileSettings;
  #rules: readonly Rule[] = [];
  #hasSizedReadOnly = false;
  #path = '/';
  /** Sizes at which another rule may hold, ascending: the first size of each part. */
  #bounds: readonly number[] = [];
  #epoch = 0;

  constructor(root: FileHandle, session: FileSettings, set: FileRuleSet | undefined) {
    this.#root = root;
    this.#session = session;
    this.#own = session;
    this.readAheadBytes = session.readAheadBytes;
    if (set !== undefined) this.replace(set);
  }

  /** What is known of files already, and of those that it is told of. */
  learnFrom(known: Known): void {
    this.#known = known;
    this.#learnNames();
  }

  replace(set: FileRuleSet): void {
    const knewNames = this.#rules.length > 0;
    this.#own = { ...this.#session, ...given(set.defaults) };
    this.#path = set.root === '/' ? '' : set.root;
    this.#rules = set.rules.map((rule) => ({
      ...{ ...rule, matches: globMatcher(rule.path, `rule ${rule.name}: path`) },
      merged: { ...this.#own, ...given(rule.settings) },
    }));
    this.#hasSizedReadOnly = this.#rules.some((rule) => rule.merged.isReadOnly && isSized(rule));
    const sizes = this.#rules.flatMap(({ minBytes = 0, maxBytes = Number.POSITIVE_INFINITY }) => [
      minBytes,
      maxBytes + 1,
    ]);
    this.#bounds = sizes.toSorted((a, b) => a - b);
    const all = [this.#own, ...this.#rules.map(({ merged }) => merged)];
    this.hasReadOnly = all.some(({ isReadOnly }) => isReadOnly);
    this.readAheadBytes = Math.max(...all.map(({ readAheadBytes }) => readAheadBytes));
    if (this.#rules.length === 0) {
      this.#entries.clear();
      this.#places.clear();
    } else if (!knewNames) this.#learnNames();
    this.#epoch++;
    this.generation++;
  }

  of(file: FileHandle): FileSettings {
    if (this.#rules.length === 0) return this.#own;
    const entry = this.#entries.get(file) ?? this.#add(file);
    this.#touch(entry);
    if (entry.answer !== undefined && entry.epoch === this.#epoch) return entry.answer;
    return this.#answer(file, entry);
  }

  /** Whether `of` says what is so: not while the name is not known, nor the size where read-only depends on it. */
  isSure(file: FileHandle): boolean {
    if (this.#rules.length === 0) return true;
    this.of(file);
    const entry = this.#entries.get(file)!;
    if (entry.isSure) return true;
    // What was not known then may be by now: a directory above it that had been forgotten, for example.
    const before = entry.answer;
    this.#answer(file, entry);
    entry.answer = before;
    if (entry.isSure) this.#look(file, entry);
    return entry.isSure;
  }

  /** Looks for its name, and those of the directories above it, among those that the caches know. */
  recall(file: FileHandle): void {
    const places = new Map<FileHandle, Place>();
    for (const [place, object] of this.#known?.names() ?? []) places.set(object, place);
    let at = file;
    for (let depth = 0; at !== this.#root && depth < deepest; depth++) {
      const place = this.#entries.get(at)?.place ?? places.get(at);
      if (place === undefined) return;
      this.named(place.directory, place.name, at);
      at = place.directory;
    }
  }

  /** Of a file that is made there, or of `object` once it has that name. */
  ofNew({ directory, name }: Place, object?: FileHandle): FileSettings {
    const above = this.#pathOf(directory);
    const size = object === undefined ? 0 : this.#entries.get(object)?.size;
    return above === undefined ? this.#own : this.#match(`${above}/${readable(name)}`, size);
  }

  named(directory: FileHandle, name: Name, object: FileHandle): void {
    if (this.#rules.length === 0 || object === this.#root) return;
    const entry = this.#entries.get(object) ?? this.#add(object);
    const { place } = entry;
    if (place?.directory === directory && place.name === name) return;
    // Another name of the same file says nothing against the one that it has.
    if (place !== undefined && isLinked(this.#known?.attributes(object))) return;
    this.#place(object, entry, { directory, name });
  }

  unnamed(place: Place, object: FileHandle | undefined): void {
    const found = this.#find(place, object);
    if (found !== undefined) this.#place(found[0], found[1], undefined);
  }

  renamed(from: Place, to: Place, object: FileHandle | undefined): void {
    const replaced = this.#find(to, undefined);
    if (replaced !== undefined && replaced[0] !== object) this.#place(replaced[0], replaced[1], undefined);
    const found = this.#find(from, object);
    if (found !== undefined) this.#place(found[0], found[1], to);
    else if (object !== undefined) this.named(to.directory, to.name, object);
  }

  seen(object: FileHandle, attributes: Attributes): void {
    if (this.#rules.length === 0) return;
    const entry = this.#entries.get(object);
    if (entry === undefined) return;
    const { size: before } = entry;
    const size = sizeOf(attributes);
    if (size === before) return;
    entry.size = size;
    if (typeof before !== 'number' || typeof size !== 'number' || this.#crosses(before, size))
      this.#look(object, entry);
  }

  #learnNames(): void {
    if (this.#rules.length === 0) return;
    for (const [{ directory, name }, object] of this.#known?.names() ?? []) this.named(directory, name, object);
  }

  #add(file: FileHandle): Entry {
    if (this.#entries.size >= limits.ruledFiles) this.#callRoll();
    const size = sizeOf(this.#known?.attributes(file));
    const nothing = { place: undefined, answer: undefined, isSure: false, epoch: 0 };
    const entry: Entry = { touched: false, isAbove: false, size, ...nothing };
    this.#entries.set(file, entry);
    return entry;
  }

  /** What is in use is asked for whenever the generation grows; with it, the directories above it stay. */
  #touch(entry: Entry): void {
    let at: Entry | undefined = entry;
    for (let depth = 0; at !== undefined && depth < deepest; depth++) {
      at.touched = true;
      at = at.place && this.#entries.get(at.place.directory);
    }
  }

  #callRoll(): void {
    const most = limits.ruledFiles * keptShare;
    for (const [file, entry] of this.#entries) if (!entry.touched) this.#drop(file, entry);
    // More is in use than can be known: the oldest go.
    for (const [file, entry] of this.#entries) {
      if (this.#entries.size <= most) break;
      this.#drop(file, entry);
    }
    for (const entry of this.#entries.values()) entry.touched = false;
    this.#epoch++;
    this.generation++;
  }

  #drop(file: FileHandle, { place }: Entry): void {
    this.#entries.delete(file);
    if (place !== undefined) this.#places.remove(place, file);
  }

  /** The file that has the place, as far as is known: that one, or any. */
  #find(place: Place, object: FileHandle | undefined): readonly [FileHandle, Entry] | undefined {
    const file = object ?? this.#places.at(place);
    const entry = file === undefined ? undefined : this.#entries.get(file);
    if (file === undefined || entry === undefined) return undefined;
    const isThere = entry.place?.name === place.name && entry.place.directory === place.directory;
    return isThere ? [file, entry] : undefined;
  }

  #place(object: FileHandle, entry: Entry, place: Place | undefined): void {
    if (entry.place !== undefined) this.#places.remove(entry.place, object);
    entry.place = place;
    if (place !== undefined && place.directory !== this.#root) {
      const above = this.#entries.get(place.directory) ?? this.#add(place.directory);
      above.isAbove = true;
      // A roll call on the way must not lose it.
      this.#entries.set(object, entry);
    }
    if (place !== undefined) this.#places.put(place, object);
    this.#look(object, entry);
  }

  /** Something of it changed: whether it has other settings by now. */
  #look(object: FileHandle, entry: Entry): void {
    if (entry.isAbove) {
      this.#epoch++;
      this.generation++;
      return;
    }
    const before = entry.answer;
    if (before !== undefined && this.#answer(object, entry) !== before) this.generation++;
  }

  #answer(object: FileHandle, entry: Entry): FileSettings {
    const path = this.#pathOf(object);
    entry.answer = path === undefined ? this.#own : this.#match(path, entry.size);
    entry.isSure = path !== undefined && (entry.size !== undefined || !this.#hasSizedReadOnly);
    entry.epoch = this.#epoch;
    return entry.answer;
  }

  #match(path: string, size: number | null | undefined): FileSettings {
    for (const rule of this.#rules) {
      const { minBytes = 0, maxBytes = Number.POSITIVE_INFINITY } = rule;
      if (isSized(rule) && (typeof size !== 'number' || size < minBytes || size > maxBytes)) continue;
      if (rule.matches(path)) return rule.merged;
    }
    return this.#own;
  }

  #crosses(before: number, after: number): boolean {
    const [less, more] = before < after ? [before, after] : [after, before];
    return this.#bounds.some((bound) => less < bound && bound <= more);
  }

  #pathOf(file: FileHandle): string | undefined {
    const names: string[] = [];
    let at = file;
    while (at !== this.#root) {
      const entry = this.#entries.get(at);
      if (entry?.place === undefined || names.length >= deepest) return undefined;
      names.push(readable(entry.place.name));
      at = entry.place.directory;
    }
    if (names.length === 0) return this.#path === '' ? '/' : this.#path;
    return `${this.#path}/${names.reverse().join('/')}`;
  }
}

/** Without what is there and undefined: it must not hide what holds else. */
function given(settings: FileChanges): Partial<FileSettings> {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

function isLinked(attributes: Attributes | undefined): boolean {
  return attributes !== undefined && attributes.type !== FileType.DIRECTORY && attributes.nlink > 1;
}

function isSized({ minBytes, maxBytes }: FileRule): boolean {
  return minBytes !== undefined || maxBytes !== undefined;
}

function sizeOf(attributes: Attributes | undefined): number | null | undefined {
  if (attributes === undefined) return undefined;
  return attributes.type === FileType.REGULAR ? attributes.size : null;
}
