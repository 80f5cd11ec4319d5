/**
 * A client: asks, remembers in the model what it was answered, and checks every answer against it.
 *
 * An answer of `undefined` means that the proxy died first: what was asked may be done or not, and the next recovery tells.
 */
import type { Eventual } from '../../src/base/mod.ts';
import * as vfs from '../../src/vfs/mod.ts';
import { nanosecondsOf } from './floor.ts';
import type { Change, FileHistory } from './history.ts';
import type { Machine } from './machine.ts';
import type { Model } from './model.ts';
import { Violation } from './violation.ts';

const { Stability, Status } = vfs;

export interface ClientOptions {
  readonly machine: Machine;
  readonly model: Model;
  readonly credential: vfs.Credential;
  /** Whether faults under way excuse this status. */
  readonly excuses: (status: number, file: FileHistory | undefined) => boolean;
  /** Whether the origin does not have all of the file yet. */
  readonly isBehind: (file: FileHistory) => boolean;
  /** COMMIT and FILE_SYNC mean the origin's disk: called before the answer counts. */
  readonly onStableAtOrigin?: ((asked: number) => void) | undefined;
  readonly trace: (line: string) => void;
}

/** The reply, and when it was asked and answered. */
interface Answer<R> {
  readonly reply: R;
  readonly asked: number;
  readonly answered: number;
}

export class Client {
  answers = 0;
  refusals = 0;
  readonly #options: ClientOptions;
  readonly #model: Model;
  readonly #call: vfs.Call;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#model = options.model;
    this.#call = { credential: options.credential, peer: 'simulated', priority: 'demand' };
  }

  async write(file: FileHistory, fromCell: number, toCell: number, stable: vfs.StabilityCode): Promise<void> {
    const { layout } = file;
    const offset = layout.boundaries[fromCell]!;
    const count = layout.boundaries[toCell]! - offset;
    const change = this.#change(file, fromCell, toCell, `write of ${offset}+${count}, stable ${stable}`);
    const data = file.write(change);
    file.givenTime = undefined;
    const args = { object: file.handle, offset, count, stable, data };
    const answer = await this.#ask(change.what, (fs) => fs.write(this.#call, args), change.issued);
    if (answer === undefined) return;
    const { reply, answered } = answer;
    if (reply.status !== 0) return this.#refused(reply.status, 'WRITE', file);
    this.#wcc(file, reply.wcc, answer);
    if (reply.count !== count) throw new Violation(`WRITE of ${count} bytes answered ${reply.count}`);
    if (reply.committed < stable) throw new Violation(`WRITE asked for ${stable} answered ${reply.committed}`);
    change.answered = answered;
    change.settled = answered;
    if (reply.committed === Stability.UNSTABLE) {
      change.verifier = reply.verifier;
      return;
    }
    change.isStable = true;
    if (stable === Stability.UNSTABLE) return;
    change.isBarrier = true;
    this.#pass({ asked: change.issued, isStable: true }, reply.verifier);
  }

  async resize(file: FileHistory, toCell: number): Promise<void> {
    const size = file.layout.boundaries[toCell]!;
    const change = this.#change(file, toCell, toCell, `size ${size}`);
    file.resize(change);
    file.givenTime = undefined;
    const answer = await this.#ask(
      change.what,
      (fs) => fs.setattr(this.#call, { object: file.handle, set: { size } }),
      change.issued,
    );
    if (answer === undefined) return;
    const { reply, answered } = answer;
    if (reply.status !== 0) return this.#refused(reply.status, 'SETATTR', file);
    change.answered = answered;
    change.settled = answered;
    // Only WRITE may be answered before it is stable (RFC 1813 4.8).
    change.isStable = true;
    this.#wcc(file, reply.wcc, answer);
  }

  /** A barrier for all files, unless the origin has all of this one already: then there is nothing to wait for. */
  async commit(file: FileHistory): Promise<void> {
    const isBarrier = this.#options.isBehind(file);
    const answer = await this.#ask(`COMMIT of file ${file.id}`, (fs) =>
      fs.commit(this.#call, { object: file.handle, offset: 0, count: 0 }),
    );
    if (answer === undefined) return;
    const { reply, asked } = answer;
    if (reply.status !== 0) return this.#refused(reply.status, 'COMMIT', file);
    this.#wcc(file, reply.wcc, answer);
    if (isBarrier) this.#pass({ asked, isStable: true }, reply.verifier);
  }

  #pass(barrier: { asked: number; isStable: boolean }, verifier: string | undefined): void {
    this.#model.pass(barrier, verifier);
    this.#options.onStableAtOrigin?.(barrier.asked);
  }

  async read(file: FileHistory, offset: number, count: number): Promise<void> {
    const answer = await this.#ask(`READ of file ${file.id} ${offset}+${count}`, (fs) =>
      fs.read(this.#call, { object: file.handle, offset, count }),
    );
    if (answer === undefined) return;
    const { reply, asked, answered } = answer;
    if (reply.status !== 0) return this.#refused(reply.status, 'READ', file);
    const bytes = Buffer.concat(reply.data);
    reply.release?.();
    if (reply.attributes !== undefined) this.#attributes(file, reply.attributes, answer);
    if (bytes.length !== reply.count) throw new Violation(`READ says ${reply.count} bytes and brings ${bytes.length}`);
    const end = offset + reply.count;
    const sizes = file.sizesBetween(asked, answered);
    const isPossible = [...sizes].some((size) =>
      reply.eof ? Math.max(offset, size) === end || end === size : end <= size,
    );
    if (!isPossible || (reply.count === 0 && !reply.eof && count > 0)) {
      throw new Violation(
        `READ of file ${file.id}, ${offset}+${count}, brought ${reply.count} bytes, eof ${reply.eof}; sizes may be ${[...sizes]}`,
      );
    }
    this.#compare(file, offset, bytes, asked, answered);
  }

  #compare(file: FileHistory, offset: number, bytes: Buffer, asked: number, answered: number): void {
    const { layout } = file;
    const end = offset + bytes.length;
    for (let at = offset; at < end; ) {
      const cell = layout.cellAt(at);
      const within = at - layout.start(cell);
      const part = bytes.subarray(at - offset, Math.min(end, layout.start(cell) + layout.width(cell)) - offset);
      const versions = [...file.visible(cell, asked, answered)];
      const values = versions.map((version) => version.value);
      if (!isMadeOf(file, part, within, values)) {
        throw new Violation(
          `READ of file ${file.id} shows ${part.subarray(0, 4).toString('hex')} at ${at} (cell ${cell}), which is none of ${versions.map(({ value, change }) => `${value} by change ${change.id}`)}; all: ${file.cells[cell]!.map(({ value, change }) => `${value} by ${change.id}`)}`,
        );
      }
      at += part.length;
    }
  }

  async getattr(file: FileHistory): Promise<void> {
    const answer = await this.#ask(`GETATTR of file ${file.id}`, (fs) =>
      fs.getattr(this.#call, { object: file.handle }),
    );
    if (answer === undefined) return;
    if (answer.reply.status !== 0) return this.#refused(answer.reply.status, 'GETATTR', file);
    this.#attributes(file, answer.reply.attributes, answer);
  }

  async access(file: FileHistory): Promise<void> {
    const wanted = vfs.Access.READ | vfs.Access.MODIFY | vfs.Access.EXTEND;
    const answer = await this.#ask(`ACCESS of file ${file.id}`, (fs) =>
      fs.access(this.#call, { object: file.handle, access: wanted }),
    );
    if (answer === undefined) return;
    const { reply } = answer;
    if (reply.status !== 0) return this.#refused(reply.status, 'ACCESS', file);
    if (reply.access !== wanted) throw new Violation(`ACCESS grants ${reply.access}`);
    if (reply.attributes !== undefined) this.#attributes(file, reply.attributes, answer);
  }

  async lookup(file: FileHistory, directory: vfs.FileHandle): Promise<void> {
    const name = file.name;
    if (name === undefined) return;
    const answer = await this.#ask(`LOOKUP of ${name}`, (fs) => fs.lookup(this.#call, { directory, name }));
    if (answer === undefined || file.name !== name) return;
    const { reply } = answer;
    if (reply.status !== 0) return this.#refused(reply.status, 'LOOKUP', file);
    if (reply.object !== file.handle) {
      // Another one may be taking the name.
      if (this.#options.excuses(Status.NOENT, file)) return;
      throw new Violation(`LOOKUP of ${name} finds another file`);
    }
    if (reply.attributes !== undefined) this.#attributes(file, reply.attributes, answer);
  }

  /** Gives the file a time; the caller keeps everybody else away from it. */
  async setTime(file: FileHistory, mtime: vfs.Time): Promise<void> {
    // Until the answer, old and new may be seen.
    file.shown.mtime.reset(Number.POSITIVE_INFINITY);
    file.givenTime = undefined;
    const answer = await this.#ask(`mtime ${JSON.stringify(mtime)} of file ${file.id}`, (fs) =>
      fs.setattr(this.#call, { object: file.handle, set: { mtime } }),
    );
    file.shown.mtime.reset(this.#model.moment);
    file.givenTime = undefined;
    if (answer === undefined) return;
    if (answer.reply.status !== 0) return this.#refused(answer.reply.status, 'SETATTR', file);
    file.givenTime = { time: mtime, since: answer.answered };
    this.#wcc(file, answer.reply.wcc, answer);
  }

  async setMode(file: FileHistory, mode: number): Promise<void> {
    const answer = await this.#ask(`mode of file ${file.id}`, (fs) =>
      fs.setattr(this.#call, { object: file.handle, set: { mode } }),
    );
    if (answer === undefined) return;
    if (answer.reply.status !== 0) return this.#refused(answer.reply.status, 'SETATTR', file);
    this.#wcc(file, answer.reply.wcc, answer);
    if (answer.reply.wcc.after !== undefined && (answer.reply.wcc.after.mode & 0o777) !== mode) {
      throw new Violation(`the mode given is ${mode.toString(8)}, shown is ${answer.reply.wcc.after.mode.toString(8)}`);
    }
  }

  /** A name operation: the reply's status, undefined if the proxy died. `file`: whose name it is. */
  async name(
    file: FileHistory | undefined,
    question: (fs: vfs.Filesystem, call: vfs.Call) => Eventual<{ readonly status: number }>,
  ): Promise<{ readonly status: number } | undefined> {
    if (file !== undefined) this.#model.askName(file);
    const answer = await this.#ask(`name operation on ${file?.name}`, (fs) => question(fs, this.#call));
    if (answer === undefined) return undefined;
    if (file !== undefined) this.#model.nameDone(file);
    if (answer.reply.status === 0) this.#model.pass({ asked: answer.asked, isStable: false }, undefined);
    else this.#refused(answer.reply.status, 'name operation', file);
    return answer.reply;
  }

  async #ask<R>(
    what: string,
    question: (fs: vfs.Filesystem) => Eventual<R>,
    asked = this.#model.tick(),
  ): Promise<Answer<R> | undefined> {
    const reply = await this.#options.machine.ask((system) => question(system.top));
    if (reply === undefined) {
      this.#options.trace(`${what}: asked ${asked}, the proxy died`);
      return undefined;
    }
    this.answers++;
    const answered = this.#model.tick();
    this.#options.trace(`${what}: asked ${asked}, answered ${answered} with ${shortly(reply)}`);
    return { reply, asked, answered };
  }

  #change(file: FileHistory, fromCell: number, toCell: number, what: string): Change {
    const lastCell = what.startsWith('size') ? file.layout.cells : toCell;
    const under = file.cells.slice(fromCell, lastCell);
    return {
      id: this.#model.nextChange(),
      file,
      what: `${what} of file ${file.id}`,
      after: this.#model.after,
      issued: this.#model.tick(),
      fromCell,
      toCell,
      overwrites: under.some((versions) => {
        const before = versions.findLastIndex((version) => version.change.settled <= this.#model.after);
        // What was not answered by then may belong to an earlier epoch as well, and may have cut it off.
        return before >= 0 && versions.slice(before).every((version) => version.value !== 0);
      }),
      settled: Number.POSITIVE_INFINITY,
      answered: Number.POSITIVE_INFINITY,
      verifier: undefined,
      isStable: false,
      isBarrier: false,
    };
  }

  #refused(status: number, operation: string, file: FileHistory | undefined): void {
    this.refusals++;
    if (!this.#options.excuses(status, file)) {
      throw new Violation(`${operation} answered ${vfs.statusName(status as vfs.Failure)} without a reason`);
    }
    if (status === Status.JUKEBOX) throw new Violation(`${operation} answered JUKEBOX`);
  }

  #wcc(file: FileHistory, { before, after }: vfs.WccData, answer: Answer<unknown>): void {
    if (before !== undefined && after !== undefined && nanosecondsOf(before.ctime) > nanosecondsOf(after.ctime)) {
      throw new Violation(`wcc of file ${file.id}: ctime before is later than after`);
    }
    if (after !== undefined) this.#attributes(file, after, answer);
  }

  #attributes(file: FileHistory, attributes: vfs.Attributes, answer: Answer<unknown>): void {
    const { asked, answered } = answer;
    // Removed, though not answered yet: what is still known of it below may be shown, as STALE may be answered.
    if (this.#options.excuses(Status.STALE, file)) return;
    const sizes = file.sizesBetween(asked, answered);
    if (!sizes.has(attributes.size)) {
      throw new Violation(`file ${file.id} is shown with ${attributes.size} bytes; it may have ${[...sizes]}`);
    }
    this.#times(file, attributes, answer);
    const given = file.givenTime;
    if (given !== undefined && asked >= given.since && !vfs.timeEquals(given.time, attributes.mtime)) {
      throw new Violation(
        `file ${file.id} shows mtime ${JSON.stringify(attributes.mtime)}, and was given ${JSON.stringify(given.time)}`,
      );
    }
  }

  #times(file: FileHistory, attributes: vfs.Attributes, { asked, answered }: Answer<unknown>): void {
    for (const which of ['mtime', 'ctime'] as const) {
      const floor = file.shown[which].see(attributes[which], asked, answered);
      if (floor === undefined) continue;
      throw new Violation(`${which} of file ${file.id} went back from ${floor} to ${nanosecondsOf(attributes[which])}`);
    }
  }
}

/** Whether the bytes are runs of these versions, one after another. */
function isMadeOf(file: FileHistory, bytes: Buffer, from: number, values: readonly number[]): boolean {
  let at = 0;
  while (at < bytes.length) {
    const longest = Math.max(
      0,
      ...values.map((value) => file.layout.matching(value, bytes, at, bytes.length - at, from + at)),
    );
    if (longest === 0) return false;
    at += longest;
  }
  return true;
}

function shortly(reply: unknown): string {
  const { status, wcc, attributes } = reply as { status: number; wcc?: vfs.WccData; attributes?: vfs.Attributes };
  const shown = wcc?.after ?? attributes;
  if (shown === undefined) return `status ${status}`;
  return `status ${status}, size ${shown.size}, mtime ${nanosecondsOf(shown.mtime)}, ctime ${nanosecondsOf(shown.ctime)}`;
}
