/**
 * Attributes, look-ups and link contents, so that a client's constant GETATTR and LOOKUP need no round trip.
 *
 * Learns from every reply that passes (post-op attributes, wcc_data, READDIRPLUS; attribute-lessons.ts) and answers synchronously
 * while what it knows is fresh. A file that somebody else changed at the origin is noticed when its time-out has run out, or by any reply
 * before that; the new attributes then tell the layers above. Files in use are asked about before their time runs out: behind data that
 * fill a long link the answer takes long, and every reader would wait for it. While the origin is away, what was known of files that exist is
 * answered beyond its time (origin-presence.ts); "no such name" is not.
 *
 *     LOOKUP hit = the directory's attributes are fresh
 *                & the name was seen in this state of the directory, and its own time-out has not run out
 *                & the origin let this credential search the directory in this state
 *                & the file's attributes are fresh            (or there is no such name)
 *
 * Invariants: nothing goes back in time (attribute-table.ts has the order). A mutation that overlaps with another one in the same
 * directory, or that fails, leaves the names concerned unknown. `.` and `..` are not kept. GETATTR is single-flight, but a
 * call never joins one that was issued before something newer was learned. Of a `strict` file nothing is answered from memory, and no call
 * joins another one. Of a `fixed` one names are believed too; a LOOKUP asks once more after somebody else's change was seen.
 */
import { type Clock, chain, type Eventual } from '../base/mod.ts';
import type * as fs from '../vfs/mod.ts';
import { Access, constantSettings, FileType, ForwardingFilesystem, Status } from '../vfs/mod.ts';
import {
  type AttributeCacheContext,
  type AttributeCacheOptions,
  type AttributeCacheStats,
  attributeCacheDefaults,
  closeToOpen,
} from './attribute-cache-options.ts';
import { AttributeLessons } from './attribute-lessons.ts';
import { AttributeTable, fixedMs, type Issue, type KnownReply } from './attribute-table.ts';
import { KnownFiles } from './known-files.ts';
import { NameTable } from './name-table.ts';
import { OriginPresence } from './origin-presence.ts';

interface Pending {
  readonly issue: Issue;
  readonly reply: Promise<fs.GetattrReply>;
}

export class AttributeCache extends ForwardingFilesystem {
  readonly known: KnownFiles;
  readonly #clock: Clock;
  readonly #options: AttributeCacheOptions;
  readonly #settings: fs.FileSettingsProvider;
  readonly #attributes: AttributeTable;
  readonly #names: NameTable;
  readonly #lessons: AttributeLessons;
  readonly #presence: OriginPresence;
  /** GETATTRs under way. */
  readonly #pending = new Map<string, Pending>();
  #attributeHits = 0;
  #attributeMisses = 0;
  #nameHits = 0;
  #nameMisses = 0;

  constructor(next: fs.Filesystem, { clock, options, presence, settings, witness }: AttributeCacheContext) {
    super(next);
    this.#clock = clock;
    this.#options = { ...attributeCacheDefaults, ...options };
    this.#settings = settings ?? constantSettings(closeToOpen(this.#options));
    this.#attributes = new AttributeTable(this.#options.entries, this.#options, this.#settings);
    this.#names = new NameTable(this.#options.names);
    this.#lessons = new AttributeLessons(this.#attributes, this.#names, this.#options, clock, witness);
    this.known = new KnownFiles(this.#attributes, this.#names, witness);
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
      if (this.#attributes.isAging(args.object, nowMs)) this.#askAhead(call, args);
      return known;
    }
    this.#attributeMisses++;
    return this.#presence.refresh(
      `getattr ${args.object}`,
      () => this.#joinOrAsk(call, args),
      () => this.#attributes.last(args.object),
    );
  }

  /** Nobody waits for it; what it says is learned. */
  #askAhead(call: fs.Call, args: fs.GetattrArguments): void {
    if (this.#pending.has(args.object) || this.#presence.isAway) return;
    // Whoever comes after the time has run out waits for this one.
    const asked = this.#askAttributes({ ...call, priority: 'demand' }, args);
    if (asked instanceof Promise) asked.catch(ignored);
  }

  #joinOrAsk(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.GetattrReply> {
    const pending = this.#pending.get(args.object);
    const mayJoin = pending !== undefined && !this.#attributes.learnedSince(args.object, pending.issue);
    if (mayJoin && !this.#is('strict', args.object)) {
      // A refusal may concern only the credential that asked.
      return pending.reply.then((reply) => (isFinal(reply.status) ? reply : this.#askAttributes(call, args)));
    }
    return this.#askAttributes(call, args);
  }

  #askAttributes(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.GetattrReply> {
    const issue = this.#lessons.issue();
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
    if (reply.status !== 0) return this.#lessons.seeFailure(object, reply);
    if (this.#lessons.see(object, reply.attributes, issue) !== 'older') return reply;
    return this.#attributes.last(object) ?? reply;
  }

  override lookup(call: fs.Call, args: fs.Place): Eventual<fs.LookupReply> {
    const { directory, name } = args;
    const nowMs = this.#clock.now();
    if (name === '.' || name === '..') return this.#askLookup(call, args);
    const parent = this.#attributes.fresh(directory, nowMs);
    const hit = (parent && this.#lookupKnown(call, args, parent, nowMs)) ?? this.#lookupFixed(call, args, nowMs);
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
    const issue = this.#lessons.issue();
    return chain(this.next.lookup(call, args), (reply) => this.#lookedUp(call, args, issue, reply));
  }

  #lookupKnown(call: fs.Call, args: fs.Place, parent: KnownReply, nowMs: number): fs.LookupReply | undefined {
    const found = this.#names.find(args.directory, args.name, call.credential.key, nowMs);
    if (found === undefined) return undefined;
    const directoryAttributes = parent.attributes;
    if (found.object === undefined) return { status: Status.NOENT, directoryAttributes };
    const known = this.#attributes.fresh(found.object, nowMs);
    if (known === undefined || this.#mustAskAgain(found.object)) return undefined;
    return { status: 0, object: found.object, attributes: known.attributes, directoryAttributes };
  }

  /** A file that never changes is where it was, unless its directory was seen to have changed: then the name is gone from here. */
  #lookupFixed(call: fs.Call, { directory, name }: fs.Place, nowMs: number): fs.LookupReply | undefined {
    const earliestMs = nowMs + this.#options.nameMs - fixedMs;
    const object = this.#names.find(directory, name, call.credential.key, earliestMs)?.object;
    if (object === undefined || !this.#is('fixed', object) || this.#mustAskAgain(object)) return undefined;
    const known = this.#attributes.fresh(object, nowMs);
    if (known === undefined) return undefined;
    const directoryAttributes = this.#attributes.fresh(directory, nowMs)?.attributes;
    return { status: 0, object, attributes: known.attributes, directoryAttributes };
  }

  #mustAskAgain(object: fs.FileHandle): boolean {
    return this.#attributes.isDoubted(object) && this.#is('fixed', object);
  }

  #is(consistency: fs.Consistency, object: fs.FileHandle): boolean {
    return this.#settings.of(object).consistency === consistency;
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
    if (reply.status === Status.STALE || reply.status === Status.BADHANDLE) this.#lessons.forgetFile(directory);
    const current = this.#lessons.seeDirectory(directory, reply.directoryAttributes, issue);
    if (reply.status !== 0 && reply.status !== Status.NOENT) return reply;
    // Its name first: that says which settings it has.
    if (current && name !== '.' && name !== '..')
      this.#lessons.recordName(directory, name, reply.status === 0 ? reply.object : undefined);
    if (reply.status === 0 && reply.attributes !== undefined) this.#lessons.see(reply.object, reply.attributes, issue);
    if (!current) return reply;
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
    const issue = this.#lessons.issue();
    return chain(this.next.readlink(call, args), (reply) => {
      if (reply.status !== 0) return this.#lessons.seeReply(args.object, issue, reply);
      if (reply.attributes === undefined) return reply;
      if (this.#lessons.see(args.object, reply.attributes, issue) !== 'older') {
        this.#attributes.setTarget(args.object, reply.target);
      }
      return reply;
    });
  }

  override access(call: fs.Call, args: fs.AccessArguments): Eventual<fs.AccessReply> {
    const issue = this.#lessons.issue();
    return chain(this.next.access(call, args), (reply) => this.#accessed(call, args, issue, reply));
  }

  #accessed(call: fs.Call, args: fs.AccessArguments, issue: Issue, reply: fs.AccessReply): fs.AccessReply {
    if (reply.status !== 0) return this.#lessons.seeReply(args.object, issue, reply);
    if (reply.attributes === undefined) return reply;
    const isDirectory = reply.attributes.type === FileType.DIRECTORY;
    if (this.#lessons.see(args.object, reply.attributes, issue) === 'older') return reply;
    if (isDirectory && (reply.access & Access.LOOKUP) !== 0) this.#names.admit(args.object, call.credential.key);
    return reply;
  }

  override read(call: fs.Call, args: fs.ReadArguments): Eventual<fs.ReadReply> {
    const issue = this.#lessons.issue();
    const reply = this.next.read(call, args);
    if (reply instanceof Promise) return reply.then((late) => this.#lessons.seeReply(args.object, issue, late));
    return this.#lessons.seeReply(args.object, issue, reply);
  }

  override write(call: fs.Call, args: fs.WriteArguments): Eventual<fs.WriteReply> {
    const issue = this.#lessons.issue();
    const reply = this.next.write(call, args);
    if (reply instanceof Promise) return reply.then((late) => this.#lessons.changed(args.object, issue, late));
    return this.#lessons.changed(args.object, issue, reply);
  }

  override setattr(call: fs.Call, args: fs.SetattrArguments): Eventual<fs.WccReply> {
    const issue = this.#lessons.issue();
    return chain(this.next.setattr(call, args), (reply) => this.#lessons.changed(args.object, issue, reply));
  }

  override commit(call: fs.Call, args: fs.CommitArguments): Eventual<fs.CommitReply> {
    const issue = this.#lessons.issue();
    return chain(this.next.commit(call, args), (reply) => this.#lessons.committed(args.object, issue, reply));
  }

  override create(call: fs.Call, args: fs.CreateArguments): Eventual<fs.CreateReply> {
    const issue = this.#lessons.issue();
    return chain(this.next.create(call, args), (reply) => this.#lessons.created(args.where, issue, reply));
  }

  override mkdir(call: fs.Call, args: fs.MkdirArguments): Eventual<fs.CreateReply> {
    const issue = this.#lessons.issue();
    return chain(this.next.mkdir(call, args), (reply) => this.#lessons.created(args.where, issue, reply));
  }

  override symlink(call: fs.Call, args: fs.SymlinkArguments): Eventual<fs.CreateReply> {
    const issue = this.#lessons.issue();
    return chain(this.next.symlink(call, args), (reply) => this.#lessons.created(args.where, issue, reply));
  }

  override mknod(call: fs.Call, args: fs.MknodArguments): Eventual<fs.CreateReply> {
    const issue = this.#lessons.issue();
    return chain(this.next.mknod(call, args), (reply) => this.#lessons.created(args.where, issue, reply));
  }

  override remove(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    const issue = this.#lessons.issue();
    const victim = this.#names.object(args.directory, args.name);
    return chain(this.next.remove(call, args), (reply) => this.#lessons.removed(args, victim, issue, reply));
  }

  override rmdir(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    const issue = this.#lessons.issue();
    const victim = this.#names.object(args.directory, args.name);
    return chain(this.next.rmdir(call, args), (reply) => this.#lessons.removed(args, victim, issue, reply));
  }

  override rename(call: fs.Call, args: fs.RenameArguments): Eventual<fs.RenameReply> {
    const issue = this.#lessons.issue();
    const moved = this.#names.object(args.from.directory, args.from.name);
    const replaced = this.#names.object(args.to.directory, args.to.name);
    return chain(this.next.rename(call, args), (reply) => this.#lessons.renamed(args, moved, replaced, issue, reply));
  }

  override link(call: fs.Call, args: fs.LinkArguments): Eventual<fs.LinkReply> {
    const issue = this.#lessons.issue();
    return chain(this.next.link(call, args), (reply) => this.#lessons.linked(args, issue, reply));
  }

  override readdir(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply> {
    const issue = this.#lessons.issue();
    return chain(this.next.readdir(call, args), (reply) => this.#lessons.named(args.directory, issue, reply));
  }

  override readdirplus(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply<fs.DirectoryEntryPlus>> {
    const issue = this.#lessons.issue();
    return chain(this.next.readdirplus(call, args), (reply) => this.#lessons.listed(args.directory, issue, reply));
  }

  override fsstat(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.FsstatReply> {
    const issue = this.#lessons.issue();
    return chain(this.next.fsstat(call, args), (reply) => this.#lessons.seeReply(args.object, issue, reply));
  }
}

const readableByAll = 0o444;
const anyAge = Number.NEGATIVE_INFINITY;

/** Whoever asks when the time has run out is told. */
function ignored(): void {}

/** Whether a GETATTR reply holds for every caller. */
function isFinal(status: number): boolean {
  return status === 0 || status === Status.STALE || status === Status.BADHANDLE;
}
