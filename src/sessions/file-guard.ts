/**
 * Files that rules make read-only: what would change one is ROFS, and ACCESS does not grant it.
 *
 *     WRITE, SETATTR, LINK        by handle
 *     REMOVE, RENAME, CREATE ...  LOOKUP of each name (answered from memory, mostly) ──► the file that has it, or one that would be made there
 *
 * A file or a directory whose name the rules do not know, of which a client has had the handle since before a worker was started anew, is
 * looked for first (file-guard-search.ts); a change of one that is not found is refused, and the log says so. ACCESS of it is answered as
 * the session may: the change itself decides. Of a file with several names the one that is known counts. A directory that is renamed
 * takes what is below it along.
 * Invariants: while no rule makes any file read-only, every call is passed on as it is. While one does, nothing is changed whose name is
 * not known.
 */
import { type Clock, chain, type Eventual, type Log } from '../base/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { FileSearch } from './file-guard-search.ts';
import type { FileRules } from './file-rules.ts';
import { changing, refusedName, refusedRename, refusedWcc } from './read-only.ts';

const { Status } = vfs;

/** Why a change may not be; 0: it may. */
type Refusal = Eventual<0 | vfs.Failure>;

export class FileGuard extends vfs.ForwardingFilesystem {
  readonly #rules: FileRules;
  readonly #search: FileSearch;

  constructor(next: vfs.Filesystem, rules: FileRules, tools: { readonly clock: Clock; readonly log: Log }) {
    super(next);
    this.#rules = rules;
    this.#search = new FileSearch(next, rules, tools);
  }

  override access(call: vfs.Call, args: vfs.AccessArguments): Eventual<vfs.AccessReply> {
    if (!this.#isReadOnly(args.object)) return this.next.access(call, args);
    return this.next.access(call, { object: args.object, access: args.access & ~changing });
  }
  override setattr(call: vfs.Call, args: vfs.SetattrArguments): Eventual<vfs.WccReply> {
    return chain(this.#refusal(call, args.object), (status) =>
      status === 0 ? this.next.setattr(call, args) : { ...refusedWcc, status },
    );
  }
  override write(call: vfs.Call, args: vfs.WriteArguments): Eventual<vfs.WriteReply> {
    return chain(this.#refusal(call, args.object), (status) =>
      status === 0 ? this.next.write(call, args) : { ...refusedWcc, status },
    );
  }
  override link(call: vfs.Call, args: vfs.LinkArguments): Eventual<vfs.LinkReply> {
    const { object, where } = args;
    const refusal = firstOf(
      () => this.#refusal(call, object),
      () => this.#refusalOfNew(call, where, object),
    );
    return chain(refusal, (status) => (status === 0 ? this.next.link(call, args) : { ...refusedName, status }));
  }
  override create(call: vfs.Call, args: vfs.CreateArguments): Eventual<vfs.CreateReply> {
    const over = args.how.mode === 'unchecked';
    return this.#make(call, args.where, over, () => this.next.create(call, args));
  }
  override mkdir(call: vfs.Call, args: vfs.MkdirArguments): Eventual<vfs.CreateReply> {
    return this.#make(call, args.where, false, () => this.next.mkdir(call, args));
  }
  override symlink(call: vfs.Call, args: vfs.SymlinkArguments): Eventual<vfs.CreateReply> {
    return this.#make(call, args.where, false, () => this.next.symlink(call, args));
  }
  override mknod(call: vfs.Call, args: vfs.MknodArguments): Eventual<vfs.CreateReply> {
    return this.#make(call, args.where, false, () => this.next.mknod(call, args));
  }
  override remove(call: vfs.Call, args: vfs.Place): Eventual<vfs.RemoveReply> {
    return this.#unname(call, args, () => this.next.remove(call, args));
  }
  override rmdir(call: vfs.Call, args: vfs.Place): Eventual<vfs.RemoveReply> {
    return this.#unname(call, args, () => this.next.rmdir(call, args));
  }
  override rename(call: vfs.Call, args: vfs.RenameArguments): Eventual<vfs.RenameReply> {
    if (!this.#rules.hasReadOnly) return this.next.rename(call, args);
    const { from, to } = args;
    const refusal = chain(this.#holder(call, from), (moved) =>
      chain(this.#holder(call, to), (replaced) =>
        // The same file by two names stays as it is; without the one nothing is moved.
        firstOf(
          () => (moved === undefined ? 0 : this.#refusal(call, moved)),
          () => (replaced === undefined ? 0 : this.#refusal(call, replaced)),
          () => (moved === undefined || moved === replaced ? 0 : this.#refusalOfNew(call, to, moved)),
        ),
      ),
    );
    return chain(refusal, (status) => (status === 0 ? this.next.rename(call, args) : { ...refusedRename, status }));
  }

  #isReadOnly(file: vfs.FileHandle): boolean {
    return this.#rules.hasReadOnly && this.#rules.of(file).isReadOnly;
  }

  /** Why the file may not be changed; 0: it may. */
  #refusal(call: vfs.Call, file: vfs.FileHandle): Refusal {
    if (!this.#rules.hasReadOnly) return 0;
    return firstOf(
      () => this.#knownName(call, file),
      () => (this.#isReadOnly(file) ? Status.ROFS : 0),
    );
  }

  /** Of the file that has the name; 0 if there is none, too. */
  #refusalAt(call: vfs.Call, place: vfs.Place): Refusal {
    return chain(this.#holder(call, place), (holder) => (holder === undefined ? 0 : this.#refusal(call, holder)));
  }

  #knownName(call: vfs.Call, file: vfs.FileHandle): Refusal {
    return this.#rules.isSure(file) ? 0 : this.#search.find(call, file);
  }

  /** `over`: what has the name already may be changed by it; else the origin refuses it. */
  #make(
    call: vfs.Call,
    where: vfs.Place,
    over: boolean,
    proceed: () => Eventual<vfs.CreateReply>,
  ): Eventual<vfs.CreateReply> {
    if (!this.#rules.hasReadOnly) return proceed();
    const refusal = chain(this.#holder(call, where), (holder) => {
      if (holder !== undefined) return over ? this.#refusal(call, holder) : 0;
      return this.#refusalOfNew(call, where);
    });
    return chain(refusal, (status) =>
      status === 0 ? chain(proceed(), (reply) => this.#made(where, reply)) : { ...refusedName, status },
    );
  }

  /** The caches do not tell of what is made while other changes of its directory are under way. */
  #made({ directory, name }: vfs.Place, reply: vfs.CreateReply): vfs.CreateReply {
    const object = reply.status === 0 ? reply.object : undefined;
    if (object !== undefined && !this.#rules.isSure(object)) this.#rules.named(directory, name, object);
    return reply;
  }

  /** Of a name that a new file is to have, or `object`: not if that makes it read-only. */
  #refusalOfNew(call: vfs.Call, where: vfs.Place, object?: vfs.FileHandle): Refusal {
    if (!this.#rules.hasReadOnly) return 0;
    return firstOf(
      () => this.#knownName(call, where.directory),
      () => (this.#rules.ofNew(where, object).isReadOnly ? Status.ROFS : 0),
    );
  }

  #unname(call: vfs.Call, place: vfs.Place, proceed: () => Eventual<vfs.RemoveReply>): Eventual<vfs.RemoveReply> {
    if (!this.#rules.hasReadOnly) return proceed();
    return chain(this.#refusalAt(call, place), (status) => (status === 0 ? proceed() : { ...refusedName, status }));
  }

  /** What has the name. Undefined: nothing, or the caller may not know it; the origin decides then. */
  #holder(call: vfs.Call, place: vfs.Place): Eventual<vfs.FileHandle | undefined> {
    return chain(this.next.lookup(call, place), (found) => {
      if (found.status !== 0) return undefined;
      // The caches do not tell of a name that may be out of date; here it says which file the call is about.
      if (!this.#rules.isSure(found.object)) this.#rules.named(place.directory, place.name, found.object);
      return found.object;
    });
  }
}

function firstOf(...reasons: (() => Refusal)[]): Refusal {
  const [reason, ...others] = reasons;
  return reason === undefined ? 0 : chain(reason(), (status) => status || firstOf(...others));
}
