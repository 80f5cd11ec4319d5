/**
 * Stands between two layers and asserts the contract of vfs/filesystem.ts: on arguments going down (the layer above is to
 * blame) and on replies coming up (the layer below). Violations are logged and counted; in strict mode they throw.
 *
 * A violation is reported once a minute for each operation and message, so that a broken server cannot flood the log.
 */
import { AssertionError, type Clock, type Eventual, type Log } from '../base/mod.ts';
import type * as fs from '../vfs/mod.ts';
import { ForwardingFilesystem } from '../vfs/mod.ts';
import {
  checkHandle,
  checkPlace,
  checkRange,
  checkSet,
  checkVerifier,
  checkWriteArguments,
  type Violation,
} from './contract-arguments.ts';
import {
  checkAccess,
  checkAttributesReply,
  checkCommit,
  checkCreate,
  checkFsinfo,
  checkFsstat,
  checkLink,
  checkLookup,
  checkRead,
  checkReaddir,
  checkReadlink,
  checkRemove,
  checkRename,
  checkWccReply,
  checkWrite,
} from './contract-replies.ts';

export interface CheckerContext {
  /** Where it stands, for the log: `Stability>origin`. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Throws instead of going on: for tests. */
  readonly strict?: boolean;
}

const reportEveryMs = 60_000;
/** Different violations remembered for the pace of reports. */
const reportsMaximum = 256;

export class Checker extends ForwardingFilesystem {
  readonly #context: CheckerContext;
  readonly #reportedMs = new Map<string, number>();
  #violations = 0;

  constructor(next: fs.Filesystem, context: CheckerContext) {
    super(next);
    this.#context = context;
  }

  /** Violations counted since the start. */
  violations(): number {
    return this.#violations;
  }

  override getattr(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.GetattrReply> {
    this.#report('getattr', 'arguments', checkHandle(args.object));
    return this.#check('getattr', args, this.next.getattr(call, args), checkAttributesReply);
  }
  override setattr(call: fs.Call, args: fs.SetattrArguments): Eventual<fs.WccReply> {
    this.#report('setattr', 'arguments', checkHandle(args.object) ?? checkSet(args.set));
    return this.#check('setattr', args, this.next.setattr(call, args), checkWccReply);
  }
  override lookup(call: fs.Call, args: fs.Place): Eventual<fs.LookupReply> {
    this.#report('lookup', 'arguments', checkPlace(args, true));
    return this.#check('lookup', args, this.next.lookup(call, args), checkLookup);
  }
  override access(call: fs.Call, args: fs.AccessArguments): Eventual<fs.AccessReply> {
    this.#report('access', 'arguments', checkHandle(args.object));
    return this.#check('access', args, this.next.access(call, args), checkAccess);
  }
  override readlink(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.ReadlinkReply> {
    this.#report('readlink', 'arguments', checkHandle(args.object));
    return this.#check('readlink', args, this.next.readlink(call, args), checkReadlink);
  }
  override read(call: fs.Call, args: fs.ReadArguments): Eventual<fs.ReadReply> {
    this.#report('read', 'arguments', checkHandle(args.object) ?? checkRange(args.offset, args.count));
    return this.#check('read', args, this.next.read(call, args), checkRead);
  }
  override write(call: fs.Call, args: fs.WriteArguments): Eventual<fs.WriteReply> {
    this.#report('write', 'arguments', checkWriteArguments(args));
    return this.#check('write', args, this.next.write(call, args), checkWrite);
  }
  override create(call: fs.Call, args: fs.CreateArguments): Eventual<fs.CreateReply> {
    this.#report(
      'create',
      'arguments',
      checkPlace(args.where) ??
        (args.how.mode === 'exclusive' ? checkVerifier(args.how.verifier) : checkSet(args.how.set)),
    );
    return this.#check('create', args, this.next.create(call, args), checkCreate);
  }
  override mkdir(call: fs.Call, args: fs.MkdirArguments): Eventual<fs.CreateReply> {
    this.#report('mkdir', 'arguments', checkPlace(args.where) ?? checkSet(args.set));
    return this.#check('mkdir', args, this.next.mkdir(call, args), checkCreate);
  }
  override symlink(call: fs.Call, args: fs.SymlinkArguments): Eventual<fs.CreateReply> {
    this.#report('symlink', 'arguments', checkPlace(args.where) ?? checkSet(args.set));
    return this.#check('symlink', args, this.next.symlink(call, args), checkCreate);
  }
  override mknod(call: fs.Call, args: fs.MknodArguments): Eventual<fs.CreateReply> {
    this.#report('mknod', 'arguments', checkPlace(args.where) ?? checkSet(args.set));
    return this.#check('mknod', args, this.next.mknod(call, args), checkCreate);
  }
  override remove(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    this.#report('remove', 'arguments', checkPlace(args));
    return this.#check('remove', args, this.next.remove(call, args), checkRemove);
  }
  override rmdir(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    this.#report('rmdir', 'arguments', checkPlace(args));
    return this.#check('rmdir', args, this.next.rmdir(call, args), checkRemove);
  }
  override rename(call: fs.Call, args: fs.RenameArguments): Eventual<fs.RenameReply> {
    this.#report('rename', 'arguments', checkPlace(args.from) ?? checkPlace(args.to));
    return this.#check('rename', args, this.next.rename(call, args), checkRename);
  }
  override link(call: fs.Call, args: fs.LinkArguments): Eventual<fs.LinkReply> {
    this.#report('link', 'arguments', checkHandle(args.object) ?? checkPlace(args.where));
    return this.#check('link', args, this.next.link(call, args), checkLink);
  }
  override readdir(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply> {
    this.#report('readdir', 'arguments', checkHandle(args.directory) ?? checkVerifier(args.cookieVerifier));
    return this.#check('readdir', args, this.next.readdir(call, args), checkReaddir);
  }
  override readdirplus(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply<fs.DirectoryEntryPlus>> {
    this.#report('readdirplus', 'arguments', checkHandle(args.directory) ?? checkVerifier(args.cookieVerifier));
    return this.#check('readdirplus', args, this.next.readdirplus(call, args), checkReaddir);
  }
  override fsstat(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.FsstatReply> {
    this.#report('fsstat', 'arguments', checkHandle(args.object));
    return this.#check('fsstat', args, this.next.fsstat(call, args), checkFsstat);
  }
  override fsinfo(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.FsinfoReply> {
    this.#report('fsinfo', 'arguments', checkHandle(args.object));
    return this.#check('fsinfo', args, this.next.fsinfo(call, args), checkFsinfo);
  }
  override pathconf(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.PathconfReply> {
    this.#report('pathconf', 'arguments', checkHandle(args.object));
    return this.#check('pathconf', args, this.next.pathconf(call, args), checkAttributesReply);
  }
  override commit(call: fs.Call, args: fs.CommitArguments): Eventual<fs.CommitReply> {
    this.#report('commit', 'arguments', checkHandle(args.object) ?? checkRange(args.offset, args.count));
    return this.#check('commit', args, this.next.commit(call, args), checkCommit);
  }

  #check<A, R>(
    operation: fs.OperationName,
    args: A,
    reply: Eventual<R>,
    rule: (reply: R, args: A) => Violation,
  ): Eventual<R> {
    if (reply instanceof Promise) {
      return reply.then((late) => {
        this.#report(operation, 'reply', rule(late, args));
        return late;
      });
    }
    this.#report(operation, 'reply', rule(reply, args));
    return reply;
  }

  #report(operation: fs.OperationName, what: 'arguments' | 'reply', violation: Violation): void {
    if (violation === undefined) return;
    this.#violations++;
    const { name, clock, log, strict } = this.#context;
    if (strict === true) throw new AssertionError(`${name}: ${operation} ${what}: ${violation}`);
    const key = `${operation} ${what} ${violation.replaceAll(/\d+/g, '#')}`;
    const nowMs = clock.now();
    const lastMs = this.#reportedMs.get(key);
    if (lastMs !== undefined && nowMs - lastMs < reportEveryMs) return;
    if (this.#reportedMs.size >= reportsMaximum) this.#reportedMs.clear();
    this.#reportedMs.set(key, nowMs);
    log.error({ between: name, operation, what, violation }, 'a layer broke the contract between layers');
  }
}
