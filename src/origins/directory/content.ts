/**
 * READ, WRITE and COMMIT (RFC 1813 3.3.6, 3.3.7, 3.3.21) on descriptors that stay open.
 *
 * - UNSTABLE is answered after write(2): kill -9 alone loses nothing. DATA_SYNC, FILE_SYNC and COMMIT wait for the disk.
 * - WRITEs of one file take turns (turns.ts); the syncs of stable ones do not.
 * - A failed sync fails the call and changes the verifier; it is never swallowed.
 */
import * as nodeFs from 'node:fs';
import { chain, type Eventual, limits } from '../../base/mod.ts';
import { NoWaitReader, type ReadTarget } from '../../native/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { BufferPool } from './buffers.ts';
import { CarefulWrites } from './careful-writes.ts';
import type { Export } from './export.ts';
import type { OpenFile } from './open-file.ts';
import { mayRead, mayWrite } from './permission.ts';
import { QuickWrites } from './quick-writes.ts';
import { dropSetIds } from './set-attributes.ts';
import { errnoOf } from './status.ts';
import { writeAll } from './write-all.ts';

const { Status, FileType, Stability } = vfs;

export class Content {
  readonly #export: Export;
  readonly #buffers = new BufferPool();
  readonly #cached = new NoWaitReader();
  readonly #quick: QuickWrites;
  readonly #careful: CarefulWrites;

  constructor(exported: Export) {
    this.#export = exported;
    this.#quick = new QuickWrites(exported.parts.clock);
    this.#careful = new CarefulWrites(exported, this.#quick);
  }

  read(call: vfs.Call, args: vfs.ReadArguments): Eventual<vfs.ReadReply> {
    const file = this.#export.find(args.object);
    if (typeof file === 'number') return { status: file };
    const attributes = this.#export.attributes(file);
    if (typeof attributes === 'number') return { status: attributes };
    if (file.type !== FileType.REGULAR) return { status: notAFile(file), attributes };
    if (!mayRead(this.#export.subject(file, attributes, call.credential), call.credential)) {
      return { status: Status.ACCES, attributes };
    }
    const rest = attributes.size - args.offset;
    const count = Math.min(args.count, limits.transferBytes, Math.max(rest, 0));
    if (count === 0) return { status: 0, attributes, data: [], count: 0, eof: rest <= 0 };
    const fd = file.reader();
    if (fd < 0) return { status: this.#export.failure(fd), attributes };
    const target = this.#buffers.take(count);
    // Most often the page cache has it: then no thread is woken.
    if (this.#cached.read(fd, target, 0, count, args.offset) === count) {
      return this.#reply(attributes, target, count, args.offset);
    }
    return this.#readSlowly(file, fd, target, count, args.offset);
  }

  /** In a thread: the data is not in memory, or the end of the file moved. */
  async #readSlowly(
    file: OpenFile,
    fd: number,
    target: ReadTarget,
    count: number,
    offset: number,
  ): Promise<vfs.ReadReply> {
    file.use();
    const result = await new Promise<number>((resolve) => {
      nodeFs.read(fd, target.buffer, 0, count, offset, (error, bytes) => resolve(error ? errnoOf(error) : bytes));
    });
    const attributes = this.#export.attributes(file);
    file.release();
    if (result < 0 || typeof attributes === 'number') {
      this.#buffers.give(target);
      if (typeof attributes === 'number') return { status: attributes };
      return { status: this.#export.failure(result), attributes };
    }
    return this.#reply(attributes, target, result, offset);
  }

  #reply(attributes: vfs.Attributes, target: ReadTarget, count: number, offset: number): vfs.ReadReply {
    let held = true;
    const release = (): void => {
      if (held) this.#buffers.give(target);
      held = false;
    };
    const eof = offset + count >= attributes.size;
    return { status: 0, attributes, data: [target.buffer.subarray(0, count)], count, eof, release };
  }

  write(call: vfs.Call, args: vfs.WriteArguments): Eventual<vfs.WriteReply> {
    const file = this.#export.find(args.object);
    if (typeof file === 'number') return { status: file, wcc: {} };
    // Kept open while it waits for its turn.
    file.use();
    const isWatched = args.expected !== undefined || call.fencing !== undefined;
    const written = file.turns.take(() => {
      const ready = isWatched ? this.#careful.prepare(file, args) : undefined;
      return chain(ready, () => this.#writeInTurn(file, call, args, isWatched));
    });
    return chain(written, (reply) => this.#syncWritten(file, args, reply));
  }

  #writeInTurn(file: OpenFile, call: vfs.Call, args: vfs.WriteArguments, isWatched: boolean): Eventual<vfs.WriteReply> {
    const before = this.#export.attributes(file);
    if (typeof before === 'number') return { status: before, wcc: {} };
    const failed = (status: vfs.Failure): vfs.WriteReply => ({ status, wcc: this.#export.wcc(before, file) });
    if (this.#export.parts.readOnly) return failed(Status.ROFS);
    if (file.type !== FileType.REGULAR) return failed(notAFile(file));
    const who = call.credential;
    if (!mayWrite(this.#export.subject(file, before, who), who)) return failed(Status.ACCES);
    if (args.offset + args.count > limits.fileBytes) return failed(Status.FBIG);
    if (!this.#export.chains.allows(args.object, call.fencing, args.expected, before)) return failed(Status.NOT_SYNC);
    const fd = file.writer();
    if (fd < 0) return failed(this.#export.failure(fd));
    const cleared = dropSetIds(file, before, who);
    if (cleared < 0) return failed(this.#export.failure(cleared));
    if (isWatched) return this.#careful.write({ file, fd, call, args, before });
    return this.#write(file, fd, before, args);
  }

  #write(file: OpenFile, fd: number, before: vfs.Attributes, args: vfs.WriteArguments): Eventual<vfs.WriteReply> {
    // The verifier as it was when the data went in: a sync that fails meanwhile may be this data's.
    const { verifier } = this.#export;
    const quick = args.count === 0 ? 0 : this.#quick.write(fd, args);
    // Cut short: the rest, or its error, in a thread.
    const isDone = quick !== undefined && (quick < 0 || quick === args.count);
    const written = isDone ? quick : writeAll(fd, args.data, args.offset);
    return chain(written, (count) => {
      // A sync that ran meanwhile may not have had these bytes.
      file.dirty = true;
      const wcc = this.#export.wcc(before, file);
      if (count < 0) return { status: this.#export.failure(count), wcc };
      return { status: 0, wcc, count, committed: args.stable, verifier };
    });
  }

  /** After the turn: others may write while this one waits for the disk. */
  #syncWritten(file: OpenFile, args: vfs.WriteArguments, reply: vfs.WriteReply): Eventual<vfs.WriteReply> {
    if (reply.status !== 0 || args.stable === Stability.UNSTABLE) {
      file.release();
      return reply;
    }
    return this.#export.persist([file], args.stable === Stability.DATA_SYNC).then((status) => {
      file.release();
      return status === 0 ? reply : { status, wcc: reply.wcc };
    });
  }

  async commit(call: vfs.Call, args: vfs.CommitArguments): Promise<vfs.CommitReply> {
    const file = this.#export.find(args.object);
    if (typeof file === 'number') return { status: file, wcc: {} };
    const before = this.#export.attributes(file);
    if (typeof before === 'number') return { status: before, wcc: {} };
    if (file.type !== FileType.REGULAR) return { status: notAFile(file), wcc: this.#export.wcc(before, file) };
    const who = call.credential;
    if (!mayWrite(this.#export.subject(file, before, who), who)) {
      return { status: Status.ACCES, wcc: this.#export.wcc(before, file) };
    }
    file.use();
    const status = await this.#export.persist([file], true);
    // Others' writes may lie in between: a `before` would make them look like this caller's doing.
    const wcc = { after: this.#export.attributesIfThere(file) };
    file.release();
    return status === 0 ? { status, wcc, verifier: this.#export.verifier } : { status, wcc };
  }
}

function notAFile(file: OpenFile): vfs.Failure {
  return file.type === FileType.DIRECTORY ? Status.ISDIR : Status.INVAL;
}
