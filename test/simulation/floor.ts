/** A time that must not go back, as clients see it: replies that were under way together may come in any order. */
import type { Time } from '../../src/vfs/mod.ts';

export class Floor {
  /** Largest time seen so far, at moments of answers. */
  #seen: { readonly moment: number; readonly time: bigint }[] = [];
  #since = 0;

  /** Answers asked before `moment` count no more. */
  reset(moment: number): void {
    this.#seen = [];
    this.#since = moment;
  }

  /** A reply shows this. Answers what it should not have been below, if it is. */
  see(time: Time, asked: number, answered: number): bigint | undefined {
    if (asked < this.#since) return undefined;
    const shown = nanosecondsOf(time);
    const last = this.#seen.at(-1);
    const floor = this.#seen.findLast((entry) => entry.moment <= asked)?.time;
    if (last === undefined || shown > last.time) this.#seen.push({ moment: answered, time: shown });
    return floor !== undefined && shown < floor ? floor : undefined;
  }
}

export function nanosecondsOf({ seconds, nanoseconds }: Time): bigint {
  return BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
}
