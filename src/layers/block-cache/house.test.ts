/** A block cache over a memory file system and a cache in memory, on a simulated clock; and what its tests do with it. */
import assert from 'node:assert/strict';
import { seededRandom, silentLog } from '../../base/mod.ts';
import { FaultLayer, MemoryFilesystem, SimulatedClock, settle } from '../../testing/mod.ts';
import { type Call, credential, type FileHandle, type Filesystem } from '../../vfs/mod.ts';
import { BlockCache, type BlockCacheOptions } from '../block-cache.ts';
import { noReadAhead } from '../read-ahead/mod.ts';
import { MemoryCache, type MemoryCacheOptions } from './memory-cache.test.ts';
export const KiB = 1024;
export const MiB = 1024 * KiB;
export const root: Call = { credential: credential(0, 0), peer: 'test', priority: 'demand' };
export const alice: Call = { ...root, credential: credential(1000, 1000) };
export const bob: Call = { ...root, credential: credential(2000, 2000) };

export interface House {
  readonly clock: SimulatedClock;
  readonly memory: MemoryFilesystem;
  readonly origin: FaultLayer;
  readonly cache: MemoryCache;
  readonly layer: BlockCache;
}

export function house(
  options: Partial<BlockCacheOptions> = {},
  cacheOptions: Partial<MemoryCacheOptions> = {},
  between: (origin: Filesystem, clock: SimulatedClock) => Filesystem = (origin) => origin,
): House {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock, poisonReleased: true });
  const origin = new FaultLayer(memory);
  const cache = new MemoryCache({ clock, random: seededRandom(1), ...cacheOptions });
  const layer = new BlockCache(between(origin, clock), {
    cache,
    clock,
    log: silentLog,
    readAhead: noReadAhead,
    ...options,
  });
  return { clock, memory, origin, cache, layer };
}

export function makeFile(memory: MemoryFilesystem, bytes: number, mode = 0o644, name = 'file'): FileHandle {
  const where = { directory: memory.root, name };
  const made = memory.create(root, { where, how: { mode: 'guarded', set: { mode, uid: 1000, gid: 1000 } } });
  assert.ok(made.status === 0 && made.object !== undefined);
  for (let offset = 0; offset < bytes; offset += MiB)
    put(memory, made.object, offset, Math.min(MiB, bytes - offset), 1);
  return made.object;
}

export function put(memory: Filesystem, object: FileHandle, offset: number, count: number, mark: number): void {
  void memory.write(root, { object, offset, count, stable: 2, data: [Buffer.alloc(count, mark)] });
}

export async function finish<T>({ clock }: House, work: T | Promise<T>, ms = 1000): Promise<T> {
  let isDone = false;
  const done = Promise.resolve(work).finally(() => {
    isDone = true;
  });
  done.catch(() => {});
  await settle();
  for (let waited = 0; !isDone && waited < ms; waited += 5) await clock.advance(5);
  return done;
}

export async function bytesOf(
  at: House,
  object: FileHandle,
  offset: number,
  count: number,
  call = root,
): Promise<Buffer> {
  const reply = await finish(at, at.layer.read(call, { object, offset, count }));
  assert.equal(reply.status, 0);
  assert.ok(reply.status === 0);
  const bytes = Buffer.concat(reply.data as Uint8Array[]);
  reply.release?.();
  await at.clock.advance(10);
  return bytes;
}

/** `deepEqual` would spend minutes on the difference of two large buffers. */
export function sameBytes(got: Buffer, wanted: Buffer): void {
  assert.equal(got.length, wanted.length);
  const at = got.findIndex((byte, index) => byte !== wanted[index]);
  assert.equal(at, -1, `byte ${at} is ${got[at]}, not ${wanted[at]}`);
}
