/**
 * READ of a dirty file: the log over the base. Bytes of the base come from the next layer; what lies beyond its end is zeros up
 * to the presented size, holes of truncations are zeros, the rest is the log's.
 *
 *     log     ........DDDDDD....00000000DD          D data   0 zero   . base
 *     base    bbbbbbbbbbbbbbbbbbb|                  shorter than the file: zeros follow
 *     reply   bbbbbbbbDDDDDDbbbbb00000000DD
 *
 * Invariants: the log's reads begin before the base's, so that what the drain moves meanwhile is in at least one of the two;
 * a reply that a change of the size overtook is read again; everything is released exactly once. Data that do not verify are
 * NFS3ERR_IO, never the base's older bytes.
 */
import { chain, type Eventual, isPromise, limits } from '../../base/mod.ts';
import type { Piece, View } from '../../dirty/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import type { Admission } from './admission.ts';
import type { DirtyFile } from './files.ts';
import type { Workings } from './workings.ts';

/** Bytes of one part of a reply; `isEnd`: what follows is not known (the server chose to answer less). */
interface Part {
  readonly slices: readonly Uint8Array[];
  readonly count: number;
  readonly isEnd: boolean;
  readonly release?: (() => void) | undefined;
}
type Outcome = Part | vfs.Failure;

const zeroBytes = 64 * 1024;

export class Reader {
  readonly #workings: Workings;
  readonly #admission: Admission;
  readonly #zeros = new Uint8Array(zeroBytes);

  constructor(workings: Workings, admission: Admission) {
    this.#workings = workings;
    this.#admission = admission;
  }

  read(call: vfs.Call, args: vfs.ReadArguments): Eventual<vfs.ReadReply> {
    const { files, next, log } = this.#workings;
    const file = files.find(args.object);
    if (file !== undefined && log.state(file.record.number) !== undefined) return this.#admitted(call, args, file);
    const issue = files.tick;
    const reply = next.read(call, args);
    return isPromise(reply)
      ? reply.then((late) => this.#passed(call, args, issue, late))
      : this.#passed(call, args, issue, reply);
  }

  /** The file was clean; it may be dirty by now, and longer than the reply knows. */
  #passed(call: vfs.Call, args: vfs.ReadArguments, issue: number, reply: vfs.ReadReply): Eventual<vfs.ReadReply> {
    const { files, presented } = this.#workings;
    const file = files.find(args.object);
    if (file === undefined) return reply;
    if (!files.isDirty(file) || reply.status !== 0) return presented.reply(args.object, issue, reply);
    reply.release?.();
    return this.read(call, args);
  }

  #admitted(call: vfs.Call, args: vfs.ReadArguments, file: DirtyFile): Eventual<vfs.ReadReply> {
    if (file.seen !== undefined) return this.#decided(call, args, file, file.seen);
    const { next, files, presented } = this.#workings;
    const issue = files.tick;
    return chain(next.getattr(call, { object: args.object }), (reply) => {
      if (reply.status !== 0) return { status: reply.status };
      presented.attributes(file, issue, reply.attributes);
      return this.#decided(call, args, file, reply.attributes);
    });
  }

  #decided(
    call: vfs.Call,
    args: vfs.ReadArguments,
    file: DirtyFile,
    attributes: vfs.Attributes,
  ): Eventual<vfs.ReadReply> {
    const { next, files, presented } = this.#workings;
    const { object } = args;
    return chain(this.#admission.read(call, object, attributes), (verdict) => {
      if (verdict === 'granted') return this.#view(call, args, file);
      // The origin decides on the call itself; if it lets the caller read, its bytes are still not the newest.
      const issue = files.tick;
      return chain(next.read(call, { object, offset: 0, count: 1 }), (reply) => {
        if (reply.status !== 0) return presented.reply(object, issue, reply);
        reply.release?.();
        return this.#view(call, args, file);
      });
    });
  }

  #view(call: vfs.Call, args: vfs.ReadArguments, file: DirtyFile): Eventual<vfs.ReadReply> {
    const { log } = this.#workings;
    const state = log.state(file.record.number);
    if (state === undefined) return this.read(call, args);
    const end = Math.min(args.offset + Math.min(args.count, limits.transferBytes), state.size);
    if (end <= args.offset)
      return this.#answer(call, args, file, { resizes: file.resizes, size: state.size }, [], undefined);
    const before = { resizes: file.resizes, size: state.size };
    const view = log.read(file.record.number, args.offset, end - args.offset);
    const parts: Eventual<Outcome>[] = [];
    let isHere = true;
    for (const piece of view.pieces) {
      const part = this.#part(call, args.object, piece);
      isHere &&= !isPromise(part);
      parts.push(part);
    }
    if (isHere) return this.#answer(call, args, file, before, parts as Outcome[], view);
    return Promise.allSettled(parts).then((settled) => {
      const outcomes = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      const broken = settled.find((one) => one.status === 'rejected');
      if (broken === undefined) return this.#answer(call, args, file, before, outcomes, view);
      release(outcomes, view);
      throw broken.reason;
    });
  }

  #part(call: vfs.Call, object: vfs.FileHandle, { kind, offset, count, data }: Piece): Eventual<Outcome> {
    if (kind === 'zero') return this.#hole(count);
    if (kind === 'data') {
      return chain(data, (slices): Outcome => (slices === undefined ? vfs.Status.IO : { slices, count, isEnd: false }));
    }
    const { next } = this.#workings;
    return chain(next.read(call, { object, offset, count }), (reply): Outcome => {
      if (reply.status !== 0) return reply.status;
      const { release } = reply;
      if (reply.count === count) return { slices: reply.data, count, isEnd: false, release };
      if (!reply.eof) return { slices: reply.data, count: reply.count, isEnd: true, release };
      const { slices } = this.#hole(count - reply.count);
      return { slices: [...reply.data, ...slices], count, isEnd: false, release };
    });
  }

  #hole(count: number): Part {
    const slices: Uint8Array[] = [];
    for (let left = count; left > 0; left -= zeroBytes) slices.push(this.#zeros.subarray(0, Math.min(left, zeroBytes)));
    return { slices, count, isEnd: false };
  }

  #answer(
    call: vfs.Call,
    args: vfs.ReadArguments,
    file: DirtyFile,
    before: { readonly resizes: number; readonly size: number },
    outcomes: readonly Outcome[],
    view: View | undefined,
  ): Eventual<vfs.ReadReply> {
    const { presented, log } = this.#workings;
    const releaseAll = (): void => release(outcomes, view);
    const failure = outcomes.find((outcome) => typeof outcome === 'number');
    const known = presented.current(args.object);
    if (failure !== undefined) {
      releaseAll();
      return { status: failure, attributes: known };
    }
    // A cut that was on its way into the log counted before.
    const isCut = (log.state(file.record.number)?.size ?? before.size) < before.size;
    if (file.resizes !== before.resizes || isCut) {
      releaseAll();
      return this.read(call, args);
    }
    const data: Uint8Array[] = [];
    let count = 0;
    for (const part of outcomes as readonly Part[]) {
      for (const slice of part.slices) data.push(slice);
      count += part.count;
      if (part.isEnd) break;
    }
    // A change that is still on its way into the log is not to be seen in the size only.
    const size = log.state(file.record.number)?.size ?? known?.size;
    if (size === undefined) {
      releaseAll();
      return this.read(call, args);
    }
    const attributes = known === undefined || size === known.size ? known : { ...known, size };
    return { status: 0, attributes, data, count, eof: args.offset + count >= size, release: releaseAll };
  }
}

function release(outcomes: readonly Outcome[], view: View | undefined): void {
  for (const outcome of outcomes) if (typeof outcome === 'object') outcome.release?.();
  view?.release();
}
