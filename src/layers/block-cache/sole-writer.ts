/**
 * The promise that nobody else changes the origin's files while this proxy runs (`--sole-writer`), and when it may be relied on.
 *
 * A server that leaves `before` out of its wcc_data does not tell whether the attributes after our WRITE are of our doing alone.
 * Under the promise they are: once a version was found to be the origin's in this run, whatever stamp the file shows later
 * came from our own changes, whose ranges the cache has dropped or renewed. So the version goes on under the new stamp.
 *
 *     unconfirmed --its stamp is what the origin shows, in this run--> confirmed: new stamps are ours
 *          └──────────── a doubt (all files), the version given up (one file) <────────┘
 *
 * Invariant: while confirmed, no change of ours to the content went by without a mutation of its range. An unchecked CREATE that
 * may empty a file has none until its reply names the file: nothing is relied on while one is under way.
 */
export class SoleWriter {
  #epoch = 1;
  #unnamedChanges = 0;

  /** What a file notes when it is confirmed; 0 is never. */
  get epoch(): number {
    return this.#epoch;
  }

  holds(confirmedEpoch: number): boolean {
    return confirmedEpoch === this.#epoch && this.#unnamedChanges === 0;
  }

  beginUnnamedChange(): void {
    this.#unnamedChanges++;
  }

  endUnnamedChange(): void {
    this.#unnamedChanges--;
    this.#epoch++;
  }
}
