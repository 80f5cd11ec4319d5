/**
 * Opening the directory: whose is it, is it free, what of it is good.
 *
 *   foreign ─► CACHE_FOREIGN, nothing touched            locked by another ─► CACHE_IN_USE
 *   newer format ─► CACHE_VERSION                        empty ─► made
 *   ours, but header damaged, older format or another size ─► started anew, with a line in the log
 *   ours ─► used; damaged regions and what a truncated index misses are forgotten, with a line in the log
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Log, type Random, systemCode, ViaductError } from '../base/mod.ts';
import { flockExclusive, makeDirectory } from '../native/mod.ts';
import { bankName, type Geometry, geometryFor, headerBytes } from './geometry.ts';
import { type DecodedHeader, decodeHeader, encodeHeader, formatVersion } from './index-format.ts';

const lockText = 'viaduct cache lock, held by process ';
const bankPattern = /^\d{3}$/;

export interface OpenedDirectory {
  readonly lockDescriptor: number;
  readonly indexDescriptor: number;
  readonly geometry: Geometry;
  readonly uuid: Uint8Array;
  /** Made by this open: there is nothing to load. */
  readonly fresh: boolean;
  /** What was wrong with the index as a whole, if anything: what it said is lost, in part or all. */
  readonly damage?: string | undefined;
  /** Nothing was there before: the directories that were made for it, or an empty one that was used. */
  readonly made: readonly string[] | undefined;
}

export function openDirectory(options: {
  directory: string;
  sizeBytes: number;
  log: Log;
  random: Random;
}): OpenedDirectory {
  const { directory } = options;
  try {
    const directories = makeDirectory(directory, 0o700);
    const made = isEmpty(directory) ? directories : undefined;
    refuseForeign(directory);
    const lockDescriptor = lock(directory);
    try {
      return { lockDescriptor, made, ...openLocked(options) };
    } catch (error) {
      closeSync(lockDescriptor);
      throw error;
    }
  } catch (error) {
    throw explained(error, directory);
  }
}

/** The header in the index file: the first good one of the two copies. */
export function readHeader(directory: string): DecodedHeader {
  const bytes = Buffer.alloc(2 * headerBytes);
  let descriptor: number;
  try {
    descriptor = openSync(join(directory, 'index'), 'r');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return { kind: 'foreign' };
    throw error;
  }
  const count = readSync(descriptor, bytes, 0, bytes.length, 0);
  closeSync(descriptor);
  const first = decodeHeader(bytes.subarray(0, Math.min(count, headerBytes)));
  if (first.kind === 'good') return first;
  const second = decodeHeader(bytes.subarray(Math.min(count, headerBytes), count));
  if (second.kind === 'good') return second;
  if (first.kind === 'other-version' || second.kind === 'foreign') return first;
  return second;
}

/** Takes back what an open made where nothing was before; its lock is still held. */
export function unmakeDirectory(directory: string, made: readonly string[]): void {
  rmSync(join(directory, 'banks'), { recursive: true, force: true });
  for (const name of ['index', 'index.new', 'lock']) removeIfThere(join(directory, name));
  // Only while they are empty: somebody else may have put something there.
  for (const path of made.toReversed()) {
    try {
      rmdirSync(path);
    } catch {
      return;
    }
  }
}

function isEmpty(directory: string): boolean {
  return readdirSync(directory).every((name) => name === 'lost+found');
}

/** Ours is what our header or our lock file says is ours; an empty directory becomes ours. */
function refuseForeign(directory: string): void {
  const names = readdirSync(directory).filter((name) => name !== 'lost+found');
  if (names.length === 0) return;
  if (hasOurLock(directory) || readHeader(directory).kind !== 'foreign') return;
  throw new ViaductError('CACHE_FOREIGN', {
    cause: `${directory} is not empty and is not a cache of Viaduct (it holds ${names.slice(0, 3).join(', ')})`,
    remedy: 'name an empty directory for the cache; nothing in this one was changed',
  });
}

/** What a cache keeps even when its index is lost. */
export function hasOurLock(directory: string): boolean {
  try {
    return readFileSync(join(directory, 'lock'), 'latin1').startsWith(lockText);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
}

function lock(directory: string): number {
  const path = join(directory, 'lock');
  const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  if (flockExclusive(descriptor) !== 0) {
    closeSync(descriptor);
    const holder = readFileSync(path, 'latin1').slice(lockText.length).trim() || 'unknown';
    throw new ViaductError('CACHE_IN_USE', {
      cause: `the cache directory ${directory} is in use by process ${holder}`,
      remedy: 'end that process, or name another cache directory (--cache; for a daemon `directory` below `caches:`)',
    });
  }
  ftruncateSync(descriptor, 0);
  writeSync(descriptor, `${lockText}${process.pid}\n`, 0);
  return descriptor;
}

function openLocked(options: { directory: string; sizeBytes: number; log: Log; random: Random }) {
  const { directory, sizeBytes, log } = options;
  const decoded = readHeader(directory);
  if (decoded.kind === 'other-version' && decoded.version > formatVersion) {
    throw new ViaductError('CACHE_VERSION', {
      cause: `${directory} was made by a newer Viaduct (cache format ${decoded.version}, this one knows ${formatVersion})`,
      remedy: 'use the newer Viaduct, or remove the directory: it holds copies only',
    });
  }
  makeDirectory(join(directory, 'banks'), 0o700);
  if (decoded.kind === 'good' && decoded.header.geometry.sizeBytes === sizeBytes) {
    const indexDescriptor = openSync(join(directory, 'index'), 'r+');
    const { geometry, uuid } = decoded.header;
    const damage = truncation(fstatSync(indexDescriptor).size, geometry);
    if (damage !== undefined)
      log.warn({ directory, damage }, 'the cache index is truncated: what it lost is forgotten');
    trimBanks(directory, geometry);
    writeHeaders(indexDescriptor, uuid, geometry);
    return { indexDescriptor, geometry, uuid, fresh: false, damage };
  }
  if (decoded.kind === 'good') {
    const fields = { directory, sizeBytes, previousSizeBytes: decoded.header.geometry.sizeBytes };
    log.warn(fields, 'the cache had another size (--cache-size): it is emptied and starts anew');
  } else if (decoded.kind === 'damaged')
    log.warn({ directory }, 'the header of the cache index is damaged: the cache starts empty');
  else if (decoded.kind === 'other-version')
    log.info({ directory }, 'the cache is of an older format and starts empty');
  else if (hasBanks(directory))
    log.warn({ directory }, 'the cache index is missing or damaged: the cache starts empty');
  return startAnew(directory, geometryFor(sizeBytes), options.random);
}

/** An index is made in its full length and never cut, but to nothing. */
export function truncation(indexBytes: number, geometry: Geometry): string | undefined {
  if (indexBytes >= geometry.indexBytes) return undefined;
  return `the index is truncated: ${indexBytes} of ${geometry.indexBytes} bytes are there`;
}

function startAnew(directory: string, geometry: Geometry, random: Random) {
  for (const name of ['index', 'index.new']) removeIfThere(join(directory, name));
  trimBanks(directory, { ...geometry, bankCount: 0 });
  const uuid = random.bytes(new Uint8Array(16));
  const fresh = join(directory, 'index.new');
  const indexDescriptor = openSync(fresh, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600);
  try {
    writeHeaders(indexDescriptor, uuid, geometry);
    fsyncSync(indexDescriptor);
    renameSync(fresh, join(directory, 'index'));
  } catch (error) {
    closeSync(indexDescriptor);
    throw error;
  }
  return { indexDescriptor, geometry, uuid, fresh: true };
}

/** Both copies, so that a damaged one is repaired by the next open; and the file as long as it must be. */
function writeHeaders(descriptor: number, uuid: Uint8Array, geometry: Geometry): void {
  const header = encodeHeader(uuid, geometry);
  writeSync(descriptor, header, 0, header.length, 0);
  writeSync(descriptor, header, 0, header.length, headerBytes);
  ftruncateSync(descriptor, geometry.indexBytes);
}

/** Removes bank files that the geometry does not have, and what is too much of the others. */
function trimBanks(directory: string, geometry: Geometry): void {
  for (const name of readdirSync(join(directory, 'banks'))) {
    if (!bankPattern.test(name)) continue;
    const path = join(directory, 'banks', name);
    if (Number(name) >= geometry.bankCount || bankName(Number(name)) !== name) unlinkSync(path);
    else if (statSync(path).size > geometry.bankBytes) truncateSync(path, geometry.bankBytes);
  }
}

function hasBanks(directory: string): boolean {
  return readdirSync(join(directory, 'banks')).length > 0;
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

function explained(error: unknown, directory: string): unknown {
  if (error instanceof ViaductError) return error;
  const code = systemCode(error);
  const from = { from: error };
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ViaductError('DISK_FULL', {
      ...{
        cause: `there is no room to make the cache in ${directory}`,
        remedy: 'free some room, or name another cache directory (--cache; for a daemon `directory` below `caches:`)',
      },
      ...from,
    });
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new ViaductError('PRIVILEGE_NEEDED', {
      ...{
        cause: `the cache directory ${directory} cannot be written (${code})`,
        remedy: 'name a --cache directory of your own',
      },
      ...from,
    });
  }
  if (code === 'ENOTDIR' || code === 'EEXIST' || code === 'ENOENT') {
    return new ViaductError('CONFIGURATION_INVALID', {
      ...{
        cause: `${directory} is not a directory and cannot be made one (${code})`,
        remedy: 'name another directory for --cache',
      },
      ...from,
    });
  }
  return new ViaductError('CACHE_DAMAGED', {
    ...{
      cause: `the cache directory ${directory} cannot be used (${code ?? String(error)})`,
      remedy: 'check the disk, or name another cache directory (--cache; for a daemon `directory` below `caches:`)',
    },
    ...from,
  });
}
