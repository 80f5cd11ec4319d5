/**
 * One file's part of one epoch, carried to the origin.
 *
 *     cut ──> WRITE, WRITE, ... (pipelined) ──> grow ──> COMMIT ──> times ──> settled
 *                 one small extent only: a FILE_SYNC WRITE, no COMMIT
 *
 * Invariants: nothing is sent twice unless its answer was a refusal, the origin lost it (its verifier changed, RFC 1813 3.3.21), or
 * the process ended; `run` after a refusal goes on where the
 * last one ended; a file that was dropped meanwhile is left alone; what is at the origin when it ends well is noted as the
 * new base before `run` resolves.
 */
import { limits } from '../../base/mod.ts';
import type { EpochPlan, FilePlan } from '../../dirty/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { isGone, type SizeRange, slackMs, timeMs } from './conflict.ts';
import { WccChain } from './conflict-chain.ts';
import type { FileRecord } from './contract.ts';
import { KnownAhead } from './drain-known.ts';
import { isPassing } from './drain-leftovers.ts';
import { Caller, plainCall } from './drain-origin.ts';
import { bytesOf, type DrainParts, nameOf, refusalOf } from './drain-parts.ts';
import { asData, type Part, UnstableParts, weightOf } from './drain-unstable.ts';
import { isLater, sameData, wccOf } from './times.ts';

const { Stability, Status } = vfs;

export type FileEnd =
  | { readonly end: 'done' | 'dropped' | 'stopped' }
  | { readonly end: 'refused' | 'damaged'; readonly problem: string }
  | { readonly end: 'conflict'; readonly kind: 'changed' | 'gone'; readonly found: vfs.Attributes | undefined };

/** One extent up to this goes as one FILE_SYNC WRITE, whatever the link: two round trips fewer. */
const singleBytes = 64 * 1024;
/** Then a COMMIT goes along: the origin's disk works while the link does. */
const commitBytes = 16 * 1024 * 1024;
/** ctime may move under our feet (a chmod through us): so often in a row is NOT_SYNC looked into before the file counts as changed. */
const mostLooks = 8;

export class FileRun {
  readonly plan: FilePlan;
  readonly #parts: DrainParts;
  readonly #epoch: EpochPlan;
  readonly #caller: Caller;
  #found: vfs.Attributes | undefined;
  #expected: vfs.WccAttributes | undefined;
  #chain: WccChain | undefined;
  #isCut: boolean;
  #isGrown = false;
  readonly #unstable = new UnstableParts();
  /** A COMMIT amid the WRITEs, so that the one at the end has little to wait for. */
  #committing: Promise<void> | undefined;
  /** The next byte of the plan that was not handed out yet, and what came back unsent or refused. */
  #extent = 0;
  #within = 0;
  #handedOut = 0;
  readonly #known: KnownAhead | undefined;
  readonly #returned: Part[] = [];
  #end: FileEnd | undefined;
  /** Nothing more is sent before somebody has looked: a change was refused with NOT_SYNC, or the origin lost data. */
  #mustLook = false;
  /** Looks since the origin last took a change. */
  #looks = 0;
  /** The size at the origin, as far as our own changes go. */
  #size = 0;
  /** In the answer to the last change, if nothing else was under way with it. */
  #final: vfs.Attributes | undefined;
  #isSingle = false;
  #isResumed = false;
  #restarts = 0;
  /** When a change was last answered without attributes: times up to then may be its doing. */
  #blindMs: number | undefined;
  isFinished = false;

  constructor(parts: DrainParts, epoch: EpochPlan, plan: FilePlan) {
    this.#parts = parts;
    this.#epoch = epoch;
    this.plan = plan;
    this.#caller = new Caller(parts.origin, this.record?.owner);
    this.#isCut = plan.cutTo === undefined;
    this.#known = KnownAhead.of(parts, epoch, plan, this.#caller);
  }

  get record(): FileRecord | undefined {
    return this.#parts.context.files.byNumber(this.plan.file);
  }
  /** What answers to this run showed last. */
  get known(): vfs.WccAttributes | undefined {
    return this.#chain?.newest;
  }
  /** Somebody else wrote while the epoch was being written. */
  get wasInterleaved(): boolean {
    return this.#chain?.isBroken === true && !this.#isResumed && this.#restarts === this.#restartsNow();
  }
  /** What the epoch may leave behind if it is cut off. */
  sizes(base: vfs.WccAttributes): SizeRange {
    const { cutTo, sizeAfter, extents } = this.plan;
    const last = extents.at(-1);
    const end = last === undefined ? 0 : last.offset + last.count;
    return {
      least: Math.min(base.size, sizeAfter, cutTo ?? Number.POSITIVE_INFINITY),
      most: Math.max(base.size, sizeAfter, end),
    };
  }

  /** Nothing of this epoch is to be written any more. */
  isDropped(): boolean {
    const state = this.#parts.context.log.state(this.plan.file);
    return state === undefined || state.firstEpoch > this.#epoch.epoch;
  }

  /** Looked at the origin: this is what changes are based on. */
  begin(found: vfs.Attributes): void {
    // What a process before this one sent may still come in.
    if (this.record?.intent !== undefined) this.#isResumed = true;
    this.#restarts = this.#restartsNow();
    this.#found = found;
    this.#expected = wccOf(found);
    this.#chain = new WccChain(found);
    this.#size = found.size;
    this.#caller.setOwner(found);
  }

  async run(): Promise<FileEnd> {
    this.#end = undefined;
    for (const step of [this.#cut, this.#write, this.#grow, this.#commit, this.#settle]) {
      if (this.isDropped()) return { end: 'dropped' };
      if (this.#parts.isStopped()) return { end: 'stopped' };
      try {
        await step.call(this);
      } catch (error) {
        this.#broke(error);
      }
      if (this.#end !== undefined) return this.isDropped() ? { end: 'dropped' } : this.#end;
    }
    this.isFinished = true;
    return { end: 'done' };
  }

  async #cut(): Promise<void> {
    const { cutTo, writer } = this.plan;
    if (this.#isCut || cutTo === undefined) return;
    if (this.#size > cutTo && !(await this.#setSize(cutTo, writer))) return;
    this.#isCut = true;
  }

  async #grow(): Promise<void> {
    const { sizeAfter, writer } = this.plan;
    if (this.#isGrown) return;
    if (this.#size < sizeAfter && !(await this.#setSize(sizeAfter, writer))) return;
    this.#isGrown = true;
  }

  async #setSize(size: number, writer: number): Promise<boolean> {
    const status = await this.#setattr({ size }, writer);
    if (status === 0) this.#size = size;
    else this.#fail('SETATTR of its size', status);
    return status === 0;
  }

  async #setattr(set: vfs.SetAttributes, writer: number): Promise<number> {
    const { context } = this.#parts;
    const { handle: object } = this.record!;
    for (;;) {
      this.#chain!.sent();
      const reply = await this.#caller.ask(context.files.credentialOf(writer), (call) =>
        context.next.setattr(call, { object, set, ...this.#condition() }),
      );
      this.#learn(reply);
      this.#final = reply.status === 0 ? reply.wcc.after : undefined;
      if (reply.status !== Status.NOT_SYNC) return reply.status;
      if (!(await this.#lookAgain())) return Status.NOT_SYNC;
    }
  }

  async #write(): Promise<void> {
    try {
      await this.#writeAll();
    } finally {
      await this.#known?.settle();
    }
  }

  async #writeAll(): Promise<void> {
    const { gate } = this.#parts;
    const { extents } = this.plan;
    this.#isSingle = extents.length === 1 && extents[0]!.count <= this.#requestBytes(Stability.FILE_SYNC);
    const stable = this.#isSingle ? Stability.FILE_SYNC : Stability.UNSTABLE;
    for (;;) {
      const underWay = new Set<Promise<void>>();
      for (;;) {
        const isAsking = this.#returned.length === 0 && !this.#isSingle;
        const preparing = isAsking ? this.#known?.prepare(this.#handedOut) : undefined;
        if (preparing !== undefined) await preparing;
        // The size is asked for as late as possible: it follows the link.
        const mostBytes = this.#requestBytes(stable);
        const wanted = this.#next(mostBytes);
        if (wanted === undefined) break;
        const entering = gate.enter(weightOf(wanted));
        if (entering instanceof Promise) await entering;
        if (this.#end !== undefined || this.#mustLook || this.#parts.isStopped() || this.isDropped()) {
          gate.left(weightOf(wanted));
          this.#returned.push(asData(wanted));
          break;
        }
        const sending: Promise<void> = this.#send(wanted, stable).then(
          () => void underWay.delete(sending),
          (error: unknown) => this.#broke(error),
        );
        underWay.add(sending);
      }
      await Promise.all(underWay);
      if (this.#parts.isStopped()) this.#end ??= { end: 'stopped' };
      if (this.#end !== undefined || this.isDropped()) return;
      if (this.#mustLook && !(await this.#lookAgain())) return;
      if (this.#returned.length === 0 && this.#extent >= extents.length) return;
    }
  }

  #requestBytes(stable: vfs.StabilityCode): number {
    const { gate, writeMaximum } = this.#parts;
    const wanted = stable === Stability.FILE_SYNC ? Math.max(gate.requestBytes, singleBytes) : gate.requestBytes;
    return Math.min(wanted, writeMaximum, limits.transferBytes);
  }

  /** The next part to send. Cut at multiples of the request size, as servers like it. */
  #next(mostBytes: number): Part | undefined {
    const returned = this.#returned.pop();
    if (returned !== undefined) {
      if (returned.count <= mostBytes || this.#isSingle) return returned;
      const { offset, count, writer } = returned;
      this.#returned.push({ offset: offset + mostBytes, count: count - mostBytes, writer });
      return { offset, count: mostBytes, writer };
    }
    const extent = this.plan.extents[this.#extent];
    if (extent === undefined) return undefined;
    const offset = extent.offset + this.#within;
    // A single WRITE must be one: the answer that comes last need not be the last one's.
    const room = this.#isSingle ? mostBytes : mostBytes - (offset % mostBytes);
    const left = extent.count - this.#within;
    const data = Math.min(left, room);
    const { count, digests } = this.#known?.take(offset, data, left) ?? { count: data, digests: undefined };
    this.#within += count;
    this.#handedOut += count;
    if (this.#within === extent.count) {
      this.#extent++;
      this.#within = 0;
    }
    return { offset, count, writer: extent.writer, digests };
  }

  /** The part has entered the gate. */
  async #send(part: Part, stable: vfs.StabilityCode): Promise<void> {
    const { gate } = this.#parts;
    const { offset, count, writer } = part;
    const view = this.#epoch.read(this.plan.file, offset, count);
    try {
      const data = await bytesOf(view);
      if (data === undefined || this.#end !== undefined || this.isDropped()) {
        gate.left(weightOf(part));
        this.#returned.push(asData(part));
        const problem = `the dirty log: bytes ${offset} to ${offset + count} of ${nameOf(this.record!)} do not verify`;
        if (data === undefined && !this.isDropped()) this.#end ??= { end: 'damaged', problem };
        return;
      }
      await this.#sendBytes(part, stable, data, writer);
    } finally {
      view.release();
    }
  }

  async #sendBytes(part: Part, stable: vfs.StabilityCode, data: vfs.Payload, writer: number): Promise<void> {
    const { gate, context, clock } = this.#parts;
    const { offset, count, digests } = part;
    const { handle: object, place } = this.record!;
    const known = digests && { near: place?.directory ?? context.next.root, digests };
    const sentMs = clock.now();
    const mark = gate.sent(weightOf(part));
    this.#chain!.sent();
    let reply: vfs.WriteReply = { status: Status.IO, wcc: {} };
    let isUnknown = false;
    try {
      reply = await this.#caller.ask(context.files.credentialOf(writer), (call) =>
        context.next.write(call, { object, offset, count, stable, data, known, ...this.#condition() }),
      );
      isUnknown = known !== undefined && reply.status === Status.NOTSUPP;
    } finally {
      gate.answered(mark);
      if (isUnknown) this.#chain!.refused();
      else this.#learn(reply);
    }
    if (isUnknown) {
      this.#parts.known?.rest();
      this.#returned.push(asData(part));
    } else if (reply.status === Status.NOT_SYNC) {
      this.#mustLook = true;
      this.#returned.push(asData(part));
    } else if (reply.status !== 0 || reply.count === 0) {
      this.#returned.push(asData(part));
      this.#fail('WRITE', reply.status === 0 ? Status.IO : reply.status);
    } else this.#wrote(part, reply, sentMs);
  }

  /** What a refusal shows may be somebody else's doing. */
  #learn({ status, wcc }: { readonly status: number; readonly wcc: vfs.WccData }): void {
    if (status === Status.NOT_SYNC) this.#chain!.refused();
    else this.#chain!.answered(status === 0 ? wcc : {});
    if (status === 0 && wcc.after === undefined) this.#blindMs = this.#parts.clock.now();
  }

  #wrote(part: Part, reply: Extract<vfs.WriteReply, { status: 0 }>, sentMs: number): void {
    const { meter, clock, originClock, known } = this.#parts;
    const { offset, count, writer, digests } = part;
    const taken = Math.min(reply.count, count);
    meter.moved(taken, clock.now());
    if (digests !== undefined && known !== undefined) known.knownBytes += taken;
    this.#looks = 0;
    if (reply.committed === Stability.UNSTABLE) {
      this.#unstable.wrote({ offset, count: taken, writer }, reply.verifier);
      if (this.#unstable.newBytes >= commitBytes) this.#commitAlong();
    }
    const { after } = reply.wcc;
    if (after !== undefined) originClock.learn(after.mtime, sentMs);
    this.#final = this.#isSingle ? after : undefined;
    this.#size = Math.max(this.#size, offset + taken);
    if (taken < count) {
      // RFC 1813 3.3.7: a server may take less. Another time it is not offered more; or it had no more of it.
      if (digests !== undefined) known?.rest();
      else this.#parts.writeMaximum = Math.min(this.#parts.writeMaximum, Math.max(taken, limits.sectorBytes));
      this.#returned.push({ offset: offset + taken, count: count - taken, writer });
    }
  }

  /** Ends when nothing is left that the origin could lose. */
  async #commit(): Promise<void> {
    for (;;) {
      await this.#committing;
      if (this.#end !== undefined || this.#unstable.isEmpty) return;
      await this.#commitOnce();
      if (this.#end !== undefined) return;
      if (!this.#mustLook) continue;
      if (this.isDropped() || this.#parts.isStopped() || !(await this.#lookAgain())) return;
      await this.#write();
      if (this.#end === undefined && !this.isDropped()) await this.#grow();
    }
  }

  #commitAlong(): void {
    this.#committing ??= this.#commitOnce().then(
      () => {
        this.#committing = undefined;
      },
      (error: unknown) => this.#broke(error),
    );
  }

  async #commitOnce(): Promise<void> {
    const { context, logger } = this.#parts;
    const { handle: object } = this.record!;
    const mark = this.#unstable.mark();
    const reply = await this.#caller.ask(context.files.credentialOf(this.plan.writer), (call) =>
      context.next.commit(call, { object, offset: 0, count: 0 }),
    );
    if (reply.status !== 0) {
      this.#fail('COMMIT', reply.status);
      return;
    }
    const lost = this.#unstable.committed(mark, reply.verifier);
    // Amid WRITEs, no answer is the last one.
    this.#final = this.#unstable.isEmpty ? reply.wcc.after : undefined;
    if (lost.length === 0) return;
    logger.warn({ file: nameOf(this.record!), writes: lost.length }, 'the origin restarted; data is sent again');
    this.#returned.push(...lost);
    this.#mustLook = true;
    // A size that was set may be gone with what was lost.
    this.#isGrown = false;
  }

  /** Times that a client set, when nothing later of the file is dirty; then the new base. */
  async #settle(): Promise<void> {
    const { context } = this.#parts;
    let final = this.#final ?? (await this.#look());
    if (final === undefined) return;
    this.#chain!.close(final);
    const { times } = this.record!;
    const isLast = context.log.state(this.plan.file)?.lastEpoch === this.#epoch.epoch;
    let sentTimes = false;
    if (isLast && (times?.mtime !== undefined || times?.atime !== undefined)) {
      this.#final = undefined;
      const status = await this.#setattr({ atime: times.atime, mtime: times.mtime }, this.plan.writer);
      // Who is refused only for now is tried again when the epoch is done.
      sentTimes = !isPassing(status);
      if (status !== 0 && sentTimes)
        this.#parts.logger.warn({ file: nameOf(this.record!), status }, 'times were not taken');
      final = this.#final ?? (await this.#look());
      if (final === undefined) return;
    }
    this.#settled(final, sentTimes ? times : undefined);
  }

  #settled(final: vfs.Attributes, sent: FileRecord['times']): void {
    const { context, recent } = this.#parts;
    const record = this.record;
    if (record === undefined || this.isDropped()) return;
    const owner = { uid: final.uid, gid: final.gid };
    const times = sent !== undefined && record.times === sent ? { times: undefined } : {};
    context.files.update(record.handle, { base: wccOf(final), intent: undefined, owner, ...times });
    recent.saw(record.number, final);
    context.settled(record.handle, final);
  }

  /** Attributes from the origin; undefined (and the end is set) if there are none. */
  async #look(): Promise<vfs.Attributes | undefined> {
    const { context, origin } = this.#parts;
    const object = this.record!.handle;
    const reply = await origin.ask(() => context.origin.fresh.getattr(plainCall, { object }));
    if (reply.status === 0) return reply.attributes;
    this.#fail('GETATTR', reply.status);
    return undefined;
  }

  /** With nothing under way: is what is there our own doing, or did only the ctime move? Then changes are based on that. */
  async #lookAgain(): Promise<boolean> {
    this.#mustLook = false;
    const found = await this.#look();
    if (found === undefined) return false;
    if (this.#isOwn(found) && this.#looks++ < mostLooks) {
      this.#expected = wccOf(found);
      this.#chain!.rebase(found);
      this.#size = found.size;
      return true;
    }
    this.#end = { end: 'conflict', kind: 'changed', found };
    return false;
  }

  #isOwn(found: vfs.Attributes): boolean {
    if (sameData(found, this.#chain!.newest) || sameData(found, this.#found!)) return true;
    if (this.#restarts === this.#restartsNow() && this.#blindMs === undefined) return false;
    // What was found may be data of a process before this one, which the origin can lose as well.
    const { least, most } = this.sizes(this.record?.base ?? this.#found!);
    if (found.size < least || found.size > most) return false;
    // The origin lost what it had not committed, and shows what was there before.
    if (!isLater(found.mtime, this.#chain!.newest.mtime)) return true;
    // It carried out what it never answered, before the connection was lost; or its answers did not show what they made.
    const { context, clock, originClock } = this.#parts;
    const unsureMs = Math.max(context.origin.lostMs?.() ?? 0, this.#blindMs ?? 0);
    if (unsureMs === 0) return false;
    return timeMs(found.mtime) <= originClock.now() - (clock.now() - unsureMs) + slackMs;
  }

  #restartsNow(): number {
    return this.#parts.context.origin.restarts?.() ?? 0;
  }

  #condition(): { readonly expected?: vfs.WccAttributes } {
    return this.#parts.context.origin.conditionalWrites() ? { expected: this.#expected! } : {};
  }

  /** The layer below gave the call up: the session is being closed, or a bug. */
  #broke(error: unknown): void {
    const problem = `${this.record === undefined ? 'a file' : nameOf(this.record)}: ${String(error)}`;
    this.#end ??= this.#parts.isStopped() ? { end: 'stopped' } : { end: 'refused', problem };
  }

  #fail(operation: string, status: number): void {
    if (this.#end !== undefined) return;
    if (isGone(status)) this.#end = { end: 'conflict', kind: 'gone', found: undefined };
    else this.#end = { end: 'refused', problem: refusalOf(this.record!, operation, status) };
  }
}
