/**
 * Conditional changes that began before the server was restarted. Its memory of what they made of the file is gone, but not that
 * they began (`LeaseStore.noteChange`): if the file was not touched since this server started, what it shows now counts as theirs.
 *
 *     before the restart   WRITE_IF base E, token T      noted (T, file, E); file: E -> S1 -> S2, and the reply may be lost
 *     after it             any change, token T           S2 is older than the start: T's chain goes on from S2
 *                          WRITE_IF base E, token T      taken as base S2
 *
 * Any change: a client sends unstable data again without a condition, and that must not look like somebody else's doing.
 * What a local process did to the file between that beginning and the start cannot be told from the holder's own changes.
 */
import { chain, type Eventual, type Log, limits, ViaductError } from '../../base/mod.ts';
import {
  type Call,
  type FileHandle,
  type Filesystem,
  type LeaseStore,
  type LeaseToken,
  type NotedChange,
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
  /** Of this life, the oldest first. */
  readonly #begun = new Map<FileHandle, Begun>();
  /** Of an earlier life, and not touched since. */
  readonly #left: Map<FileHandle, NotedChange>;

  /** Throws LEASE_STORE_FAILED. */
  constructor(store: LeaseStore, next: Filesystem, startedMs: number, log: Log) {
    this.#store = store;
    this.#next = next;
    this.#startedMs = startedMs;
    this.#log = log;
    this.#left = new Map(store.notedChanges().map((change) => [change.file, change]));
  }

  /** What to expect for a change whose caller expects `base`, or nothing. */
  expected(
    call: Call,
    token: LeaseToken,
    file: FileHandle,
    base: WccAttributes | undefined,
  ): Eventual<WccAttributes | undefined> {
    const left = this.#left.size === 0 ? undefined : this.#left.get(file);
    if (left !== undefined) {
      this.#left.delete(file);
      if (left.token === token) return this.#goOn(call, left, base);
    }
    return this.#expect(token, file, base);
  }

  #expect(token: LeaseToken, file: FileHandle, base: WccAttributes | undefined): WccAttributes | undefined {
    if (base === undefined) return undefined;
    const begun = this.#begun.get(file);
    if (begun !== undefined && begun.token === token && sameContent(begun.base, base)) return begun.expected;
    this.#note(token, file, base);
    return this.#remember(file, { token, base, expected: base });
  }

  #goOn(call: Call, left: NotedChange, base: WccAttributes | undefined): Eventual<WccAttributes | undefined> {
    const { token, file } = left;
    return chain(this.#next.getattr(call, { object: file }), (found) => {
      if (
        found.status === 0 &&
        this.#isBeforeStart(found.attributes.mtime) &&
        this.#isBeforeStart(found.attributes.ctime)
      ) {
        const { size, mtime, ctime } = found.attributes;
        this.#remember(file, { token, base: left.base, expected: { size, mtime, ctime } });
        if (base === undefined) return { size, mtime, ctime };
      }
      return this.#expect(token, file, base);
    });
  }

  #note(token: LeaseToken, file: FileHandle, base: WccAttributes): void {
    try {
      this.#store.noteChange(token, file, base);
    } catch (error) {
      if (!(error instanceof ViaductError)) throw error;
      const message = 'a change could not be noted: after a restart it could look like a conflict';
      this.#log.warn({ error: error.message }, message);
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
