/**
 * The files that have unstable data here, writes under way, or a recovery; and how much data that is in all.
 *
 * Invariants: `bytes` is the sum over all files (every change of extents goes through `change` or `drop`); a file leaves the
 * table when it has neither data, nor calls under way, nor a recovery.
 */
import type { Call, FileHandle, Place, StatusCode } from '../vfs/mod.ts';
import { UnstableExtents } from './unstable-extents.ts';

/** How sending the data of a file again ended. */
export interface ResendOutcome {
  readonly status: StatusCode;
  /** Bytes sent again. */
  readonly bytes: number;
}

export interface UnstableFile {
  readonly handle: FileHandle;
  readonly extents: UnstableExtents;
  /** WRITE and SETATTR calls at the origin. */
  underWay: number;
  /** Called when nothing is under way. */
  idle: (() => void)[];
  /** Set by `setRecovery` only. */
  recovery: Promise<ResendOutcome> | undefined;
  /** The last writer, and when it wrote. */
  call: Call | undefined;
  writtenMs: number;
}

/** Names remembered, to know which file a REMOVE removes. */
const namesMaximum = 4096;

export class UnstableFiles {
  readonly #files = new Map<FileHandle, UnstableFile>();
  readonly #names = new Map<string, FileHandle>();
  #bytes = 0;
  #recoveryEvents = 0;

  get size(): number {
    return this.#files.size;
  }

  /** Moves whenever a recovery begins or ends. */
  get recoveryEvents(): number {
    return this.#recoveryEvents;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(handle: FileHandle): UnstableFile | undefined {
    return this.#files.get(handle);
  }

  /** The recovery of the file, if one is under way. */
  recovery(handle: FileHandle): Promise<ResendOutcome> | undefined {
    return this.#files.size === 0 ? undefined : this.#files.get(handle)?.recovery;
  }

  setRecovery(file: UnstableFile, recovery: Promise<ResendOutcome> | undefined): void {
    file.recovery = recovery;
    this.#recoveryEvents++;
  }

  /** Whether a reply about the file may show it without what a restarted origin lost; `since`: the events when it was asked for. */
  mayShowLoss(handle: FileHandle, since: number): boolean {
    return since !== this.#recoveryEvents || this.#files.get(handle)?.recovery !== undefined;
  }

  recoveries(): Promise<ResendOutcome>[] {
    const result: Promise<ResendOutcome>[] = [];
    for (const { recovery } of this.#files.values()) if (recovery !== undefined) result.push(recovery);
    return result;
  }

  withData(): UnstableFile[] {
    return [...this.#files.values()].filter((file) => file.extents.count > 0);
  }

  /** How many files have data here. */
  kept(): number {
    return this.withData().length;
  }

  largest(): UnstableFile | undefined {
    let largest: UnstableFile | undefined;
    for (const file of this.#files.values()) {
      if (file.extents.count > 0 && file.extents.bytes > (largest?.extents.bytes ?? 0)) largest = file;
    }
    return largest;
  }

  /** A call that changes the file's data goes to the origin; `leave` follows. */
  enter(handle: FileHandle): UnstableFile {
    let file = this.#files.get(handle);
    if (file === undefined) {
      file = {
        handle,
        extents: new UnstableExtents(),
        underWay: 0,
        idle: [],
        recovery: undefined,
        call: undefined,
        writtenMs: 0,
      };
      this.#files.set(handle, file);
    }
    file.underWay++;
    return file;
  }

  leave(file: UnstableFile): void {
    file.underWay--;
    if (file.underWay > 0) return;
    for (const wake of file.idle.splice(0)) wake();
    this.settle(file);
  }

  /** Resolves when no call that changes the file is at the origin. */
  idle(file: UnstableFile): Promise<void> {
    if (file.underWay === 0) return Promise.resolve();
    return new Promise((resolve) => file.idle.push(resolve));
  }

  change(file: UnstableFile, action: () => void): void {
    const before = file.extents.bytes;
    action();
    this.#bytes += file.extents.bytes - before;
  }

  drop(file: UnstableFile): void {
    this.change(file, () => file.extents.clear());
    this.settle(file);
  }

  /** Forgets the file if there is nothing left to know. */
  settle(file: UnstableFile): void {
    if (file.extents.count > 0 || file.underWay > 0 || file.recovery !== undefined) return;
    this.#files.delete(file.handle);
  }

  named(place: Place, object: FileHandle): void {
    if (this.#names.size >= namesMaximum) this.#names.delete(this.#names.keys().next().value!);
    this.#names.set(nameKey(place), object);
  }

  /** The name is about to go: the file that it was last seen to mean. */
  unnamed(place: Place): FileHandle | undefined {
    const key = nameKey(place);
    const object = this.#names.get(key);
    if (object !== undefined) this.#names.delete(key);
    return object;
  }
}

/** Names hold no slash, so the key is unique. */
function nameKey({ directory, name }: Place): string {
  return `${name}/${directory}`;
}
