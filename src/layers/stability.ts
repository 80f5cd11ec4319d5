/**
 * Unstable data survives a restart of the origin.
 *
 * Clients see this layer's own write verifier, never the origin's (libnfs never compares verifiers, so somebody else must; the
 * write-back layer does by itself, `Call.resendsItself`, and has its data in the dirty log). An
 * UNSTABLE write goes to the origin at once, and a copy of its data stays here until the origin has committed it. When a WRITE
 * or COMMIT reply shows another verifier, the origin may have lost what it had not committed: it is sent again and committed
 * before any COMMIT is answered (RFC 1813 3.3.21).
 *
 *     clean --WRITE taken UNSTABLE--> kept --COMMIT, same verifier--> clean
 *                                      |  ^
 *                        verifier changed  sent again and committed, or failed: COMMIT fails, our verifier changes
 *                                      v  |
 *                                   recovering: READ, GETATTR, WRITE, SETATTR and COMMIT of the file wait
 *
 * Invariants: what was answered UNSTABLE under our verifier is here or committed at the origin; newer data of the same
 * range replaces older, so sending again never brings old data back; writes of a file that are under way are awaited before
 * its data is sent again. The data is copied when the reply says that it is not stable: receive chunks are reused, and a
 * kept view of 4 KiB could hold a chunk of 64. Kept bytes are bounded: from half of the bound on the layer commits by
 * itself, at the bound writers wait, and when the origin refuses to commit they go on as FILE_SYNC.
 *
 * A reply that was under way while a recovery began or ended may show the file without what was lost: READ and GETATTR are
 * repeated, attributes in other replies left out (uncertain-attributes.ts).
 */
import { type Clock, type Eventual, type Log, limits, type Random } from '../base/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { isGone, OwnCommits, type StabilityOptions } from './own-commits.ts';
import { resend } from './resend.ts';
import { UncertainAttributes } from './uncertain-attributes.ts';
import { copied } from './unstable-extents.ts';
import { type ResendOutcome, type UnstableFile, UnstableFiles } from './unstable-files.ts';
import { type Admission, WriteRoom } from './write-room.ts';

const { Stability: Stable, Status } = vfs;

export const stabilityDefaults: StabilityOptions = {
  unstableBytes: limits.unstableBytes,
  idleCommitMs: 30_000,
  closeMs: 5_000,
};

export interface StabilityContext {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly options?: Partial<StabilityOptions>;
}

export interface StabilityStats {
  readonly keptBytes: number;
  readonly keptFiles: number;
  readonly waitingWriters: number;
  readonly originRestarts: number;
  readonly resentBytes: number;
  readonly failedResends: number;
  readonly ownCommits: number;
}

interface WriteUnderWay {
  readonly file: UnstableFile;
  readonly reserved: number;
  /** The recovery events when it was sent. */
  readonly since: number;
}

export class Stability extends vfs.ForwardingFilesystem {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #random: Random;
  readonly #options: StabilityOptions;
  readonly #files: UnstableFiles;
  readonly #room: WriteRoom;
  readonly #own: OwnCommits;
  #verifier: vfs.Verifier;
  #originVerifier: vfs.Verifier | undefined;
  #tick = 0;
  #closed = false;
  #originRestarts = 0;
  #resentBytes = 0;
  #failedResends = 0;

  constructor(next: vfs.Filesystem, { clock, log, random, options }: StabilityContext) {
    const files = new UnstableFiles();
    super(new UncertainAttributes(next, files));
    this.#files = files;
    this.#clock = clock;
    this.#log = log;
    this.#random = random;
    this.#options = { ...stabilityDefaults, ...options };
    this.#room = new WriteRoom(this.#options.unstableBytes, () => this.#files.bytes);
    this.#own = new OwnCommits({
      files: this.#files,
      room: this.#room,
      clock,
      log,
      options: this.#options,
      commit: (call, args) => this.commit(call, args),
    });
    this.#verifier = this.#newVerifier();
  }

  stats(): StabilityStats {
    return {
      keptBytes: this.#files.bytes,
      keptFiles: this.#files.kept(),
      waitingWriters: this.#room.waiting,
      originRestarts: this.#originRestarts,
      resentBytes: this.#resentBytes,
      failedResends: this.#failedResends,
      ownCommits: this.#own.count,
    };
  }

  /**
   * To be called when the connection to the origin came back: asks by COMMIT whether it is still the same instance, and
   * holds reads of files with unstable data back until that is known.
   */
  originMayHaveRestarted(): void {
    for (const file of this.#files.withData()) this.#recover(file);
  }

  override read(call: vfs.Call, args: vfs.ReadArguments): Eventual<vfs.ReadReply> {
    const file = this.#files.get(args.object);
    if (file === undefined) return this.next.read(call, args);
    if (file.recovery !== undefined) return file.recovery.then(() => this.read(call, args));
    const since = this.#files.recoveryEvents;
    const reply = this.next.read(call, args);
    if (!(reply instanceof Promise)) return reply;
    return reply.then((late) => {
      if (!this.#files.mayShowLoss(args.object, since)) return late;
      if (late.status === 0) late.release?.();
      return this.read(call, args);
    });
  }

  override getattr(call: vfs.Call, args: vfs.GetattrArguments): Eventual<vfs.GetattrReply> {
    const file = this.#files.get(args.object);
    if (file === undefined) return this.next.getattr(call, args);
    if (file.recovery !== undefined) return file.recovery.then(() => this.getattr(call, args));
    const since = this.#files.recoveryEvents;
    const reply = this.next.getattr(call, args);
    if (!(reply instanceof Promise)) return reply;
    return reply.then((late) => (this.#files.mayShowLoss(args.object, since) ? this.getattr(call, args) : late));
  }

  override write(call: vfs.Call, args: vfs.WriteArguments): Eventual<vfs.WriteReply> {
    const recovery = this.#files.recovery(args.object);
    if (recovery !== undefined) return recovery.then(() => this.write(call, args));
    if (args.stable !== Stable.UNSTABLE || call.resendsItself === true) return this.#send(call, args, 0);
    if (this.#own.refused()) return this.#send(call, stably(args), 0);
    const admission = this.#room.enter(args.count);
    if (admission === 'reserved') return this.#send(call, args, args.count);
    this.#own.relieve();
    return (admission as Promise<Admission>).then((late) => {
      const isKept = late !== 'unkept';
      const send = () => this.#send(call, isKept ? args : stably(args), isKept ? args.count : 0);
      return this.#afterRecovery(args.object, send);
    });
  }

  /** A recovery of the file may have begun while the caller waited for something else. */
  #afterRecovery<R>(object: string, action: () => Eventual<R>): Eventual<R> {
    const recovery = this.#files.recovery(object);
    return recovery === undefined ? action() : recovery.then(() => this.#afterRecovery(object, action));
  }

  #send(call: vfs.Call, args: vfs.WriteArguments, reserved: number): Eventual<vfs.WriteReply> {
    const file = this.#files.enter(args.object);
    const since = this.#files.recoveryEvents;
    const reply = this.next.write(call, args);
    if (!(reply instanceof Promise)) return this.#wrote(call, args, { file, reserved, since }, reply);
    return reply.then(
      (late) => this.#wrote(call, args, { file, reserved, since }, late),
      (error: unknown) => {
        this.#files.leave(file);
        this.#room.leave(reserved);
        throw error;
      },
    );
  }

  #wrote(
    call: vfs.Call,
    args: vfs.WriteArguments,
    { file, reserved, since }: WriteUnderWay,
    reply: vfs.WriteReply,
  ): Eventual<vfs.WriteReply> {
    if (reply.status === 0) this.#keep(call, args, file, reply);
    else if (isGone(reply.status)) this.#abandon(file, reply.status);
    this.#files.leave(file);
    this.#room.leave(reserved);
    if (reply.status !== 0) return reply;
    this.#notice(reply.verifier);
    if (this.#room.waiting > 0 || this.#files.bytes * 2 > this.#options.unstableBytes) this.#own.relieve();
    const { count, committed } = reply;
    const wcc = this.#files.mayShowLoss(args.object, since) ? {} : reply.wcc;
    // Nothing is kept for it here: whether a COMMIT covers what the origin took unstable is its own to see.
    if (call.resendsItself === true) return { status: 0, wcc, count, committed, verifier: reply.verifier };
    if (committed >= args.stable) return { status: 0, wcc, count, committed, verifier: this.#verifier };
    // The origin answered less than it was asked for: make it true.
    const done = this.commit(call, { object: args.object, offset: 0, count: 0 });
    const answer = (result: vfs.CommitReply): vfs.WriteReply =>
      result.status === 0
        ? { status: 0, wcc: result.wcc, count, committed: args.stable, verifier: this.#verifier }
        : { status: result.status, wcc: result.wcc };
    return done instanceof Promise ? done.then(answer) : answer(done);
  }

  #keep(
    call: vfs.Call,
    { offset, data }: vfs.WriteArguments,
    file: UnstableFile,
    { count, committed, verifier }: Extract<vfs.WriteReply, { status: 0 }>,
  ): void {
    if (committed !== Stable.UNSTABLE || call.resendsItself === true) {
      this.#files.change(file, () => file.extents.cut(offset, offset + count));
      return;
    }
    const extent = { offset, data: copied(data, count), verifier, tick: ++this.#tick, call };
    this.#files.change(file, () => file.extents.add(extent));
    file.call = call;
    file.writtenMs = this.#clock.now();
    this.#own.wrote();
  }

  override setattr(call: vfs.Call, args: vfs.SetattrArguments): Eventual<vfs.WccReply> {
    const recovery = this.#files.recovery(args.object);
    if (recovery !== undefined) return recovery.then(() => this.setattr(call, args));
    const { size } = args.set;
    if (size === undefined) return this.next.setattr(call, args);
    const file = this.#files.enter(args.object);
    const tick = ++this.#tick;
    const done = (reply: vfs.WccReply): vfs.WccReply => {
      if (reply.status === 0) this.#files.change(file, () => file.extents.cut(size, Number.POSITIVE_INFINITY, tick));
      this.#files.leave(file);
      this.#room.admit();
      return reply;
    };
    const reply = this.next.setattr(call, args);
    if (!(reply instanceof Promise)) return done(reply);
    return reply.then(done, (error: unknown) => {
      this.#files.leave(file);
      throw error;
    });
  }

  override commit(call: vfs.Call, args: vfs.CommitArguments): Eventual<vfs.CommitReply> {
    const recovery = this.#files.recovery(args.object);
    if (recovery !== undefined) {
      return recovery.then(({ status }) => (status === 0 ? this.commit(call, args) : { status, wcc: {} }));
    }
    const tick = ++this.#tick;
    const reply = this.next.commit(call, args);
    return reply instanceof Promise
      ? reply.then((late) => this.#committed(call, args, tick, late))
      : this.#committed(call, args, tick, reply);
  }

  #committed(
    call: vfs.Call,
    args: vfs.CommitArguments,
    tick: number,
    reply: vfs.CommitReply,
  ): Eventual<vfs.CommitReply> {
    const file = this.#files.get(args.object);
    if (reply.status !== 0) {
      if (file !== undefined && isGone(reply.status)) this.#abandon(file, reply.status);
      return reply;
    }
    if (file !== undefined) {
      const end = args.count === 0 ? Number.POSITIVE_INFINITY : args.offset + args.count;
      this.#files.change(file, () => file.extents.committed(args.offset, end, reply.verifier, tick));
      this.#room.admit();
    }
    this.#notice(reply.verifier);
    // A recovery that failed earlier left its data here.
    if (file?.extents.hasLost(reply.verifier) === true) this.#recover(file);
    const own = this.#files.recovery(args.object);
    const recoveries = this.#files.recoveries();
    if (call.resendsItself === true) return reply;
    const answer: vfs.CommitReply = { status: 0, wcc: reply.wcc, verifier: this.#verifier };
    if (recoveries.length === 0) return answer;
    return Promise.all(recoveries).then(async () => {
      const status = own === undefined ? 0 : (await own).status;
      if (status !== 0) return { status, wcc: {} };
      // What was sent again is stable at the next one, and that is all.
      if (call.reach === 'origin') return this.commit(call, args);
      return { status: 0, wcc: own === undefined ? reply.wcc : {}, verifier: this.#verifier };
    });
  }

  override create(call: vfs.Call, args: vfs.CreateArguments): Eventual<vfs.CreateReply> {
    const tick = ++this.#tick;
    const learn = (reply: vfs.CreateReply): vfs.CreateReply => {
      if (reply.status !== 0 || reply.object === undefined) return reply;
      this.#files.named(args.where, reply.object);
      const size = args.how.mode === 'unchecked' ? args.how.set.size : undefined;
      const file = this.#files.get(reply.object);
      if (size !== undefined && file !== undefined) {
        this.#files.change(file, () => file.extents.cut(size, Number.POSITIVE_INFINITY, tick));
        this.#files.settle(file);
      }
      return reply;
    };
    const reply = this.next.create(call, args);
    return reply instanceof Promise ? reply.then(learn) : learn(reply);
  }

  override lookup(call: vfs.Call, args: vfs.Place): Eventual<vfs.LookupReply> {
    const learn = (reply: vfs.LookupReply): vfs.LookupReply => {
      if (reply.status === 0) this.#files.named(args, reply.object);
      return reply;
    };
    const reply = this.next.lookup(call, args);
    return reply instanceof Promise ? reply.then(learn) : learn(reply);
  }

  override remove(call: vfs.Call, args: vfs.Place): Eventual<vfs.RemoveReply> {
    const object = this.#files.unnamed(args);
    const learn = (reply: vfs.RemoveReply): vfs.RemoveReply => {
      if (reply.status === 0) this.#lostName(call, object);
      return reply;
    };
    const reply = this.next.remove(call, args);
    return reply instanceof Promise ? reply.then(learn) : learn(reply);
  }

  override rename(call: vfs.Call, args: vfs.RenameArguments): Eventual<vfs.RenameReply> {
    const replaced = this.#files.unnamed(args.to);
    const moved = this.#files.unnamed(args.from);
    const learn = (reply: vfs.RenameReply): vfs.RenameReply => {
      if (reply.status !== 0) return reply;
      if (moved !== undefined) this.#files.named(args.to, moved);
      this.#lostName(call, replaced);
      return reply;
    };
    const reply = this.next.rename(call, args);
    return reply instanceof Promise ? reply.then(learn) : learn(reply);
  }

  override async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      await this.#own.close();
      // Whoever still waits for room would wait for ever.
      this.#room.giveUp();
    }
    await this.next.close();
  }

  /** The file lost a name: if it was the last one, its unstable data is pointless. */
  #lostName(call: vfs.Call, object: string | undefined): void {
    const file = object === undefined ? undefined : this.#files.get(object);
    if (file === undefined || file.extents.count === 0) return;
    const check = (reply: vfs.GetattrReply): void => {
      if (reply.status === 0 ? reply.attributes.nlink > 0 : !isGone(reply.status)) return;
      this.#files.drop(file);
      this.#room.admit();
    };
    const reply = this.next.getattr(call, { object: file.handle });
    if (reply instanceof Promise) reply.then(check, (error: unknown) => this.#failed(error, 'GETATTR'));
    else check(reply);
  }

  /** Compares the verifier of a reply with the last one. */
  #notice(verifier: vfs.Verifier): void {
    if (verifier === this.#originVerifier) return;
    const known = this.#originVerifier !== undefined;
    this.#originVerifier = verifier;
    if (!known) return;
    this.#originRestarts++;
    const lost = this.#files.withData().filter((file) => file.extents.hasLost(verifier));
    const fields = { files: lost.length, keptBytes: this.#files.bytes };
    this.#log.warn(fields, 'the origin has a new write verifier: it restarted; sending unstable data again');
    for (const file of lost) this.#recover(file);
  }

  #recover(file: UnstableFile): void {
    if (file.recovery !== undefined) return;
    const task = resend(this.next, file, {
      clock: this.#clock,
      log: this.#log,
      originVerifier: () => this.#originVerifier,
      tick: () => ++this.#tick,
      idle: () => this.#files.idle(file),
      change: (action) => this.#files.change(file, action),
      notice: (verifier) => this.#notice(verifier),
    });
    const recovery = task.then(
      (outcome) => this.#recovered(file, outcome),
      (error: unknown) => {
        this.#failed(error, 'sending again');
        return this.#recovered(file, { status: Status.IO, bytes: 0 });
      },
    );
    this.#files.setRecovery(file, recovery);
  }

  #recovered(file: UnstableFile, outcome: ResendOutcome): ResendOutcome {
    this.#files.setRecovery(file, undefined);
    this.#resentBytes += outcome.bytes;
    if (outcome.status !== 0) {
      this.#failedResends++;
      this.#verifier = this.#newVerifier();
      const fields = { status: vfs.statusName(outcome.status), keptBytes: file.extents.bytes };
      this.#log.error(
        fields,
        'unstable data could not be sent again to the origin; clients are told to write it again',
      );
      if (isGone(outcome.status)) this.#files.drop(file);
    }
    this.#files.settle(file);
    this.#room.admit();
    return outcome;
  }

  /** The file does not exist any more: nothing can be sent again. */
  #abandon(file: UnstableFile, status: number): void {
    if (file.extents.count > 0) {
      const fields = { status: vfs.statusName(status), bytes: file.extents.bytes };
      this.#log.warn(fields, 'a file with unstable data is gone at the origin; its data is dropped');
    }
    this.#files.drop(file);
    this.#room.admit();
  }

  #failed(error: unknown, operation: string): void {
    if (!this.#closed) this.#log.error({ error }, `${operation} by the stability layer failed`);
  }

  #newVerifier(): vfs.Verifier {
    return Buffer.from(this.#random.bytes(new Uint8Array(8))).toString('latin1');
  }
}

function stably(args: vfs.WriteArguments): vfs.WriteArguments {
  return { ...args, stable: Stable.FILE_SYNC };
}
