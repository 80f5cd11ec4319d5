/** What the cache tells about itself: the counters in shared memory, and a page of the index file for other processes. */
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { ViaductError } from '../base/mod.ts';
import type { CacheStat, DirectoryStat } from './contract.ts';
import { Counters } from './counters.ts';
import { hasOurLock, readHeader, truncation } from './directory.ts';
import { frameBytes, headerBytes, sectorBytes, statOffset } from './geometry.ts';
import { type CacheMemory, controlWord } from './memory.ts';

export function cacheStat(memory: CacheMemory): CacheStat {
  const { geometry, control } = memory;
  return {
    ...{ sizeBytes: geometry.sizeBytes, frameCount: geometry.frameCount, frameBytes },
    framesUsed: Atomics.load(control, controlWord.framesUsed),
    validBytes: Atomics.load(control, controlWord.sectorsValid) * sectorBytes,
    fileRecordCount: geometry.recordCount,
    filesUsed: Atomics.load(control, controlWord.filesUsed),
    pinnedBytes: Math.max(0, Atomics.load(control, controlWord.framesPinned)) * frameBytes,
    ...new Counters(memory, 0).sums(),
  };
}

/** crc32 u32, length u32, JSON. */
export function encodeStatPage(stat: CacheStat, writtenAtMs: number): Buffer {
  const page = Buffer.alloc(headerBytes);
  const length = page.write(JSON.stringify({ stat, writtenAtMs }), 8, 'latin1');
  page.writeUInt32LE(length, 4);
  page.writeUInt32LE(crc32(page.subarray(4, 8 + length)), 0);
  return page;
}

function decodeStatPage(page: Buffer): { stat: CacheStat; writtenAtMs: number } | undefined {
  const length = page.readUInt32LE(4);
  if (length > headerBytes - 8 || crc32(page.subarray(4, 8 + length)) !== page.readUInt32LE(0)) return undefined;
  return JSON.parse(page.toString('latin1', 8, 8 + length)) as { stat: CacheStat; writtenAtMs: number };
}

/** Reads only; works while another process has the directory open. */
export function readStat(directory: string): DirectoryStat {
  const decoded = readHeader(directory);
  if (decoded.kind !== 'good') {
    throw unreadable(directory, decoded.kind);
  }
  const { geometry } = decoded.header;
  const page = Buffer.alloc(headerBytes);
  const descriptor = openSync(join(directory, 'index'), 'r');
  readSync(descriptor, page, 0, headerBytes, statOffset);
  const damage = truncation(fstatSync(descriptor).size, geometry);
  closeSync(descriptor);
  const unknown: CacheStat = {
    ...{ sizeBytes: geometry.sizeBytes, frameCount: geometry.frameCount, frameBytes, framesUsed: 0, validBytes: 0 },
    ...{ fileRecordCount: geometry.recordCount, filesUsed: 0, pinnedBytes: 0 },
    ...new Counters({ counters: new Float64Array(0) }, 0).sums(),
  };
  const written = decodeStatPage(page) ?? { stat: unknown, writtenAtMs: 0 };
  return { ...written, diskBytes: diskBytes(directory), holder: holderOf(directory), damage };
}

function unreadable(directory: string, kind: 'other-version' | 'damaged' | 'foreign'): ViaductError {
  if (kind === 'foreign' && !hasOurLock(directory)) {
    return new ViaductError('CACHE_FOREIGN', {
      cause: `${directory} is not a cache of Viaduct`,
      remedy: 'name the directory that was given as --cache',
    });
  }
  if (kind === 'other-version') {
    return new ViaductError('CACHE_VERSION', {
      cause: `${directory} is a cache of another format version`,
      remedy: 'use the Viaduct that made it',
    });
  }
  return new ViaductError('CACHE_DAMAGED', {
    cause: `the index of the cache ${directory} is missing or damaged: what it held is lost`,
    remedy: 'nothing is lost at the origin: the next `viaduct proxy` with this cache starts it anew',
  });
}

/** What `du` would say. */
export function diskBytes(directory: string): number {
  const banks = join(directory, 'banks');
  const paths = [
    join(directory, 'index'),
    join(directory, 'lock'),
    ...readdirSync(banks).map((name) => join(banks, name)),
  ];
  return paths.reduce((sum, path) => sum + (existsSync(path) ? statSync(path).blocks * 512 : 0), 0);
}

function holderOf(directory: string): number | undefined {
  const match = /(\d+)\s*$/.exec(readFileSync(join(directory, 'lock'), 'latin1'));
  const pid = match === null ? 0 : Number(match[1]);
  return pid > 0 && existsSync(`/proc/${pid}`) ? pid : undefined;
}
