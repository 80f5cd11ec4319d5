/**
 * Numbers for the credentials of those who wrote: the log keeps a number with each change, and the drain writes under the
 * credential that it stands for. Noted in the log before the first change that uses it.
 *
 *     note  "writer:" number  ->  {"uid":1000,"gid":1000,"gids":[4,24]}
 *
 * Above a bound, numbers go that no change in the log uses any more, in rounds:
 *
 *     round begins ──► nothing waits for a place in the log: `until`, its newest epoch ──► that is drained: who was not seen in this round goes
 *
 * Invariant: a number is never given to somebody else while the log holds a change of the one it stood for. What is never written back
 * (redirect) uses all of them.
 */
import { limits } from '../../base/mod.ts';
import type { DirtyLogFace, EpochNumber } from '../../dirty/mod.ts';
import { type Credential, credential } from '../../vfs/mod.ts';

const prefix = 'writer:';

interface Writer {
  readonly number: number;
  readonly who: Credential;
  /** The round in which it wrote last. */
  round: number;
}

export class Writers {
  readonly #log: DirtyLogFace;
  readonly #maximum: number;
  readonly #byKey = new Map<string, Writer>();
  readonly #byNumber = new Map<number, Writer>();
  #last = 0;
  #round = 0;
  /** All changes of rounds before this one are in epochs up to it; undefined while that is not known. */
  #until: EpochNumber | undefined;

  constructor(log: DirtyLogFace, maximum: number = limits.writeBackWriters) {
    this.#log = log;
    this.#maximum = maximum;
    const isUnused = log.stats().dirtyFiles === 0;
    for (const [key, note] of [...log.notes(prefix)]) {
      // Numbers that no change uses are given again.
      if (isUnused) log.note(key, undefined);
      else this.#add(Number(key.slice(prefix.length)), decode(note));
    }
  }

  numberOf(who: Credential): number {
    const known = this.#byKey.get(who.key);
    if (known !== undefined) {
      known.round = this.#round;
      return known.number;
    }
    if (this.#byKey.size >= this.#maximum) this.#shrink();
    const number = this.#last + 1;
    const { uid, gid, gids } = who;
    this.#log.note(`${prefix}${number}`, Buffer.from(JSON.stringify({ uid, gid, gids })));
    this.#add(number, who);
    return number;
  }

  credentialOf(number: number): Credential | undefined {
    return this.#byNumber.get(number)?.who;
  }

  #add(number: number, who: Credential): void {
    const writer = { number, who, round: this.#round };
    this.#byKey.set(who.key, writer);
    this.#byNumber.set(number, writer);
    this.#last = Math.max(this.#last, number);
  }

  #shrink(): void {
    const epochs = this.#log.epochs();
    if (this.#until !== undefined && (epochs[0]?.number ?? Number.POSITIVE_INFINITY) > this.#until) {
      for (const { number, who, round } of this.#byNumber.values()) {
        if (round === this.#round) continue;
        this.#byNumber.delete(number);
        this.#byKey.delete(who.key);
        this.#log.note(`${prefix}${number}`, undefined);
      }
      this.#round++;
      this.#until = undefined;
    }
    // A change that waits for room has no epoch yet.
    if (this.#until === undefined && this.#log.stats().waitingWriters === 0) this.#until = epochs.at(-1)?.number ?? 0;
  }
}

function decode(note: Uint8Array): Credential {
  const text = Buffer.from(note.buffer, note.byteOffset, note.length).toString();
  const { uid, gid, gids } = JSON.parse(text) as Credential;
  return credential(uid, gid, gids);
}
