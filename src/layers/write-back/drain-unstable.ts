/**
 * What the origin has taken of a file and may still lose: WRITEs that were answered UNSTABLE, until a COMMIT under the same verifier
 * (RFC 1813 3.3.7, 3.3.21). Their data is in the dirty log.
 *
 *     wrote ──COMMIT left after it, same verifier──> stable, forgotten
 *        └────COMMIT left after it, another verifier──> lost: to be sent again
 *
 * Invariant: a COMMIT says nothing about what was answered after it had left.
 */
import type { Verifier } from '../../vfs/mod.ts';

/** A range of a file, as one WRITE takes it. */
export interface Part {
  readonly offset: number;
  readonly count: number;
  readonly writer: number;
  /** The origin has it, it said: these are its sectors. */
  readonly digests?: readonly Uint8Array[] | undefined;
}

/** A WRITE of what the origin has counts as this part of its data: the origin has to read it and to write it. */
const referenceWeight = 16;

/** What is sent once more is sent as data, whatever the origin said that it has. */
export function asData({ offset, count, writer }: Part): Part {
  return { offset, count, writer };
}

/** What it takes of the way to the origin. */
export function weightOf({ count, digests }: Part): number {
  return digests === undefined ? count : Math.ceil(count / referenceWeight);
}

export class UnstableParts {
  /** In the order of the answers. */
  #parts: { readonly part: Part; readonly verifier: Verifier }[] = [];
  /** Since the last COMMIT left. */
  newBytes = 0;

  get isEmpty(): boolean {
    return this.#parts.length === 0;
  }

  wrote(part: Part, verifier: Verifier): void {
    this.#parts.push({ part, verifier });
    this.newBytes += part.count;
  }

  /** As a COMMIT leaves. */
  mark(): number {
    this.newBytes = 0;
    return this.#parts.length;
  }

  /** The COMMIT that left at this mark was answered; one at a time. Returns what was lost. */
  committed(mark: number, verifier: Verifier): Part[] {
    const decided = this.#parts.slice(0, mark);
    this.#parts = this.#parts.slice(mark);
    return decided.filter((written) => written.verifier !== verifier).map(({ part }) => part);
  }
}
