/**
 * ACCESS results per file and credential, so that a cache hit needs no round trip to know that it may be served.
 *
 * The origin is asked for all bits once; what is answered is masked to the bits asked for (libnfs opens a file only if the
 * reply equals its request). Grants of a file go when its mode, owner, group or ctime changed, as seen in the attributes of
 * any reply that passes; when an operation is refused or its handle is stale; and after a time-out (a day for what is `fixed` and no directory), unless the
 * origin is away then (origin-presence.ts).
 *
 *     grants of a file   { 0:0: -> 0x3f, 1000:1000: -> 0x01 }   stand for the state `seen` of the file
 *
 * Our own writes move a file's ctime all the time: while one is under way, and in its reply, a new ctime alone drops
 * nothing (a new mode, owner or group does). Invariant: an ACCESS that was issued before a drop grants nothing after it.
 */
import { type Clock, type Eventual, limits } from '../base/mod.ts';
import type * as fs from '../vfs/mod.ts';
import {
  Access,
  type Attributes,
  FileType,
  ForwardingFilesystem,
  Status,
  timeEquals,
  type WccData,
} from '../vfs/mod.ts';
import { fixedMs, samePermissions } from './attribute-table.ts';
import { BoundedMap, type Touchable } from './bounded-map.ts';
import { OriginPresence } from './origin-presence.ts';

export interface AccessCacheOptions {
  /** Files whose grants are kept. */
  readonly entries: number;
  readonly grantMs: number;
}

export interface AccessCacheContext {
  readonly clock: Clock;
  readonly options?: Partial<AccessCacheOptions>;
  /** Shared by all that cache for the same origin. */
  readonly presence?: OriginPresence | undefined;
  readonly settings?: fs.FileSettingsProvider | undefined;
}

export const accessCacheDefaults: AccessCacheOptions = { entries: limits.accessEntries, grantMs: 60_000 };

/** Credentials remembered per file; above it they start anew. */
const credentialsMaximum = 64;

interface Grant {
  readonly access: number;
  readonly validUntilMs: number;
}

interface Entry extends Touchable {
  seen: Attributes | undefined;
  readonly grants: Map<string, Grant>;
  readonly pending: Map<string, { readonly tick: number; readonly reply: Promise<fs.AccessReply> }>;
  /** Mutations of our own under way, and when the last one finished. */
  mutating: number;
  mutatedTick: number;
  droppedTick: number;
}

export class AccessCache extends ForwardingFilesystem {
  readonly #clock: Clock;
  readonly #options: AccessCacheOptions;
  readonly #entries: BoundedMap<string, Entry>;
  readonly #presence: OriginPresence;
  readonly #settings: fs.FileSettingsProvider | undefined;
  #tick = 0;
  #hits = 0;
  #misses = 0;

  constructor(next: fs.Filesystem, { clock, options, presence, settings }: AccessCacheContext) {
    super(next);
    this.#clock = clock;
    this.#options = { ...accessCacheDefaults, ...options };
    this.#entries = new BoundedMap(this.#options.entries);
    this.#presence = presence ?? new OriginPresence({ clock });
    this.#settings = settings;
  }

  stats(): { readonly hits: number; readonly misses: number; readonly files: number } {
    return { hits: this.#hits, misses: this.#misses, files: this.#entries.size };
  }

  /** Every grant goes; what is being asked for at this moment grants nothing later. */
  invalidate(): void {
    this.#entries.clear();
  }

  /** What is granted to whom, by credential key and whatever its age. */
  grants(object: string): Readonly<Record<string, number>> {
    const grants = this.#entries.get(object)?.grants ?? [];
    return Object.fromEntries([...grants].map(([key, { access }]) => [key, access]));
  }

  /** What was granted in an earlier life, for a file that looked so: its time has run out. */
  putBack(object: string, attributes: Attributes, credentialKey: string, access: number): void {
    let entry = this.#entries.get(object);
    if (entry === undefined) {
      entry = newEntry();
      this.#entries.set(object, entry);
    }
    entry.seen ??= attributes;
    entry.grants.set(credentialKey, { access, validUntilMs: Number.NEGATIVE_INFINITY });
  }

  override access(call: fs.Call, args: fs.AccessArguments): Eventual<fs.AccessReply> {
    const entry = this.#entries.get(args.object);
    if (entry !== undefined) {
      entry.touched = true;
      const grant = entry.grants.get(call.credential.key);
      if (grant !== undefined && this.#holds(args.object, entry, grant)) {
        this.#hits++;
        return { status: 0, access: grant.access & args.access };
      }
    }
    return this.#presence.refresh(
      `access ${call.credential.key} ${args.object}`,
      () => this.#joinOrAsk(call, args),
      () => this.#last(call, args),
    );
  }

  #holds(object: string, { seen }: Entry, { validUntilMs }: Grant): boolean {
    const nowMs = this.#clock.now();
    if (nowMs < validUntilMs) return true;
    if (seen?.type === FileType.DIRECTORY) return false;
    const isYoung = nowMs < validUntilMs - this.#options.grantMs + fixedMs;
    return isYoung && this.#settings?.of(object).consistency === 'fixed';
  }

  /** What was granted last, however long ago. */
  #last(call: fs.Call, args: fs.AccessArguments): fs.AccessReply | undefined {
    const grant = this.#entries.get(args.object)?.grants.get(call.credential.key);
    return grant === undefined ? undefined : { status: 0, access: grant.access & args.access };
  }

  #joinOrAsk(call: fs.Call, args: fs.AccessArguments): Eventual<fs.AccessReply> {
    let entry = this.#entries.get(args.object);
    if (entry === undefined) {
      entry = newEntry();
      this.#entries.set(args.object, entry);
    }
    const pending = entry.pending.get(call.credential.key);
    if (pending !== undefined && pending.tick > entry.droppedTick) {
      return pending.reply.then((reply) => masked(reply, args.access));
    }
    this.#misses++;
    return this.#ask(call, args, entry);
  }

  #ask(call: fs.Call, args: fs.AccessArguments, entry: Entry): Eventual<fs.AccessReply> {
    const { object } = args;
    const key = call.credential.key;
    const tick = ++this.#tick;
    const askedMs = this.#clock.now();
    const asked = this.next.access(call, { object, access: Access.ALL });
    if (!(asked instanceof Promise)) {
      return masked(this.#granted(object, entry, key, tick, askedMs, asked), args.access);
    }
    const done = (): void => {
      if (entry.pending.get(key) === pending) entry.pending.delete(key);
    };
    const reply = asked.then(
      (late) => {
        done();
        return this.#granted(object, entry, key, tick, askedMs, late);
      },
      (error: unknown) => {
        done();
        throw error;
      },
    );
    const pending = { tick, reply };
    entry.pending.set(key, pending);
    return reply.then((late) => masked(late, args.access));
  }

  #granted(
    object: string,
    entry: Entry,
    key: string,
    tick: number,
    askedMs: number,
    reply: fs.AccessReply,
  ): fs.AccessReply {
    if (reply.status !== 0) {
      this.#drop(entry);
      return reply;
    }
    const droppedBefore = entry.droppedTick;
    if (reply.attributes !== undefined) this.#see(object, reply.attributes, tick);
    // What this very reply dropped were the grants for the state before it.
    if (tick < droppedBefore || this.#entries.get(object) !== entry) return reply;
    if (entry.grants.size >= credentialsMaximum) entry.grants.clear();
    entry.grants.set(key, { access: reply.access, validUntilMs: askedMs + this.#options.grantMs });
    return reply;
  }

  override getattr(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.GetattrReply> {
    const tick = this.#tick;
    const reply = this.next.getattr(call, args);
    if (reply instanceof Promise) return reply.then((late) => this.#seeReply(args.object, tick, late));
    return this.#seeReply(args.object, tick, reply);
  }

  override lookup(call: fs.Call, args: fs.Place): Eventual<fs.LookupReply> {
    const tick = this.#tick;
    const reply = this.next.lookup(call, args);
    if (reply instanceof Promise) return reply.then((late) => this.#lookedUp(args.directory, tick, late));
    return this.#lookedUp(args.directory, tick, reply);
  }

  #lookedUp(directory: string, tick: number, reply: fs.LookupReply): fs.LookupReply {
    if (reply.directoryAttributes !== undefined) this.#see(directory, reply.directoryAttributes, tick);
    if (reply.status !== 0) this.#seeFailure(directory, reply.status);
    else if (reply.attributes !== undefined) this.#see(reply.object, reply.attributes, tick);
    return reply;
  }

  override readlink(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.ReadlinkReply> {
    const tick = this.#tick;
    const reply = this.next.readlink(call, args);
    if (reply instanceof Promise) return reply.then((late) => this.#seeReply(args.object, tick, late));
    return this.#seeReply(args.object, tick, reply);
  }

  override read(call: fs.Call, args: fs.ReadArguments): Eventual<fs.ReadReply> {
    const tick = this.#tick;
    const reply = this.next.read(call, args);
    if (reply instanceof Promise) return reply.then((late) => this.#seeReply(args.object, tick, late));
    return this.#seeReply(args.object, tick, reply);
  }

  override write(call: fs.Call, args: fs.WriteArguments): Eventual<fs.WriteReply> {
    const entry = this.#mutating(args.object);
    const reply = this.next.write(call, args);
    if (!(reply instanceof Promise)) return this.#mutated(args.object, entry, reply);
    return reply.then((late) => this.#mutated(args.object, entry, late));
  }

  override setattr(call: fs.Call, args: fs.SetattrArguments): Eventual<fs.WccReply> {
    const entry = this.#mutating(args.object);
    const changesPermissions = args.set.mode !== undefined || args.set.uid !== undefined || args.set.gid !== undefined;
    const learn = (reply: fs.WccReply): fs.WccReply => {
      this.#mutated(args.object, entry, reply);
      if (changesPermissions && entry !== undefined) this.#drop(entry);
      return reply;
    };
    const reply = this.next.setattr(call, args);
    return reply instanceof Promise ? reply.then(learn) : learn(reply);
  }

  override commit(call: fs.Call, args: fs.CommitArguments): Eventual<fs.CommitReply> {
    const entry = this.#mutating(args.object);
    const reply = this.next.commit(call, args);
    if (!(reply instanceof Promise)) return this.#mutated(args.object, entry, reply);
    return reply.then((late) => this.#mutated(args.object, entry, late));
  }

  override create(call: fs.Call, args: fs.CreateArguments): Eventual<fs.CreateReply> {
    const reply = this.next.create(call, args);
    return reply instanceof Promise ? reply.then((late) => this.#created(late)) : this.#created(reply);
  }

  /** UNCHECKED may have changed a file that was there before. */
  #created(reply: fs.CreateReply): fs.CreateReply {
    if (reply.status !== 0 || reply.object === undefined) return reply;
    const entry = this.#entries.get(reply.object);
    if (entry !== undefined) this.#drop(entry);
    return reply;
  }

  override readdirplus(call: fs.Call, args: fs.ReaddirArguments): Eventual<fs.ReaddirReply<fs.DirectoryEntryPlus>> {
    const tick = this.#tick;
    const learn = (reply: fs.ReaddirReply<fs.DirectoryEntryPlus>): fs.ReaddirReply<fs.DirectoryEntryPlus> => {
      if (reply.directoryAttributes !== undefined) this.#see(args.directory, reply.directoryAttributes, tick);
      if (reply.status !== 0) {
        this.#seeFailure(args.directory, reply.status);
        return reply;
      }
      for (const { object, attributes } of reply.entries) {
        if (object !== undefined && attributes !== undefined) this.#see(object, attributes, tick);
      }
      return reply;
    };
    const reply = this.next.readdirplus(call, args);
    return reply instanceof Promise ? reply.then(learn) : learn(reply);
  }

  #seeReply<R extends { readonly status: number; readonly attributes?: Attributes | undefined }>(
    object: string,
    tick: number,
    reply: R,
  ): R {
    if (reply.attributes !== undefined) this.#see(object, reply.attributes, tick);
    if (reply.status !== 0) this.#seeFailure(object, reply.status);
    return reply;
  }

  #seeFailure(object: string, status: number): void {
    if (status !== Status.STALE && status !== Status.BADHANDLE && status !== Status.ACCES && status !== Status.PERM) {
      return;
    }
    const entry = this.#entries.get(object);
    if (entry !== undefined) this.#drop(entry);
  }

  /** `tick`: when the call was issued whose reply shows these attributes. */
  #see(object: string, attributes: Attributes, tick: number): void {
    const entry = this.#entries.get(object);
    if (entry === undefined || entry.seen === attributes) return;
    const { seen } = entry;
    entry.seen = attributes;
    if (seen === undefined) return;
    if (samePermissions(seen, attributes)) {
      if (timeEquals(seen.ctime, attributes.ctime)) return;
      if (entry.mutating > 0 || entry.mutatedTick > tick) return;
    }
    this.#drop(entry);
  }

  #mutating(object: string): Entry | undefined {
    const entry = this.#entries.get(object);
    if (entry !== undefined) entry.mutating++;
    return entry;
  }

  #mutated<R extends { readonly status: number; readonly wcc: WccData }>(
    object: string,
    entry: Entry | undefined,
    reply: R,
  ): R {
    if (entry === undefined) return reply;
    if (reply.wcc.after !== undefined) this.#see(object, reply.wcc.after, this.#tick);
    entry.mutating--;
    entry.mutatedTick = ++this.#tick;
    if (reply.status !== 0) this.#seeFailure(object, reply.status);
    return reply;
  }

  #drop(entry: Entry): void {
    entry.grants.clear();
    entry.droppedTick = ++this.#tick;
  }
}

function newEntry(): Entry {
  return {
    seen: undefined,
    grants: new Map(),
    pending: new Map(),
    mutating: 0,
    mutatedTick: 0,
    droppedTick: 0,
    touched: true,
  };
}

function masked(reply: fs.AccessReply, bits: number): fs.AccessReply {
  if (reply.status !== 0 || (reply.access & ~bits) === 0) return reply;
  return { status: 0, attributes: reply.attributes, access: reply.access & bits };
}
