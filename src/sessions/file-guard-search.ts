/**
 * Finds the name of a file that a change is for and that the rules do not know: after a worker was started anew, clients go on with the
 * handles that they have, and name nothing.
 *
 *     names that the caches know ──► directory: LOOKUP "..", READDIR for its fileid, up to what is known
 *                                └─► file: READDIRPLUS from the root down, until one of the entries is it
 *
 * As the caller, so nobody learns of what he may not see. One search at a time: each teaches the rules all the names that it passes, so the
 * next one is mostly short. Bounded by `limits.searchedNames`; what was not found is not searched for again for `missedMs`.
 */
import { type Clock, type Log, limits } from '../base/mod.ts';
import * as vfs from '../vfs/mod.ts';
import type { FileRules } from './file-rules.ts';

const { FileType, Status } = vfs;

/** 0: the rules know it now. */
type Found = 0 | vfs.Failure;

const missedMs = 10_000;
const missesMaximum = 4096;
/** Directories above one another. */
const deepest = 256;
const pageBytes = 32 * 1024;
const noVerifier = '\0'.repeat(8);
/** What says that a directory cannot be searched, now or later: it is passed by. Any other refusal may be over soon. */
const closed: readonly number[] = [
  Status.PERM,
  Status.ACCES,
  Status.NOENT,
  Status.STALE,
  Status.NOTDIR,
  Status.NOTSUPP,
];

export class FileSearch {
  readonly #next: vfs.Filesystem;
  readonly #rules: FileRules;
  readonly #clock: Clock;
  readonly #log: Log;
  /** Settles when the search before has ended, whatever came of it. */
  #before: Promise<unknown> = Promise.resolve();
  readonly #missedUntilMs = new Map<string, number>();

  constructor(next: vfs.Filesystem, rules: FileRules, { clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#next = next;
    this.#rules = rules;
    this.#clock = clock;
    this.#log = log;
  }

  /** ROFS: it was not found, so it may be a file that nobody may change. */
  find(call: vfs.Call, file: vfs.FileHandle): vfs.Failure | Promise<Found> {
    const key = `${call.credential.key} ${file}`;
    if (this.#clock.now() < (this.#missedUntilMs.get(key) ?? 0)) return Status.ROFS;
    const found = this.#before.then(() => this.#find(call, file, key));
    this.#before = found.catch(() => {});
    return found;
  }

  async #find(call: vfs.Call, object: vfs.FileHandle, key: string): Promise<Found> {
    const rules = this.#rules;
    if (rules.isSure(object)) return 0;
    rules.recall(object);
    const own = await this.#next.getattr(call, { object });
    if (own.status !== 0) return own.status;
    rules.seen(object, own.attributes);
    const { type, fileid } = own.attributes;
    if (!rules.isSure(object)) {
      const status = await (type === FileType.DIRECTORY ? this.#up(call, object) : this.#down(call, object, fileid));
      if (status !== 0 && !closed.includes(status)) return Status.JUKEBOX;
    }
    if (rules.isSure(object)) return 0;
    if (this.#missedUntilMs.size >= missesMaximum) this.#missedUntilMs.clear();
    if (!this.#missedUntilMs.has(key)) {
      const { peer } = call;
      const why = 'a change was refused: rules make files read-only, and the name of this one was not found';
      this.#log.warn({ peer, fileid: `${fileid}`, remedy: 'Open the file by its path again.' }, why);
    }
    this.#missedUntilMs.set(key, this.#clock.now() + missedMs);
    return Status.ROFS;
  }

  /** From a directory to those above it. */
  async #up(call: vfs.Call, object: vfs.FileHandle): Promise<number> {
    let directory = object;
    for (let depth = 0; depth < deepest && !this.#rules.isSure(directory); depth++) {
      const own = await this.#next.getattr(call, { object: directory });
      if (own.status !== 0) return own.status;
      const above = await this.#next.lookup(call, { directory, name: '..' });
      if (above.status !== 0) return above.status;
      if (above.object === directory) return 0;
      const left = { names: limits.searchedNames };
      const status = await this.#list(call, above.object, left, async ({ name, fileid }) => {
        if (fileid !== own.attributes.fileid) return 0;
        const found = await this.#next.lookup(call, { directory: above.object, name });
        if (found.status !== 0 || found.object !== directory) return 0;
        this.#rules.named(above.object, name, directory);
        return 'enough';
      });
      if (status !== 0) return status;
      directory = above.object;
    }
    return 0;
  }

  /** The whole tree, what is nearest to the root first. */
  async #down(call: vfs.Call, object: vfs.FileHandle, fileid: bigint): Promise<number> {
    const left = { names: limits.searchedNames };
    const directories = [this.#next.root];
    let unsaid = 0;
    for (const directory of directories) {
      const status = await this.#list(call, directory, left, async (entry) => {
        const isIt = entry.fileid === fileid;
        let { object: found, attributes } = entry;
        if (found === undefined || (attributes === undefined && !isIt)) {
          const asked = await this.#next.lookup(call, { directory, name: entry.name });
          if (asked.status !== 0) return closed.includes(asked.status) ? 0 : asked.status;
          ({ object: found, attributes } = asked);
        }
        // Names on the way to it are needed, and so that the next search is short the others are kept too.
        this.#rules.named(directory, entry.name, found);
        if (attributes?.type === FileType.DIRECTORY) directories.push(found);
        return found === object ? 'enough' : 0;
      });
      if (this.#rules.isSure(object) || left.names <= 0) return 0;
      if (status !== 0 && !closed.includes(status)) unsaid = status;
    }
    return unsaid;
  }

  /** Every entry but `.` and `..`, until `each` has enough or fails. */
  async #list(
    call: vfs.Call,
    directory: vfs.FileHandle,
    left: { names: number },
    each: (entry: vfs.DirectoryEntryPlus) => Promise<number | 'enough'>,
  ): Promise<number> {
    let cookie = 0n;
    let cookieVerifier = noVerifier;
    while (left.names > 0) {
      const args = { directory, cookie, cookieVerifier, directoryBytes: pageBytes, replyBytes: pageBytes };
      const page = await this.#next.readdirplus(call, args);
      if (page.status !== 0) return page.status;
      for (const entry of page.entries) {
        ({ cookie } = entry);
        if (entry.name === '.' || entry.name === '..') continue;
        left.names--;
        const told = await each(entry);
        if (told === 'enough') return 0;
        if (told !== 0) return told;
      }
      if (page.eof || page.entries.length === 0) return 0;
      ({ cookieVerifier } = page);
    }
    return 0;
  }
}
