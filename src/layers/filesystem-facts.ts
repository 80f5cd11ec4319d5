/**
 * FSINFO, PATHCONF and FSSTAT as last known, for clients that mount, or look about, while the origin is away.
 *
 *     held for an object = its own last reply, or the root's if the object is known to be on the root's file system
 *
 * What FSINFO and PATHCONF say does not change in the life of a file system; FSSTAT is advice (RFC 1813 3.3.18 to 3.3.20). So
 * they are answered under every outage policy, to anybody. Those of the root can come from an earlier life of the session.
 *
 * Invariants: while the origin answers, nothing but its answer is given (origin-presence.ts). Attributes are left out: what the
 * attribute cache above shows is newer.
 */
import { chain, type Eventual } from '../base/mod.ts';
import type * as fs from '../vfs/mod.ts';
import { type Attributes, ForwardingFilesystem, Status } from '../vfs/mod.ts';
import { BoundedMap, type Touchable } from './bounded-map.ts';
import type { OriginPresence } from './origin-presence.ts';

export interface FilesystemFactsContext {
  readonly presence: OriginPresence;
  /** Of the root, from an earlier life. */
  readonly remembered?: RememberedFacts | undefined;
  /** The attributes last seen, however long ago. */
  readonly attributes: (object: fs.FileHandle) => Attributes | undefined;
}

export interface RememberedFacts {
  readonly fsinfo: fs.FsinfoReply;
  readonly pathconf?: fs.PathconfReply | undefined;
  readonly fsstat?: fs.FsstatReply | undefined;
}

type Fact = fs.FsstatReply | fs.FsinfoReply | fs.PathconfReply;

interface Kept extends Touchable {
  readonly reply: Fact;
}

/** Objects are asked for once each, mostly the root: three replies of each. */
const keptReplies = 192;

export class FilesystemFacts extends ForwardingFilesystem {
  readonly #context: FilesystemFactsContext;
  readonly #others = new BoundedMap<string, Kept>(keptReplies);
  /** By kind. */
  readonly #ofRoot = new Map<string, Fact>();

  constructor(next: fs.Filesystem, context: FilesystemFactsContext) {
    super(next);
    this.#context = context;
    const { remembered } = context;
    if (remembered === undefined) return;
    this.#ofRoot.set('fsinfo', remembered.fsinfo);
    if (remembered.pathconf !== undefined) this.#ofRoot.set('pathconf', remembered.pathconf);
    if (remembered.fsstat !== undefined) this.#ofRoot.set('fsstat', remembered.fsstat);
  }

  override fsstat(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.FsstatReply> {
    return this.#ask('fsstat', args.object, () => this.next.fsstat(call, args));
  }
  override fsinfo(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.FsinfoReply> {
    return this.#ask('fsinfo', args.object, () => this.next.fsinfo(call, args));
  }
  override pathconf(call: fs.Call, args: fs.GetattrArguments): Eventual<fs.PathconfReply> {
    return this.#ask('pathconf', args.object, () => this.next.pathconf(call, args));
  }

  #ask<Reply extends Fact>(kind: string, object: fs.FileHandle, next: () => Eventual<Reply>): Eventual<Reply> {
    const key = `${kind} ${object}`;
    const ask = (): Eventual<Reply> =>
      chain(next(), (reply) => {
        if (reply.status === 0) this.#keep(kind, object, key, { ...reply, attributes: undefined });
        else if (reply.status === Status.STALE || reply.status === Status.BADHANDLE) this.#others.delete(key);
        return reply;
      });
    return this.#context.presence.refresh(key, ask, () => this.#held(kind, object, key) as Reply | undefined);
  }

  #keep(kind: string, object: fs.FileHandle, key: string, reply: Fact): void {
    if (object === this.root) this.#ofRoot.set(kind, reply);
    else this.#others.set(key, { reply, touched: true });
  }

  #held(kind: string, object: fs.FileHandle, key: string): Fact | undefined {
    const kept = this.#others.get(key);
    if (kept !== undefined) {
      kept.touched = true;
      return kept.reply;
    }
    return object === this.root || this.#isBesideRoot(object) ? this.#ofRoot.get(kind) : undefined;
  }

  #isBesideRoot(object: fs.FileHandle): boolean {
    const { attributes } = this.#context;
    const known = attributes(object);
    return known !== undefined && known.fsid === attributes(this.root)?.fsid;
  }
}
