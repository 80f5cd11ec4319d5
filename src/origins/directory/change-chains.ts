/**
 * `expected` of WRITE and SETATTR: whether a file still shows what its writer thinks, or what that writer's own changes made of it.
 *
 *     expected E, token T     file shows E         allowed: chain (T, E) -> S1, what the file shows afterwards
 *     expected E, token T     file shows S1        allowed: chain (T, E) -> S2          so that they can be pipelined
 *     somebody else's change  file shows X         the next with E is NOT_SYNC, and so are all after it
 *
 * To be asked and told in the file's turn (turns.ts). A chain needs a token, which only one holder has: without one, two writers
 * that looked at the same time could not be told apart. Other changes under the same token go on with the chain too; name operations
 * move a file's change time alone, so after one of them that alone breaks no chain.
 */
import { type Eventual, isPromise, limits } from '../../base/mod.ts';
import { type FileHandle, sameContent, timeEquals, type WccAttributes } from '../../vfs/mod.ts';

interface Chain {
  readonly token: string;
  readonly base: WccAttributes;
  current: WccAttributes;
  nameChanges: number;
}

export class ChangeChains {
  /** The least lately begun first. */
  readonly #chains = new Map<FileHandle, Chain>();
  /** Name operations that have ended, and that are under way. */
  #nameChanges = 0;
  #namesChanging = 0;

  allows(
    file: FileHandle,
    token: string | undefined,
    expected: WccAttributes | undefined,
    before: WccAttributes,
  ): boolean {
    if (expected === undefined || sameContent(before, expected)) return true;
    const known = this.#chains.get(file);
    return known !== undefined && continues(known, token, expected) && this.#shows(known, before);
  }

  /** After the change; `after` is undefined if the file is gone. */
  changed(
    file: FileHandle,
    token: string | undefined,
    expected: WccAttributes | undefined,
    before: WccAttributes,
    after: WccAttributes | undefined,
  ): void {
    if (after === undefined || token === undefined) return;
    const known = this.#chains.get(file);
    const current: WccAttributes = { size: after.size, mtime: after.mtime, ctime: after.ctime };
    if (known !== undefined && continues(known, token, expected) && this.#shows(known, before)) {
      known.current = current;
      known.nameChanges = this.#nameChanges;
      return;
    }
    if (expected === undefined) return;
    this.#chains.delete(file);
    if (this.#chains.size >= limits.changeChains) {
      const oldest = this.#chains.keys().next().value;
      if (oldest !== undefined) this.#chains.delete(oldest);
    }
    this.#chains.set(file, { token, base: expected, current, nameChanges: this.#nameChanges });
  }

  /** What the file shows cannot be this writer's doing alone: what is based on the time before it is NOT_SYNC. */
  broken(file: FileHandle): void {
    this.#chains.delete(file);
  }

  /** A rename, link or removal under a token, from its beginning to its end: which change times it moves is not known here. */
  duringNameChange<Reply>(change: () => Eventual<Reply>): Eventual<Reply> {
    this.#namesChanging++;
    const ended = (): void => {
      this.#namesChanging--;
      this.#nameChanges++;
    };
    let reply: Eventual<Reply>;
    try {
      reply = change();
    } catch (error) {
      ended();
      throw error;
    }
    if (isPromise(reply)) return reply.finally(ended);
    ended();
    return reply;
  }

  #shows(known: Chain, before: WccAttributes): boolean {
    const { current } = known;
    if (sameContent(before, current)) return true;
    const isNamed = this.#namesChanging > 0 || known.nameChanges !== this.#nameChanges;
    return isNamed && before.size === current.size && timeEquals(before.mtime, current.mtime);
  }
}

function continues(known: Chain, token: string | undefined, expected: WccAttributes | undefined): boolean {
  return known.token === token && (expected === undefined || sameContent(known.base, expected));
}
