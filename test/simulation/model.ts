/**
 * What clients were promised, over all files: moments, barriers and names.
 *
 * A barrier is a COMMIT, a FILE_SYNC write or a name operation that was answered: what was answered before it was asked, and
 * what is asked after its answer, belong to different epochs, whatever the file.
 */
import { type Change, FileHistory } from './history.ts';
import type { Layout } from './layout.ts';

export interface Barrier {
  readonly asked: number;
  /** Whether what was answered before it was asked is promised to be stable. */
  readonly isStable: boolean;
}

export interface NameOperation {
  readonly asked: number;
  /** What was settled up to this moment was behind a barrier before. */
  readonly after: number;
}

export class Model {
  #moment = 0;
  #changes = 0;
  /** The latest asking moment of a barrier that was answered. */
  #after = -1;
  readonly #byName = new Map<string, FileHistory>();
  readonly #byHandle = new Map<string, FileHistory>();
  readonly #nameOperations = new Map<FileHistory, NameOperation>();

  /** Counts one event. */
  tick(): number {
    return ++this.#moment;
  }

  get moment(): number {
    return this.#moment;
  }

  get after(): number {
    return this.#after;
  }

  nextChange(): number {
    return ++this.#changes;
  }

  /** Files that have a name. */
  files(): IterableIterator<FileHistory> {
    return this.#byName.values();
  }

  get names(): ReadonlyMap<string, FileHistory> {
    return this.#byName;
  }

  byName(name: string): FileHistory | undefined {
    return this.#byName.get(name);
  }

  byHandle(handle: string): FileHistory | undefined {
    return this.#byHandle.get(handle);
  }

  /** A new file, empty, without a name yet. */
  create(id: number, layout: Layout, issued: number): FileHistory {
    return new FileHistory(id, layout, {
      id: this.nextChange(),
      what: `creation of file ${id}`,
      issued,
      after: Number.NEGATIVE_INFINITY,
      fromCell: 0,
      toCell: 0,
      overwrites: false,
      settled: issued,
      answered: issued,
      verifier: undefined,
      isStable: true,
      isBarrier: false,
    });
  }

  enter(name: string, file: FileHistory): void {
    this.leave(name);
    if (file.name !== undefined) this.#byName.delete(file.name);
    file.name = name;
    this.#byName.set(name, file);
    this.#byHandle.set(file.handle, file);
  }

  leave(name: string): void {
    const file = this.#byName.get(name);
    if (file === undefined) return;
    file.name = undefined;
    this.#byName.delete(name);
    this.#nameOperations.delete(file);
  }

  /** A name operation on the file was asked, and not answered yet. */
  askName(file: FileHistory): void {
    this.#nameOperations.set(file, { asked: this.tick(), after: this.#after });
  }

  nameDone(file: FileHistory): void {
    this.#nameOperations.delete(file);
  }

  /** What becomes of name operations that a dead proxy did not answer shows at the origin. */
  forgetNameOperations(): void {
    this.#nameOperations.clear();
  }

  nameOperation(file: FileHistory): NameOperation | undefined {
    return this.#nameOperations.get(file);
  }

  /** A barrier was answered. */
  pass(barrier: Barrier, verifier: string | undefined): void {
    this.#after = Math.max(this.#after, barrier.asked);
    if (!barrier.isStable) return;
    for (const change of this.changes()) {
      // A write that was answered with another verifier was to be written again: nothing is promised of it.
      if (change.answered <= barrier.asked && (change.verifier ?? verifier) === verifier) change.isStable = true;
    }
  }

  *changes(): Generator<Change> {
    for (const file of this.files()) yield* file.changes();
  }
}
