/** An origin in memory and sessions over it that learn and fetch, on a simulated clock: what the tests of working sets share. */
import assert from 'node:assert/strict';
import { limits, seededRandom, silentLog } from '../../base/mod.ts';
import {
  contentDirectory,
  decodeWorkingSet,
  encodeWorkingSet,
  type Purpose,
  type WorkingSet,
  workingSetName,
} from '../../content/mod.ts';
import { DelayLayer, FaultLayer, MemoryFilesystem, SimulatedClock, settle } from '../../testing/mod.ts';
import type { Attributes, FileHandle, WorkingSetPublisher } from '../../vfs/mod.ts';
import { AccessCache } from '../access-cache.ts';
import { AttributeCache } from '../attribute-cache.ts';
import { alice, KiB, MiB, makeFile, root } from '../block-cache/house.test.ts';
import { MemoryCache } from '../block-cache/memory-cache.test.ts';
import { BlockCache } from '../block-cache.ts';
import { defaultReadAhead } from '../read-ahead/mod.ts';
import { WorkingSets, type WorkingSetsOptions } from '../working-sets.ts';
import type { WorkingSetStore } from './contract.ts';

export const block = limits.blockBytes;
export const minute = 60_000;

export class Shelf implements WorkingSetStore {
  readonly sets = new Map<string, WorkingSet>();
  load(key: string, purpose: Purpose): WorkingSet | undefined {
    return this.sets.get(`${purpose} ${key}`);
  }
  save(key: string, set: WorkingSet): void {
    this.sets.set(`${set.purpose} ${key}`, decodeWorkingSet(encodeWorkingSet(set)));
  }
  of(purpose: Purpose): number[] | undefined {
    for (const [name, set] of this.sets) if (name.startsWith(purpose)) return [...set.blocks];
    return undefined;
  }
}

export class Place {
  readonly clock = new SimulatedClock();
  readonly memory = new MemoryFilesystem({ clock: this.clock });
  readonly origin = new FaultLayer(this.memory);
  readonly shelf = new Shelf();
  readonly told: { readonly name: string; readonly set: WorkingSet }[] = [];
  readonly publisher: WorkingSetPublisher = {
    canPublish: () => true,
    publishWorkingSet: async (_call, { place, set }) => {
      this.told.push({ name: place.name, set: decodeWorkingSet(set) });
      return { status: 0 };
    },
  };

  /** A session with an empty cache; another one each time, over the same origin and store. */
  session(more: Partial<WorkingSetsOptions> = {}, roundTripMs = 20): Session {
    const { clock } = this;
    const cache = new MemoryCache({ clock, random: seededRandom(1) });
    const far = new DelayLayer(this.origin, { clock, roundTripMs: () => roundTripMs });
    const caches = new AccessCache(new AttributeCache(far, { clock }), { clock });
    const fetcher = new BlockCache(caches, { cache, clock, log: silentLog, readAhead: defaultReadAhead });
    const options = { fetcher, store: this.shelf, publisher: this.publisher, purpose: 'boot', cacheBytes: 1024 * MiB };
    const layer = new WorkingSets(fetcher, { ...options, mode: 'working-set', clock, log: silentLog, ...more });
    return new Session(this, layer, fetcher);
  }

  /** Beside the file, owned like it. */
  async putSet(name: string, set: WorkingSet): Promise<void> {
    const { memory } = this;
    const owned = { uid: 1000, gid: 1000 };
    const around = { directory: memory.root, name: contentDirectory };
    void memory.mkdir(root, { where: around, set: { mode: 0o755, ...owned } });
    const hidden = await memory.lookup(root, around);
    assert.ok(hidden.status === 0);
    const where = { directory: hidden.object, name: workingSetName(name, set.purpose)! };
    const made = await memory.create(root, { where, how: { mode: 'guarded', set: { mode: 0o644, ...owned } } });
    assert.ok(made.status === 0 && made.object !== undefined);
    const bytes = encodeWorkingSet(set);
    void memory.write(root, { object: made.object, offset: 0, count: bytes.length, stable: 2, data: [bytes] });
  }

  /** Blocks of the file that were asked of the origin since it was called. */
  watch(object: FileHandle): () => number[] {
    const blocks: number[] = [];
    this.origin.on('read', (args, proceed) => {
      if (args.object !== object) return proceed();
      for (let at = args.offset; at < args.offset + args.count; at += block) blocks.push(at / block);
      return proceed();
    });
    return () => blocks;
  }
}

export class Session {
  readonly at: Place;
  readonly layer: WorkingSets;
  readonly fetcher: BlockCache;
  constructor(at: Place, layer: WorkingSets, fetcher: BlockCache) {
    this.at = at;
    this.layer = layer;
    this.fetcher = fetcher;
  }
  async wait<T>(work: T | Promise<T>): Promise<T> {
    let isDone = false;
    const done = Promise.resolve(work).finally(() => (isDone = true));
    // It may reject before it is awaited.
    done.catch(() => {});
    await settle();
    for (let i = 0; !isDone && i < 1000; i++) await this.at.clock.advance(5);
    return done;
  }
  async open(name: string): Promise<FileHandle> {
    const found = await this.wait(this.layer.lookup(alice, { directory: this.at.memory.root, name }));
    assert.ok(found.status === 0);
    return found.object;
  }
  async read(object: FileHandle, blocks: readonly number[]): Promise<void> {
    for (const one of blocks) {
      const reply = await this.wait(this.layer.read(alice, { object, offset: one * block + 100, count: 4 * KiB }));
      assert.ok(reply.status === 0 && reply.count === 4 * KiB);
      reply.release?.();
    }
  }
  async close(): Promise<void> {
    await this.wait(this.layer.end(false));
    await this.wait(this.layer.close());
  }
}

/** Here and there, no two adjacent. */
export const boot = Array.from({ length: 60 }, (_, index) => 1000 + ((index * 37) % 61) * 10);

export function attributesOf(memory: MemoryFilesystem, object: FileHandle): Attributes {
  const got = memory.getattr(root, { object });
  assert.ok(!(got instanceof Promise) && got.status === 0);
  return got.attributes;
}

export function sparseFile(memory: MemoryFilesystem, bytes: number, name = 'file'): FileHandle {
  const object = makeFile(memory, 0, 0o644, name);
  void memory.setattr(root, { object, set: { size: bytes } });
  return object;
}
