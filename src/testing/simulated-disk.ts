/**
 * The disk under a dirty log, as bad as disks may be, on a simulated clock and a seed.
 *
 *     write ──► page cache (what reads see, what survives a kill) ──datasync──► platter (what survives a power loss)
 *     create, remove ──► names ──sync──► names on the platter
 *
 * At a crash (`crash`) the disk is dead: what the old process still asks of it is never answered. The disk that the next boot sees
 * has, after a kill, all that was written, and of writes under way any part. After a power loss it has what was synced, and of
 * each write that was not, independently: all; nothing; some of its 512-byte sectors; a prefix of some bytes; or sectors that
 * show *older content* (an earlier version, or what a removed file had there). Names that were made or removed since the last
 * `sync` are there or not, each by itself; a file that was never synced may have any length.
 *
 * Invariants: what `datasync` answered stays, unless a later write to the same sectors is torn; one seed, one behaviour.
 */
import type { Clock, Eventual, Random } from '../base/mod.ts';
import type { LogDirectory, LogFile } from '../dirty/mod.ts';
import { Chance } from './chance.ts';
import { SimulatedFile, type WriteUnderWay } from './simulated-file.ts';

export type CrashKind = 'kill' | 'power';
/** Where a crash may happen. Begin: nothing was done yet; end: it is done and not answered. */
export type DiskEvent =
  | 'write-begin'
  | 'write-end'
  | 'datasync-begin'
  | 'datasync-end'
  | 'create-begin'
  | 'create-end'
  | 'remove-begin'
  | 'remove-end'
  | 'rename-begin'
  | 'rename-end'
  | 'sync-begin'
  | 'sync-end'
  | 'read-begin';
export type DiskOperation = 'write' | 'read' | 'datasync' | 'create' | 'remove' | 'rename' | 'sync' | 'open';

export interface SimulatedDiskOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Reserved and written bytes of all files together; above it ENOSPC. Default: no bound. */
  readonly capacityBytes?: number;
  /** Up to twice as long. */
  readonly latencyMs?: { readonly write?: number; readonly read?: number; readonly sync?: number };
  /** Share of writes and reads that are done in the call, 0 to 1. Default: half of them. */
  readonly quickShare?: number;
  /** After a failed datasync the kernel may drop the pages: reads then show what the platter has. Default: it keeps them. */
  readonly dropsPagesAfterFailure?: boolean;
  /** May call `crash`: then the operation is not answered. */
  readonly onEvent?: ((event: DiskEvent) => void) | undefined;
}

interface NameEvent {
  readonly name: string;
  /** Undefined: removed. */
  readonly file: SimulatedFile | undefined;
  /** Removed by a rename to this name. */
  readonly movedTo?: string;
}

const defaultLatencyMs = { write: 0.1, read: 0.1, sync: 4 };
const ghostsMaximum = 6;

export class SimulatedDisk implements LogDirectory {
  capacityBytes: number;
  readonly #options: SimulatedDiskOptions;
  readonly #clock: Clock;
  readonly #chance: Chance;
  readonly #latencyMs: typeof defaultLatencyMs;
  readonly #files = new Map<string, SimulatedFile>();
  readonly #durable = new Map<string, SimulatedFile>();
  #unsynced: NameEvent[] = [];
  /** Content of files that are gone: their sectors are used again. */
  readonly #ghosts: SimulatedFile[] = [];
  readonly #failures = new Map<DiskOperation, { left: number; code: string }>();
  #isDead = false;

  constructor(options: SimulatedDiskOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#chance = new Chance(options.random);
    this.#latencyMs = { ...defaultLatencyMs, ...options.latencyMs };
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY;
  }

  /** The next `times` operations of this kind fail with this code (EIO, ENOSPC); Infinity until `heal`. */
  fail(operation: DiskOperation, times = 1, code = 'EIO'): void {
    this.#failures.set(operation, { left: times, code });
  }

  heal(): void {
    this.#failures.clear();
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  get usedBytes(): number {
    let used = 0;
    for (const file of this.#files.values()) used += file.size;
    return used;
  }

  /** What the disk holds, for assertions: bytes as a reader of this boot sees them. */
  contentOf(name: string): Uint8Array | undefined {
    const file = this.#files.get(name);
    return file?.read(0, file.size);
  }

  /** Changes bytes that are stable: damage, as a failing disk does it. */
  damage(name: string, position: number, bytes: Uint8Array): void {
    this.#files.get(name)?.damage(position, bytes);
  }

  /** Ends this disk's life; the answer is what the next boot sees. New options (a clock of the next process) may be given. */
  crash(kind: CrashKind, options: Partial<SimulatedDiskOptions> = {}): SimulatedDisk {
    this.#isDead = true;
    const next = new SimulatedDisk({ ...this.#options, capacityBytes: this.capacityBytes, ...options });
    const ghosts = this.#ghosts;
    const names = kind === 'kill' ? this.#files : this.#namesAfterPowerLoss();
    const temper = this.#chance.pick(['mixed', 'mixed', 'mixed', 'kept', 'lost', 'torn', 'old'] as const);
    for (const [name, file] of names) {
      const after = kind === 'kill' ? file.afterKill(this.#chance) : file.afterPowerLoss(this.#chance, temper, ghosts);
      next.#files.set(name, after);
      // A removal that is not durable yet, or a name: what comes next decides.
      if (kind === 'power' || this.#durable.get(name) === file) next.#durable.set(name, after);
    }
    if (kind === 'kill') this.#inheritNames(next);
    for (const ghost of ghosts) next.#ghosts.push(ghost);
    return next;
  }

  /** Names that are not synced stay in doubt over a kill. */
  #inheritNames(next: SimulatedDisk): void {
    for (const { name, file } of this.#unsynced) {
      const isCurrent = file !== undefined && this.#files.get(name) === file;
      next.#unsynced.push({ name, file: isCurrent ? next.#files.get(name) : file });
    }
    for (const [name, file] of this.#durable) if (!next.#durable.has(name)) next.#durable.set(name, file);
  }

  #namesAfterPowerLoss(): Map<string, SimulatedFile> {
    const names = new Map(this.#durable);
    for (const name of new Set(this.#unsynced.map((event) => event.name))) {
      const events = this.#unsynced.filter((event) => event.name === name);
      const reached = this.#chance.below(events.length + 1);
      if (reached === 0) continue;
      const { file } = events[reached - 1]!;
      if (file === undefined) names.delete(name);
      else names.set(name, file);
    }
    // A rename leaves a file at least one of its names.
    for (const { name, movedTo } of this.#unsynced) {
      const file = this.#durable.get(name);
      if (movedTo !== undefined && file !== undefined && !names.has(name) && !names.has(movedTo)) names.set(name, file);
    }
    return names;
  }

  list(): Promise<readonly string[]> {
    return this.#later('open', undefined, undefined, this.#latencyMs.read, () => [...this.#files.keys()].sort());
  }

  create(name: string, bytes: number): Promise<LogFile> {
    return this.#later('create', 'create-begin', 'create-end', this.#latencyMs.write, () => {
      if (this.#files.has(name)) throw failure('EEXIST', `create ${name}`);
      if (this.usedBytes + bytes > this.capacityBytes) throw failure('ENOSPC', `create ${name}`);
      const file = new SimulatedFile(bytes);
      this.#files.set(name, file);
      this.#unsynced.push({ name, file });
      return new OpenFile(this, file);
    });
  }

  open(name: string): Promise<LogFile> {
    return this.#later('open', undefined, undefined, this.#latencyMs.read, () => {
      const file = this.#files.get(name);
      if (file === undefined) throw failure('ENOENT', `open ${name}`);
      return new OpenFile(this, file);
    });
  }

  remove(name: string): Promise<void> {
    return this.#later('remove', 'remove-begin', 'remove-end', this.#latencyMs.write, () => {
      const file = this.#files.get(name);
      if (file === undefined) throw failure('ENOENT', `remove ${name}`);
      this.#files.delete(name);
      this.#unsynced.push({ name, file: undefined });
      this.#ghosts.push(file);
      if (this.#ghosts.length > ghostsMaximum) this.#ghosts.shift();
    });
  }

  /** Until the next `sync` a power loss may leave either name, or both. */
  rename(from: string, to: string): Promise<void> {
    return this.#later('rename', 'rename-begin', 'rename-end', this.#latencyMs.write, () => {
      const file = this.#files.get(from);
      if (file === undefined) throw failure('ENOENT', `rename ${from}`);
      this.#files.delete(from);
      this.#files.set(to, file);
      this.#unsynced.push({ name: to, file }, { name: from, file: undefined, movedTo: to });
    });
  }

  sync(): Promise<void> {
    const covered = this.#unsynced.length;
    return this.#later('sync', 'sync-begin', 'sync-end', this.#latencyMs.sync, () => {
      for (const { name, file } of this.#unsynced.splice(0, Math.min(covered, this.#unsynced.length))) {
        if (file === undefined) this.#durable.delete(name);
        else this.#durable.set(name, file);
      }
    });
  }

  close(): Promise<void> {
    return this.#isDead ? never() : Promise.resolve();
  }

  /** For the files of this disk. */
  writeTo(file: SimulatedFile, position: number, slices: readonly Uint8Array[]): Eventual<void> {
    this.#event('write-begin');
    if (this.#isDead) return never();
    const write = file.begin(position, slices);
    if (this.#chance.happens(this.#options.quickShare ?? 0.5) && !this.#failures.has('write')) {
      if (this.#grows(file, write)) return Promise.reject(failure('ENOSPC', 'write'));
      file.finish(write);
      this.#event('write-end');
      return this.#isDead ? never() : undefined;
    }
    return this.#later('write', undefined, 'write-end', this.#latencyMs.write, (code) => {
      const refused = code ?? (this.#grows(file, write) ? 'ENOSPC' : undefined);
      if (refused === undefined) return file.finish(write);
      file.giveUp(write, this.#chance);
      throw failure(refused, 'write');
    });
  }

  /** Whether the file would take more room than there is. */
  #grows(file: SimulatedFile, write: WriteUnderWay): boolean {
    const growth = write.position + write.data.length - file.size;
    return growth > 0 && this.usedBytes + growth > this.capacityBytes;
  }

  readFrom(file: SimulatedFile, position: number, length: number): Eventual<Uint8Array> {
    this.#event('read-begin');
    if (this.#isDead) return never();
    const count = Math.max(0, Math.min(length, file.size - position));
    if (this.#chance.happens(this.#options.quickShare ?? 0.5) && !this.#failures.has('read')) {
      return file.read(position, count);
    }
    return this.#later('read', undefined, undefined, this.#latencyMs.read, () => file.read(position, count));
  }

  syncOf(file: SimulatedFile): Promise<void> {
    const covered = file.finished();
    return this.#later('datasync', 'datasync-begin', 'datasync-end', this.#latencyMs.sync, (code) => {
      if (code === undefined) return file.persist(covered);
      file.persistSome(covered, this.#chance, this.#options.dropsPagesAfterFailure === true);
      throw failure(code, 'datasync');
    });
  }

  /** Does something after a while, unless the disk dies meanwhile. `action` is told of an ordered failure if it takes one. */
  #later<T>(
    operation: DiskOperation,
    begin: DiskEvent | undefined,
    end: DiskEvent | undefined,
    latencyMs: number,
    action: (code?: string) => T,
  ): Promise<T> {
    if (begin !== undefined) this.#event(begin);
    if (this.#isDead) return never();
    return new Promise<T>((resolve, reject) => {
      this.#clock.after(latencyMs * 2 * this.#chance.share(), () => {
        if (this.#isDead) return;
        try {
          const code = this.#failing(operation);
          if (code !== undefined && action.length === 0) throw failure(code, operation);
          const value = action(code);
          if (end !== undefined) this.#event(end);
          if (!this.#isDead) resolve(value);
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  #failing(operation: DiskOperation): string | undefined {
    const ordered = this.#failures.get(operation);
    if (ordered === undefined) return undefined;
    ordered.left--;
    if (ordered.left <= 0) this.#failures.delete(operation);
    return ordered.code;
  }

  #event(event: DiskEvent): void {
    if (!this.#isDead) this.#options.onEvent?.(event);
  }
}

class OpenFile implements LogFile {
  readonly #disk: SimulatedDisk;
  readonly #file: SimulatedFile;
  #isClosed = false;

  constructor(disk: SimulatedDisk, file: SimulatedFile) {
    this.#disk = disk;
    this.#file = file;
  }

  get size(): number {
    return this.#file.size;
  }

  write(position: number, slices: readonly Uint8Array[]): Eventual<void> {
    return this.#isClosed
      ? Promise.reject(failure('EBADF', 'write'))
      : this.#disk.writeTo(this.#file, position, slices);
  }

  read(position: number, length: number): Eventual<Uint8Array> {
    return this.#isClosed
      ? Promise.reject(failure('EBADF', 'read'))
      : this.#disk.readFrom(this.#file, position, length);
  }

  datasync(): Promise<void> {
    return this.#isClosed ? Promise.reject(failure('EBADF', 'datasync')) : this.#disk.syncOf(this.#file);
  }

  close(): Promise<void> {
    this.#isClosed = true;
    return Promise.resolve();
  }
}

function failure(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: simulated disk, ${what}`), { code });
}

/** What a dead process is answered. */
function never<T>(): Promise<T> {
  return new Promise<T>(() => {});
}
