/**
 * Looks at the origin after each of its mutations: what it shows, and what it would show after a crash, must be a consistent
 * prefix of epochs plus a subset of the next one, over all files together.
 *
 *     time ──►  V answered   barrier asked … answered   W asked          V before W: W at the origin without V is an error
 *
 * For every W whose bytes are there, all that was settled up to `W.after` must be there or overwritten by something newer:
 *
 *     latest = max over cells of (version there).after         earliest missing = min over cells of (versions newer than there).settled
 *     consistent  <=>  latest < earliest missing
 *
 * Bytes that could be several versions (holes) count as the one that accuses least.
 */
import type { SimulatedOrigin } from '../../src/testing/mod.ts';
import {
  type Call,
  type CommitArguments,
  credential,
  type OperationName,
  type Place,
  type RenameArguments,
  type SetattrArguments,
  Stability,
  type WriteArguments,
} from '../../src/vfs/mod.ts';
import { applied, type Change, type FileHistory, type Version } from './history.ts';
import type { Model } from './model.ts';
import { Violation } from './violation.ts';

type State = 'now' | 'crash';
const watcher: Call = { credential: credential(0, 0), peer: 'watch', priority: 'demand' };

/** Which versions a cell at the origin shows: more than one if a write stopped in its middle. */
interface Shown {
  /** For each run of bytes, its oldest and its newest possible version. */
  readonly runs: readonly { readonly oldest: Version; readonly newest: Version }[];
}

export interface WatchTold {
  /** The network below may swallow what is thrown. */
  readonly report: (error: unknown) => void;
  readonly trace: ((line: string) => void) | undefined;
}

export class OriginWatch {
  mutations = 0;
  /** Redirect: nothing may reach the origin. */
  isForbidden = false;
  /** A redirected session has no epochs: what it commits in the end comes in any order. */
  isOrdered = true;
  readonly #origin: SimulatedOrigin;
  readonly #model: Model;
  readonly #trace: ((line: string) => void) | undefined;
  readonly #shown: Record<State, Map<FileHistory, Shown[]>> = { now: new Map(), crash: new Map() };

  constructor(origin: SimulatedOrigin, model: Model, { report, trace }: WatchTold) {
    this.#trace = trace;
    this.#origin = origin;
    this.#model = model;
    const reporting = (action: () => void): void => {
      try {
        action();
      } catch (error) {
        report(error);
      }
    };
    origin.onMutation = (operation, args, reply) =>
      reporting(() => this.#mutated(operation, args, reply as { status: number }));
    origin.onCall = (operation, args) => reporting(() => this.#calling(operation, args));
  }

  /** The file is known to the model from now on. */
  begin(file: FileHistory): void {
    for (const state of ['now', 'crash'] as const) {
      this.#shown[state].set(file, []);
      this.#look(file, 0, file.layout.cells, state);
    }
  }

  /** What the origin shows of a cell, as the newest versions that it may be. */
  newestAt(file: FileHistory, cell: number, state: State): readonly Version[] {
    return this.#shown[state].get(file)![cell]!.runs.map((run) => run.newest);
  }

  sizeAt(file: FileHistory, state: State): number {
    return this.#origin.memory.contentOf(file.handle, state).size;
  }

  /** The model forgot changes: versions that were taken for them may be others now. */
  lookAgain(files: Iterable<FileHistory>): void {
    for (const file of files) this.begin(file);
    this.#check('after a recovery');
  }

  /** COMMIT means the origin's disk: all that was settled at this moment must be there, whatever crashes. */
  demandEverything(asked: number): void {
    for (const file of this.#model.files()) {
      if (!this.#isThere(file)) continue;
      for (const change of this.#lacking(file)) {
        if (change.settled <= asked)
          throw new Violation(`the origin does not keep ${describe(change)}, which was committed`);
      }
    }
  }

  /** Everything is written back: the newest of all must be there. Changes that were refused may be. */
  demandNewest(): void {
    for (const file of this.#model.files()) {
      for (const change of this.#lacking(file)) {
        if (change.settled < Number.POSITIVE_INFINITY)
          throw new Violation(`the origin lacks ${describe(change)} in the end`);
      }
      const sizes = file.sizesBetween(this.#model.moment, this.#model.moment);
      for (const state of ['now', 'crash'] as const) {
        const there = this.sizeAt(file, state);
        if (!sizes.has(there))
          throw new Violation(`file ${file.id} ends with ${there} bytes (${state}), not ${[...sizes]}`);
      }
    }
  }

  /** Whether the origin would lack some change of the file after a crash, or does now. */
  isBehind(file: FileHistory): boolean {
    if (!this.#isThere(file)) return false;
    for (const { settled } of this.#lacking(file)) if (settled < Number.POSITIVE_INFINITY) return true;
    return false;
  }

  #mutated(operation: OperationName | 'restart', args: unknown, reply: { status: number } | undefined): void {
    this.mutations++;
    this.#trace?.(this.#line(operation, args, reply?.status));
    if (this.isForbidden && operation !== 'restart' && operation !== 'commit' && reply?.status === 0) {
      throw new Violation(`${operation} reached the origin of a redirected session`);
    }
    if (operation === 'restart') {
      for (const file of this.#model.files()) {
        this.#look(file, 0, file.layout.cells, 'now');
        this.#isNowStable(file);
      }
    } else if (operation === 'write') {
      const { object, offset, count } = args as WriteArguments;
      const isStable = (reply as { committed?: number }).committed !== Stability.UNSTABLE;
      this.#changed(object, offset, offset + count, isStable ? ['now', 'crash'] : ['now']);
    } else if (operation === 'setattr') {
      const { object, set } = args as SetattrArguments;
      if (set.size !== undefined) this.#changed(object, 0, Number.POSITIVE_INFINITY, ['now', 'crash']);
    } else if (operation === 'commit') {
      const file = this.#model.byHandle((args as CommitArguments).object);
      if (file !== undefined && file.name !== undefined) this.#isNowStable(file);
    } else return;
    this.#check(operation);
  }

  #line(operation: string, args: unknown, status: number | undefined): string {
    const { object, data: _, ...rest } = { ...(args as { object?: string; data?: unknown }) };
    const file = object === undefined ? '' : `file ${this.#model.byHandle(object)?.id}`;
    const text = JSON.stringify(rest, (key, value: unknown) => (key === 'directory' ? undefined : value));
    return `${operation} ${file} ${text} status ${status}`;
  }

  /** A crash would lose nothing of the file any more. */
  #isNowStable(file: FileHistory): void {
    this.#shown.crash.set(file, [...this.#shown.now.get(file)!]);
  }

  #changed(handle: string, from: number, to: number, states: readonly State[]): void {
    const file = this.#model.byHandle(handle);
    if (file === undefined || file.name === undefined) return;
    const { layout } = file;
    // A write behind the old end makes a hole before it: all cells from the old end are looked at again by their bytes.
    const first = layout.cellAt(Math.min(from, layout.bytes));
    const last = to >= layout.bytes ? layout.cells : layout.cellAt(to - 1) + 1;
    for (const state of states) this.#look(file, first, last, state);
  }

  /** A name operation that is not answered yet may have ended the file's life. */
  #isThere(file: FileHistory): boolean {
    return this.#origin.memory.getattr(watcher, { object: file.handle }).status === 0;
  }

  #look(file: FileHistory, from: number, to: number, state: State): void {
    if (!this.#isThere(file)) return;
    const { layout } = file;
    const start = layout.boundaries[from]!;
    const bytes = Buffer.alloc(layout.boundaries[to]! - start);
    this.#origin.memory.contentOf(file.handle, state).read(start, bytes.length).copy(bytes);
    const shown = this.#shown[state].get(file)!;
    for (let cell = from; cell < to; cell++)
      shown[cell] = this.#identify(file, cell, bytes, layout.start(cell) - start, state);
  }

  /** `at`: where the cell is in the bytes. */
  #identify(file: FileHistory, cell: number, bytes: Buffer, at: number, state: State): Shown {
    const versions = file.cells[cell]!;
    const width = file.layout.width(cell);
    const runs: { oldest: Version; newest: Version }[] = [];
    for (let from = 0; from < width; ) {
      let best = 0;
      let run: { oldest: Version; newest: Version } | undefined;
      for (const version of versions) {
        const length = file.layout.matching(version.value, bytes, at + from, width - from, from);
        if (length === 0 || length < best) continue;
        run =
          length === best && run !== undefined
            ? { oldest: run.oldest, newest: version }
            : { oldest: version, newest: version };
        best = length;
      }
      if (run === undefined) {
        throw new Violation(
          `the origin (${state}) holds bytes that nobody wrote there: file ${file.id}, cell ${cell} at ${file.layout.start(cell)}, byte ${from}: ${bytes[at + from]}`,
        );
      }
      runs.push(run);
      from += best;
    }
    return { runs };
  }

  #check(operation: string): void {
    if (!this.isOrdered) return;
    this.#compare('now', operation);
    this.#compare('crash', operation);
  }

  #compare(state: State, operation: string): void {
    // Of what is there: what was asked behind the latest barrier, and what was asked latest. Of what is not: settled first.
    let behind: Change | undefined;
    let latest: Change | undefined;
    let missing: Change | undefined;
    let missingBarrier: Change | undefined;
    for (const file of this.#model.files()) {
      const shown = this.#shown[state].get(file);
      if (shown === undefined || !this.#isThere(file)) continue;
      for (let cell = 0; cell < shown.length; cell++) {
        const versions = file.cells[cell]!;
        for (const { oldest, newest } of shown[cell]!.runs) {
          if (behind === undefined || oldest.change.after > behind.after) behind = oldest.change;
          const isAsked = oldest.change.after !== Number.NEGATIVE_INFINITY;
          if (isAsked && oldest.change.issued > (latest?.issued ?? -1)) latest = oldest.change;
          for (const { change } of newerThan(versions, newest)) {
            if (missing === undefined || change.settled < missing.settled) missing = change;
            if (change.isBarrier && change.answered < (missingBarrier?.answered ?? Number.POSITIVE_INFINITY)) {
              missingBarrier = change;
            }
          }
        }
      }
    }
    if (behind === undefined) return;
    const where = `after ${operation} the origin (${state})`;
    if (missing !== undefined && missing.settled <= behind.after) {
      throw new Violation(`${where} has ${describe(behind)}, but not ${describe(missing)} of an earlier epoch`);
    }
    if (missingBarrier !== undefined && latest !== undefined && missingBarrier.answered <= latest.issued) {
      throw new Violation(`${where} has ${describe(latest)}, but not ${describe(missingBarrier)}, a barrier before it`);
    }
    for (const file of this.#model.files()) {
      if (this.#isThere(file)) this.#compareSize(file, state, behind, operation);
    }
  }

  #compareSize(file: FileHistory, state: State, latest: Change, operation: string): void {
    let low = 0;
    let high = 0;
    for (const event of file.sizes) {
      const isThere = event.change.settled <= latest.after;
      const isCut = event.kind === 'set';
      if (isThere) low = applied(event, low);
      else if (isCut) low = Math.min(low, event.size);
      high = isThere ? applied(event, high) : Math.max(high, event.size);
    }
    const there = this.sizeAt(file, state);
    if (there >= low && there <= high) return;
    throw new Violation(
      `after ${operation} file ${file.id} is ${there} bytes at the origin (${state}), not ${low} to ${high}, though it has ${describe(latest)}`,
    );
  }

  /** Name operations that must not overtake data. */
  #calling(operation: OperationName, args: unknown): void {
    if (operation === 'rename') {
      const { from, to } = args as RenameArguments;
      const target = this.#model.byName(to.name);
      const source = this.#model.byName(from.name);
      const isReplacing = target !== undefined && target !== source && !from.name.startsWith('.nfs');
      if (isReplacing && source !== undefined && !to.name.startsWith('.nfs'))
        this.#demandAll(source, `RENAME over ${to.name}`);
      if (source !== undefined) this.#demandJournalled(source, `RENAME of ${from.name}`);
    }
    if (operation === 'remove') {
      const file = this.#model.byName((args as Place).name);
      if (file !== undefined) this.#demandJournalled(file, `REMOVE of ${(args as Place).name}`);
    }
  }

  /** All that was answered of the file before the name operation was asked must be there, for sure. */
  #demandAll(file: FileHistory, operation: string): void {
    const asked = this.#model.nameOperation(file)?.asked;
    if (asked === undefined) return;
    for (const change of this.#lacking(file)) {
      if (change.settled <= asked) throw new Violation(`${operation} came before ${describe(change)}`);
    }
  }

  /** A rollback journal goes only when the overwrites that it protects are there: those committed, of epochs after the journal's. */
  #demandJournalled(journal: FileHistory, operation: string): void {
    const after = this.#model.nameOperation(journal)?.after;
    if (after === undefined) return;
    const database = this.#model.byName(journal.name?.replace('-journal', '') ?? '');
    if (database === undefined || database === journal) return;
    const first = Math.min(
      ...[...journal.changes()].filter((change) => change.toCell > change.fromCell).map((change) => change.settled),
    );
    for (const change of this.#lacking(database)) {
      if (change.overwrites && change.settled <= after && change.after >= first) {
        throw new Violation(`${operation} came before ${describe(change)} of its database`);
      }
    }
  }

  /** Changes of which the origin lacks something for sure. */
  *#lacking(file: FileHistory): Generator<Change> {
    const shown = this.#shown.crash.get(file);
    if (shown === undefined) return;
    for (let cell = 0; cell < shown.length; cell++) {
      const versions = file.cells[cell]!;
      for (const { newest } of shown[cell]!.runs) {
        for (const { change } of newerThan(versions, newest)) yield change;
      }
    }
  }
}

/** Versions that do not show, newest first. One that looks like what shows may be what shows: a hole since. */
function* newerThan(versions: readonly Version[], shown: Version): Generator<Version> {
  for (let index = versions.length - 1; index >= 0; index--) {
    const version = versions[index]!;
    if (version === shown || version.value === shown.value) return;
    yield version;
  }
}

export function describe(change: Change): string {
  return `change ${change.id} (${change.what}; asked ${change.issued}, after ${change.after}, settled ${change.settled}${change.isStable ? ', stable' : ''})`;
}
