/**
 * From a handle to an O_PATH descriptor of that very file, two ways:
 *
 *   KernelResolver   open_by_handle_at(2): needs CAP_DAC_READ_SEARCH and a file system with handles; keeps nothing
 *   TableResolver    without: follows the places where the file was seen (places.ts), and searches when it is not there
 *
 * Both answer STALE rather than another file: the identity of what was found must give the handle again.
 */
import { constants } from 'node:fs';
import { constants as os } from 'node:os';
import type { Clock } from '../../base/mod.ts';
import {
  closeDescriptor,
  DirectoryReader,
  type KernelHandles,
  O_CLOEXEC,
  O_PATH,
  openAt,
  reopen,
  type StatusReader,
} from '../../native/mod.ts';
import type { FileHandle } from '../../vfs/mod.ts';
import type { FileIdentity, HandleCodec } from './handle.ts';
import { identityOf } from './handle.ts';
import type { PlaceRow, Places } from './places.ts';

const stale = -os.errno.ESTALE;
const pathFlags = O_PATH | O_CLOEXEC;
/** Names looked at in one search for a file that was moved behind our back: some tens of milliseconds. */
const searchNames = 20_000;
const searchDirectories = 1024;
const depthMaximum = 1024;
const missingMs = 5_000;
const missingMaximum = 4096;
const DT_UNKNOWN = 0;
const DT_DIRECTORY = 4;

export interface Resolver {
  readonly kind: 'kernel' | 'table';
  /** An O_PATH descriptor, or a negative errno. */
  open(handle: FileHandle, identity: FileIdentity): number;
  /** Handles that are about to be given out, and where their files are. */
  seen(rows: readonly PlaceRow[]): void;
  moved(handle: FileHandle, from: Omit<PlaceRow, 'handle'>, to: Omit<PlaceRow, 'handle'>): void;
  /** A name of the file is gone; `last` if the file is too. */
  removed(handle: FileHandle, parent: FileHandle, name: string, last: boolean): void;
  close(): void;
}

export class KernelResolver implements Resolver {
  readonly kind = 'kernel';
  readonly #kernel: KernelHandles;
  readonly #rootFd: number;

  constructor(kernel: KernelHandles, rootFd: number) {
    this.#kernel = kernel;
    this.#rootFd = rootFd;
  }

  open(_handle: FileHandle, identity: FileIdentity): number {
    return this.#kernel.open(this.#rootFd, identity.kind, identity.bytes, pathFlags | constants.O_NOFOLLOW);
  }
  seen(): void {}
  moved(): void {}
  removed(): void {}
  close(): void {}
}

export interface TableResolverOptions {
  readonly kernel: KernelHandles;
  readonly status: StatusReader;
  readonly codec: HandleCodec;
  readonly places: Places;
  readonly rootFd: number;
  readonly rootHandle: FileHandle;
  readonly mount: bigint;
  readonly clock: Clock;
}

export class TableResolver implements Resolver {
  readonly kind = 'table';
  readonly #options: TableResolverOptions;
  readonly #reader = new DirectoryReader();
  /** Handles that a search did not find, and until when that is believed: a client may ask again and again. */
  readonly #missing = new Map<FileHandle, number>();

  constructor(options: TableResolverOptions) {
    this.#options = options;
  }

  open(handle: FileHandle): number {
    return this.#open(handle, 0);
  }

  seen(rows: readonly PlaceRow[]): void {
    this.#options.places.add(rows);
    if (this.#missing.size > 0) for (const row of rows) this.#missing.delete(row.handle);
  }

  moved(handle: FileHandle, from: Omit<PlaceRow, 'handle'>, to: Omit<PlaceRow, 'handle'>): void {
    this.#options.places.move(handle, from, to);
  }

  removed(handle: FileHandle, parent: FileHandle, name: string, last: boolean): void {
    if (last) this.#options.places.forget(handle);
    else this.#options.places.remove(handle, parent, name);
  }

  close(): void {
    this.#options.places.close();
  }

  #open(handle: FileHandle, depth: number): number {
    if (handle === this.#options.rootHandle) return reopen(this.#options.rootFd, O_PATH | constants.O_DIRECTORY);
    if (depth > depthMaximum) return stale;
    const rows = this.#options.places.of(handle);
    for (const row of rows) {
      const parentFd = this.#open(row.parent, depth + 1);
      if (parentFd < 0) continue;
      const fd = this.#openIf(parentFd, row.name, handle);
      closeDescriptor(parentFd);
      if (fd >= 0) return fd;
    }
    const row = rows[0];
    return row === undefined ? stale : this.#search(handle, row);
  }

  /** Opens the name if it is the file of that handle. */
  #openIf(directoryFd: number, name: string, handle: FileHandle): number {
    const fd = openAt(directoryFd, name, O_PATH);
    if (fd < 0) return fd;
    const { kernel, status, codec, mount } = this.#options;
    const result = status.ofDescriptor(fd);
    if (result === 0 && status.mount === mount) {
      const identity = identityOf(fd, kernel, status);
      if (typeof identity !== 'number' && codec.encode(identity) === handle) return fd;
    }
    closeDescriptor(fd);
    return stale;
  }

  #search(handle: FileHandle, row: PlaceRow): number {
    const now = this.#options.clock.now();
    if ((this.#missing.get(handle) ?? 0) > now) return stale;
    const fd = this.#searchFrom([row.parent, this.#options.rootHandle], handle, row);
    if (fd >= 0) return fd;
    if (this.#missing.size >= missingMaximum) this.#missing.clear();
    this.#missing.set(handle, now + missingMs);
    return stale;
  }

  /** Breadth first, the old directory before the rest, by inode number; bounded by names and open directories. */
  #searchFrom(starts: readonly FileHandle[], handle: FileHandle, row: PlaceRow): number {
    const queue: number[] = [];
    for (const start of starts) {
      const rows = start === this.#options.rootHandle ? [] : this.#options.places.of(start);
      const fd = start === this.#options.rootHandle ? this.#open(start, 0) : this.#openDirect(rows, start);
      if (fd >= 0) queue.push(fd);
    }
    const budget = { names: searchNames };
    let found = stale;
    while (queue.length > 0) {
      const directoryFd = queue.shift()!;
      if (found < 0 && budget.names > 0) found = this.#searchDirectory(directoryFd, handle, row, queue, budget);
      closeDescriptor(directoryFd);
    }
    return found;
  }

  /** A directory at a known place, without searching for it. */
  #openDirect(rows: readonly PlaceRow[], handle: FileHandle): number {
    for (const row of rows) {
      const parentFd =
        row.parent === this.#options.rootHandle
          ? this.#open(row.parent, 0)
          : this.#openDirect(this.#options.places.of(row.parent), row.parent);
      if (parentFd < 0) continue;
      const fd = this.#openIf(parentFd, row.name, handle);
      closeDescriptor(parentFd);
      if (fd >= 0) return fd;
    }
    return stale;
  }

  #searchDirectory(
    directoryFd: number,
    handle: FileHandle,
    row: PlaceRow,
    queue: number[],
    budget: { names: number },
  ): number {
    const listFd = reopen(directoryFd, constants.O_RDONLY | constants.O_DIRECTORY);
    if (listFd < 0) return stale;
    let found = stale;
    while (found < 0 && budget.names > 0) {
      const entries = this.#reader.next(listFd);
      if (typeof entries === 'number' || entries.length === 0) break;
      budget.names -= entries.length;
      for (const entry of entries) {
        if (entry.name === '.' || entry.name === '..') continue;
        if (entry.inode === row.inode) {
          const fd = this.#openIf(directoryFd, entry.name, handle);
          if (fd >= 0) {
            const parent = this.#handleOf(directoryFd);
            if (parent !== undefined)
              this.#options.places.add([{ handle, parent, name: entry.name, inode: row.inode }]);
            found = fd;
            break;
          }
        }
        if (entry.type === DT_DIRECTORY || entry.type === DT_UNKNOWN) this.#enqueue(directoryFd, entry.name, queue);
      }
    }
    closeDescriptor(listFd);
    return found;
  }

  #enqueue(directoryFd: number, name: string, queue: number[]): void {
    if (queue.length >= searchDirectories) return;
    const fd = openAt(directoryFd, name, O_PATH | constants.O_DIRECTORY);
    if (fd < 0) return;
    const { status, mount } = this.#options;
    if (status.ofDescriptor(fd) === 0 && status.mount === mount) {
      // The directory gets a place itself, or what is found below it could not be reached after a restart.
      const parent = this.#handleOf(directoryFd);
      const handle = this.#handleOf(fd);
      status.ofDescriptor(fd);
      if (parent !== undefined && handle !== undefined) {
        this.#options.places.add([{ handle, parent, name, inode: status.inode }]);
        queue.push(fd);
        return;
      }
    }
    closeDescriptor(fd);
  }

  #handleOf(fd: number): FileHandle | undefined {
    const identity = identityOf(fd, this.#options.kernel, this.#options.status);
    return typeof identity === 'number' ? undefined : this.#options.codec.encode(identity);
  }
}
