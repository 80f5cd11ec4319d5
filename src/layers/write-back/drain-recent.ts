/**
 * What the newest answers to the drain's own changes showed: between look and write lies a round trip anyway, so that attributes this young
 * are as good as fresh ones. Nothing older is kept: a session writes more files back than memory holds.
 */
import type { Clock } from '../../base/mod.ts';
import type { FileNumber } from '../../dirty/mod.ts';
import type { Attributes } from '../../vfs/mod.ts';

const freshMs = 250;

export class RecentAnswers {
  readonly #clock: Clock;
  /** Oldest first. */
  readonly #answers = new Map<FileNumber, { readonly attributes: Attributes; readonly atMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What is kept now, for tests. */
  get size(): number {
    return this.#answers.size;
  }

  saw(file: FileNumber, attributes: Attributes): void {
    this.#forgetOld();
    this.#answers.delete(file);
    this.#answers.set(file, { attributes, atMs: this.#clock.now() });
  }

  of(file: FileNumber): Attributes | undefined {
    this.#forgetOld();
    return this.#answers.get(file)?.attributes;
  }

  #forgetOld(): void {
    const oldestMs = this.#clock.now() - freshMs;
    for (const [file, { atMs }] of this.#answers) {
      if (atMs >= oldestMs) return;
      this.#answers.delete(file);
    }
  }
}
