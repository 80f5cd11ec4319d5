/**
 * What clients did to one file and what they were told: for each cell all versions in their order, and all changes of its size.
 *
 *     cell 7    [initial 0][change 3: 41][change 9: 42][change 12: hole]      newest last
 *     size      [set 0 by the creation][extend to 9000 by 3][set 4096 by 12]
 *
 * Moments are counts of events (a request sent, an answer received). A change is *settled* from the moment from which nobody may see the
 * state before it. Changes of one cell, and changes that set the size, never overlap in time, so their order is known.
 */
import type { Time } from '../../src/vfs/mod.ts';
import { Floor } from './floor.ts';
import type { Layout } from './layout.ts';

/** A write, or a size given to a file. */
export interface Change {
  readonly id: number;
  readonly file: FileHistory;
  readonly what: string;
  /** When the request was sent. */
  readonly issued: number;
  /** Changes settled up to this moment belong to earlier epochs. */
  readonly after: number;
  readonly fromCell: number;
  /** The first cell behind it. */
  readonly toCell: number;
  /** Content of earlier epochs lay under it when it was made. */
  readonly overwrites: boolean;
  /** Infinity while there is no answer. */
  settled: number;
  /** The answer's moment. */
  answered: number;
  /** The verifier of an answer that did not promise stability. */
  verifier: string | undefined;
  /** Promised to survive everything. */
  isStable: boolean;
  /** A write that was answered as FILE_SYNC or DATA_SYNC: what is asked after its answer belongs to later epochs. */
  isBarrier: boolean;
}

export interface Version {
  readonly value: number;
  readonly change: Change;
}

interface SizeChange {
  readonly kind: 'set' | 'extend';
  readonly size: number;
  readonly change: Change;
}

export class FileHistory {
  readonly id: number;
  readonly layout: Layout;
  handle = '';
  /** Undefined: it has no name any more. */
  name: string | undefined;
  /** Oldest first. */
  readonly cells: Version[][];
  sizes: SizeChange[];
  /** Never to go back, as long as nothing is lost. */
  readonly shown = { mtime: new Floor(), ctime: new Floor() };
  /** The time a client gave it last, and since when, until it is written again. */
  givenTime: { readonly time: Time; readonly since: number } | undefined;
  readonly #versions: Uint16Array;

  constructor(id: number, layout: Layout, creation: Omit<Change, 'file'>) {
    this.id = id;
    this.layout = layout;
    const initial: Change = { ...creation, file: this };
    this.cells = Array.from({ length: layout.cells }, () => [{ value: 0, change: initial }]);
    this.sizes = [{ kind: 'set', size: 0, change: initial }];
    this.#versions = new Uint16Array(layout.cells);
  }

  /** Enters a write's versions and answers its bytes. */
  write(change: Change): Uint8Array[] {
    const slices: Uint8Array[] = [];
    for (let cell = change.fromCell; cell < change.toCell; cell++) {
      const value = this.layout.valueOf(this.id, cell, this.#versions[cell]!++);
      this.cells[cell]!.push({ value, change });
      slices.push(this.layout.content(cell, value));
    }
    this.sizes.push({ kind: 'extend', size: this.layout.boundaries[change.toCell]!, change });
    return slices;
  }

  /** What is there from the beginning: the first `to` cells. */
  fill(to: number, moment: number): Uint8Array[] {
    const initial = this.cells[0]![0]!.change;
    const change: Change = { ...initial, id: 0, what: `first content of file ${this.id}`, issued: moment, toCell: to };
    change.settled = moment;
    change.answered = moment;
    return this.write(change);
  }

  /** Enters a size: everything from its first cell on becomes a hole. */
  resize(change: Change): void {
    for (let cell = change.fromCell; cell < this.layout.cells; cell++) {
      if (this.cells[cell]!.at(-1)!.value !== 0) this.cells[cell]!.push({ value: 0, change });
    }
    this.sizes.push({ kind: 'set', size: this.layout.boundaries[change.fromCell]!, change });
  }

  /** All changes that still count. */
  changes(): Set<Change> {
    const changes = new Set<Change>();
    for (const versions of this.cells) for (const { change } of versions) changes.add(change);
    for (const { change } of this.sizes) changes.add(change);
    return changes;
  }

  /** The changes never happened (an answer was lost with its data, or a request was never done). */
  forget(lost: ReadonlySet<Change>): void {
    if (lost.size === 0) return;
    for (const [cell, versions] of this.cells.entries()) {
      this.cells[cell] = versions.filter(({ change }) => !lost.has(change));
    }
    this.sizes = this.sizes.filter(({ change }) => !lost.has(change));
  }

  /** Sizes that may be seen by a question sent at `from` and answered at `to`. */
  sizesBetween(from: number, to: number): Set<number> {
    let sizes = new Set<number>();
    for (const event of this.sizes) {
      if (event.change.issued > to) continue;
      const after = new Set([...sizes].map((size) => applied(event, size)));
      if (sizes.size === 0) after.add(event.size);
      sizes = event.change.settled <= from ? after : sizes.union(after);
    }
    return sizes;
  }

  get newestSize(): number {
    return this.sizes.reduce((size, event) => applied(event, size), 0);
  }

  /** Versions that a reader may see, asking at `from`, answered at `to`. */
  *visible(cell: number, from: number, to: number): Generator<Version> {
    const versions = this.cells[cell]!;
    for (let index = versions.length - 1; index >= 0; index--) {
      const version = versions[index]!;
      if (version.change.issued <= to) yield version;
      if (version.change.settled <= from) return;
    }
  }
}

export function applied(event: { readonly kind: 'set' | 'extend'; readonly size: number }, size: number): number {
  return event.kind === 'set' ? event.size : Math.max(size, event.size);
}
