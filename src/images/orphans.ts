/**
 * What lies in `.viaduct` of images that are gone: removed or renamed. It is removed when nobody can want it any more.
 *
 *     a look: no such name beside `.viaduct` ──► noted ──► looks of a day, none of them long after the one before: still none,
 *                    │                                     and none of its files was touched for a day ──► its files are removed
 *                    └── the name is there again: forgotten
 *
 * Only names that are an image's for sure count; whatever else somebody keeps there stays. What is not known (the folder cannot be read)
 * is not "gone". A keeper that starts anew begins to count anew.
 */
import { type Clock, limits } from '../base/mod.ts';
import { isPurpose } from '../content/mod.ts';
import { closeDescriptor, StatusReader } from '../native/mod.ts';
import { ContentFolder } from './content-folder.ts';
import { openFolder } from './image-file.ts';
import { toText } from './paths.ts';

/** An image may come back: from a backup, or by a rename that took the long way. */
const goneMs = 24 * 3_600_000;
/** Between two looks so long apart it may have been there. */
const mostUnseenMs = 6 * 3_600_000;
const ENOENT = -2;
const ownName = /^\.(.+)\.(?:part|pack-part|pack-list|(?:meta|pack|list)\.tmp-[0-9a-f]{8})$/s;
/** A private name that does not tell whose it is (privateName). */
const nameless = /^[0-9a-f]{32}$/;

export class Orphans {
  readonly #clock: Clock;
  /** Path of the image, and when it was first and last seen to be gone (clock.now). */
  readonly #gone = new Map<string, { readonly sinceMs: number; lastMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Looks into `.viaduct` of a folder, a binary path. Answers the images, for people, whose files it removed. */
  look(folder: string): string[] {
    const around = openFolder(folder, `open ${toText(folder)}`);
    let content: ContentFolder | undefined;
    try {
      content = ContentFolder.find(around, toText(folder));
      return content === undefined ? [] : this.#sweep(content, around, folder);
    } finally {
      content?.close();
      closeDescriptor(around);
    }
  }

  #sweep(content: ContentFolder, around: number, folder: string): string[] {
    const reader = new StatusReader();
    const removed: string[] = [];
    let failure: unknown;
    for (const [image, names] of byImage(content.names())) {
      const path = `${folder}/${image}`;
      if (reader.ofName(around, image) !== ENOENT) this.#gone.delete(path);
      else if (this.#isGoneForGood(path) && names.every((name) => this.#isOld(content, name))) {
        try {
          for (const name of names) content.remove(name);
          this.#gone.delete(path);
          removed.push(toText(path));
        } catch (error) {
          // The others go all the same.
          failure ??= error;
        }
      }
    }
    if (removed.length === 0 && failure !== undefined) throw failure;
    return removed;
  }

  #isGoneForGood(path: string): boolean {
    const now = this.#clock.now();
    const gone = this.#gone.get(path);
    if (gone === undefined || now - gone.lastMs > mostUnseenMs) {
      this.#note(path, now);
      return false;
    }
    gone.lastMs = now;
    return now - gone.sinceMs >= goneMs;
  }

  #note(path: string, now: number): void {
    if (this.#gone.size >= limits.keptImages) {
      // Their folder is gone too, or they would have been removed.
      for (const [other, { lastMs }] of this.#gone) if (now - lastMs > mostUnseenMs) this.#gone.delete(other);
    }
    if (this.#gone.size < limits.keptImages || this.#gone.has(path))
      this.#gone.set(path, { sinceMs: now, lastMs: now });
  }

  /** A packer that holds the image open goes on with its files. */
  #isOld(content: ContentFolder, name: string): boolean {
    const found = content.look(name);
    return found !== undefined && this.#clock.wallTimeMs() - 1000 * found.touchedSeconds >= goneMs;
  }
}

/** Names in `.viaduct` by the image that they belong to; those that are no image's are left out. */
function byImage(names: readonly string[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const name of names) {
    const image = imageOf(name);
    if (image === undefined) continue;
    const own = found.get(image);
    if (own === undefined) found.set(image, [name]);
    else own.push(name);
  }
  return found;
}

export function imageOf(name: string): string | undefined {
  const [, set, purpose] = /^(.+)\.([^.]+)\.ws$/s.exec(name) ?? [];
  if (set !== undefined) return isPurpose(purpose!) ? set : undefined;
  const [, image] = /^(.+)\.(?:meta|pack)$/s.exec(name) ?? [];
  if (image !== undefined) return image;
  const [, own] = ownName.exec(name) ?? [];
  return own === undefined || nameless.test(own) ? undefined : own;
}
