/**
 * Which epochs that are not drained overwrite bytes in place: bytes of a file that were there before the epoch began, at the origin or through
 * an earlier epoch that waits as well. To cut a file is to overwrite what is cut off.
 *
 *     clean file, 8 KiB at the origin    epoch 5: [0, 4 KiB) overwrites      epoch 6: [8, 12 KiB) appends     epoch 7: [8, 12 KiB) overwrites
 *
 * Invariant: an epoch whose SEAL record is in the log is judged once; a question costs no more than what came since the last one.
 */
import type { EpochNumber, FileNumber } from './contract.ts';
import type { Epoch } from './epochs.ts';
import type { LogState } from './state.ts';

interface Judged {
  readonly number: EpochNumber;
  /** What it overwrites, unless that was dropped since. */
  readonly files: readonly FileNumber[];
}

export class Overwrites {
  readonly #state: LogState;
  /** Only those that overwrite something; ascending. */
  #found: Judged[] = [];
  #judgedUpTo: EpochNumber = 0;

  constructor(state: LogState) {
    this.#state = state;
  }

  /**
   * Of files other than `number`, in epochs after the first one that changes it, if it was empty before; else in any epoch.
   * `existedBefore`: how long a file was when it became dirty.
   */
  after(number: FileNumber | undefined, existedBefore: (other: FileNumber) => number): boolean {
    const { epochs, files } = this.#state;
    const file = number === undefined ? undefined : files.dirty(number);
    const isNew = file !== undefined && existedBefore(file.number) === 0;
    const since = (isNew ? file.firstEpoch : undefined) ?? epochs.drainedUpTo;
    for (const epoch of epochs.after(this.#judgedUpTo)) {
      const judged = { number: epoch.number, files: this.#overwritten(epoch, existedBefore) };
      if (epoch.end !== undefined) {
        this.#judgedUpTo = epoch.number;
        if (judged.files.length > 0) this.#found.push(judged);
      } else if (epoch.number > since && this.#isOther(judged, number)) {
        // More of it may be on its way into the log.
        return true;
      }
    }
    if ((this.#found[0]?.number ?? Number.POSITIVE_INFINITY) <= epochs.drainedUpTo)
      this.#found = this.#found.filter((judged) => !this.#state.isDrained(judged.number));
    for (let index = this.#found.length - 1; index >= 0; index--) {
      const judged = this.#found[index]!;
      if (judged.number <= since) return false;
      if (this.#isOther(judged, number)) return true;
    }
    return false;
  }

  #overwritten(epoch: Epoch, existedBefore: (other: FileNumber) => number): FileNumber[] {
    return epoch.files.filter((number) => {
      const file = this.#state.files.dirty(number);
      return file?.overwritesIn(epoch.number, () => existedBefore(number)) === true;
    });
  }

  #isOther({ number: epoch, files }: Judged, number: FileNumber | undefined): boolean {
    return files.some((other) => {
      const first = this.#state.files.dirty(other)?.firstEpoch;
      return other !== number && first !== undefined && first <= epoch;
    });
  }
}
