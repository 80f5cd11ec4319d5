/** What the cache tells about itself: the counters in shared memory, and a page of the index file for other processes. */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { ViaductError } from '../base/mod.ts';
import type { CacheStat, DirectoryStat } from './contract.ts';
import { Counters } from './counters.ts';
import { readHeader } from './directory.ts';
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
    throw new ViaductError(decoded.kind === 'other-version' ? 'CACHE_VERSION' : 'CACHE_DAMAGED', {
      cause: `${directory} is not a cache that this Viaduct can read`,
      remedy: 'name the directory that was given as --cache',
    });
  }
  const { geometry } = decoded.header;
  const page = Buffer.alloc(headerBytes);
  const descriptor = openSync(join(directory, 'index'), 'r');
  readSync(descriptor, page, 0, headerBytes, statOffset);
  closeSync(descriptor);
  const unknown: CacheStat = {
    ...{ sizeBytes: geometry.sizeBytes, frameCount: geometry.frameCount, frameBytes, framesUsed: 0, validBytes: 0 },
    ...{ fileRecordCount: geometry.recordCount, filesUsed: 0 },
    ...new Counters({ counters: new Float64Array(0) }, 0).sums(),
  };
  const written = decodeStatPage(page) ?? { stat: unknown, writtenAtMs: 0 };
  return { ...written, diskBytes: diskBytes(directory), holder: holderOf(directory) };
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
