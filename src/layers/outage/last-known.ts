/**
 * `--outage stale`: while the origin is away, what it cannot be asked is answered as it was last known, however long ago.
 *
 *     READDIR, READDIRPLUS        directories that were listed to their end (listings.ts)
 *     LOOKUP                      names that were looked up and not there; those that were there the attribute cache knows
 *     READ of what is not cached, changes, and whatever was never known: wait, as ever
 *
 * Invariants: while the origin answers, nothing but its answer is given. Nothing is answered from before a change of our own that
 * has been answered. A caller is answered only what the origin once let that caller see. Attributes are left out: what
 * clients are shown by GETATTR is newer.
 */
import { chain, type Eventual, isPromise, limits } from '../../base/mod.ts';
import type * as fs from '../../vfs/mod.ts';
import { type FileHandle, ForwardingFilesystem, Status } from '../../vfs/mod.ts';
import { NameTable } from '../name-table.ts';
import type { OriginPresence } from '../origin-presence.ts';
import { Listings } from './listings.ts';

export interface LastKnownStats {
  readonly listedEntries: number;
  readonly absentNames: number;
}

/** A question about a directory whose answer is under way. */
interface Watch {
  /** A change of our own began or ended meanwhile: the answer may be from before it. */
  isSpoilt: boolean;
}

const anyAge = Number.NEGATIVE_INFINITY;

export class LastKnown extends ForwardingFilesystem {
  readonly #presence: OriginPresence;
  readonly #listings = new Listings();
  /** Only names that are not there. */
  readonly #absent = new NameTable(limits.absentNames);
  readonly #watches = new Map<FileHandle, Set<Watch>>();

  constructor(next: fs.Filesystem, { presence }: { readonly presence: OriginPresence }) {
    super(next);
    this.#presence = presence;
  }

  stats(): LastKnownStats {
    return { listedEntries: this.#listings.size, absentNames: this.#absent.size };
  }

  override lookup(call: fs.Call, args: fs.Place): Eventual<fs.LookupReply> {
    const { directory, name } = args;
    const { key } = call.credential;
    const ask = (): Eventual<fs.LookupReply> =>
      this.#watching(directory, this.next.lookup(call, args), (reply, isSpoilt) => {
        if (reply.status === Status.NOENT) {
          if (isSpoilt) return;
          this.#absent.record(directory, name, undefined, Number.POSITIVE_INFINITY);
          this.#absent.admit(directory, key);
        } else if (reply.status === 0) this.#absent.forget(directory, name);
        else this.#absent.forgetDirectory(directory);
      });
    const held = (): fs.LookupReply | undefined =>
      this.#absent.find(directory, name, key, anyAge) === undefined ? undefined : { status: Status.NOENT };
    return this.#presence.bridge(`last name ${key} ${directory} ${name}`, ask, held);
  }

  override readdir(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply> {
    return this.#list(call, args, false, () => this.next.readdir(call, args));
  }

  override readdirplus(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply<fs.DirectoryEntryPlus>> {
    return this.#list<fs.DirectoryEntryPlus>(call, args, true, () => this.next.readdirplus(call, args));
  }

  #list<Entry extends fs.DirectoryEntry>(
    call: fs.Call,
    args: fs.ReaddirArguments,
    plus: boolean,
    next: () => Eventual<fs.ReaddirReply<Entry>>,
  ): Eventual<fs.ReaddirReply<Entry>> {
    const { key } = call.credential;
    const ask = (): Eventual<fs.ReaddirReply<Entry>> =>
      this.#watching(args.directory, next(), (reply, isSpoilt) => {
        if (isSpoilt) this.#listings.spoil(args.directory);
        else this.#listings.saw(key, args, reply);
      });
    // What an entry of READDIRPLUS has beyond READDIR's is optional.
    const held = () => this.#listings.page(key, args, plus) as fs.ReaddirReply<Entry> | undefined;
    return this.#presence.bridge(`list ${plus} ${key} ${args.directory} ${args.cookie}`, ask, held);
  }

  override setattr(call: fs.Call, args: fs.SetattrArguments): Eventual<fs.WccReply> {
    const { object, set } = args;
    const reply = this.next.setattr(call, args);
    if (set.mode === undefined && set.uid === undefined && set.gid === undefined) return reply;
    return chain(reply, (done) => {
      this.#spoil(object);
      this.#listings.forget(object);
      this.#absent.forgetDirectory(object);
      return done;
    });
  }
  override create(call: fs.Call, args: fs.CreateArguments): Eventual<fs.CreateReply> {
    return this.#naming([args.where], () => this.next.create(call, args));
  }
  override mkdir(call: fs.Call, args: fs.MkdirArguments): Eventual<fs.CreateReply> {
    return this.#naming([args.where], () => this.next.mkdir(call, args));
  }
  override symlink(call: fs.Call, args: fs.SymlinkArguments): Eventual<fs.CreateReply> {
    return this.#naming([args.where], () => this.next.symlink(call, args));
  }
  override mknod(call: fs.Call, args: fs.MknodArguments): Eventual<fs.CreateReply> {
    return this.#naming([args.where], () => this.next.mknod(call, args));
  }
  override remove(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    return this.#naming([args], () => this.next.remove(call, args));
  }
  override rmdir(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    return this.#naming([args], () => this.next.rmdir(call, args));
  }
  override rename(call: fs.Call, args: fs.RenameArguments): Eventual<fs.RenameReply> {
    return this.#naming([args.from, args.to], () => this.next.rename(call, args));
  }
  override link(call: fs.Call, args: fs.LinkArguments): Eventual<fs.LinkReply> {
    return this.#naming([args.where], () => this.next.link(call, args));
  }

  /** A change of names: what was known of them holds until it is answered, and what is learned meanwhile may be from before it. */
  #naming<Reply>(places: readonly fs.Place[], next: () => Eventual<Reply>): Eventual<Reply> {
    for (const { directory } of places) this.#spoil(directory);
    return chain(next(), (reply) => {
      for (const { directory, name } of places) {
        this.#spoil(directory);
        this.#listings.forget(directory);
        this.#absent.forget(directory, name);
      }
      return reply;
    });
  }

  #spoil(directory: FileHandle): void {
    this.#listings.spoil(directory);
    for (const watch of this.#watches.get(directory) ?? []) watch.isSpoilt = true;
  }

  /** Has `learn` see the reply, and whether a change of our own in the directory overlapped with it. */
  #watching<Reply>(
    directory: FileHandle,
    asked: Eventual<Reply>,
    learn: (reply: Reply, isSpoilt: boolean) => void,
  ): Eventual<Reply> {
    if (!isPromise(asked)) {
      learn(asked, false);
      return asked;
    }
    const watch: Watch = { isSpoilt: false };
    const watches = this.#watches.get(directory) ?? new Set();
    this.#watches.set(directory, watches.add(watch));
    const done = (): void => {
      watches.delete(watch);
      if (watches.size === 0) this.#watches.delete(directory);
    };
    return asked.then(
      (reply) => {
        done();
        learn(reply, watch.isSpoilt);
        return reply;
      },
      (error: unknown) => {
        done();
        throw error;
      },
    );
  }
}
