/**
 * Whole directories as they were last listed, so that they can be listed while the origin is away.
 *
 *     page from cookie 0 ──► collection ──page from its last cookie──► ... ──eof──► listing, in place of the one before
 *                               │ another order, another verifier, a change of our own: given up
 *
 * Kept are fileids, names and the origin's own cookies: a client goes on in one or the other without noticing. What READDIRPLUS
 * adds is not kept; the attribute cache, which knows it, is newer. Only callers whom the origin has let read the directory
 * are answered. Bounded in entries over all listings; the oldest unused ones go first.
 */
import { limits } from '../../base/mod.ts';
import type { DirectoryEntry, FileHandle, ReaddirArguments, ReaddirReply, Verifier } from '../../vfs/mod.ts';
import { Status } from '../../vfs/mod.ts';
import { BoundedMap, type Touchable } from '../bounded-map.ts';

interface Collection {
  readonly verifier: Verifier;
  readonly entries: DirectoryEntry[];
}

interface Listing extends Touchable {
  readonly verifier: Verifier;
  readonly entries: readonly DirectoryEntry[];
  /** Credential keys that the origin let read it. */
  readonly readers: Set<string>;
  /** Where the last page ended: the next one most likely begins there. */
  hint: number;
}

/** Directories that are being listed at a time. */
const collectionsMaximum = 64;
const readersMaximum = 64;
/** Of a reply of READDIR and READDIRPLUS on the wire: status, attributes, verifier, end of the list; one entry without its name. */
const replyBytes = 108;
const entryBytes = 24;
const entryPlusBytes = 32;

export class Listings {
  readonly #limit: number;
  readonly #listings: BoundedMap<FileHandle, Listing>;
  readonly #collections = new Map<FileHandle, Collection>();
  #count = 0;

  constructor(limit: number = limits.listedEntries) {
    this.#limit = limit;
    this.#listings = new BoundedMap(limit, (_directory, { entries }) => {
      this.#count -= entries.length + 1;
    });
  }

  /** Entries held, and one for each listing. */
  get size(): number {
    return this.#count;
  }

  /** A page that the origin gave; call `spoil` first if a change of our own overlapped with it. */
  saw(credentialKey: string, { directory, cookie }: ReaddirArguments, reply: ReaddirReply): void {
    if (reply.status !== 0) {
      this.#refused(credentialKey, directory, reply.status);
      return;
    }
    const collection = this.#collect(directory, cookie, reply.cookieVerifier);
    if (collection === undefined) return;
    for (const { fileid, name, cookie: after } of reply.entries)
      collection.entries.push({ fileid, name, cookie: after });
    // It would push out all others.
    if ((collection.entries.length + 1) * 2 > this.#limit) this.#collections.delete(directory);
    else if (reply.eof) this.#keep(credentialKey, directory, collection);
  }

  /** What the call would be answered; undefined if that is not known. */
  page(credentialKey: string, args: ReaddirArguments, plus: boolean): ReaddirReply | undefined {
    const listing = this.#listings.get(args.directory);
    if (listing === undefined || !listing.readers.has(credentialKey)) return undefined;
    const first = indexAfter(listing, args);
    if (first === undefined) return undefined;
    listing.touched = true;
    const { entries, verifier: cookieVerifier } = listing;
    let left = (plus ? args.replyBytes : args.directoryBytes) - replyBytes;
    let namesLeft = plus ? args.directoryBytes : Number.POSITIVE_INFINITY;
    let end = first;
    for (; end < entries.length; end++) {
      const nameBytes = (entries[end]!.name.length + 3) & ~3;
      left -= nameBytes + (plus ? entryPlusBytes : entryBytes);
      namesLeft -= nameBytes + entryBytes;
      if (left < 0 || namesLeft < 0) break;
    }
    if (end === first && end < entries.length) return { status: Status.TOOSMALL };
    listing.hint = end;
    return { status: 0, cookieVerifier, entries: entries.slice(first, end), eof: end === entries.length };
  }

  /** A change of our own in the directory is under way: a page may show it or not. */
  spoil(directory: FileHandle): void {
    this.#collections.delete(directory);
  }

  /** The directory is another one now, or its permissions are. */
  forget(directory: FileHandle): void {
    this.#collections.delete(directory);
    const listing = this.#listings.get(directory);
    if (listing === undefined) return;
    this.#count -= listing.entries.length + 1;
    this.#listings.delete(directory);
  }

  #collect(directory: FileHandle, cookie: bigint, verifier: Verifier): Collection | undefined {
    if (cookie === 0n) {
      if (this.#collections.size >= collectionsMaximum) {
        const [oldest] = this.#collections.keys();
        this.#collections.delete(oldest!);
      }
      const begun = { verifier, entries: [] };
      this.#collections.delete(directory);
      this.#collections.set(directory, begun);
      return begun;
    }
    const known = this.#collections.get(directory);
    return known !== undefined && known.verifier === verifier && known.entries.at(-1)?.cookie === cookie
      ? known
      : undefined;
  }

  #keep(credentialKey: string, directory: FileHandle, { verifier, entries }: Collection): void {
    const readers = this.#listings.get(directory)?.readers ?? new Set();
    this.forget(directory);
    while (this.#count + entries.length + 1 > this.#limit) this.#listings.evict();
    if (readers.size >= readersMaximum) readers.clear();
    readers.add(credentialKey);
    this.#listings.set(directory, { verifier, entries, readers, hint: 0, touched: true });
    this.#count += entries.length + 1;
  }

  #refused(credentialKey: string, directory: FileHandle, status: number): void {
    if (status === Status.ACCES || status === Status.PERM) this.#listings.get(directory)?.readers.delete(credentialKey);
    else if (status === Status.STALE || status === Status.BADHANDLE || status === Status.NOTDIR) this.forget(directory);
  }
}

/** The index of the first entry behind the cookie. */
function indexAfter({ entries, verifier, hint }: Listing, args: ReaddirArguments): number | undefined {
  if (args.cookie === 0n) return 0;
  if (args.cookieVerifier !== verifier) return undefined;
  if (entries[hint - 1]?.cookie === args.cookie) return hint;
  const index = entries.findIndex(({ cookie }) => cookie === args.cookie);
  return index < 0 ? undefined : index + 1;
}
