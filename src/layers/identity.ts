/**
 * Who a caller is to the layers below: squashing and uid/gid maps. The default changes nothing.
 *
 *     caller uid 1000 --squash--> 1000 --map 1000..1999 to 5000..--> 5000 to the origin
 *     attributes uid 5000 at the origin --map back--> 1000 to the caller
 *
 * Squashing applies to callers only, as in exports(5); maps apply to callers, to uid and gid in SETATTR and CREATE, and, backwards, to
 * attributes in replies. An id outside all maps is itself. `all` and `root` squash before the maps.
 */
import type { Eventual } from '../base/mod.ts';
import { chain } from '../base/mod.ts';
import type * as fs from '../vfs/mod.ts';
import {
  type Attributes,
  type Credential,
  credential,
  ForwardingFilesystem,
  nobodyId,
  type SetAttributes,
  type WccData,
} from '../vfs/mod.ts';

export interface IdRange {
  /** First id as callers have it, and as the origin has it. */
  readonly caller: number;
  readonly origin: number;
  readonly count: number;
}

export interface IdentityOptions {
  readonly squash: 'none' | 'root' | 'all';
  readonly anonymousUid: number;
  readonly anonymousGid: number;
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

export const identityDefaults: IdentityOptions = {
  squash: 'none',
  anonymousUid: nobodyId,
  anonymousGid: nobodyId,
  uids: [],
  gids: [],
};

/** Mapped credentials remembered; above it they are made anew. */
const credentialsMaximum = 1024;

type WithAttributes = { readonly status: number; readonly attributes?: Attributes | undefined };

export class Identity extends ForwardingFilesystem {
  readonly #options: IdentityOptions;
  readonly #changesCallers: boolean;
  readonly #maps: boolean;
  readonly #credentials = new Map<string, Credential>();

  constructor(next: fs.Filesystem, { options }: { readonly options?: Partial<IdentityOptions> } = {}) {
    super(next);
    this.#options = { ...identityDefaults, ...options };
    this.#maps = this.#options.uids.length > 0 || this.#options.gids.length > 0;
    this.#changesCallers = this.#maps || this.#options.squash !== 'none';
  }

  override getattr(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.GetattrReply> {
    return this.#withAttributes(this.next.getattr(this.#call(call), args));
  }
  override access(call: fs.Call, args: fs.AccessArguments): Eventual<fs.AccessReply> {
    return this.#withAttributes(this.next.access(this.#call(call), args));
  }
  override readlink(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.ReadlinkReply> {
    return this.#withAttributes(this.next.readlink(this.#call(call), args));
  }
  override read(call: fs.Call, args: fs.ReadArguments): Eventual<fs.ReadReply> {
    return this.#withAttributes(this.next.read(this.#call(call), args));
  }
  override fsstat(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.FsstatReply> {
    return this.#withAttributes(this.next.fsstat(this.#call(call), args));
  }
  override fsinfo(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.FsinfoReply> {
    return this.#withAttributes(this.next.fsinfo(this.#call(call), args));
  }
  override pathconf(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.PathconfReply> {
    return this.#withAttributes(this.next.pathconf(this.#call(call), args));
  }
  override write(call: fs.Call, args: fs.WriteArguments): Eventual<fs.WriteReply> {
    return this.#withWcc(this.next.write(this.#call(call), args));
  }
  override commit(call: fs.Call, args: fs.CommitArguments): Eventual<fs.CommitReply> {
    return this.#withWcc(this.next.commit(this.#call(call), args));
  }
  override setattr(call: fs.Call, args: fs.SetattrArguments): Eventual<fs.WccReply> {
    return this.#withWcc(
      this.next.setattr(this.#call(call), this.#maps ? { ...args, set: this.#set(args.set) } : args),
    );
  }
  override lookup(call: fs.Call, args: fs.Place): Eventual<fs.LookupReply> {
    const reply = this.next.lookup(this.#call(call), args);
    if (!this.#maps) return reply;
    return chain(reply, (found) => {
      const directoryAttributes = this.#optional(found.directoryAttributes);
      if (found.status !== 0) return { ...found, directoryAttributes };
      return { ...found, directoryAttributes, attributes: this.#optional(found.attributes) };
    });
  }
  override create(call: fs.Call, args: fs.CreateArguments): Eventual<fs.CreateReply> {
    const { how } = args;
    const mapped =
      this.#maps && how.mode !== 'exclusive' ? { ...args, how: { ...how, set: this.#set(how.set) } } : args;
    return this.#created(this.next.create(this.#call(call), mapped));
  }
  override mkdir(call: fs.Call, args: fs.MkdirArguments): Eventual<fs.CreateReply> {
    const mapped = this.#maps ? { ...args, set: this.#set(args.set) } : args;
    return this.#created(this.next.mkdir(this.#call(call), mapped));
  }
  override symlink(call: fs.Call, args: fs.SymlinkArguments): Eventual<fs.CreateReply> {
    const mapped = this.#maps ? { ...args, set: this.#set(args.set) } : args;
    return this.#created(this.next.symlink(this.#call(call), mapped));
  }
  override mknod(call: fs.Call, args: fs.MknodArguments): Eventual<fs.CreateReply> {
    const mapped = this.#maps ? { ...args, set: this.#set(args.set) } : args;
    return this.#created(this.next.mknod(this.#call(call), mapped));
  }
  override remove(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    return this.#removed(this.next.remove(this.#call(call), args));
  }
  override rmdir(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    return this.#removed(this.next.rmdir(this.#call(call), args));
  }
  override rename(call: fs.Call, args: fs.RenameArguments): Eventual<fs.RenameReply> {
    const reply = this.next.rename(this.#call(call), args);
    if (!this.#maps) return reply;
    return chain(reply, (done) => ({ ...done, fromWcc: this.#wcc(done.fromWcc), toWcc: this.#wcc(done.toWcc) }));
  }
  override link(call: fs.Call, args: fs.LinkArguments): Eventual<fs.LinkReply> {
    const reply = this.next.link(this.#call(call), args);
    if (!this.#maps) return reply;
    return chain(reply, (done) => ({
      ...done,
      attributes: this.#optional(done.attributes),
      directoryWcc: this.#wcc(done.directoryWcc),
    }));
  }
  override readdir(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply> {
    const reply = this.next.readdir(this.#call(call), args);
    if (!this.#maps) return reply;
    return chain(reply, (list) => ({ ...list, directoryAttributes: this.#optional(list.directoryAttributes) }));
  }
  override readdirplus(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply<fs.DirectoryEntryPlus>> {
    const reply = this.next.readdirplus(this.#call(call), args);
    if (!this.#maps) return reply;
    return chain(reply, (list) => {
      const directoryAttributes = this.#optional(list.directoryAttributes);
      if (list.status !== 0) return { ...list, directoryAttributes };
      const entries = list.entries.map((entry) => ({ ...entry, attributes: this.#optional(entry.attributes) }));
      return { ...list, directoryAttributes, entries };
    });
  }

  #call(call: fs.Call): fs.Call {
    if (!this.#changesCallers) return call;
    const mapped = this.#credential(call.credential);
    return mapped === call.credential ? call : { ...call, credential: mapped };
  }

  #credential(who: Credential): Credential {
    const known = this.#credentials.get(who.key);
    if (known !== undefined) return known;
    const { squash, anonymousUid, anonymousGid, uids, gids } = this.#options;
    const isSquashed = squash === 'all' || (squash === 'root' && who.uid === 0);
    // exports(5): root_squash maps gid 0 too, whoever the user is.
    const group = (gid: number): number => (squash === 'root' && gid === 0 ? anonymousGid : gid);
    const squashed = isSquashed
      ? credential(anonymousUid, anonymousGid)
      : credential(who.uid, group(who.gid), who.gids.map(group));
    const mapped = credential(
      toOrigin(squashed.uid, uids),
      toOrigin(squashed.gid, gids),
      squashed.gids.map((gid) => toOrigin(gid, gids)),
    );
    const result = mapped.key === who.key ? who : mapped;
    if (this.#credentials.size >= credentialsMaximum) this.#credentials.clear();
    this.#credentials.set(who.key, result);
    return result;
  }

  #set(set: SetAttributes): SetAttributes {
    const { uids, gids } = this.#options;
    return {
      ...set,
      uid: set.uid === undefined ? undefined : toOrigin(set.uid, uids),
      gid: set.gid === undefined ? undefined : toOrigin(set.gid, gids),
    };
  }

  #attributes(attributes: Attributes): Attributes {
    const uid = toCaller(attributes.uid, this.#options.uids);
    const gid = toCaller(attributes.gid, this.#options.gids);
    return uid === attributes.uid && gid === attributes.gid ? attributes : { ...attributes, uid, gid };
  }

  #optional(attributes: Attributes | undefined): Attributes | undefined {
    return attributes === undefined ? undefined : this.#attributes(attributes);
  }

  #wcc(wcc: WccData): WccData {
    return wcc.after === undefined ? wcc : { before: wcc.before, after: this.#attributes(wcc.after) };
  }

  #withAttributes<R extends WithAttributes>(reply: Eventual<R>): Eventual<R> {
    if (!this.#maps) return reply;
    return chain(reply, (done) => {
      const attributes = this.#optional(done.attributes);
      return attributes === done.attributes ? done : { ...done, attributes };
    });
  }

  #withWcc<R extends { readonly wcc: WccData }>(reply: Eventual<R>): Eventual<R> {
    if (!this.#maps) return reply;
    return chain(reply, (done) => ({ ...done, wcc: this.#wcc(done.wcc) }));
  }

  #created(reply: Eventual<fs.CreateReply>): Eventual<fs.CreateReply> {
    if (!this.#maps) return reply;
    return chain(reply, (done) => {
      const directoryWcc = this.#wcc(done.directoryWcc);
      return done.status !== 0
        ? { ...done, directoryWcc }
        : { ...done, directoryWcc, attributes: this.#optional(done.attributes) };
    });
  }

  #removed(reply: Eventual<fs.RemoveReply>): Eventual<fs.RemoveReply> {
    if (!this.#maps) return reply;
    return chain(reply, (done) => ({ ...done, directoryWcc: this.#wcc(done.directoryWcc) }));
  }
}

function toOrigin(id: number, ranges: readonly IdRange[]): number {
  for (const { caller, origin, count } of ranges) if (id >= caller && id < caller + count) return origin + id - caller;
  return id;
}

function toCaller(id: number, ranges: readonly IdRange[]): number {
  for (const { caller, origin, count } of ranges) if (id >= origin && id < origin + count) return caller + id - origin;
  return id;
}
