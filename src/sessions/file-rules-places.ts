/**
 * Which file was last found at a place: what a RENAME or REMOVE is about, without looking at all the files that are known.
 *
 *     directory ──► name ──► file
 *
 * Invariant: a file that takes the place of another one hides it here, and nothing that becomes of the other one uncovers or removes it.
 */
import type { FileHandle, Name, Place } from '../vfs/mod.ts';

export class FilePlaces {
  readonly #directories = new Map<FileHandle, Map<Name, FileHandle>>();

  at({ directory, name }: Place): FileHandle | undefined {
    return this.#directories.get(directory)?.get(name);
  }

  put({ directory, name }: Place, file: FileHandle): void {
    const names = this.#directories.get(directory);
    if (names === undefined) this.#directories.set(directory, new Map([[name, file]]));
    else names.set(name, file);
  }

  remove({ directory, name }: Place, file: FileHandle): void {
    const names = this.#directories.get(directory);
    if (names?.get(name) !== file) return;
    names.delete(name);
    if (names.size === 0) this.#directories.delete(directory);
  }

  clear(): void {
    this.#directories.clear();
  }
}
