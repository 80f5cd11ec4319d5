/**
 * What tests of the clean cache share: a temporary directory, files whose right content is known for every version, and a check
 * that whatever the cache returns is that content.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Log, seededRandom, systemClock, systemRandom } from '../base/mod.ts';
import { type CachedFile, CleanCache, type CleanCacheOptions } from '../cache/mod.ts';
import type { FileStamp } from '../vfs/mod.ts';

export const smallCacheBytes = 16 * 1024 * 1024;

export class LogLines implements Log {
  readonly lines: string[] = [];
  readonly warnings: string[] = [];

  debug(): void {}

  info(_fields: object, message: string): void {
    this.lines.push(message);
  }

  warn(_fields: object, message: string): void {
    this.warnings.push(message);
    this.lines.push(message);
  }

  error(_fields: object, message: string): void {
    this.lines.push(message);
  }

  has(part: string): boolean {
    return this.lines.some((line) => line.includes(part));
  }
}

export class CacheFixture {
  readonly root = mkdtempSync(join(tmpdir(), 'viaduct-cache-'));
  readonly directory = join(this.root, 'cache');
  readonly log = new LogLines();
  private readonly opened: CleanCache[] = [];
  /** A test that is ended by its runner leaves nothing behind either. */
  private readonly ended = (signal: NodeJS.Signals): void => {
    rmSync(this.root, { recursive: true, force: true });
    process.kill(process.pid, signal);
  };

  constructor() {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, this.ended);
  }

  async open(more: Partial<CleanCacheOptions> = {}): Promise<CleanCache> {
    const standard = { directory: this.directory, sizeBytes: smallCacheBytes, log: this.log };
    const cache = await CleanCache.open({ ...standard, clock: systemClock, random: systemRandom, ...more });
    this.opened.push(cache);
    return cache;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cache of this.opened) await cache.close();
    rmSync(this.root, { recursive: true, force: true });
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.off(signal, this.ended);
  }
}

export function cacheKey(number: number): string {
  return `file ${String(number).padStart(11, '0')}`;
}

/** The stamp of a file's `version`th content. */
export function cacheStamp(size: number, version = 1, fileid = 7n): FileStamp {
  const seconds = 1_700_000_000 + version;
  return { size, fileid, mtimeSeconds: seconds, mtimeNanoseconds: 5, ctimeSeconds: seconds, ctimeNanoseconds: 6 };
}

/** Content that no other (seed, place) has: 8-byte words of the seed and the position, so that any shift shows. */
export function patternBytes(seed: number, offset: number, count: number): Buffer {
  const first = Math.floor(offset / 8) * 8;
  const words = new Uint32Array(Math.ceil((offset + count - first) / 8) * 2);
  for (let index = 0; index < words.length; index += 2) {
    const position = first / 8 + index / 2;
    words[index] = Math.imul(position + 1, 0x9e3779b1) ^ seed;
    words[index + 1] = Math.imul(seed + 1, 0x85ebca6b) + position;
  }
  return Buffer.from(words.buffer).subarray(offset - first, offset - first + count);
}

export async function fillPattern(file: CachedFile, stamp: FileStamp, seed: number, offset: number, count: number) {
  return await file.fill(file.ticket(offset, count), stamp, offset, [patternBytes(seed, offset, count)], count);
}

/** The bytes, copied and released; undefined when absent. */
export async function readAll(file: CachedFile, offset: number, count: number): Promise<Buffer | undefined> {
  const hit = await file.read(offset, count);
  if (hit === undefined) return undefined;
  const bytes = Buffer.concat(hit.slices);
  hit.release();
  return bytes;
}

/** Reads each sector of the file: counts those present; throws at the first that is not the pattern. */
export async function checkPattern(file: CachedFile, seed: number, size: number): Promise<number> {
  let present = 0;
  for (let offset = 0; offset < size; offset += 4096) {
    const count = Math.min(4096, size - offset);
    const bytes = await readAll(file, offset, count);
    if (bytes === undefined) continue;
    if (!bytes.equals(patternBytes(seed, offset, count))) throw new Error(`wrong bytes at ${offset}`);
    present++;
  }
  return present;
}

/** Seeds of runs that fail are printed by the test; this makes one from a number. */
export function chooser(seed: number): (limit: number) => number {
  const random = seededRandom(seed);
  return (limit) => random.uint32() % limit;
}
