/**
 * SETATTR, split: size, and times of a dirty file, are this host's to change (they belong to the content); mode and owner are
 * the origin's at once. RFC 1813 3.3.2.
 *
 *     size, times to the server's time   a record of the log, if the caller may write
 *     times of the client's choice       noted, told to the origin when the file is clean; only the owner may, others let the origin decide
 *     mode, uid, gid                     the next layer, first: what it refuses changes nothing
 *     guard                              compared with the ctime that clients are shown
 *
 * What is answered is stable (RFC 1813 4.8).
 */
import { chain, type Eventual } from '../../base/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import type { Admission, Verdict } from './admission.ts';
import type { Barriers } from './barriers.ts';
import type { Changed, Changes } from './changes.ts';
import { isFrozen } from './file-record.ts';
import { issued, ownChange } from './own-change.ts';
import { type Workings, withheld } from './workings.ts';
import type { Writer } from './writer.ts';

const { Status } = vfs;

export class AttributeSetter {
  readonly #workings: Workings;
  readonly #admission: Admission;
  readonly #changes: Changes;
  readonly #barriers: Barriers;
  readonly #writer: Writer;

  constructor(workings: Workings, admission: Admission, changes: Changes, barriers: Barriers, writer: Writer) {
    this.#workings = workings;
    this.#admission = admission;
    this.#changes = changes;
    this.#barriers = barriers;
    this.#writer = writer;
  }

  setattr(call: vfs.Call, args: vfs.SetattrArguments): Eventual<vfs.WccReply> {
    const { files, next, options } = this.#workings;
    const { object, set } = args;
    const file = files.find(object);
    const isContent = set.size !== undefined;
    if (isContent && this.#writer.refusal(object) !== 0) {
      return this.#failed(object, this.#writer.refusal(object) as vfs.Failure);
    }
    const gate = this.#barriers.gate(object);
    if (gate !== undefined) return gate.then(() => this.setattr(call, args));
    const isBusy = file !== undefined && files.isBusy(file);
    if (file === undefined && !isContent && options.mode !== 'redirect') return next.setattr(call, args);
    if (args.expected !== undefined && options.mode !== 'redirect') return this.#through(call, args);
    const issue = files.tick;
    if (isBusy && file.seen !== undefined) return this.#known(call, args, issue, file.seen);
    return chain(next.getattr(call, { object }), (got) =>
      got.status === 0 ? this.#known(call, args, issue, got.attributes) : { status: got.status, wcc: {} },
    );
  }

  #known(
    call: vfs.Call,
    args: vfs.SetattrArguments,
    issue: number,
    attributes: vfs.Attributes,
  ): Eventual<vfs.WccReply> {
    const { files, presented, options } = this.#workings;
    const { object, set, guard } = args;
    const file = files.find(object);
    const shown = file === undefined ? attributes : presented.attributes(file, issue, attributes);
    if (guard !== undefined && !vfs.timeEquals(guard, shown.ctime)) {
      return { status: Status.NOT_SYNC, wcc: { after: shown } };
    }
    const isRedirect = options.mode === 'redirect';
    const isRegular = attributes.type === vfs.FileType.REGULAR;
    if (isRedirect && (!isRegular || changesOwnership(set))) return this.#failed(object, Status.ROFS);
    const isBusy = file !== undefined && files.isBusy(file);
    if (!isRegular || (set.size === undefined && !isBusy && !isRedirect)) {
      const noted = file !== undefined && changesTimes(set) ? this.#barriers.noted() : undefined;
      if (noted === undefined) return this.#pass(call, { object, set });
      // Else a power loss here would send the content once more, and the times would move.
      return noted.then((isNoted) => (isNoted ? this.setattr(call, args) : this.#failed(object, Status.IO)));
    }
    return chain(this.#verdict(call, object, set, attributes), (verdict) => {
      if (typeof verdict === 'number') return this.#failed(object, verdict);
      if (verdict === 'denied') {
        return isRedirect ? this.#failed(object, Status.PERM) : this.#through(call, { object, set });
      }
      return chain(this.#writer.maximum.refusal(call, set.size ?? 0), (refusal) =>
        refusal === 0 ? this.#split(call, object, set, issue, attributes) : this.#failed(object, refusal),
      );
    });
  }

  /** Who may do the part of it that stays here. */
  #verdict(
    call: vfs.Call,
    object: vfs.FileHandle,
    { size, atime, mtime }: vfs.SetAttributes,
    attributes: vfs.Attributes,
  ): Eventual<Verdict> {
    const isChosen = typeof atime === 'object' || typeof mtime === 'object';
    const isOwner = this.#admission.ownsTimes(call, attributes);
    if (isChosen && !isOwner) return 'denied';
    const needsWrite = size !== undefined || (!isOwner && (atime === 'server' || mtime === 'server'));
    return needsWrite ? this.#admission.write(call, object, attributes) : 'granted';
  }

  #split(
    call: vfs.Call,
    object: vfs.FileHandle,
    set: vfs.SetAttributes,
    issue: number,
    attributes: vfs.Attributes,
  ): Eventual<vfs.WccReply> {
    const { size, atime, mtime, ...rest } = set;
    const own = { size, atime, mtime };
    if (!changesOwnership(rest)) return this.#apply(call, object, own, issue, attributes);
    const { next, presented } = this.#workings;
    const asked = issued(this.#workings);
    return chain(next.setattr(call, { object, set: rest }), (reply) => {
      if (reply.status !== 0) return { status: reply.status, wcc: presented.unchanged(object, issue, reply.wcc) };
      return chain(ownChange(this.#workings, call, object, asked, reply.wcc), (wcc) => {
        if (size === undefined && atime === undefined && mtime === undefined) return { status: 0, wcc };
        const after = reply.wcc.after;
        const applied =
          after === undefined
            ? this.setattr(call, { object, set: own })
            : this.#apply(call, object, own, asked.tick, after);
        return chain(applied, (done) => ({
          ...done,
          wcc: { before: wcc.before ?? done.wcc.before, after: done.wcc.after },
        }));
      });
    });
  }

  /** All that was asked for is here: from now on in one turn. */
  #apply(
    call: vfs.Call,
    object: vfs.FileHandle,
    set: Pick<vfs.SetAttributes, 'size' | 'atime' | 'mtime'>,
    issue: number,
    attributes: vfs.Attributes,
  ): Eventual<vfs.WccReply> {
    const { files, options, lifetime } = this.#workings;
    if (lifetime.isClosed) return withheld();
    const { size, atime, mtime } = set;
    const known = files.find(object);
    const isBusy = known !== undefined && files.isBusy(known);
    const isLate = this.#barriers.gate(object) !== undefined || this.#changes.isOvertaken(object, issue);
    // Written back meanwhile: the origin takes times itself now.
    const isClean = size === undefined && !isBusy && options.mode !== 'redirect';
    if (isLate || isClean || (size !== undefined && this.#writer.refusal(object) !== 0)) {
      return this.setattr(call, { object, set });
    }
    const file = this.#changes.begin(object, attributes);
    const isMoved = size !== undefined || mtime === 'server' || !isBusy;
    const unmoved: Changed = { status: 0, wcc: { before: file.shown } };
    const moved = isMoved ? this.#changes.resize(call, file, size ?? file.shown?.size ?? 0) : unmoved;
    return chain(moved, ({ status, wcc }) => {
      if (status === 'no-room') {
        const isRedirect = options.mode === 'redirect';
        return isRedirect ? this.#failed(object, Status.NOSPC) : this.#through(call, { object, set }, Status.NOSPC);
      }
      if (status !== 0) return this.#failed(object, status);
      const isChosen = atime !== undefined || typeof mtime === 'object';
      const chosen = { atime, mtime: typeof mtime === 'object' ? mtime : undefined };
      const after = isChosen ? this.#changes.setTimes(file, chosen, isMoved).after : wcc.after;
      return this.#barriers.settle().then((isStable): vfs.WccReply => {
        if (!isStable || isFrozen(file.record)) return this.#failed(object, Status.IO);
        return { status: 0, wcc: { before: wcc.before, after } };
      });
    });
  }

  #pass(call: vfs.Call, args: vfs.SetattrArguments): Eventual<vfs.WccReply> {
    const { next, presented } = this.#workings;
    const { object } = args;
    const issue = issued(this.#workings);
    return chain(next.setattr(call, args), ({ status, wcc }) => {
      if (status !== 0) return { status, wcc: presented.unchanged(object, issue.tick, wcc) };
      const isExplicit = typeof args.set.mtime === 'object';
      return chain(ownChange(this.#workings, call, object, issue, wcc, isExplicit), (shown) => ({
        status,
        wcc: shown,
      }));
    });
  }

  async #through(call: vfs.Call, args: vfs.SetattrArguments, stuck: vfs.Failure = Status.IO): Promise<vfs.WccReply> {
    const reply = await this.#barriers.through(args.object, args.set.size !== undefined, () => this.#pass(call, args));
    return reply ?? this.#failed(args.object, stuck);
  }

  #failed(object: vfs.FileHandle, status: vfs.Failure): vfs.WccReply {
    return { status, wcc: { after: this.#workings.presented.current(object) } };
  }
}

function changesTimes({ atime, mtime }: vfs.SetAttributes): boolean {
  return atime !== undefined || mtime !== undefined;
}

function changesOwnership({ mode, uid, gid }: vfs.SetAttributes): boolean {
  return mode !== undefined || uid !== undefined || gid !== undefined;
}
