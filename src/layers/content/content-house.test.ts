/** What tests of the content layer share: an origin in memory with a described file, the caches around the layer, and readers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, seededRandom, systemClock } from '../../base/mod.ts';
import { CleanCache } from '../../cache/mod.ts';
import { decodeGroup, MemoryHintIndex } from '../../content/mod.ts';
import {
  CacheFixture,
  describeFile,
  FaultLayer,
  type MadeContent,
  MemoryFilesystem,
  patternBytes,
  putContent,
} from '../../testing/mod.ts';
import {
  type Attributes,
  type Call,
  credential,
  type FileHandle,
  type Filesystem,
  type PathWalker,
} from '../../vfs/mod.ts';
import { AccessCache } from '../access-cache.ts';
import { AttributeCache } from '../attribute-cache.ts';
import { MemoryCache } from '../block-cache/memory-cache.test.ts';
import { BlockCache, type BlockCacheOptions } from '../block-cache.ts';
import { Content, type ContentOptions } from '../content.ts';
import { noReadAhead } from '../read-ahead/mod.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
export const root: Call = { credential: credential(0, 0), peer: 'test', priority: 'demand' };
export const alice: Call = { ...root, credential: credential(1000, 1000) };
export const ahead: Call = { ...alice, priority: 'prefetch' };

/** A third zero, a third text-like, some of it twice; whatever the size, its last sector is a part. */
export function imageBytes(size: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(size);
  for (let offset = 0; offset < size; offset += 64 * KiB) {
    const block = offset / (64 * KiB);
    if (block % 3 === 0) continue;
    const count = Math.min(block % 5 === 0 ? 20 * KiB : 64 * KiB, size - offset);
    const source = block % 7 === 6 ? offset - 2 * 64 * KiB : offset;
    // Half of each sector compresses.
    for (let at = 0; at < count; at += 4 * KiB) {
      const part = Math.min(2 * KiB, count - at);
      patternBytes(seed, source + at, part).copy(bytes, offset + at);
    }
  }
  return bytes;
}

/** Decompresses as ever, and says when the thread pool is done with it: a simulated clock must not go on before. */
export class WatchedDecoder {
  #underWay = 0;

  readonly decode: typeof decodeGroup = (place, bytes) => {
    this.#underWay++;
    return decodeGroup(place, bytes).finally(() => this.#underWay--);
  };

  /** All that can run has run, and nothing is being decompressed. */
  async rest(): Promise<void> {
    do await new Promise((resolve) => setTimeout(resolve, 0));
    while (this.#underWay > 0);
  }
}

export interface HouseOptions {
  readonly size?: number;
  readonly cache?: Partial<BlockCacheOptions>;
  readonly clock?: Clock;
  readonly walker?: ((house: House) => PathWalker) | undefined;
  readonly between?: (origin: Filesystem) => Filesystem;
  /** Blocks are kept in memory instead of on the disk, for tests that need many houses. */
  readonly isLight?: boolean;
  readonly decode?: ContentOptions['decode'];
  readonly isPackNear?: ContentOptions['isPackNear'];
}

export class House implements AsyncDisposable {
  readonly fixture = new CacheFixture();
  readonly memory = new MemoryFilesystem({ poisonReleased: true });
  readonly origin = new FaultLayer(this.memory);
  readonly hints = new MemoryHintIndex({ entries: 65_536 });
  readonly log = this.fixture.log;
  content!: Content;
  top!: Filesystem;
  #options: HouseOptions;

  private constructor(options: HouseOptions) {
    this.#options = options;
  }

  static async open(options: HouseOptions = {}): Promise<House> {
    const house = new House(options);
    await house.start();
    return house;
  }

  /** Also after a restart: the cache on the disk is the same. */
  async start(): Promise<void> {
    const { cache: more, between, walker, isLight, decode, isPackNear } = this.#options;
    const { clock = systemClock } = this.#options;
    const cache =
      isLight === true
        ? new MemoryCache({ clock, random: seededRandom(1) })
        : await this.fixture.open({ sizeBytes: 64 * MiB });
    const tools = { clock, log: this.log };
    const below = new AccessCache(new AttributeCache(between?.(this.origin) ?? this.origin, tools), tools);
    this.content = new Content(below, {
      store: cache,
      hints: this.hints,
      walker: walker?.(this),
      decode,
      isPackNear,
      ...tools,
    });
    this.top = new BlockCache(this.content, { cache: this.content.blocks, readAhead: noReadAhead, ...tools, ...more });
    this.stop = async () => {
      await this.top.close();
      if (cache instanceof CleanCache) await cache.close();
    };
  }

  stop: () => Promise<void> = async () => {};

  /** A file of alice's; described unless it is said that it shall not be. */
  async file(name: string, bytes: Buffer, isDescribed = true): Promise<FileHandle> {
    const set = { mode: 0o644, uid: 1000, gid: 1000 };
    const made = this.memory.create(root, {
      where: { directory: this.memory.root, name },
      how: { mode: 'guarded', set },
    });
    assert.ok(made.status === 0 && made.object !== undefined);
    for (let offset = 0; offset < bytes.length; offset += MiB) {
      const data = bytes.subarray(offset, offset + MiB);
      this.memory.write(root, { object: made.object, offset, count: data.length, stable: 2, data: [data] });
    }
    if (isDescribed) await describeFile(this.memory, this.memory.root, name, bytes);
    return made.object;
  }

  put(name: string, made: Partial<MadeContent>, like: Partial<Attributes> = {}): Promise<void> {
    return putContent(this.memory, this.memory.root, name, made, { uid: 1000, gid: 1000, mode: 0o644, ...like });
  }

  async lookup(name: string, call = alice): Promise<FileHandle> {
    const found = await this.top.lookup(call, { directory: this.top.root, name });
    assert.ok(found.status === 0);
    return found.object;
  }

  async read(object: FileHandle, offset: number, count: number, call = alice, over: Filesystem = this.top) {
    const reply = await over.read(call, { object, offset, count });
    assert.ok(reply.status === 0, `READ: ${reply.status}`);
    const bytes = Buffer.concat(reply.data as Uint8Array[]);
    assert.equal(bytes.length, reply.count);
    reply.release?.();
    return bytes;
  }

  /** All of it, in READs of `step` bytes, is as it should be. */
  async check(object: FileHandle, wanted: Buffer, step = 256 * KiB, call = alice): Promise<void> {
    for (let offset = 0; offset < wanted.length; offset += step) {
      const got = await this.read(object, offset, step, call);
      const right = wanted.subarray(offset, offset + step);
      assert.ok(got.equals(right), `bytes from ${offset} on`);
    }
  }

  /** Bytes that the origin sent of the file itself from now on. */
  countReads(object: FileHandle): () => number {
    let bytes = 0;
    this.origin.on('read', async (args, proceed) => {
      const reply = await proceed();
      if (args.object === object && reply.status === 0) bytes += reply.count;
      return reply;
    });
    return () => bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    assert.equal(this.memory.unreleased, 0, 'READ replies that were not released');
    await this.fixture[Symbol.asyncDispose]();
  }
}

test('the image of these tests has zeros, data and repetitions', () => {
  const bytes = imageBytes(1 * MiB + 1000);
  assert.ok(bytes.subarray(0, 64 * KiB).every((byte) => byte === 0));
  assert.ok(!bytes.subarray(64 * KiB, 128 * KiB).every((byte) => byte === 0));
  assert.ok(bytes.subarray(6 * 64 * KiB, 7 * 64 * KiB).every((byte) => byte === 0));
});
