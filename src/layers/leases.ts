/**
 * Write leases of a server: every change inside a leased tree must carry the token of the lease that is held; without it, or with
 * that of a former holder, the answer is ROFS. COMMIT changes nothing and passes.
 *
 *     channel ──► Leasing ──► LeaseStore              change ──► token current for every object it touches? ──no──► ROFS
 *                    │ grant: waits for                                │ yes
 *                    ▼                                                 ▼
 *                 InFlight ◄─────────────── what was let through ── next layer (conditions: EarlierChanges)
 *
 * Invariants: while nobody holds a lease, a change without a token costs one comparison more than without this layer; once a
 * grant has been answered, nothing that was let through under an older view is still under way.
 */
import { chain, type Eventual } from '../base/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { EarlierChanges } from './leases/earlier-changes.ts';
import { InFlight } from './leases/in-flight.ts';
import { type LeasesOptions, Leasing } from './leases/service.ts';
import { LeaseTable } from './leases/table.ts';

const { Status } = vfs;
const refusedWcc = { status: Status.ROFS, wcc: {} } as const;
const refusedName = { status: Status.ROFS, directoryWcc: {} } as const;
const refusedRename = { status: Status.ROFS, fromWcc: {}, toWcc: {} } as const;

export interface LeasesStats {
  readonly held: number;
  /** Changes that were refused for want of the token. */
  readonly refused: number;
}

export class Leases extends vfs.ForwardingFilesystem {
  /** For the channel. */
  readonly service: vfs.LeaseService;
  readonly #store: vfs.LeaseStore;
  readonly #table: LeaseTable;
  readonly #inFlight = new InFlight();
  readonly #earlier: EarlierChanges;
  #refused = 0;

  /** Takes the store over: `close` closes it. */
  constructor(next: vfs.Filesystem, options: LeasesOptions) {
    super(next);
    this.#store = options.store;
    this.#table = new LeaseTable(options);
    this.service = new Leasing(options, this.#table, this.#inFlight, next.root);
    this.#earlier = new EarlierChanges(options.store, next, options.clock.wallTimeMs(), options.log);
  }

  stats(): LeasesStats {
    return { held: this.#table.held().length, refused: this.#refused };
  }

  override setattr(call: vfs.Call, args: vfs.SetattrArguments): Eventual<vfs.WccReply> {
    if (!this.#admits(call, args.object)) return refusedWcc;
    return this.#inFlight.track(this.#expecting(call, args, (known) => this.next.setattr(call, known)));
  }
  override write(call: vfs.Call, args: vfs.WriteArguments): Eventual<vfs.WriteReply> {
    if (!this.#admits(call, args.object)) return refusedWcc;
    return this.#inFlight.track(this.#expecting(call, args, (known) => this.next.write(call, known)));
  }
  override create(call: vfs.Call, args: vfs.CreateArguments): Eventual<vfs.CreateReply> {
    if (!this.#admits(call, args.where.directory)) return refusedName;
    return this.#inFlight.track(this.next.create(call, args));
  }
  override mkdir(call: vfs.Call, args: vfs.MkdirArguments): Eventual<vfs.CreateReply> {
    if (!this.#admits(call, args.where.directory)) return refusedName;
    return this.#inFlight.track(this.next.mkdir(call, args));
  }
  override symlink(call: vfs.Call, args: vfs.SymlinkArguments): Eventual<vfs.CreateReply> {
    if (!this.#admits(call, args.where.directory)) return refusedName;
    return this.#inFlight.track(this.next.symlink(call, args));
  }
  override mknod(call: vfs.Call, args: vfs.MknodArguments): Eventual<vfs.CreateReply> {
    if (!this.#admits(call, args.where.directory)) return refusedName;
    return this.#inFlight.track(this.next.mknod(call, args));
  }
  override remove(call: vfs.Call, args: vfs.Place): Eventual<vfs.RemoveReply> {
    if (!this.#admits(call, args.directory)) return refusedName;
    return this.#inFlight.track(this.next.remove(call, args));
  }
  override rmdir(call: vfs.Call, args: vfs.Place): Eventual<vfs.RemoveReply> {
    if (!this.#admits(call, args.directory)) return refusedName;
    return this.#inFlight.track(this.next.rmdir(call, args));
  }
  override rename(call: vfs.Call, args: vfs.RenameArguments): Eventual<vfs.RenameReply> {
    if (!this.#admits(call, args.from.directory) || !this.#admits(call, args.to.directory)) return refusedRename;
    return this.#moving(this.next.rename(call, args));
  }
  override link(call: vfs.Call, args: vfs.LinkArguments): Eventual<vfs.LinkReply> {
    if (!this.#admits(call, args.object) || !this.#admits(call, args.where.directory)) return refusedName;
    return this.#moving(this.next.link(call, args));
  }

  override async close(): Promise<void> {
    await super.close();
    this.#store.close();
  }

  #admits(call: vfs.Call, object: vfs.FileHandle): boolean {
    if (this.#table.admits(object, call.fencing)) return true;
    this.#refused++;
    return false;
  }

  #expecting<
    Arguments extends { readonly object: vfs.FileHandle; readonly expected?: vfs.WccAttributes | undefined },
    R extends { readonly status: number },
  >(call: vfs.Call, args: Arguments, perform: (args: Arguments) => Eventual<R>): Eventual<R> {
    const { fencing } = call;
    if (fencing === undefined) return perform(args);
    return chain(this.#earlier.expected(call, fencing, args.object, args.expected), (expected) => {
      if (expected === args.expected) return perform(args);
      const reply = perform({ ...args, expected });
      if (args.expected !== undefined) return reply;
      // Who made no condition is told of none: it was ours, to go on with what the holder had begun.
      return chain(reply, (value) => (value.status === Status.NOT_SYNC ? perform(args) : value));
    });
  }

  /** Before and after: a look between the two would be remembered. */
  #moving<Reply>(reply: Eventual<Reply>): Eventual<Reply> {
    this.#table.forgetPlaces();
    if (reply instanceof Promise) {
      const forget = (): void => this.#table.forgetPlaces();
      reply.then(forget, forget);
    }
    return this.#inFlight.track(reply);
  }
}
