/**
 * Write-back: clients' changes of content go into the session's dirty log on this host's disk, are answered as the commit mode
 * says, and are carried to the origin in the background, epoch by epoch (or never: redirect). Everything else passes through, showing
 * files as their writers left them.
 *
 *     READ ───────────► Reader ──────── log over base ─────────┐
 *     WRITE ──────────► Writer ─┐                              ▼
 *     SETATTR ► AttributeSetter ┴► Changes ─► DirtyLog ─► Drain ─► next layer
 *     COMMIT, FILE_SYNC ► Barriers ──────────────┘                 ▲
 *     CREATE, REMOVE, RENAME, LINK ─► Names ───────────────────────┘
 *     attributes in all replies ◄─ Presented ◄─ DirtyFileTable (noted in the log)
 *
 * Invariants: what was answered UNSTABLE survives the process, what was answered stable survives the host (commit: local) or this
 * host's end (commit: origin); clients never see older content, sizes or times than before; the origin at every moment equals a prefix
 * of epochs and a part of the next; nothing that was accepted is dropped, but files that lost their last name.
 */
import { type Clock, chain, type Eventual, isPromise, type Log } from '../base/mod.ts';
import type { DirtyLogFace, DirtyLogStats } from '../dirty/mod.ts';
import type * as vfs from '../vfs/mod.ts';
import { ForwardingFilesystem, Status } from '../vfs/mod.ts';
import { Admission } from './write-back/admission.ts';
import { Barriers } from './write-back/barriers.ts';
import { Changes } from './write-back/changes.ts';
import type { DrainContext, DrainFace, DrainResult, DrainStatus, OriginFacts } from './write-back/contract.ts';
import { isFrozen } from './write-back/file-record.ts';
import { DirtyFileTable } from './write-back/files.ts';
import { Names } from './write-back/names.ts';
import { Places } from './write-back/places.ts';
import { Presented } from './write-back/presented.ts';
import { Reader } from './write-back/reader.ts';
import { redirectedAccess } from './write-back/redirect.ts';
import { AttributeSetter } from './write-back/setattr.ts';
import { statusOf, type WriteBackStatus } from './write-back/status.ts';
import { wccOf } from './write-back/times.ts';
import type { Workings, WriteBackOptions } from './write-back/workings.ts';
import { Writer } from './write-back/writer.ts';

export const writeBackDefaults: WriteBackOptions = { commit: 'local', mode: 'write-back', dirtyAgeMs: 30_000 };

export interface WriteBackContext {
  readonly log: DirtyLogFace;
  readonly clock: Clock;
  readonly logger: Log;
  readonly origin: OriginFacts;
  readonly options?: Partial<WriteBackOptions>;
  /** Names that files and directories are known by from an earlier life: hints. */
  readonly names?: Iterable<readonly [vfs.Place, vfs.FileHandle]> | undefined;
  readonly createDrain: (context: DrainContext) => DrainFace;
}

export class WriteBack extends ForwardingFilesystem {
  readonly #workings: Workings;
  readonly #drain: DrainFace;
  readonly #barriers: Barriers;
  readonly #reader: Reader;
  readonly #writer: Writer;
  readonly #setter: AttributeSetter;
  readonly #names: Names;
  #closing: Promise<void> | undefined;
  #isRelieving = false;

  constructor(next: vfs.Filesystem, { log, clock, logger, origin, options, names, createDrain }: WriteBackContext) {
    super(next);
    const all = { ...writeBackDefaults, ...options };
    const isRedirect = all.mode === 'redirect';
    // A power loss may have taken the end of an epoch and not its changes: nothing that comes now may join them.
    if (!isRedirect) log.seal();
    const files = new DirtyFileTable(log, all.records);
    const presented = new Presented(log, files, clock, isRedirect);
    const places = new Places(next.root);
    for (const [place, object] of names ?? []) places.saw(place, object);
    this.#workings = {
      next,
      log,
      files,
      presented,
      places,
      origin,
      clock,
      logger,
      options: all,
      lifetime: { isClosed: false },
    };
    this.#drain = createDrain({
      ...{ log, files, next, origin },
      settled: (handle, shown) => this.#settled(handle, shown),
      looked: (handle, shown) => this.#looked(handle, shown),
    });
    this.#barriers = new Barriers(this.#workings, this.#drain);
    const admission = new Admission(next, isRedirect);
    const changes = new Changes(this.#workings, () => this.#barriers.changed());
    this.#reader = new Reader(this.#workings, admission);
    this.#writer = new Writer(this.#workings, admission, changes, this.#barriers);
    this.#setter = new AttributeSetter(this.#workings, admission, changes, this.#barriers, this.#writer);
    this.#names = new Names(this.#workings, this.#barriers, this.#setter, admission);
  }

  stats(): DirtyLogStats {
    return this.#workings.log.stats();
  }

  status(): WriteBackStatus {
    return statusOf(this.#workings, this.#drain.status());
  }

  /** Everything written so far, or what was written to one file and before it, to the origin now. */
  async writeBack(file?: vfs.FileHandle): Promise<DrainResult> {
    const { log, files, options } = this.#workings;
    if (options.mode === 'redirect') {
      return { outcome: 'refused', problems: ['a redirected session is not written back; commit or discard it'] };
    }
    const newest = log.seal();
    if (file === undefined) return this.#drain.request(newest);
    const known = files.find(file);
    const state = known === undefined ? undefined : log.state(known.record.number);
    // Clean, but maybe not noted as such yet.
    return this.#drain.request(state?.lastEpoch ?? 0);
  }

  /** The log waits for room (its `onPressure`): whatever can leave should. False: nothing will. */
  relieve(): boolean {
    // Only a commit takes anything out of a redirected log.
    if (this.#isRedirect) return isMoving(this.#drain.status().state);
    if (this.#isRelieving || this.#closing !== undefined) return true;
    this.#isRelieving = true;
    const done = (): void => {
      this.#isRelieving = false;
    };
    this.#barriers.drained().then(done, (error: unknown) => {
      done();
      this.#workings.logger.error({ error }, 'writing back under pressure failed');
    });
    return true;
  }

  /** Somebody decided about the two versions: the file takes writes again, beginning with what the origin has. False: there was none. */
  async clearConflict(handle: vfs.FileHandle): Promise<boolean> {
    const { files, log } = this.#workings;
    const file = files.find(handle);
    if (file?.record.conflict === undefined) return false;
    const wasFrozen = isFrozen(file.record);
    files.update(handle, { conflict: undefined });
    if (wasFrozen) files.update(handle, { base: undefined, presented: undefined, intent: undefined });
    await log.sync();
    return true;
  }

  /** Redirect: everything that was written here goes to the origin after all. */
  commitRedirect(): Promise<DrainResult> {
    return this.#drain.request(this.#workings.log.seal());
  }

  /** Redirect: everything that was written here is forgotten; files show what the origin has. */
  async discardRedirect(): Promise<void> {
    const { log, files } = this.#workings;
    await log.discard();
    // A commit that was under way, or was refused, has nothing left to write.
    this.#drain.wake();
    for (const { handle, conflict, place, path } of [...files.all()]) {
      files.forget(handle);
      // The two versions still differ, and somebody has to decide; but one that was nowhere but in the log is given up by this.
      if (conflict !== undefined && conflict.savedAs?.where !== 'log') files.update(handle, { conflict, place, path });
    }
    await log.sync();
  }

  #settled(handle: vfs.FileHandle, attributes: vfs.Attributes): void {
    const file = this.#workings.files.find(handle);
    if (file === undefined) return;
    file.seen = attributes;
    file.settledMs = this.#workings.clock.now();
    // Of a life before this one: it was not the last name, or the call never arrived.
    if (file.record.isLeaving && file.removals === 0) this.#workings.files.update(handle, { isLeaving: undefined });
    this.#workings.files.settled(file, wccOf(attributes));
  }

  #looked(handle: vfs.FileHandle, attributes: vfs.Attributes): void {
    const { files, presented } = this.#workings;
    const file = files.find(handle);
    if (file !== undefined && files.isDirty(file)) presented.attributes(file, files.tick, attributes);
  }

  get #isRedirect(): boolean {
    return this.#workings.options.mode === 'redirect';
  }

  override getattr(call: vfs.Call, args: vfs.GetattrArguments): Eventual<vfs.GetattrReply> {
    return this.#shown(args.object, this.next.getattr(call, args));
  }

  override setattr(call: vfs.Call, args: vfs.SetattrArguments): Eventual<vfs.WccReply> {
    return this.#setter.setattr(call, args);
  }

  override lookup(call: vfs.Call, args: vfs.Place): Eventual<vfs.LookupReply> {
    const issue = this.#workings.files.tick;
    const learn = (reply: vfs.LookupReply): vfs.LookupReply => {
      if (reply.status !== 0) return reply;
      this.#names.saw(args, reply.object);
      return this.#workings.presented.reply(reply.object, issue, reply);
    };
    const reply = this.next.lookup(call, args);
    return isPromise(reply) ? reply.then(learn) : learn(reply);
  }

  override access(call: vfs.Call, args: vfs.AccessArguments): Eventual<vfs.AccessReply> {
    if (this.#isRedirect) return this.#shown(args.object, redirectedAccess(this.next, call, args));
    return this.#shown(args.object, this.next.access(call, args));
  }

  override read(call: vfs.Call, args: vfs.ReadArguments): Eventual<vfs.ReadReply> {
    return this.#reader.read(call, args);
  }

  override write(call: vfs.Call, args: vfs.WriteArguments): Eventual<vfs.WriteReply> {
    return this.#writer.write(call, args);
  }

  override commit(call: vfs.Call, args: vfs.CommitArguments): Eventual<vfs.CommitReply> {
    const { files, log, presented } = this.#workings;
    const file = files.find(args.object);
    // What goes through to the origin is FILE_SYNC, so only the log can owe anything.
    if (file === undefined) {
      const issue = files.tick;
      return chain(this.next.commit(call, args), (reply) => this.#verified(args.object, issue, reply));
    }
    const answer = (isStable: boolean): vfs.CommitReply => {
      const after = presented.current(args.object);
      const wcc = { before: after && wccOf(after), after };
      const isKept = isStable && !isFrozen(file.record);
      return isKept ? { status: 0, wcc, verifier: log.verifier } : { status: Status.IO, wcc };
    };
    const carried = (isStable: boolean): Eventual<vfs.CommitReply> => this.#carried(call, args, answer(isStable));
    if (files.isDirty(file)) return this.#barriers.commit(call.reach).then(carried);
    // Not dirty any more: the origin has it.
    return chain(this.#barriers.committed(call.reach), (isNoted) => carried(isNoted ?? true));
  }

  /** What was brought to the next one is to be at the origin, and the next one may keep it. */
  #carried(call: vfs.Call, args: vfs.CommitArguments, reply: vfs.CommitReply): Eventual<vfs.CommitReply> {
    const { origin } = this.#workings;
    if (reply.status !== 0 || call.reach !== 'origin' || this.#isRedirect || origin.mayKeep?.() !== true) return reply;
    return chain(this.next.commit(call, args), ({ status }) => (status === 0 ? reply : { status, wcc: reply.wcc }));
  }

  /** The file may have become dirty meanwhile. */
  #verified(object: vfs.FileHandle, issue: number, reply: vfs.CommitReply): vfs.CommitReply {
    const { presented, log } = this.#workings;
    const wcc = presented.unchanged(object, issue, reply.wcc);
    return reply.status === 0 ? { status: 0, wcc, verifier: log.verifier } : { status: reply.status, wcc };
  }

  override create(call: vfs.Call, args: vfs.CreateArguments): Eventual<vfs.CreateReply> {
    return this.#isRedirect ? readOnlyName : this.#names.create(call, args);
  }

  override mkdir(call: vfs.Call, args: vfs.MkdirArguments): Eventual<vfs.CreateReply> {
    return this.#made(args.where, () => this.next.mkdir(call, args));
  }

  override symlink(call: vfs.Call, args: vfs.SymlinkArguments): Eventual<vfs.CreateReply> {
    return this.#made(args.where, () => this.next.symlink(call, args));
  }

  override mknod(call: vfs.Call, args: vfs.MknodArguments): Eventual<vfs.CreateReply> {
    return this.#made(args.where, () => this.next.mknod(call, args));
  }

  #made(where: vfs.Place, make: () => Eventual<vfs.CreateReply>): Eventual<vfs.CreateReply> {
    if (this.#isRedirect) return readOnlyName;
    this.#barriers.seal();
    return chain(make(), (reply) => {
      if (reply.status === 0 && reply.object !== undefined) this.#names.saw(where, reply.object);
      return reply;
    });
  }

  override remove(call: vfs.Call, args: vfs.Place): Eventual<vfs.RemoveReply> {
    return this.#isRedirect ? readOnlyName : this.#names.remove(call, args);
  }

  override rmdir(call: vfs.Call, args: vfs.Place): Eventual<vfs.RemoveReply> {
    if (this.#isRedirect) return readOnlyName;
    this.#barriers.seal();
    return this.next.rmdir(call, args);
  }

  override rename(call: vfs.Call, args: vfs.RenameArguments): Eventual<vfs.RenameReply> {
    return this.#isRedirect ? { status: Status.ROFS, fromWcc: {}, toWcc: {} } : this.#names.rename(call, args);
  }

  override link(call: vfs.Call, args: vfs.LinkArguments): Eventual<vfs.LinkReply> {
    return this.#isRedirect ? readOnlyName : this.#names.link(call, args);
  }

  override readdirplus(call: vfs.Call, args: vfs.ReaddirArguments): Eventual<vfs.ReaddirReply<vfs.DirectoryEntryPlus>> {
    const issue = this.#workings.files.tick;
    return chain(this.next.readdirplus(call, args), (reply) => {
      const { files, presented } = this.#workings;
      if (reply.status !== 0 || files.size === 0) return reply;
      const isOurs = ({ object }: vfs.DirectoryEntryPlus): boolean =>
        object !== undefined && files.find(object) !== undefined;
      if (!reply.entries.some(isOurs)) return reply;
      const entries = reply.entries.map((entry) => {
        if (entry.object === undefined) return entry;
        if (isOurs(entry)) this.#names.saw({ directory: args.directory, name: entry.name }, entry.object);
        return presented.reply(entry.object, issue, entry);
      });
      return { ...reply, entries };
    });
  }

  override fsstat(call: vfs.Call, args: vfs.GetattrArguments): Eventual<vfs.FsstatReply> {
    return this.#shown(args.object, this.next.fsstat(call, args));
  }

  override fsinfo(call: vfs.Call, args: vfs.GetattrArguments): Eventual<vfs.FsinfoReply> {
    return this.#shown(args.object, this.next.fsinfo(call, args));
  }

  override pathconf(call: vfs.Call, args: vfs.GetattrArguments): Eventual<vfs.PathconfReply> {
    return this.#shown(args.object, this.next.pathconf(call, args));
  }

  #shown<Reply extends { readonly status: number; readonly attributes?: vfs.Attributes | undefined }>(
    object: vfs.FileHandle,
    reply: Eventual<Reply>,
  ): Eventual<Reply> {
    const { files, presented } = this.#workings;
    if (!isPromise(reply)) return presented.reply(object, files.tick, reply);
    const issue = files.tick;
    return reply.then((late) => presented.reply(object, issue, late));
  }

  /** Stops the drain where it is, makes the log stable and closes it; who still waits gets no answer. */
  override close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { lifetime, files } = this.#workings;
    try {
      await this.#drain.close();
    } finally {
      lifetime.isClosed = true;
      this.#barriers.close();
      files.close();
      try {
        await this.#workings.log.close();
      } finally {
        await this.next.close();
      }
    }
  }
}

function isMoving(state: DrainStatus['state']): boolean {
  return state === 'writing' || state === 'origin-away';
}

const readOnlyName = { status: Status.ROFS, directoryWcc: {} } as const;
