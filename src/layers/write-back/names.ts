/**
 * Operations on names: one call to the origin each, which closes the epoch. What must not run ahead of data waits for the
 * drain first (docs/decisions/0011-epochs-and-names.md); data of files that lose their last name never leave.
 *
 *     RENAME onto another file (not .nfs*)                        everything written so far first
 *     REMOVE, RENAME away of what may be a rollback journal       likewise
 *     CREATE unchecked with a size, file exists                   CREATE without the size, then the truncation as a change here
 *     last name gone (REMOVE, RENAME over it)                     the file's changes are void
 *     REMOVE of a clean file, RENAME over it                      that it was written back is durably noted first
 */
import { chain, type Eventual, isPromise } from '../../base/mod.ts';
import type { FileNumber } from '../../dirty/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import type { Admission } from './admission.ts';
import type { Barriers } from './barriers.ts';
import type { DirtyFile } from './files.ts';
import { noted } from './own-change.ts';
import { samePlace } from './places.ts';
import type { AttributeSetter } from './setattr.ts';
import { type Workings, withheld } from './workings.ts';

const { Status } = vfs;
const regular = vfs.FileType.REGULAR;
/** What kernels rename open files to that are removed. */
const sillyPrefix = '.nfs';

export class Names {
  readonly #workings: Workings;
  readonly #barriers: Barriers;
  readonly #setter: AttributeSetter;
  readonly #admission: Admission;

  constructor(workings: Workings, barriers: Barriers, setter: AttributeSetter, admission: Admission) {
    this.#admission = admission;
    this.#workings = workings;
    this.#barriers = barriers;
    this.#setter = setter;
  }

  /** The file was seen under this name. */
  saw(place: vfs.Place, object: vfs.FileHandle): void {
    const { files, places } = this.#workings;
    if (place.name === '.' || place.name === '..') return;
    places.saw(place, object);
    const file = files.find(object);
    if (file === undefined || !files.isBusy(file)) return;
    const isKnown = samePlace(file.record.place, place);
    // Of a name that it keeps, the path is asked for until all of it is known.
    if (isKnown && file.record.path !== undefined) return;
    const path = places.wholePath(place);
    if (!isKnown || path !== undefined) files.update(object, { place, path });
  }

  create(call: vfs.Call, args: vfs.CreateArguments): Eventual<vfs.CreateReply> {
    const { next, files } = this.#workings;
    this.#barriers.seal();
    const issue = files.tick;
    const size = args.how.mode === 'unchecked' ? args.how.set.size : undefined;
    if (args.how.mode !== 'unchecked' || size === undefined) {
      return chain(next.create(call, args), (reply) => this.#created(call, args.where, issue, reply));
    }
    const { size: _, ...set } = args.how.set;
    return chain(next.create(call, { where: args.where, how: { mode: 'unchecked', set } }), (reply) =>
      reply.status === 0 ? this.#sized(call, args.where, size, issue, reply) : reply,
    );
  }

  #created(call: vfs.Call, where: vfs.Place, issue: number, reply: vfs.CreateReply): vfs.CreateReply {
    if (reply.status !== 0 || reply.object === undefined) return reply;
    this.#admission.sawMade(call, reply.attributes);
    this.saw(where, reply.object);
    return this.#workings.presented.reply(reply.object, issue, reply);
  }

  /** The file is there, new or old: it still has to get the size that was asked for. */
  #sized(
    call: vfs.Call,
    where: vfs.Place,
    size: number,
    issue: number,
    reply: Extract<vfs.CreateReply, { status: 0 }>,
  ): Eventual<vfs.CreateReply> {
    const { next } = this.#workings;
    const { directoryWcc } = reply;
    if (reply.object !== undefined && reply.attributes !== undefined) {
      const shown = this.#created(call, where, issue, reply) as typeof reply;
      if (shown.attributes?.size === size) return shown;
    }
    // The reply need not say which file it is (post_op_fh3 is optional).
    const found = reply.object === undefined ? next.lookup(call, where) : undefined;
    return chain(found, (late) => {
      if (late !== undefined && late.status !== 0) return { status: late.status, directoryWcc };
      const object = reply.object ?? late!.object;
      return chain(this.#setter.setattr(call, { object, set: { size } }), ({ status, wcc }) =>
        status === 0
          ? this.#created(call, where, issue, { status: 0, object, attributes: wcc.after, directoryWcc })
          : { status, directoryWcc },
      );
    });
  }

  link(call: vfs.Call, args: vfs.LinkArguments): Eventual<vfs.LinkReply> {
    const { next, presented, files } = this.#workings;
    this.#barriers.seal();
    const issue = files.tick;
    return chain(next.link(call, args), (reply) => {
      if (reply.status !== 0) return presented.reply(args.object, issue, reply);
      const attributes = presented.changed(args.object, issue, { after: reply.attributes }).after;
      return noted(this.#workings, { ...reply, attributes });
    });
  }

  remove(call: vfs.Call, place: vfs.Place): Eventual<vfs.RemoveReply> {
    this.#barriers.seal();
    return this.#owes() ? this.#remove(call, place) : this.#workings.next.remove(call, place);
  }

  async #remove(call: vfs.Call, place: vfs.Place): Promise<vfs.RemoveReply> {
    const { next } = this.#workings;
    const found = await next.lookup(call, place);
    if (this.#mayBeJournal(found)) {
      const isThere = await this.#barriers.everythingArrived();
      if (!isThere && this.#mayBeJournal(found)) return { status: Status.IO, directoryWcc: {} };
    }
    const reply = await this.#taking(call, found, () => next.remove(call, place));
    return reply ?? { status: Status.IO, directoryWcc: {} };
  }

  rename(call: vfs.Call, args: vfs.RenameArguments): Eventual<vfs.RenameReply> {
    this.#barriers.seal();
    return this.#owes() ? this.#rename(call, args) : this.#workings.next.rename(call, args);
  }

  async #rename(call: vfs.Call, args: vfs.RenameArguments): Promise<vfs.RenameReply> {
    const { next } = this.#workings;
    const [from, to] = await Promise.all([next.lookup(call, args.from), next.lookup(call, args.to)]);
    const isSame = from.status === 0 && to.status === 0 && from.object === to.object;
    const replaces = to.status === 0 && !isSame && !args.to.name.startsWith(sillyPrefix);
    if (replaces || this.#mayBeJournal(from)) {
      const isThere = await this.#barriers.everythingArrived();
      if (!isThere && (replaces || this.#mayBeJournal(from))) {
        return { status: Status.IO, fromWcc: {}, toWcc: {} };
      }
    }
    const reply = await this.#taking(call, isSame ? undefined : to, () => next.rename(call, args));
    if (reply === undefined) return { status: Status.IO, fromWcc: {}, toWcc: {} };
    if (reply.status !== 0 || from.status !== 0) return reply;
    this.saw(args.to, from.object);
    return noted(this.#workings, reply);
  }

  /**
   * Does what takes a name from a file, maybe its last one. Of a dirty one, that is noted before: after a crash its data come back without it,
   * and nobody else must be blamed; undefined: it could not be, and nothing was done. The caller need not wait for the proof that it
   * was the last name. Of a clean one, that it was written back must be durable, or a crash would make it dirty again.
   */
  async #taking<Reply extends { readonly status: number }>(
    call: vfs.Call,
    found: vfs.LookupReply | undefined,
    act: () => Eventual<Reply>,
  ): Promise<Reply | undefined> {
    for (;;) {
      const file = this.#busy(found);
      if (file !== undefined) return this.#takingFromDirty(call, file, act);
      const noted = this.#barriers.noted();
      if (noted === undefined) return act();
      if (!(await noted)) return undefined;
    }
  }

  async #takingFromDirty<Reply extends { readonly status: number }>(
    call: vfs.Call,
    file: DirtyFile,
    act: () => Eventual<Reply>,
  ): Promise<Reply | undefined> {
    const { files, log, logger, lifetime } = this.#workings;
    file.removals++;
    files.update(file.record.handle, { isLeaving: true });
    try {
      await log.sync();
    } catch (error) {
      if (lifetime.isClosed) return withheld();
      logger.error({ error }, 'that a file is removed could not be noted');
      file.removals--;
      this.#stays(file);
      return undefined;
    }
    if (lifetime.isClosed) return withheld();
    const reply = await act();
    if (reply.status !== 0) {
      file.removals--;
      this.#stays(file);
      return reply;
    }
    const dropped = this.#dropIfGone(call, file);
    if (isPromise(dropped)) {
      dropped.catch((error: unknown) => {
        file.removals--;
        logger.warn({ error: String(error) }, 'whether a removed file is gone could not be asked');
      });
    }
    return reply;
  }

  #dropIfGone(call: vfs.Call, file: DirtyFile): Eventual<void> {
    const { origin, files, log, places, lifetime } = this.#workings;
    const { handle, number } = file.record;
    const check = (reply: vfs.GetattrReply): void => {
      file.removals--;
      const isGone = reply.status === Status.STALE || reply.status === Status.BADHANDLE;
      if (lifetime.isClosed || (reply.status !== 0 && !isGone)) return;
      if (reply.status === 0 && reply.attributes.nlink > 0) {
        this.#stays(file);
        return;
      }
      log.drop(number);
      files.forget(handle);
      places.forget(handle);
    };
    const reply = origin.fresh.getattr(call, { object: handle });
    return isPromise(reply) ? reply.then(check) : check(reply);
  }

  /** It still has a name: if that goes, it is somebody else's doing. */
  #stays(file: DirtyFile): void {
    const { files, lifetime } = this.#workings;
    const { handle } = file.record;
    if (lifetime.isClosed || file.removals > 0 || files.find(handle) !== file) return;
    files.update(handle, { isLeaving: undefined });
  }

  #busy(found: vfs.LookupReply | undefined): DirtyFile | undefined {
    const file = found?.status === 0 ? this.#workings.files.find(found.object) : undefined;
    return file !== undefined && this.#workings.files.isBusy(file) ? file : undefined;
  }

  /**
   * Something was overwritten in place after the file was stable, and waits: the file may be what undoes that. One of which nothing
   * waits here may be from any time before.
   */
  #mayBeJournal(found: vfs.LookupReply): boolean {
    const { log, files } = this.#workings;
    if (found.status === Status.NOENT) return false;
    if (found.status === 0 && (found.attributes?.type ?? regular) !== regular) return false;
    const file = found.status === 0 ? files.find(found.object) : undefined;
    const sizeBelow = (other: FileNumber) => files.byNumber(other)?.base?.size ?? Number.POSITIVE_INFINITY;
    return log.overwritesAfter(file?.record.number, sizeBelow);
  }

  /** After a power loss, something would be written back. */
  #owes(): boolean {
    return this.#workings.log.stats().dirtyFiles > 0 || this.#barriers.noted() !== undefined;
  }
}
