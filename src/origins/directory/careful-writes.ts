/**
 * Writes whose neighbours matter: behind a condition, or under a token whose changes chain (change-chains.ts). What a local
 * process changes between the look before a write and the look after it is taken for that write's doing; so both looks are
 * taken at once before and after write(2), with nothing between that takes time: no thread that has to begin, no loop that
 * has to hear of its end.
 *
 *     parts of pages read ahead (in a thread, if the disk must be asked) ──> the caller's look ──> write(2), look
 *
 *     while the kernel makes writers wait (quick-writes.ts):   look, write(2), look │ others' calls │ look, write(2), look │ ...
 *                                                              └─── a slice ──────┘  a foreign change here ends it: a short count
 */
import * as nodeFs from 'node:fs';
import type { Eventual } from '../../base/mod.ts';
import { NoWaitReader, type ReadTarget, readTarget } from '../../native/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import type { Export } from './export.ts';
import type { OpenFile } from './open-file.ts';
import { hasPartsOfPages, type QuickWrites } from './quick-writes.ts';
import { first, without } from './write-all.ts';

/** Others wait so long for it when the kernel lets 10 MB in a second: 6 ms. */
const sliceBytes = 64 * 1024;

/** One WRITE that the caller has looked at. */
export interface WatchedWrite {
  readonly file: OpenFile;
  readonly fd: number;
  readonly call: vfs.Call;
  readonly args: vfs.WriteArguments;
  readonly before: vfs.Attributes;
}

export class CarefulWrites {
  readonly #export: Export;
  readonly #quick: QuickWrites;
  readonly #cached = new NoWaitReader();
  readonly #byte: ReadTarget = readTarget(Buffer.allocUnsafeSlow(1));

  constructor(exported: Export, quick: QuickWrites) {
    this.#export = exported;
    this.#quick = quick;
  }

  /** Before the look: the pages of which the write leaves a part as it is must be in memory, or write(2) waits for the disk. */
  prepare(file: OpenFile, { offset, count }: vfs.WriteArguments): Eventual<void> {
    if (file.type !== vfs.FileType.REGULAR || count === 0 || !hasPartsOfPages(offset, count)) return undefined;
    const fd = file.reader();
    if (fd < 0) return undefined;
    const absent = [offset, offset + count - 1].filter((at) => this.#cached.read(fd, this.#byte, 0, 1, at) < 0);
    return absent.length === 0 ? undefined : Promise.all(absent.map((at) => readByte(fd, at))).then(() => undefined);
  }

  /** In the file's turn, in the same moment as the look `before`. */
  write(write: WatchedWrite): Eventual<vfs.WriteReply> {
    const { args, call } = write;
    // Only a chain, which needs a token, can tell the slice before from somebody else's change.
    const isOne = args.count <= sliceBytes || call.fencing === undefined || !this.#quick.isResting;
    return isOne ? this.#slice(write, args) : this.#inSlices(write);
  }

  async #inSlices(write: WatchedWrite): Promise<vfs.WriteReply> {
    const { args, call, file } = write;
    const { chains, parts } = this.#export;
    let reply = this.#slice(write, { ...args, count: sliceBytes });
    let done = reply.status === 0 ? reply.count : 0;
    while (reply.status === 0 && reply.count > 0 && done < args.count) {
      await new Promise<void>((resolve) => parts.clock.after(0, resolve));
      const before = this.#export.attributes(file);
      if (typeof before === 'number') break;
      const { before: atFirst, after: left } = reply.wcc;
      const isUntouched = left !== undefined && vfs.sameContent(before, left);
      const { object, expected } = args;
      if (!isUntouched && (expected === undefined || !chains.allows(object, call.fencing, expected, before))) break;
      const count = Math.min(sliceBytes, args.count - done);
      const rest = { ...args, offset: args.offset + done, count, data: without(args.data, done) };
      const next = this.#slice({ ...write, before }, rest);
      if (next.status !== 0) break;
      done += next.count;
      // The verifier of the first: if a sync failed meanwhile, the data before it may be lost.
      reply = { ...next, verifier: reply.verifier, wcc: { before: atFirst, after: next.wcc.after } };
    }
    return reply.status === 0 ? { ...reply, count: done } : reply;
  }

  #slice({ file, fd, call, before }: WatchedWrite, args: vfs.WriteArguments): vfs.WriteReply {
    const { object, offset, expected } = args;
    const { chains, verifier } = this.#export;
    const data = first(args.data, args.count);
    const count = args.count === 0 ? 0 : this.#quick.writeNow(fd, data, offset, args.count);
    // A sync that ran meanwhile may not have had these bytes.
    file.dirty = true;
    const wcc = this.#export.wcc(before, file);
    const { after } = wcc;
    const isOwn = after?.size === Math.max(before.size, count > 0 ? offset + count : 0);
    if (isOwn) chains.changed(object, call.fencing, expected, before, after);
    else chains.broken(object);
    if (count < 0) return { status: this.#export.failure(count), wcc };
    return { status: 0, wcc, count, committed: args.stable, verifier };
  }
}

/** Whether there is such a byte shows later. */
function readByte(fd: number, at: number): Promise<void> {
  return new Promise((resolve) => nodeFs.read(fd, Buffer.allocUnsafe(1), 0, 1, at, () => resolve()));
}
