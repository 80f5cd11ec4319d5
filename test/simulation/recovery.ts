/**
 * What a boot found, against what was promised: everything stable, after a mere kill everything answered, else a prefix of what was
 * asked, each change whole or not at all. Then the model goes on from what is there.
 *
 * A cell's version tells which changes are there and which are not:
 *
 *     versions of a cell   [3][7][9][12]      shown: 9      there: 9 (and 3, 7 were)      lost: 12
 *     a prefix             no lost change was answered before one that is there was asked
 */
import type { DirtyLogFace } from '../../src/dirty/mod.ts';
import type { CrashKind, SimulatedOrigin } from '../../src/testing/mod.ts';
import { applied, type Change, type FileHistory, type Version } from './history.ts';
import type { Model } from './model.ts';
import { describe } from './origin-watch.ts';
import { Violation } from './violation.ts';

export interface Found {
  readonly size: number;
  readonly bytes: Buffer;
}

/** What a reader would get of the file, taken together from log and origin: the answer's moment is the call. */
export function contentOf(log: DirtyLogFace, origin: SimulatedOrigin, file: FileHistory): Promise<Found> {
  const number = [...log.dirtyFiles()].find((other) => log.keyOf(other) === file.handle);
  const base = origin.memory.contentOf(file.handle, 'now');
  const state = number === undefined ? undefined : log.state(number);
  const size = state?.size ?? base.size;
  const bytes = Buffer.alloc(size);
  base.read(0, Math.min(size, base.size)).copy(bytes);
  if (number === undefined || state === undefined) return Promise.resolve({ size, bytes });
  const view = log.read(number, 0, size);
  return fill(bytes, view.pieces, file)
    .finally(() => view.release())
    .then(() => ({ size, bytes }));
}

async function fill(
  bytes: Buffer,
  pieces: ReturnType<DirtyLogFace['read']>['pieces'],
  file: FileHistory,
): Promise<void> {
  const all = await Promise.all(pieces.map((piece) => piece.data));
  for (const [index, piece] of pieces.entries()) {
    if (piece.kind === 'zero') bytes.fill(0, piece.offset, piece.offset + piece.count);
    if (piece.kind !== 'data') continue;
    const slices = all[index];
    if (slices === undefined) throw new Violation(`bytes of the log do not verify: file ${file.id} at ${piece.offset}`);
    Buffer.concat(slices).copy(bytes, piece.offset);
  }
}

export class RecoveryCheck {
  lostChanges = 0;
  readonly #model: Model;
  readonly #there = new Map<Change, string>();
  readonly #lost = new Map<Change, string>();

  constructor(model: Model) {
    this.#model = model;
  }

  /** Compares, and makes the model forget what is lost: answers of which files. `verifier`: the one that clients see from now on. */
  check(found: ReadonlyMap<FileHistory, Found>, died: CrashKind | 'closed', verifier: string): Set<FileHistory> {
    const lost = new Set<Change>();
    // A hole may have been taken for that of a cut which is found to be lost: look again without it.
    for (let before = -1; before < lost.size; ) {
      before = lost.size;
      this.#there.clear();
      this.#lost.clear();
      for (const [file, content] of found) this.#identify(file, content);
      this.#checkPromises(died, verifier);
      for (const change of this.#lost.keys()) lost.add(change);
      for (const [file, content] of found) {
        file.forget(lost);
        for (const change of this.#settleSizes(file, content, died)) lost.add(change);
      }
    }
    this.lostChanges += lost.size;
    const now = this.#model.tick();
    for (const change of this.#model.changes()) {
      if (change.settled === Number.POSITIVE_INFINITY) change.settled = now;
    }
    // The note of a change of mode is written before its answer, and not synced: it costs a client's cache, no data.
    if (died === 'power') for (const file of found.keys()) file.shown.ctime.reset(now);
    const files = new Set([...lost].map((change) => change.file));
    for (const file of files) {
      file.shown.mtime.reset(now);
      file.shown.ctime.reset(now);
      file.givenTime = undefined;
    }
    return files;
  }

  #identify(file: FileHistory, { bytes }: Found): void {
    for (const [cell, versions] of file.cells.entries()) {
      const width = file.layout.width(cell);
      const start = file.layout.start(cell);
      let shown = bytes.subarray(start, start + width);
      if (shown.length < width) shown = Buffer.concat([shown], width);
      const index = this.#indexOf(file, versions, shown);
      if (index < 0) {
        throw new Violation(
          `after the recovery file ${file.id} shows bytes at ${start} (cell ${cell}) that nobody wrote: ${shown.subarray(0, 8).toString('hex')}; known are ${versions.map((version) => version.value)}`,
        );
      }
      const where = `file ${file.id}, cell ${cell}`;
      // An older version that looks the same (a hole) may be what shows.
      const { change, value } = versions[index]!;
      if (versions.findIndex((version) => version.value === value) === index) this.#there.set(change, where);
      for (const { change } of versions.slice(index + 1)) this.#lost.set(change, where);
    }
  }

  /** The newest version that it can be. */
  #indexOf(file: FileHistory, versions: readonly Version[], shown: Buffer): number {
    return versions.findLastIndex(({ value }) => file.layout.matches(value, shown));
  }

  #checkPromises(died: CrashKind | 'closed', verifier: string): void {
    for (const [change, where] of this.#lost) {
      if (change.isStable) throw new Violation(`a stable write is lost (${where}): ${describe(change)}`);
      if (died !== 'power' && change.answered < Number.POSITIVE_INFINITY) {
        throw new Violation(`a ${died} process lost an answered write (${where}): ${describe(change)}`);
      }
      if (change.verifier === verifier) {
        throw new Violation(`an answered write is lost (${where}) and the verifier is the same: ${describe(change)}`);
      }
      const other = this.#there.get(change);
      // Holes look alike: only bytes that cannot be anything else accuse.
      if (other !== undefined && change.what.startsWith('write')) {
        throw new Violation(`half of a change is there (${other}) and half is not (${where}): ${describe(change)}`);
      }
    }
    let newest: Change | undefined;
    for (const change of this.#there.keys()) {
      const isLogged = change.after !== Number.NEGATIVE_INFINITY;
      if (isLogged && !this.#lost.has(change) && change.issued > (newest?.issued ?? -1)) newest = change;
    }
    for (const [change, where] of this.#lost) {
      if (newest !== undefined && change.settled <= newest.issued) {
        throw new Violation(
          `not a prefix: ${describe(newest)} is there, and ${describe(change)} before it is not (${where})`,
        );
      }
    }
  }

  /** Sizes that no cell shows: as many of those in doubt as explain what is found. */
  #settleSizes(file: FileHistory, { size }: Found, died: CrashKind | 'closed'): ReadonlySet<Change> {
    const isDoubtful = ({ change }: { change: Change }): boolean =>
      !this.#there.has(change) &&
      !change.isStable &&
      (change.answered === Number.POSITIVE_INFINITY || died === 'power');
    const doubtful = file.sizes.filter(isDoubtful);
    // A size that the file had already leaves nothing behind but a time, which others may have been shown before it was stable.
    const isTimeDoubtful = died === 'power' && doubtful.some(({ kind }) => kind === 'set');
    if (isTimeDoubtful) file.shown.mtime.reset(this.#model.moment);
    for (let kept = doubtful.length; kept >= 0; kept--) {
      const lost = new Set(doubtful.slice(kept).map((event) => event.change));
      const result = file.sizes.reduce((sum, event) => (lost.has(event.change) ? sum : applied(event, sum)), 0);
      if (result !== size) continue;
      file.forget(lost);
      return lost;
    }
    throw new Violation(
      `after the recovery file ${file.id} is ${size} bytes; known: ${file.sizes.map((event) => `${event.kind} ${event.size} (change ${event.change.id}${event.change.isStable ? ', stable' : ''})`).join(', ')}`,
    );
  }
}
