/**
 * Attributes, look-ups and link contents, so that a client's constant GETATTR and LOOKUP need no round trip.
 *
 * Learns from every reply that passes (post-op attributes, wcc_data, READDIRPLUS) and answers synchronously while what it
 * knows is fresh. A file that somebody else changed at the origin is noticed when its time-out has run out, or by any reply
 * before that; the new attributes then tell the layers above. While the origin is away, what was known of files that exist is
 * answered beyond its time (origin-presence.ts); "no such name" is not.
 *
 *     LOOKUP hit = the directory's attributes are fresh
 *                & the name was seen in this state of the directory, and its own time-out has not run out
 *                & the origin let this credential search the directory in this state
 *                & the file's attributes are fresh            (or there is no such name)
 *
 * Invariants: nothing goes back in time (attribute-table.ts has the order). A mutation that overlaps with another one in the same
 * directory, or that fails, leaves the names concerned unknown. `.` and `..` are not kept. GETATTR is single-flight, but a
 * call never joins one that was issued before something newer was learned.
 */
import { type Clock, chain, type Eventual } from '../base/mod.ts';
import type * as fs from '../vfs/mod.ts';
import { Access, type Attributes, FileType, ForwardingFilesystem, Status, type WccData } from '../vfs/mod.ts';
import {
  type AttributeCacheContext,
  type AttributeCacheOptions,
  type AttributeCacheStats,
  attributeCacheDefaults,
} from './attribute-cache-options.ts';
import { AttributeTable, type Issue, type KnownReply, type Verdict } from './attribute-table.ts';
import { KnownFiles } from './known-files.ts';
import { NameTable } from './name-table.ts';
import { OriginPresence } from './origin-presence.ts';

interface Pending {
  readonly issue: Issue;
  readonly reply: Promise<fs.GetattrReply>;
}

interface Replied {
  readonly status: number;
  readonly attributes?: Attributes | undefined;
}

/** What a mutation's reply says about its directory and the new file in it. */
type Created = fs.CreateReply;

export class AttributeCache extends ForwardingFilesystem {
  readonly known: KnownFiles;
  readonly #clock: Clock;
  readonly #options: AttributeCacheOptions;
  readonly #attributes: AttributeTable;
  readonly #names: NameTable;
  readonly #presence: OriginPresence;
  /** GETATTRs under way. */
  readonly #pending = new Map<string, Pending>();
  #attributeHits = 0;
  #attributeMisses = 0;
  #nameHits = 0;
  #nameMisses = 0;

  constructor(next: fs.Filesystem, { clock, options, presence }: AttributeCacheContext) {
    super(next);
    this.#clock = clock;
    this.#options = { ...attributeCacheDefaults, ...options };
    this.#attributes = new AttributeTable(this.#options.entries, this.#options);
    this.#names = new NameTable(this.#options.names);
    this.known = new KnownFiles(this.#attributes, this.#names);
    this.#presence = presence ?? new OriginPresence({ clock });
  }

  stats(): AttributeCacheStats {
    return {
      attributeHits: this.#attributeHits,
      attributeMisses: this.#attributeMisses,
      nameHits: this.#nameHits,
      nameMisses: this.#nameMisses,
      entries: this.#attributes.size,
      names: this.#names.size,
    };
  }

  /** Every name and all attributes go; replies to what is being asked at this moment are not kept. */
  invalidate(): void {
    this.#attributes.clear();
    this.#names.clear();
  }

  override getattr(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.GetattrReply> {
    const nowMs = this.#clock.now();
    const known = this.#attributes.fresh(args.object, nowMs);
    if (known !== undefined) {
      this.#attributeHits++;
      return known;
    }
    this.#attributeMisses++;
    return this.#presence.refresh(
      `getattr ${args.object}`,
      () => this.#joinOrAsk(call, args),
      () => this.#attributes.last(args.object),
    );
  }

  #joinOrAsk(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.GetattrReply> {
    const pending = this.#pending.get(args.object);
    if (pending !== undefined && !this.#attributes.learnedSince(args.object, pending.issue)) {
      // A refusal may concern only the credential that asked.
      return pending.reply.then((reply) => (isFinal(reply.status) ? reply : this.#askAttributes(call, args)));
    }
    return this.#askAttributes(call, args);
  }

  #askAttributes(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.GetattrReply> {
    const issue = this.#issue();
    const asked = this.next.getattr(call, args);
    if (!(asked instanceof Promise)) return this.#gotAttributes(args.object, issue, asked);
    const done = (): void => {
      if (this.#pending.get(args.object) === pending) this.#pending.delete(args.object);
    };
    const pending: Pending = {
      issue,
      reply: asked.then(
        (reply) => {
          done();
          return this.#gotAttributes(args.object, issue, reply);
        },
        (error: unknown) => {
          done();
          throw error;
        },
      ),
    };
    this.#pending.set(args.object, pending);
    return pending.reply;
  }

  #gotAttributes(object: fs.FileHandle, issue: Issue, reply: fs.GetattrReply): fs.GetattrReply {
    if (reply.status !== 0) return this.#seeFailure(object, reply);
    if (this.#see(object, reply.attributes, issue) !== 'older') return reply;
    return this.#attributes.fresh(object, this.#clock.now()) ?? reply;
  }

  override lookup(call: fs.Call, args: fs.Place): Eventual<fs.LookupReply> {
    const { directory, name } = args;
    const nowMs = this.#clock.now();
    if (name === '.' || name === '..') return this.#askLookup(call, args);
    const parent = this.#attributes.fresh(directory, nowMs);
    const hit = parent === undefined ? undefined : this.#lookupKnown(call, args, parent, nowMs);
    if (hit !== undefined) {
      this.#nameHits++;
      return hit;
    }
    this.#nameMisses++;
    return this.#presence.refresh(
      `lookup ${call.credential.key} ${directory} ${name}`,
      () => this.#askLookup(call, args),
      () => this.#lookupLast(call, args),
    );
  }

  #askLookup(call: fs.Call, args: fs.Place): Eventual<fs.LookupReply> {
    const issue = this.#issue();
    const reply = this.next.lookup(call, args);
    if (reply instanceof Promise) return reply.then((late) => this.#lookedUp(call, args, issue, late));
    return this.#lookedUp(call, args, issue, reply);
  }

  #lookupKnown(call: fs.Call, args: fs.Place, parent: KnownReply, nowMs: number): fs.LookupReply | undefined {
    const found = this.#names.find(args.directory, args.name, call.credential.key, nowMs);
    if (found === undefined) return undefined;
    const directoryAttributes = parent.attributes;
    if (found.object === undefined) return { status: Status.NOENT, directoryAttributes };
    const known = this.#attributes.fresh(found.object, nowMs);
    if (known === undefined) return undefined;
    return { status: 0, object: found.object, attributes: known.attributes, directoryAttributes };
  }

  /** The file that the name meant when it was last known, however long ago. */
  #lookupLast(call: fs.Call, args: fs.Place): fs.LookupReply | undefined {
    const parent = this.#attributes.last(args.directory);
    const object = this.#names.find(args.directory, args.name, call.credential.key, anyAge)?.object;
    const known = object === undefined ? undefined : this.#attributes.last(object);
    if (parent === undefined || object === undefined || known === undefined) return undefined;
    return { status: 0, object, attributes: known.attributes, directoryAttributes: parent.attributes };
  }

  #lookedUp(call: fs.Call, args: fs.Place, issue: Issue, reply: fs.LookupReply): fs.LookupReply {
    const { directory, name } = args;
    if (reply.status === Status.STALE || reply.status === Status.BADHANDLE) this.#forgetFile(directory);
    const current = this.#seeDirectory(directory, reply.directoryAttributes, issue);
    if (reply.status !== 0 && reply.status !== Status.NOENT) return reply;
    if (reply.status === 0 && reply.attributes !== undefined) this.#see(reply.object, reply.attributes, issue);
    if (!current) return reply;
    if (name !== '.' && name !== '..') this.#recordName(directory, name, reply.status === 0 ? reply.object : undefined);
    this.#names.admit(directory, call.credential.key);
    return reply;
  }

  override readlink(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.ReadlinkReply> {
    const hit = this.#readlinkKnown(args.object, this.#attributes.fresh(args.object, this.#clock.now()));
    if (hit !== undefined) return hit;
    return this.#presence.refresh(
      `readlink ${call.credential.key} ${args.object}`,
      () => this.#askReadlink(call, args),
      () => this.#readlinkKnown(args.object, this.#attributes.last(args.object)),
    );
  }

  #readlinkKnown(object: fs.FileHandle, known: KnownReply | undefined): fs.ReadlinkReply | undefined {
    if (known === undefined || (known.attributes.mode & readableByAll) !== readableByAll) return undefined;
    const target = this.#attributes.target(object);
    return target === undefined ? undefined : { status: 0, attributes: known.attributes, target };
  }

  #askReadlink(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.ReadlinkReply> {
    const issue = this.#issue();
    return chain(this.next.readlink(call, args), (reply) => {
      if (reply.status !== 0) return this.#seeReply(args.object, issue, reply);
      if (reply.attributes === undefined) return reply;
      if (this.#see(args.object, reply.attributes, issue) !== 'older') {
        this.#attributes.setTarget(args.object, reply.target);
      }
      return reply;
    });
  }

  override access(call: fs.Call, args: fs.AccessArguments): Eventual<fs.AccessReply> {
    const issue = this.#issue();
    return chain(this.next.access(call, args), (reply) => this.#accessed(call, args, issue, reply));
  }

  #accessed(call: fs.Call, args: fs.AccessArguments, issue: Issue, reply: fs.AccessReply): fs.AccessReply {
    if (reply.status !== 0) return this.#seeReply(args.object, issue, reply);
    if (reply.attributes === undefined) return reply;
    const isDirectory = reply.attributes.type === FileType.DIRECTORY;
    if (this.#see(args.object, reply.attributes, issue) === 'older') return reply;
    if (isDirectory && (reply.access & Access.LOOKUP) !== 0) this.#names.admit(args.object, call.credential.key);
    return reply;
  }

  override read(call: fs.Call, args: fs.ReadArguments): Eventual<fs.ReadReply> {
    const issue = this.#issue();
    const reply = this.next.read(call, args);
    if (reply instanceof Promise) return reply.then((late) => this.#seeReply(args.object, issue, late));
    return this.#seeReply(args.object, issue, reply);
  }

  override write(call: fs.Call, args: fs.WriteArguments): Eventual<fs.WriteReply> {
    const issue = this.#issue();
    const reply = this.next.write(call, args);
    if (reply instanceof Promise) return reply.then((late) => this.#changed(args.object, issue, late));
    return this.#changed(args.object, issue, reply);
  }

  override setattr(call: fs.Call, args: fs.SetattrArguments): Eventual<fs.WccReply> {
    const issue = this.#issue();
    return chain(this.next.setattr(call, args), (reply) => this.#changed(args.object, issue, reply));
  }

  override commit(call: fs.Call, args: fs.CommitArguments): Eventual<fs.CommitReply> {
    const issue = this.#issue();
    const learn = (reply: fs.CommitReply): fs.CommitReply => {
      const { after, before } = reply.wcc;
      if (after !== undefined) this.#see(args.object, after, issue, before);
      if (reply.status !== 0) this.#seeFailure(args.object, reply);
      return reply;
    };
    const reply = this.next.commit(call, args);
    return reply instanceof Promise ? reply.then(learn) : learn(reply);
  }

  override create(call: fs.Call, args: fs.CreateArguments): Eventual<fs.CreateReply> {
    const issue = this.#issue();
    return chain(this.next.create(call, args), (reply) => this.#created(args.where, issue, reply));
  }

  override mkdir(call: fs.Call, args: fs.MkdirArguments): Eventual<fs.CreateReply> {
    const issue = this.#issue();
    return chain(this.next.mkdir(call, args), (reply) => this.#created(args.where, issue, reply));
  }

  override symlink(call: fs.Call, args: fs.SymlinkArguments): Eventual<fs.CreateReply> {
    const issue = this.#issue();
    return chain(this.next.symlink(call, args), (reply) => this.#created(args.where, issue, reply));
  }

  override mknod(call: fs.Call, args: fs.MknodArguments): Eventual<fs.CreateReply> {
    const issue = this.#issue();
    return chain(this.next.mknod(call, args), (reply) => this.#created(args.where, issue, reply));
  }

  #created(where: fs.Place, issue: Issue, reply: Created): Created {
    const object = reply.status === 0 ? reply.object : undefined;
    if (reply.status === 0 && object !== undefined && reply.attributes !== undefined) {
      this.#see(object, reply.attributes, issue);
    }
    // UNCHECKED may have truncated a file that was there before.
    else if (object !== undefined) this.#attributes.invalidate(object);
    // The reply need not say which file it was (post_op_fh3 is optional).
    else if (reply.status === 0) this.#attributes.invalidateFiles();
    const ordered = this.#directoryChanged(where.directory, issue, reply.directoryWcc);
    if (ordered && object !== undefined) this.#recordName(where.directory, where.name, object);
    else this.#names.forget(where.directory, where.name);
    if (reply.status !== 0) this.#seeFailure(where.directory, reply);
    return reply;
  }

  override remove(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    const issue = this.#issue();
    const victim = this.#names.object(args.directory, args.name);
    return chain(this.next.remove(call, args), (reply) => this.#removed(args, victim, issue, reply));
  }

  override rmdir(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    const issue = this.#issue();
    const victim = this.#names.object(args.directory, args.name);
    return chain(this.next.rmdir(call, args), (reply) => this.#removed(args, victim, issue, reply));
  }

  #removed(place: fs.Place, victim: string | null | undefined, issue: Issue, reply: fs.RemoveReply): fs.RemoveReply {
    const overlapped = this.#attributes.mutatedSince(place.directory, issue);
    const object = victim ?? this.#names.object(place.directory, place.name);
    const ordered = this.#directoryChanged(place.directory, issue, reply.directoryWcc);
    this.#names.forget(place.directory, place.name);
    if (reply.status !== 0) {
      this.#seeFailure(place.directory, reply);
      return reply;
    }
    if (ordered) this.#recordName(place.directory, place.name, undefined);
    if (typeof object === 'string') this.#forgetFile(object);
    if (typeof object !== 'string' || overlapped) this.#attributes.invalidateFiles();
    return reply;
  }

  override rename(call: fs.Call, args: fs.RenameArguments): Eventual<fs.RenameReply> {
    const issue = this.#issue();
    const moved = this.#names.object(args.from.directory, args.from.name);
    const replaced = this.#names.object(args.to.directory, args.to.name);
    return chain(this.next.rename(call, args), (reply) => this.#renamed(args, moved, replaced, issue, reply));
  }

  #renamed(
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
        this.#forgetFile(from.directory);
        this.#forgetFile(to.directory);
      }
      return reply;
    }
    // Two names of one file: RENAME does nothing (RFC 1813 3.3.14), and both stay.
    const nothing = typeof moved === 'string' && moved === replaced;
    if (fromOrdered && !nothing) this.#recordName(from.directory, from.name, undefined);
    if (toOrdered && typeof moved === 'string') this.#recordName(to.directory, to.name, moved);
    // The moved file has a new ctime; a replaced one has lost a name.
    if (typeof moved === 'string') this.#attributes.invalidate(moved);
    if (typeof replaced === 'string') this.#forgetFile(replaced);
    if (typeof moved !== 'string' || replaced === undefined || overlapped) this.#attributes.invalidateFiles();
    return reply;
  }

  override link(call: fs.Call, args: fs.LinkArguments): Eventual<fs.LinkReply> {
    const issue = this.#issue();
    const learn = (reply: fs.LinkReply): fs.LinkReply => {
      if (reply.attributes !== undefined) this.#see(args.object, reply.attributes, issue);
      else this.#attributes.invalidate(args.object);
      const { directory, name } = args.where;
      const ordered = this.#directoryChanged(directory, issue, reply.directoryWcc);
      if (ordered && reply.status === 0) this.#recordName(directory, name, args.object);
      else this.#names.forget(directory, name);
      // STALE may mean either of the two handles.
      if (reply.status === Status.STALE) {
        this.#forgetFile(directory);
        this.#forgetFile(args.object);
      }
      return reply;
    };
    const reply = this.next.link(call, args);
    return reply instanceof Promise ? reply.then(learn) : learn(reply);
  }

  override readdir(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply> {
    const issue = this.#issue();
    const learn = (reply: fs.ReaddirReply): fs.ReaddirReply => {
      this.#seeDirectory(args.directory, reply.directoryAttributes, issue);
      if (reply.status !== 0) this.#seeFailure(args.directory, reply);
      return reply;
    };
    const reply = this.next.readdir(call, args);
    return reply instanceof Promise ? reply.then(learn) : learn(reply);
  }

  override readdirplus(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply<fs.DirectoryEntryPlus>> {
    const issue = this.#issue();
    return chain(this.next.readdirplus(call, args), (reply) => this.#listed(args.directory, issue, reply));
  }

  #listed(
    directory: fs.FileHandle,
    issue: Issue,
    reply: fs.ReaddirReply<fs.DirectoryEntryPlus>,
  ): fs.ReaddirReply<fs.DirectoryEntryPlus> {
    const current = this.#seeDirectory(directory, reply.directoryAttributes, issue);
    if (reply.status !== 0) {
      this.#seeFailure(directory, reply);
      return reply;
    }
    const { entries } = reply;
    for (let i = 0; i < entries.length; i++) {
      const { name, object, attributes } = entries[i]!;
      if (object === undefined || name === '..' || name === '.') continue;
      if (attributes !== undefined) this.#see(object, attributes, issue);
      if (current) this.#recordName(directory, name, object);
    }
    return reply;
  }

  override fsstat(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.FsstatReply> {
    const issue = this.#issue();
    return chain(this.next.fsstat(call, args), (reply) => this.#seeReply(args.object, issue, reply));
  }

  #issue(): Issue {
    return this.#attributes.issue(this.#clock.now());
  }

  #recordName(directory: string, name: string, object: string | undefined): void {
    const lifeMs = object === undefined ? this.#options.negativeNameMs : this.#options.nameMs;
    this.#names.record(directory, name, object, this.#clock.now() + lifeMs);
  }

  /** Takes attributes over, and drops a directory's names if somebody else changed it. */
  #see(handle: string, attributes: Attributes, issue: Issue, before?: fs.WccAttributes): Verdict {
    const verdict = this.#attributes.observe(handle, attributes, issue, before);
    if (verdict === 'changed' && attributes.type === FileType.DIRECTORY) this.#names.forgetDirectory(handle);
    return verdict;
  }

  /** Whether names in the reply are at least as new as all that is known of the directory. */
  #seeDirectory(directory: string, attributes: Attributes | undefined, issue: Issue): boolean {
    const mutated = this.#attributes.mutatedSince(directory, issue);
    if (attributes === undefined) return !mutated && !this.#attributes.learnedSince(directory, issue);
    return this.#see(directory, attributes, issue) !== 'older' && !mutated;
  }

  #seeReply<R extends Replied>(object: string, issue: Issue, reply: R): R {
    if (reply.attributes !== undefined) this.#see(object, reply.attributes, issue);
    return reply.status === 0 ? reply : this.#seeFailure(object, reply);
  }

  #seeFailure<R extends { readonly status: number }>(object: string, reply: R): R {
    if (reply.status === Status.STALE || reply.status === Status.BADHANDLE) this.#forgetFile(object);
    return reply;
  }

  /** A WRITE or SETATTR came back. */
  #changed<R extends { readonly status: number; readonly wcc: WccData }>(object: string, issue: Issue, reply: R): R {
    const { before, after } = reply.wcc;
    if (after === undefined) this.#attributes.invalidate(object);
    else this.#see(object, after, issue, before);
    return reply.status === 0 ? reply : this.#seeFailure(object, reply);
  }

  /** A mutation in a directory came back: whether what it did to names can be put in order with what else is known. */
  #directoryChanged(directory: string, issue: Issue, wcc: WccData): boolean {
    const overlapped = this.#attributes.mutatedSince(directory, issue);
    let verdict: Verdict = 'older';
    if (wcc.after === undefined) this.#attributes.invalidate(directory);
    else verdict = this.#see(directory, wcc.after, issue, wcc.before);
    this.#attributes.mutated(directory);
    return verdict !== 'older' && !overlapped;
  }

  #forgetFile(handle: string): void {
    this.#attributes.invalidate(handle);
    this.#names.forgetDirectory(handle);
  }
}

const readableByAll = 0o444;
const anyAge = Number.NEGATIVE_INFINITY;

/** Whether a GETATTR reply holds for every caller. */
function isFinal(status: number): boolean {
  return status === 0 || status === Status.STALE || status === Status.BADHANDLE;
}
