/**
 * Conditional changes that began before the server was restarted. Its memory of what they made of the file is gone, but not that
 * they began (`LeaseStore.noteChange`): if the file was not touched since this server started, what it shows now counts as theirs.
 *
 *     before the restart   WRITE_IF base E, token T      noted (T, file, E); file: E -> S1 -> S2, and the reply may be lost
 *     after it             WRITE_IF base E, token T      noted before, S2 older than the start: taken as base S2
 *
 * What a local process did to the file between that beginning and the start cannot be told from the holder's own changes.
 */
import { chain, type Eventual, type Log, limits, ViaductError } from '../../base/mod.ts';
import {
  type Call,
  type FileHandle,
  type Filesystem,
  type LeaseStore,
  type LeaseToken,
  sameContent,
  type Time,
  type WccAttributes,
} from '../../vfs/mod.ts';

interface Begun {
  readonly token: LeaseToken;
  readonly base: WccAttributes;
  /** What the layer below is asked to expect. */
  readonly expected: WccAttributes;
}

export class EarlierChanges {
  readonly #store: LeaseStore;
  readonly #next: Filesystem;
  readonly #startedMs: number;
  readonly #log: Log;
  readonly #begun = new Map<FileHandle, Begun>();

  constructor(store: LeaseStore, next: Filesystem, startedMs: number, log: Log) {
    this.#store = store;
    this.#next = next;
    this.#startedMs = startedMs;
    this.#log = log;
  }

  /** What to expect for a change whose caller expects `base`. */
  expected(call: Call, token: LeaseToken, file: FileHandle, base: WccAttributes): Eventual<WccAttributes> {
    const begun = this.#begun.get(file);
    if (begun !== undefined && begun.token === token && sameContent(begun.base, base)) return begun.expected;
    if (!this.#wasNoted(token, file, base)) return this.#remember(file, { token, base, expected: base });
    return chain(this.#next.getattr(call, { object: file }), (found) => {
      if (found.status !== 0) return base;
      const { size, mtime, ctime } = found.attributes;
      const isEarlier = this.#isBeforeStart(mtime) && this.#isBeforeStart(ctime);
      return this.#remember(file, { token, base, expected: isEarlier ? { size, mtime, ctime } : base });
    });
  }

  #wasNoted(token: LeaseToken, file: FileHandle, base: WccAttributes): boolean {
    try {
      return this.#store.noteChange(token, file, textOf(base));
    } catch (error) {
      if (!(error instanceof ViaductError)) throw error;
      this.#log.warn(
        { error: error.message },
        'a change could not be noted: after a restart it could look like a conflict',
      );
      return false;
    }
  }

  #remember(file: FileHandle, begun: Begun): WccAttributes {
    this.#begun.delete(file);
    this.#begun.set(file, begun);
    const oldest = this.#begun.keys().next().value;
    if (this.#begun.size > limits.changeChains && oldest !== undefined) this.#begun.delete(oldest);
    return begun.expected;
  }

  #isBeforeStart(time: Time): boolean {
    return time.seconds * 1000 + time.nanoseconds / 1e6 < this.#startedMs;
  }
}

function textOf({ size, mtime, ctime }: WccAttributes): string {
  return [size, mtime.seconds, mtime.nanoseconds, ctime.seconds, ctime.nanoseconds].join(' ');
}
