/**
 * The directory of a dirty log on a real disk. An exclusive flock on `lock` is held while it is open.
 *
 * Small writes are made in the calling thread as long as they are quick; a disk that makes writers wait gets them through the thread pool
 * for a while. Reads are answered at once if the page cache has them.
 */
import * as nodeFs from 'node:fs';
import { join } from 'node:path';
import { type Clock, type Eventual, isPromise, systemCode, ViaductError } from '../base/mod.ts';
import {
  errno,
  flockExclusive,
  makeDirectory,
  NoWaitReader,
  readTarget,
  reserveRoom,
  seekData,
  seekHole,
} from '../native/mod.ts';
import type { LogDirectory, LogFile } from './contract.ts';

const lockName = 'lock';
const lockText = 'viaduct dirty log lock, held by process ';
const quickBytes = 1024 * 1024;
const slowMs = 2;
const restMs = 500;
const mostSlices = 1024;
/** Written parts of a file that are told apart: it is written from its beginning on. */
const mostRanges = 64;

export interface SystemLogDirectoryOptions {
  readonly clock: Clock;
  /** For reading only: takes no lock, makes nothing. */
  readonly isReadOnly?: boolean | undefined;
}

/** Rejects with LOG_IN_USE, LOG_FOREIGN, PRIVILEGE_NEEDED, DISK_FULL or CONFIGURATION_INVALID. */
export async function systemLogDirectory(path: string, options: SystemLogDirectoryOptions): Promise<LogDirectory> {
  try {
    if (options.isReadOnly) return new SystemLogDirectory(path, undefined, options);
    makeDirectory(path, 0o700);
    refuseForeign(path);
    return new SystemLogDirectory(path, lock(path), options);
  } catch (error) {
    throw explained(error, path);
  }
}

class SystemLogDirectory implements LogDirectory {
  readonly #path: string;
  readonly #lock: number | undefined;
  readonly #shared: Shared;

  constructor(path: string, lockDescriptor: number | undefined, options: SystemLogDirectoryOptions) {
    this.#path = path;
    this.#lock = lockDescriptor;
    this.#shared = {
      clock: options.clock,
      reader: new NoWaitReader(),
      restUntilMs: Number.NEGATIVE_INFINITY,
      slowInRow: 0,
    };
  }

  async list(): Promise<readonly string[]> {
    const names = await nodeFs.promises.readdir(this.#path);
    return names.filter((name) => name.startsWith('segment-') || name.startsWith('spare-'));
  }

  async create(name: string, bytes: number): Promise<LogFile> {
    const path = join(this.#path, name);
    const { O_RDWR, O_CREAT, O_EXCL } = nodeFs.constants;
    const fd = nodeFs.openSync(path, O_RDWR | O_CREAT | O_EXCL, 0o600);
    try {
      const reserved = reserveRoom(fd, bytes);
      if (reserved === -errno.EOPNOTSUPP) nodeFs.ftruncateSync(fd, bytes);
      else if (reserved !== 0) throw systemError(-reserved, 'fallocate');
      return new SystemLogFile(fd, bytes, this.#shared);
    } catch (error) {
      nodeFs.closeSync(fd);
      nodeFs.unlinkSync(path);
      throw error;
    }
  }

  async open(name: string): Promise<LogFile> {
    const isReadOnly = this.#lock === undefined;
    const fd = nodeFs.openSync(join(this.#path, name), isReadOnly ? 'r' : 'r+');
    const { size } = nodeFs.fstatSync(fd);
    return new SystemLogFile(fd, size, this.#shared, writtenRanges(fd, size), isReadOnly);
  }

  remove(name: string): Promise<void> {
    return nodeFs.promises.unlink(join(this.#path, name));
  }

  rename(from: string, to: string): Promise<void> {
    return nodeFs.promises.rename(join(this.#path, from), join(this.#path, to));
  }

  async sync(): Promise<void> {
    const directory = await nodeFs.promises.open(this.#path, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }

  async close(): Promise<void> {
    if (this.#lock !== undefined) nodeFs.closeSync(this.#lock);
  }
}

interface Shared {
  readonly clock: Clock;
  readonly reader: NoWaitReader;
  /** Until then, writes go through the thread pool. */
  restUntilMs: number;
  slowInRow: number;
}

class SystemLogFile implements LogFile {
  readonly size: number;
  /** Undefined: this process has made the file. */
  readonly #written: WrittenRanges | undefined;
  /** Whoever only looks does not even read what was never written. A start reads what it goes by. */
  readonly #isReadOnly: boolean;
  readonly #fd: number;
  readonly #shared: Shared;

  constructor(fd: number, size: number, shared: Shared, written?: WrittenRanges, isReadOnly = false) {
    this.#fd = fd;
    this.size = size;
    this.#shared = shared;
    this.#written = written;
    this.#isReadOnly = isReadOnly;
  }

  get dataAt(): LogFile['dataAt'] {
    const written = this.#written;
    return written && ((position) => dataAt(written, position, this.size));
  }

  write(position: number, slices: readonly Uint8Array[]): Eventual<void> {
    const shared = this.#shared;
    let count = 0;
    for (const slice of slices) count += slice.length;
    const begin = shared.clock.now();
    if (count > quickBytes || slices.length > mostSlices || begin < shared.restUntilMs) {
      return this.#writeSlowly(position, slices);
    }
    const written = nodeFs.writevSync(this.#fd, slices as Uint8Array[], position);
    const end = shared.clock.now();
    // One slow write may be a busy processor; a disk that makes writers wait does so again.
    shared.slowInRow = end - begin >= slowMs ? shared.slowInRow + 1 : 0;
    if (shared.slowInRow === 2) {
      shared.slowInRow = 0;
      shared.restUntilMs = end + restMs;
    }
    if (written !== count) return this.#writeSlowly(position + written, after(slices, written));
  }

  async #writeSlowly(position: number, slices: readonly Uint8Array[]): Promise<void> {
    let rest = slices;
    let at = position;
    while (rest.length > 0) {
      const batch = rest.slice(0, mostSlices);
      const written = await new Promise<number>((resolve, reject) => {
        nodeFs.writev(this.#fd, batch, at, (error, bytes) => (error ? reject(error) : resolve(bytes)));
      });
      if (written <= 0) throw Object.assign(new Error('the disk took nothing'), { code: 'ENOSPC' });
      at += written;
      rest = after(rest, written);
    }
  }

  read(position: number, length: number): Eventual<Uint8Array> {
    const wanted = Math.max(0, Math.min(length, this.size - position));
    const end = this.#dataEnd(position, wanted);
    if (end >= position + wanted) return this.#read(position, wanted);
    const bytes = Buffer.alloc(wanted);
    if (end <= position) return bytes;
    const read = this.#read(position, end - position);
    const filled = (part: Uint8Array): Uint8Array => {
      bytes.set(part);
      return bytes;
    };
    return isPromise(read) ? read.then(filled) : filled(read);
  }

  /** Behind it are zeros alone: to read them would make data of them, and of what the kernel reads ahead. */
  #dataEnd(position: number, count: number): number {
    if (this.#written === undefined || !this.#isReadOnly) return position + count;
    return this.#written.findLast(({ from }) => from < position + count)?.to ?? position;
  }

  #read(position: number, wanted: number): Eventual<Uint8Array> {
    const target = readTarget(Buffer.allocUnsafeSlow(Math.max(1, wanted)));
    const got = this.#shared.reader.read(this.#fd, target, 0, wanted, position);
    if (got === wanted) return target.buffer.subarray(0, wanted);
    return this.#readSlowly(target.buffer, Math.max(0, got), wanted, position);
  }

  async #readSlowly(buffer: Buffer, from: number, wanted: number, position: number): Promise<Uint8Array> {
    let filled = from;
    while (filled < wanted) {
      const got = await new Promise<number>((resolve, reject) => {
        nodeFs.read(this.#fd, buffer, filled, wanted - filled, position + filled, (error, bytes) =>
          error ? reject(error) : resolve(bytes),
        );
      });
      if (got === 0) break;
      filled += got;
    }
    return buffer.subarray(0, filled);
  }

  datasync(): Promise<void> {
    return new Promise((resolve, reject) => {
      nodeFs.fdatasync(this.#fd, (error) => (error ? reject(error) : resolve()));
    });
  }

  async close(): Promise<void> {
    nodeFs.closeSync(this.#fd);
  }
}

type WrittenRanges = readonly { readonly from: number; readonly to: number }[];

/** To be asked before anything is read: what was read counts as written from then on. */
function writtenRanges(fd: number, size: number): WrittenRanges {
  const ranges: { readonly from: number; readonly to: number }[] = [];
  for (let at = 0; at < size; ) {
    const from = seekData(fd, at);
    if (from === -errno.ENXIO) break;
    const hole = from < 0 || ranges.length === mostRanges ? size : seekHole(fd, from);
    const to = hole > at ? hole : size;
    ranges.push({ from: Math.max(at, from), to });
    at = to;
  }
  return ranges;
}

function dataAt(written: WrittenRanges, position: number, size: number): number {
  const range = written.find(({ to }) => to > position);
  return range === undefined ? size : Math.max(position, range.from);
}

/** What is left of the slices when so many bytes are done. */
function after(slices: readonly Uint8Array[], written: number): Uint8Array[] {
  let done = 0;
  let left = written;
  while (done < slices.length && left >= slices[done]!.length) left -= slices[done++]!.length;
  const rest = slices.slice(done);
  if (left > 0) rest[0] = rest[0]!.subarray(left);
  return rest;
}

/** Ours is an empty directory, or one with our lock file. */
function refuseForeign(path: string): void {
  const names = nodeFs.readdirSync(path).filter((name) => name !== 'lost+found');
  if (names.length === 0) return;
  const isOurs = names.includes(lockName) && nodeFs.readFileSync(join(path, lockName), 'latin1').startsWith(lockText);
  if (isOurs || names.some((name) => /^segment-\d{10}$/.test(name))) return;
  throw new ViaductError('LOG_FOREIGN', {
    cause: `${path} is not empty and is not a dirty log of Viaduct (it holds ${names.slice(0, 3).join(', ')})`,
    remedy: 'name an empty directory for the dirty log; nothing in this one was changed',
  });
}

function lock(directory: string): number {
  const path = join(directory, lockName);
  const fd = nodeFs.openSync(path, nodeFs.constants.O_RDWR | nodeFs.constants.O_CREAT, 0o600);
  if (flockExclusive(fd) !== 0) {
    nodeFs.closeSync(fd);
    const holder = nodeFs.readFileSync(path, 'latin1').slice(lockText.length).trim() || 'unknown';
    throw new ViaductError('LOG_IN_USE', {
      cause: `the dirty log ${directory} is in use by process ${holder}`,
      remedy: 'end that process, or name another --dirty-log directory',
    });
  }
  try {
    // In this order: a full disk has room for what is there already.
    const length = nodeFs.writeSync(fd, `${lockText}${process.pid}\n`, 0);
    nodeFs.ftruncateSync(fd, length);
  } catch (error) {
    nodeFs.closeSync(fd);
    throw error;
  }
  return fd;
}

function systemError(number: number, call: string): Error {
  const code = number === 28 ? 'ENOSPC' : number === 122 ? 'EDQUOT' : number === errno.EIO ? 'EIO' : `E${number}`;
  return Object.assign(new Error(`${code}: ${call}`), { code });
}

function explained(error: unknown, directory: string): unknown {
  if (error instanceof ViaductError) return error;
  const code = systemCode(error);
  const at = `the dirty log ${directory}`;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ViaductError('DISK_FULL', {
      ...{
        cause: `there is no room to make ${at}`,
        remedy: 'make room, or name another directory (--dirty-log; for a daemon its state-directory)',
        from: error,
      },
    });
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new ViaductError('PRIVILEGE_NEEDED', {
      ...{
        cause: `${at} cannot be written (${code})`,
        remedy: 'name a directory of your own (--dirty-log; for a daemon its state-directory)',
        from: error,
      },
    });
  }
  if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EEXIST') {
    const why = code === 'ENOENT' ? 'no directory can be made there' : 'there is a file in the way';
    return new ViaductError('CONFIGURATION_INVALID', {
      ...{
        cause: `${at} cannot be made: ${why}`,
        remedy: 'name a directory on a disk of this host (--dirty-log; for a daemon its state-directory)',
        from: error,
      },
    });
  }
  return new ViaductError('CONFIGURATION_INVALID', {
    ...{
      cause: `${at} cannot be used (${code ?? String(error)})`,
      remedy: 'name another directory (--dirty-log; for a daemon its state-directory)',
      from: error,
    },
  });
}
