/**
 * Numbers for the credentials of those who wrote: the log keeps a number with each change, and the drain writes under the
 * credential that it stands for. Noted in the log before the first change that uses it.
 *
 *     note  "writer:" number  ->  {"uid":1000,"gid":1000,"gids":[4,24]}
 */
import type { DirtyLogFace } from '../../dirty/mod.ts';
import { type Credential, credential } from '../../vfs/mod.ts';

const prefix = 'writer:';

export class Writers {
  readonly #log: DirtyLogFace;
  readonly #numbers = new Map<string, number>();
  readonly #credentials = new Map<number, Credential>();
  #last = 0;

  constructor(log: DirtyLogFace) {
    this.#log = log;
    const isUnused = log.stats().dirtyFiles === 0;
    for (const [key, note] of [...log.notes(prefix)]) {
      // Numbers that no change uses are given again: the table does not grow for ever.
      if (isUnused) log.note(key, undefined);
      else this.#add(Number(key.slice(prefix.length)), decode(note));
    }
  }

  numberOf(who: Credential): number {
    const known = this.#numbers.get(who.key);
    if (known !== undefined) return known;
    const number = this.#last + 1;
    const { uid, gid, gids } = who;
    this.#log.note(`${prefix}${number}`, Buffer.from(JSON.stringify({ uid, gid, gids })));
    this.#add(number, who);
    return number;
  }

  credentialOf(number: number): Credential | undefined {
    return this.#credentials.get(number);
  }

  #add(number: number, who: Credential): void {
    this.#numbers.set(who.key, number);
    this.#credentials.set(number, who);
    this.#last = Math.max(this.#last, number);
  }
}

function decode(note: Uint8Array): Credential {
  const text = Buffer.from(note.buffer, note.byteOffset, note.length).toString();
  const { uid, gid, gids } = JSON.parse(text) as Credential;
  return credential(uid, gid, gids);
}
