/**
 * Notices, when an epoch of a file has been written, that somebody else wrote in between: the `before`s and `after`s of our
 * WRITEs (wcc_data, RFC 1813 2.6) must form a chain from what we found to what is there at the end.
 *
 *     found -> [before W1 after] -> [before W2 after] -> final
 *
 * Servers do not take `before`, write and `after` as one step when two WRITEs meet, so links are compared only around
 * WRITEs that were alone; of those that met, only the newest `after` counts. The end must not be newer than it in any case:
 * each `after` was taken after its own change.
 */
import type { WccAttributes, WccData } from '../../vfs/mod.ts';
import { isLater, sameData, wccOf } from './times.ts';

export class WccChain {
  /** What the file shows if nobody else writes; undefined when that is not known exactly. */
  #known: WccAttributes | undefined;
  #newest: WccAttributes;
  #underWay = 0;
  #met = false;
  #broken = false;
  /** Every answer carried attributes: without them nothing can be said. */
  #sawAnswers = true;

  constructor(found: WccAttributes) {
    this.#known = wccOf(found);
    this.#newest = wccOf(found);
  }

  get isBroken(): boolean {
    return this.#broken;
  }
  /** The newest state that an answer showed. */
  get newest(): WccAttributes {
    return this.#newest;
  }

  sent(): void {
    if (this.#underWay++ > 0) this.#met = true;
  }

  /** Not carried out. */
  refused(): void {
    if (--this.#underWay === 0) this.#met = false;
  }

  answered({ before, after }: WccData): void {
    const wasAlone = !this.#met;
    if (--this.#underWay === 0) this.#met = false;
    if (wasAlone && before !== undefined && this.#known !== undefined && !sameData(before, this.#known)) {
      this.#broken = true;
    }
    if (after !== undefined && !isLater(this.#newest.mtime, after.mtime)) this.#newest = wccOf(after);
    if (after === undefined) this.#sawAnswers = false;
    this.#known = wasAlone && after !== undefined ? wccOf(after) : undefined;
  }

  /** Looked at again, with nothing of ours under way, and found to be ours. */
  rebase(found: WccAttributes): void {
    this.#known = wccOf(found);
    this.#newest = wccOf(found);
  }

  /** What is there now, with nothing of ours under way. */
  close(final: WccAttributes): void {
    if (this.#known !== undefined && !sameData(final, this.#known)) this.#broken = true;
    else if (this.#sawAnswers && isLater(final.mtime, this.#newest.mtime)) this.#broken = true;
  }
}
