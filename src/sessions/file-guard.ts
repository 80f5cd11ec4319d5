/**
 * Files that rules make read-only: what would change one is ROFS, and ACCESS does not grant it.
 *
 *     WRITE, SETATTR, LINK        by handle
 *     REMOVE, RENAME, CREATE ...  LOOKUP of each name (answered from memory, mostly) ──► the file that has it, or one that would be made there
 *
 * A file whose name is not known may be changed as the session may. A directory that is renamed takes what is below it along.
 * Invariant: while no rule makes any file read-only, every call is passed on as it is.
 */
import { chain, type Eventual } from '../base/mod.ts';
import * as vfs from '../vfs/mod.ts';
import type { FileRules } from './file-rules.ts';
import { changing, refusedName, refusedRename, refusedWcc } from './read-only.ts';

export class FileGuard extends vfs.ForwardingFilesystem {
  readonly #rules: FileRules;

  constructor(next: vfs.Filesystem, rules: FileRules) {
    super(next);
    this.#rules = rules;
  }

  override access(call: vfs.Call, args: vfs.AccessArguments): Eventual<vfs.AccessReply> {
    if (!this.#isRefused(args.object)) return this.next.access(call, args);
    return this.next.access(call, { object: args.object, access: args.access & ~changing });
  }
  override setattr(call: vfs.Call, args: vfs.SetattrArguments): Eventual<vfs.WccReply> {
    return this.#isRefused(args.object) ? refusedWcc : this.next.setattr(call, args);
  }
  override write(call: vfs.Call, args: vfs.WriteArguments): Eventual<vfs.WriteReply> {
    return this.#isRefused(args.object) ? refusedWcc : this.next.write(call, args);
  }
  override link(call: vfs.Call, args: vfs.LinkArguments): Eventual<vfs.LinkReply> {
    return this.#isRefused(args.object) ? refusedName : this.next.link(call, args);
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
    return chain(this.#holder(call, args.from), (moved) =>
      chain(this.#holder(call, args.to), (replaced) => {
        const isRefused = [moved, replaced].some((file) => file !== undefined && this.#isRefused(file));
        return isRefused ? refusedRename : this.next.rename(call, args);
      }),
    );
  }

  #isRefused(file: vfs.FileHandle): boolean {
    return this.#rules.hasReadOnly && this.#rules.of(file).isReadOnly;
  }

  /** `over`: what has the name already may be changed by it; else the origin refuses it. */
  #make(
    call: vfs.Call,
    where: vfs.Place,
    over: boolean,
    proceed: () => Eventual<vfs.CreateReply>,
  ): Eventual<vfs.CreateReply> {
    if (!this.#rules.hasReadOnly) return proceed();
    return chain(this.#holder(call, where), (holder) => {
      const isRefused = holder === undefined ? this.#rules.ofNew(where).isReadOnly : over && this.#isRefused(holder);
      return isRefused ? refusedName : proceed();
    });
  }

  #unname(call: vfs.Call, place: vfs.Place, proceed: () => Eventual<vfs.RemoveReply>): Eventual<vfs.RemoveReply> {
    if (!this.#rules.hasReadOnly) return proceed();
    return chain(this.#holder(call, place), (holder) =>
      holder !== undefined && this.#isRefused(holder) ? refusedName : proceed(),
    );
  }

  /** What has the name. Undefined: nothing, or the caller may not know it; the origin decides then. */
  #holder(call: vfs.Call, place: vfs.Place): Eventual<vfs.FileHandle | undefined> {
    return chain(this.next.lookup(call, place), (found) => (found.status === 0 ? found.object : undefined));
  }
}
