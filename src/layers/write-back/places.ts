/**
 * Names under which files and directories were seen lately: a file that becomes dirty needs one (a conflict is saved beside it,
 * people want to read paths). Bounded and a hint only: a name may have moved at the origin.
 */
import { limits } from '../../base/mod.ts';
import type { FileHandle, Place } from '../../vfs/mod.ts';
import { BoundedMap } from '../bounded-map.ts';

/** Deeper paths are cut at their front. */
const deepest = 64;

export class Places {
  readonly #root: FileHandle;
  readonly #seen = new BoundedMap<FileHandle, { readonly place: Place; touched: boolean }>(limits.writeBackPlaces);

  constructor(root: FileHandle) {
    this.#root = root;
  }

  saw(place: Place, object: FileHandle): void {
    if (place.name === '.' || place.name === '..') return;
    const known = this.#seen.get(object);
    if (known !== undefined && samePlace(known.place, place)) known.touched = true;
    else this.#seen.set(object, { place: { directory: place.directory, name: place.name }, touched: true });
  }

  of(object: FileHandle): Place | undefined {
    return this.#seen.get(object)?.place;
  }

  forget(object: FileHandle): void {
    this.#seen.delete(object);
  }

  /** A path from the root as far as names are known: `golden/disk.raw`, or `.../disk.raw`. */
  path(place: Place): string {
    const { names, isWhole } = this.#names(place);
    return Buffer.from([...(isWhole ? [] : ['...']), ...names].join('/'), 'latin1').toString();
  }

  /** The whole path, bytes: `/golden/disk.raw`. Undefined: not all of its names are known, or it is not worth a place in a note. */
  wholePath(place: Place): string | undefined {
    const { names, isWhole } = this.#names(place);
    const path = `/${names.join('/')}`;
    return isWhole && path.length <= limits.notedPathBytes ? path : undefined;
  }

  #names(place: Place): { readonly names: readonly string[]; readonly isWhole: boolean } {
    const names = [place.name];
    let { directory } = place;
    while (directory !== this.#root) {
      const above = names.length < deepest ? this.of(directory) : undefined;
      if (above === undefined) return { names, isWhole: false };
      names.unshift(above.name);
      directory = above.directory;
    }
    return { names, isWhole: true };
  }
}

export function samePlace(a: Place | undefined, b: Place): boolean {
  return a !== undefined && a.name === b.name && a.directory === b.directory;
}
