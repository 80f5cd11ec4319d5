/**
 * Where a file lies below the export: whether it is in a tree.
 *
 *     directories           the kernel knows their path
 *     files with one name   so it does, unless it was opened by its handle and its name has not been used since: then it shows "/"
 *     the others            are searched in the tree, by inode number; a tree of too many names gives `unknown`
 */
import { constants, readlinkSync } from 'node:fs';
import { closeDescriptor, DirectoryReader, O_PATH, openAt, reopen } from '../../native/mod.ts';
import { type FileHandle, FileType, Status, type TreeLocator } from '../../vfs/mod.ts';
import type { Export } from './export.ts';
import type { OpenFile } from './open-file.ts';

/** Names looked at in one search: some tens of milliseconds. */
const searchNames = 20_000;
const searchDirectories = 1024;
const DT_UNKNOWN = 0;
const DT_DIRECTORY = 4;
const deletedMark = ' (deleted)';

export class Trees implements TreeLocator {
  readonly #export: Export;
  readonly #reader = new DirectoryReader();

  constructor(exported: Export) {
    this.#export = exported;
  }

  isWithin(object: FileHandle, tree: FileHandle): boolean | 'unknown' {
    if (object === tree || tree === this.#export.parts.root) return true;
    const top = this.#export.find(tree);
    const file = this.#export.find(object);
    // What is not there is nowhere; what cannot be opened for lack of descriptors could be anywhere.
    if (typeof top === 'number') return isGone(top) ? false : 'unknown';
    if (typeof file === 'number') return isGone(file) ? false : 'unknown';
    const topPath = pathOf(top);
    const attributes = this.#export.attributes(file);
    if (topPath === undefined || typeof attributes === 'number') return 'unknown';
    const isDirectory = file.type === FileType.DIRECTORY;
    const path = isDirectory || attributes.nlink === 1 ? pathOf(file) : undefined;
    if (path !== undefined) return path.startsWith(`${topPath}/`);
    return isDirectory ? 'unknown' : this.#search(top, object, attributes.fileid);
  }

  pathOf(directory: FileHandle): string | undefined {
    const { root, rootFd } = this.#export.parts;
    if (directory === root) return '/';
    const file = this.#export.findDirectory(directory);
    const path = typeof file === 'number' ? undefined : pathOf(file);
    const top = linkOf(rootFd);
    if (path === undefined || top === undefined) return undefined;
    const prefix = top === '/' ? '/' : `${top}/`;
    return path.startsWith(prefix) ? `/${path.slice(prefix.length)}` : undefined;
  }

  /** Breadth first; other mounts are not entered, as LOOKUP does not. */
  #search(top: OpenFile, object: FileHandle, inode: bigint): boolean | 'unknown' {
    const first = reopen(top.pathFd, O_PATH | constants.O_DIRECTORY);
    if (first < 0) return 'unknown';
    const queue: number[] = [first];
    const budget = { names: searchNames };
    let found: boolean | 'unknown' = false;
    while (queue.length > 0) {
      const fd = queue.shift()!;
      if (found === false) found = this.#searchDirectory(fd, object, inode, queue, budget);
      closeDescriptor(fd);
    }
    return found;
  }

  #searchDirectory(
    directoryFd: number,
    object: FileHandle,
    inode: bigint,
    queue: number[],
    budget: { names: number },
  ): boolean | 'unknown' {
    const listFd = reopen(directoryFd, constants.O_RDONLY | constants.O_DIRECTORY);
    if (listFd < 0) return 'unknown';
    try {
      for (;;) {
        const entries = this.#reader.next(listFd);
        if (typeof entries === 'number') return 'unknown';
        if (entries.length === 0) return false;
        budget.names -= entries.length;
        for (const entry of entries) {
          if (entry.name === '.' || entry.name === '..') continue;
          if (entry.inode === inode && this.#is(directoryFd, entry.name, object)) return true;
          if (entry.type !== DT_DIRECTORY && entry.type !== DT_UNKNOWN) continue;
          if (queue.length >= searchDirectories) return 'unknown';
          this.#enqueue(directoryFd, entry.name, queue);
        }
        if (budget.names < 0) return 'unknown';
      }
    } finally {
      closeDescriptor(listFd);
    }
  }

  #is(directoryFd: number, name: string, object: FileHandle): boolean {
    const found = this.#export.peek(directoryFd, name);
    return typeof found !== 'number' && found.handle === object;
  }

  #enqueue(directoryFd: number, name: string, queue: number[]): void {
    const fd = openAt(directoryFd, name, O_PATH | constants.O_DIRECTORY);
    if (fd < 0) return;
    const { status, mount } = this.#export.parts;
    if (status.ofDescriptor(fd) === 0 && status.mount === mount) queue.push(fd);
    else closeDescriptor(fd);
  }
}

function isGone(status: number): boolean {
  return status === Status.STALE || status === Status.BADHANDLE;
}

/** Undefined if the kernel does not know a name of it, or the name is gone. */
function pathOf(file: OpenFile): string | undefined {
  const path = linkOf(file.pathFd);
  return path === undefined || path === '/' || path.endsWith(deletedMark) ? undefined : path;
}

function linkOf(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`, 'latin1');
  } catch {
    return undefined;
  }
}
