/**
 * What replies teach the attribute cache of files and names: attributes of any reply that passes, and what a change in a directory did to
 * the names in it.
 *
 *     reply + when it was asked for ──► attributes (attribute-table.ts), unless something newer is known
 *                                   └─► names (name-table.ts), if the reply can be put in order with what else is known of the directory
 *
 * Invariant: a reply that may be older than what is known teaches nothing, and a change that cannot be put in order, or that failed, leaves
 * the names concerned unknown.
 */
import type { Clock } from '../base/mod.ts';
import type * as fs from '../vfs/mod.ts';
import { type Attributes, FileType, Status, type WccData } from '../vfs/mod.ts';
import type { AttributeCacheOptions, FileWitness } from './attribute-cache-options.ts';
import type { AttributeTable, Issue, Verdict } from './attribute-table.ts';
import type { NameTable } from './name-table.ts';

interface Replied {
  readonly status: number;
  readonly attributes?: Attributes | undefined;
}

export class AttributeLessons {
  readonly #attributes: AttributeTable;
  readonly #names: NameTable;
  readonly #options: Pick<AttributeCacheOptions, 'nameMs' | 'negativeNameMs'>;
  readonly #clock: Clock;
  readonly #witness: FileWitness | undefined;

  constructor(
    attributes: AttributeTable,
    names: NameTable,
    options: Pick<AttributeCacheOptions, 'nameMs' | 'negativeNameMs'>,
    clock: Clock,
    witness?: FileWitness | undefined,
  ) {
    this.#attributes = attributes;
    this.#names = names;
    this.#options = options;
    this.#clock = clock;
    this.#witness = witness;
  }

  /** When a call is made whose reply will teach something. */
  issue(): Issue {
    return this.#attributes.issue(this.#clock.now());
  }

  created(where: fs.Place, issue: Issue, reply: fs.CreateReply): fs.CreateReply {
    const object = reply.status === 0 ? reply.object : undefined;
    if (reply.status === 0 && object !== undefined && reply.attributes !== undefined) {
      this.see(object, reply.attributes, issue);
    }
    // UNCHECKED may have truncated a file that was there before.
    else if (object !== undefined) this.#attributes.invalidate(object);
    // The reply need not say which file it was (post_op_fh3 is optional).
    else if (reply.status === 0) this.#attributes.invalidateFiles();
    const ordered = this.#directoryChanged(where.directory, issue, reply.directoryWcc);
    if (ordered && object !== undefined) this.recordName(where.directory, where.name, object);
    else {
      this.#names.forget(where.directory, where.name);
      if (object !== undefined) this.#witness?.named(where.directory, where.name, object);
    }
    if (reply.status !== 0) this.seeFailure(where.directory, reply);
    return reply;
  }

  removed(place: fs.Place, victim: string | null | undefined, issue: Issue, reply: fs.RemoveReply): fs.RemoveReply {
    const overlapped = this.#attributes.mutatedSince(place.directory, issue);
    const object = victim ?? this.#names.object(place.directory, place.name);
    const ordered = this.#directoryChanged(place.directory, issue, reply.directoryWcc);
    this.#names.forget(place.directory, place.name);
    if (reply.status !== 0) {
      this.seeFailure(place.directory, reply);
      return reply;
    }
    if (ordered) this.recordName(place.directory, place.name, undefined);
    this.#witness?.unnamed(place, object ?? undefined);
    if (typeof object === 'string') this.forgetFile(object);
    if (typeof object !== 'string' || overlapped) this.#attributes.invalidateFiles();
    return reply;
  }

  renamed(
    { from, to }: fs.RenameArguments,
    moved: string | null | undefined,
    replaced: string | null | undefined,
    issue: Issue,
    reply: fs.RenameReply,
  ): fs.RenameReply {
    const overlapped =
      this.#attributes.mutatedSince(from.directory, issue) || this.#attributes.mutatedSince(to.directory, issue);
    const sameDirectory = from.directory === to.directory;
    const fromOrdered = this.#directoryChanged(from.directory, issue, reply.fromWcc);
    const toOrdered = sameDirectory ? fromOrdered : this.#directoryChanged(to.directory, issue, reply.toWcc);
    this.#names.forget(from.directory, from.name);
    this.#names.forget(to.directory, to.name);
    if (reply.status !== 0) {
      if (reply.status === Status.STALE) {
        this.forgetFile(from.directory);
        this.forgetFile(to.directory);
      }
      return reply;
    }
    // Two names of one file: RENAME does nothing (RFC 1813 3.3.14), and both stay.
    const nothing = typeof moved === 'string' && moved === replaced;
    if (!nothing) this.#witness?.renamed(from, to, moved ?? undefined);
    if (fromOrdered && !nothing) this.recordName(from.directory, from.name, undefined);
    if (toOrdered && typeof moved === 'string') this.recordName(to.directory, to.name, moved);
    // The moved file has a new ctime; a replaced one has lost a name.
    if (typeof moved === 'string') this.#attributes.invalidate(moved);
    if (typeof replaced === 'string') this.forgetFile(replaced);
    if (typeof moved !== 'string' || replaced === undefined || overlapped) this.#attributes.invalidateFiles();
    return reply;
  }

  linked({ object, where }: fs.LinkArguments, issue: Issue, reply: fs.LinkReply): fs.LinkReply {
    if (reply.attributes !== undefined) this.see(object, reply.attributes, issue);
    else this.#attributes.invalidate(object);
    const { directory, name } = where;
    const ordered = this.#directoryChanged(directory, issue, reply.directoryWcc);
    if (ordered && reply.status === 0) this.recordName(directory, name, object);
    else this.#names.forget(directory, name);
    // STALE may mean either of the two handles.
    if (reply.status === Status.STALE) {
      this.forgetFile(directory);
      this.forgetFile(object);
    }
    return reply;
  }

  /** A listing without handles came back. */
  named(directory: fs.FileHandle, issue: Issue, reply: fs.ReaddirReply): fs.ReaddirReply {
    this.seeDirectory(directory, reply.directoryAttributes, issue);
    return reply.status === 0 ? reply : this.seeFailure(directory, reply);
  }

  listed(
    directory: fs.FileHandle,
    issue: Issue,
    reply: fs.ReaddirReply<fs.DirectoryEntryPlus>,
  ): fs.ReaddirReply<fs.DirectoryEntryPlus> {
    const current = this.seeDirectory(directory, reply.directoryAttributes, issue);
    if (reply.status !== 0) {
      this.seeFailure(directory, reply);
      return reply;
    }
    const { entries } = reply;
    for (let i = 0; i < entries.length; i++) {
      const { name, object, attributes } = entries[i]!;
      if (object === undefined || name === '..' || name === '.') continue;
      // Its name first: that says which settings it has.
      if (current) this.recordName(directory, name, object);
      if (attributes !== undefined) this.see(object, attributes, issue);
    }
    return reply;
  }

  committed(object: string, issue: Issue, reply: fs.CommitReply): fs.CommitReply {
    const { after, before } = reply.wcc;
    if (after !== undefined) this.see(object, after, issue, before);
    return reply.status === 0 ? reply : this.seeFailure(object, reply);
  }

  recordName(directory: string, name: string, object: string | undefined): void {
    if (object !== undefined) this.#witness?.named(directory, name, object);
    const lifeMs = object === undefined ? this.#options.negativeNameMs : this.#options.nameMs;
    this.#names.record(directory, name, object, this.#clock.now() + lifeMs);
  }

  /** Takes attributes over, and drops a directory's names if somebody else changed it. */
  see(handle: string, attributes: Attributes, issue: Issue, before?: fs.WccAttributes): Verdict {
    const verdict = this.#attributes.observe(handle, attributes, issue, before);
    if (verdict !== 'older') this.#witness?.seen(handle, attributes);
    if (verdict === 'changed' && attributes.type === FileType.DIRECTORY) this.#names.forgetDirectory(handle);
    return verdict;
  }

  /** Whether names in the reply are at least as new as all that is known of the directory. */
  seeDirectory(directory: string, attributes: Attributes | undefined, issue: Issue): boolean {
    const mutated = this.#attributes.mutatedSince(directory, issue);
    if (attributes === undefined) return !mutated && !this.#attributes.learnedSince(directory, issue);
    return this.see(directory, attributes, issue) !== 'older' && !mutated;
  }

  seeReply<R extends Replied>(object: string, issue: Issue, reply: R): R {
    if (reply.attributes !== undefined) this.see(object, reply.attributes, issue);
    return reply.status === 0 ? reply : this.seeFailure(object, reply);
  }

  seeFailure<R extends { readonly status: number }>(object: string, reply: R): R {
    if (reply.status === Status.STALE || reply.status === Status.BADHANDLE) this.forgetFile(object);
    return reply;
  }

  /** A WRITE or SETATTR came back. */
  changed<R extends { readonly status: number; readonly wcc: WccData }>(object: string, issue: Issue, reply: R): R {
    const { before, after } = reply.wcc;
    if (after === undefined) this.#attributes.invalidate(object);
    else this.see(object, after, issue, before);
    return reply.status === 0 ? reply : this.seeFailure(object, reply);
  }

  /** A mutation in a directory came back: whether what it did to names can be put in order with what else is known. */
  #directoryChanged(directory: string, issue: Issue, wcc: WccData): boolean {
    const overlapped = this.#attributes.mutatedSince(directory, issue);
    let verdict: Verdict = 'older';
    if (wcc.after === undefined) this.#attributes.invalidate(directory);
    else verdict = this.see(directory, wcc.after, issue, wcc.before);
    this.#attributes.mutated(directory);
    return verdict !== 'older' && !overlapped;
  }

  forgetFile(handle: string): void {
    this.#attributes.invalidate(handle);
    this.#names.forgetDirectory(handle);
  }
}
