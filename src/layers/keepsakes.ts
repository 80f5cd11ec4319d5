/**
 * Keeps over a restart what was known of the files in use, so that a session that starts while its origin is away can answer for
 * them as before: attributes, ACCESS grants, one name each. Below it the caches that know these things (access-cache.ts,
 * attribute-cache.ts); beside it a small store, which lives as long as the host runs.
 *
 *     start         store ──► caches, as something whose time has run out: the origin is asked first whenever it is there
 *     in use        at most every `everyMs`: caches ──► store, the files that somebody was granted access to
 *     own change    WRITE, SETATTR, COMMIT answered: the file leaves the store before the reply is passed on
 *                   names changed: everything does
 *
 * Invariant: what the store holds is never older than a change of our own that was answered. What was changed by others is found
 * when the origin is back, as ever (docs/decisions/0008-origin-away.md).
 */
import { type Clock, chain, type Eventual, isPromise, type Timer } from '../base/mod.ts';
import type * as fs from '../vfs/mod.ts';
import { Access, type Attributes, ForwardingFilesystem } from '../vfs/mod.ts';
import type { AccessCache } from './access-cache.ts';
import type { AttributeCache } from './attribute-cache.ts';

export interface Keepsake {
  readonly handle: fs.FileHandle;
  readonly attributes: Attributes;
  /** Bits of ACCESS by credential key. */
  readonly grants: Readonly<Record<string, number>>;
  /** A name that it was looked up by, and the keys of callers who did. */
  readonly place?: KeptPlace | undefined;
}

export interface KeptPlace extends fs.Place {
  readonly searchers: readonly string[];
}

/** Where they are kept. What it took is there after the process was killed; it may be gone after a crash of the host. */
export interface KeepsakeStore {
  load(): readonly Keepsake[];
  replace(keepsakes: readonly Keepsake[]): void;
  forget(handle: fs.FileHandle): void;
  forgetAll(): void;
}

export interface KeepsakesContext {
  readonly clock: Clock;
  readonly store: KeepsakeStore;
  readonly access: AccessCache;
  readonly attributes: AttributeCache;
}

const everyMs = 1_000;
/** A session's images and their folders; each is some 500 bytes, written within one turn. */
const filesMaximum = 256;
/** Callers who are remembered to have looked a name up. */
const searchersMaximum = 8;

export class Keepsakes extends ForwardingFilesystem {
  readonly #context: KeepsakesContext;
  /** Handles in the store. */
  readonly #kept = new Set<fs.FileHandle>();
  /** Files in use, the longest unused first, with where they were last looked up. */
  readonly #used = new Map<fs.FileHandle, KeptPlace | undefined>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(next: fs.Filesystem, context: KeepsakesContext) {
    super(next);
    this.#context = context;
    this.#putBack(context.store.load());
  }

  stats(): { readonly kept: number } {
    return { kept: this.#kept.size };
  }

  /** Where files in use were last looked up, and the directories above them: hints, perhaps of an earlier life. */
  *places(): Iterable<readonly [fs.Place, fs.FileHandle]> {
    for (const [handle, place] of this.#used) if (place !== undefined) yield [place, handle];
  }

  /** Nothing of what is known now is to be known after a restart. */
  invalidate(): void {
    this.#used.clear();
    this.#forgetAll();
  }

  override getattr(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.GetattrReply> {
    return this.#seen(args.object, this.next.getattr(call, args));
  }

  override access(call: fs.Call, args: fs.AccessArguments): Eventual<fs.AccessReply> {
    return this.#seen(args.object, this.next.access(call, args));
  }

  override lookup(call: fs.Call, args: fs.Place): Eventual<fs.LookupReply> {
    const learn = (reply: fs.LookupReply): fs.LookupReply => {
      if (reply.status === 0 && args.name !== '.' && args.name !== '..') this.#lookedUp(call, args, reply.object);
      return reply;
    };
    const reply = this.next.lookup(call, args);
    if (isPromise(reply)) return reply.then(learn);
    // A name that the cache has from a listing, or from the file's making, was never asked for.
    return reply.status === 0 && !this.#isPlaced(call, args, reply.object) ? learn(reply) : reply;
  }

  override write(call: fs.Call, args: fs.WriteArguments): Eventual<fs.WriteReply> {
    return this.#changed(args.object, this.next.write(call, args));
  }
  override setattr(call: fs.Call, args: fs.SetattrArguments): Eventual<fs.WccReply> {
    return this.#changed(args.object, this.next.setattr(call, args));
  }
  override commit(call: fs.Call, args: fs.CommitArguments): Eventual<fs.CommitReply> {
    return this.#changed(args.object, this.next.commit(call, args));
  }
  override create(call: fs.Call, args: fs.CreateArguments): Eventual<fs.CreateReply> {
    return chain(this.#renamed(this.next.create(call, args)), (reply) => {
      if (reply.status === 0 && reply.object !== undefined) this.#lookedUp(call, args.where, reply.object);
      return reply;
    });
  }
  override mkdir(call: fs.Call, args: fs.MkdirArguments): Eventual<fs.CreateReply> {
    return this.#renamed(this.next.mkdir(call, args));
  }
  override symlink(call: fs.Call, args: fs.SymlinkArguments): Eventual<fs.CreateReply> {
    return this.#renamed(this.next.symlink(call, args));
  }
  override mknod(call: fs.Call, args: fs.MknodArguments): Eventual<fs.CreateReply> {
    return this.#renamed(this.next.mknod(call, args));
  }
  override remove(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    return this.#renamed(this.next.remove(call, args));
  }
  override rmdir(call: fs.Call, args: fs.Place): Eventual<fs.RemoveReply> {
    return this.#renamed(this.next.rmdir(call, args));
  }
  override rename(call: fs.Call, args: fs.RenameArguments): Eventual<fs.RenameReply> {
    return this.#renamed(this.next.rename(call, args));
  }
  override link(call: fs.Call, args: fs.LinkArguments): Eventual<fs.LinkReply> {
    return this.#renamed(this.next.link(call, args));
  }

  override close(): Promise<void> {
    if (this.#timer !== undefined) this.#take();
    this.#closed = true;
    return this.next.close();
  }

  #seen<Reply>(object: fs.FileHandle, reply: Eventual<Reply>): Eventual<Reply> {
    // What is answered at once was known before. Files in use are asked for again and again: the caches' time runs out.
    if (!isPromise(reply)) return reply;
    return reply.then((late) => {
      this.#use(object, this.#used.get(object));
      this.#later();
      return late;
    });
  }

  #changed<Reply>(object: fs.FileHandle, reply: Eventual<Reply>): Eventual<Reply> {
    if (!isPromise(reply)) return this.#forget(object, reply);
    return reply.then((late) => this.#forget(object, late));
  }

  #forget<Reply>(object: fs.FileHandle, reply: Reply): Reply {
    if (this.#kept.delete(object)) this.#context.store.forget(object);
    this.#later();
    return reply;
  }

  /** Which files have another name, link count or directory now is not worth finding out. */
  #renamed<Reply>(reply: Eventual<Reply>): Eventual<Reply> {
    const learn = (done: Reply): Reply => {
      this.#forgetAll();
      return done;
    };
    return isPromise(reply) ? reply.then(learn) : learn(reply);
  }

  #forgetAll(): void {
    if (this.#kept.size > 0) this.#context.store.forgetAll();
    this.#kept.clear();
    this.#later();
  }

  #lookedUp(call: fs.Call, { directory, name }: fs.Place, object: fs.FileHandle): void {
    const before = this.#used.get(object);
    const same = before !== undefined && before.directory === directory && before.name === name;
    const searchers = new Set(same ? before.searchers : []).add(call.credential.key);
    this.#use(object, { directory, name, searchers: [...searchers].slice(-searchersMaximum) });
    this.#later();
  }

  #isPlaced(call: fs.Call, { directory, name }: fs.Place, object: fs.FileHandle): boolean {
    const place = this.#used.get(object);
    return place?.directory === directory && place.name === name && place.searchers.includes(call.credential.key);
  }

  #use(object: fs.FileHandle, place: KeptPlace | undefined): void {
    this.#used.delete(object);
    this.#used.set(object, place);
    if (this.#used.size <= filesMaximum) return;
    const [oldest] = this.#used.keys();
    this.#used.delete(oldest!);
  }

  #later(): void {
    if (this.#closed) return;
    this.#timer ??= this.#context.clock.after(everyMs, () => this.#take());
  }

  /** Caches to store. */
  #take(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { store, access, attributes } = this.#context;
    const taken = new Map<fs.FileHandle, Keepsake>();
    const take = (handle: fs.FileHandle, place: KeptPlace | undefined, isNeeded: boolean): boolean => {
      const known = attributes.known.attributes(handle);
      const grants = access.grants(handle);
      if (known === undefined || (Object.keys(grants).length === 0 && !isNeeded)) return false;
      taken.set(handle, { handle, attributes: known, grants, place });
      return true;
    };
    for (const used of this.#used.keys()) {
      // A name is worth nothing without the directory that it is in, and that one's name, up to the root.
      let handle: fs.FileHandle | undefined = used;
      while (handle !== undefined && !taken.has(handle)) {
        const place: KeptPlace | undefined = this.#used.get(handle);
        const isThere: boolean = place !== undefined && attributes.known.isNamed(place.directory, place.name, handle);
        const isTaken = take(handle, isThere ? place : undefined, handle !== used);
        handle = isTaken && isThere ? place?.directory : undefined;
      }
    }
    // The root is what clients look at to see whether they are at the same place.
    if (!taken.has(this.root)) take(this.root, undefined, true);
    this.#kept.clear();
    for (const handle of taken.keys()) this.#kept.add(handle);
    store.replace([...taken.values()]);
  }

  #putBack(keepsakes: readonly Keepsake[]): void {
    const { access, attributes } = this.#context;
    for (const { handle, attributes: known, grants, place } of keepsakes) {
      this.#kept.add(handle);
      attributes.known.putAttributes(handle, known);
      for (const [credentialKey, bits] of Object.entries(grants)) {
        access.putBack(handle, known, credentialKey, bits);
        if ((bits & Access.LOOKUP) !== 0) attributes.known.putSearcher(handle, credentialKey);
      }
      if (place !== undefined) {
        attributes.known.putName(place.directory, place.name, handle);
        for (const searcher of place.searchers) attributes.known.putSearcher(place.directory, searcher);
      }
      this.#use(handle, place);
    }
  }
}
