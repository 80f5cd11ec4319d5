/** The block cache over an origin that does not tell what was before a WRITE, with and without the promise of a sole writer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Eventual, limits, type Random, seededRandom, silentLog, sleep } from '../base/mod.ts';
import { InterceptingFilesystem, MemoryFilesystem, ok, SimulatedClock } from '../testing/mod.ts';
import type * as vfs from '../vfs/mod.ts';
import { type Call, credential, Stability } from '../vfs/mod.ts';
import { AttributeCache } from './attribute-cache.ts';
import { MemoryCache } from './block-cache/memory-cache.test.ts';
import { BlockCache } from './block-cache.ts';

const call: Call = { credential: credential(0, 0), peer: 'test', priority: 'demand' };
const blocks = 8;
const { blockBytes } = limits;
const size = blocks * blockBytes;

/** Replies take random times, so that they overtake each other; no `before`, as from Linux and Ganesha. */
class ForeignServer extends InterceptingFilesystem {
  readonly #clock: SimulatedClock;
  readonly #random: Random;
  readBytes = 0;
  verifier: string | undefined;
  namesFiles = true;

  constructor(next: vfs.Filesystem, clock: SimulatedClock, random: Random) {
    super(next);
    this.#clock = clock;
    this.#random = random;
  }

  protected async intercept<R>(
    operation: vfs.OperationName,
    _call: Call,
    args: unknown,
    proceed: () => Eventual<R>,
  ): Promise<R> {
    await sleep(this.#clock, this.#random.uint32() % 20);
    const reply = await proceed();
    await sleep(this.#clock, this.#random.uint32() % 20);
    if (operation === 'read') this.readBytes += (args as vfs.ReadArguments).count;
    if (operation === 'create' && !this.namesFiles) return { ...reply, object: undefined };
    const { wcc } = reply as { wcc?: vfs.WccData };
    if (wcc === undefined) return reply;
    return { ...reply, wcc: { after: wcc.after }, ...(this.verifier === undefined ? {} : { verifier: this.verifier }) };
  }
}

class Bench {
  readonly clock = new SimulatedClock();
  readonly random = seededRandom(7);
  readonly memory = new MemoryFilesystem({ clock: this.clock });
  readonly server = new ForeignServer(this.memory, this.clock, this.random);
  readonly cache = new MemoryCache({ clock: this.clock, random: this.random });
  readonly object: string;
  readonly content = Buffer.alloc(size);
  layer: BlockCache;

  constructor(soleWriter: boolean) {
    const where = { directory: this.memory.root, name: 'disk' };
    const made = this.memory.create(call, { where, how: { mode: 'guarded', set: { mode: 0o644 } } });
    this.object = ok(made as vfs.CreateReply).object!;
    for (let block = 0; block < blocks; block++)
      this.content.fill(block + 1, block * blockBytes, (block + 1) * blockBytes);
    this.put(0, this.content);
    this.layer = this.start(soleWriter);
  }

  /** As after a restart of the proxy: the cache is what stays. */
  start(soleWriter: boolean): BlockCache {
    const next = new AttributeCache(this.server, { clock: this.clock });
    this.layer = new BlockCache(next, { cache: this.cache, clock: this.clock, log: silentLog, soleWriter });
    return this.layer;
  }

  /** Behind the proxy's back. */
  put(offset: number, data: Buffer): void {
    const args = { object: this.object, offset, count: data.length, stable: Stability.FILE_SYNC, data: [data] };
    this.memory.write(call, args);
  }

  async finish<R>(work: Eventual<R>): Promise<R> {
    const settled = Promise.resolve(work);
    settled.catch(() => {});
    await this.clock.advance(1_000);
    return await settled;
  }

  /** Bytes that the origin was asked for. */
  async readAll(): Promise<number> {
    const before = this.server.readBytes;
    for (let offset = 0; offset < size; offset += blockBytes) {
      const read = this.layer.read(call, { object: this.object, offset, count: blockBytes });
      const reply = ok(await this.finish(read));
      const got = Buffer.concat(reply.data as Uint8Array[]);
      assert.ok(got.equals(this.content.subarray(offset, offset + blockBytes)), `wrong bytes at ${offset}`);
      reply.release?.();
    }
    return this.server.readBytes - before;
  }

  /** 4 KiB each, at places of the first two blocks that do not touch. */
  async write(count: number, from = 0): Promise<void> {
    const writes = Array.from({ length: count }, (_, index) => {
      const offset = (from + index) * 8192;
      const data = Buffer.alloc(4096, 100 + index);
      data.copy(this.content, offset);
      return this.layer.write(call, { object: this.object, offset, count: 4096, stable: 0, data: [data] });
    });
    for (const reply of await this.finish(Promise.all(writes))) ok(reply);
  }
}

test('a sole writer keeps what is cached over 16 overlapping writes, written blocks too', async () => {
  const bench = new Bench(true);
  assert.ok((await bench.readAll()) >= size);
  for (let burst = 0; burst < 5; burst++) {
    await bench.write(16);
    await bench.finish(bench.layer.commit(call, { object: bench.object, offset: 0, count: 0 }));
    assert.ok((await bench.readAll()) <= 2 * blockBytes);
  }
  assert.equal(await bench.readAll(), 0);
});

test('without the promise such writes cost the whole cached version', async () => {
  const bench = new Bench(false);
  await bench.readAll();
  await bench.write(16);
  assert.ok((await bench.readAll()) >= size);
});

test('a sole writer that writes first thing after a restart keeps the cache of the run before', async () => {
  const bench = new Bench(true);
  await bench.readAll();
  bench.start(true);
  await bench.write(16);
  assert.ok((await bench.readAll()) <= 2 * blockBytes);
});

test('what somebody changed while no proxy ran is found, also if the first call is a write', async () => {
  const bench = new Bench(true);
  await bench.readAll();
  await bench.clock.advance(1_000);
  bench.content.fill(77, 5 * blockBytes, 5 * blockBytes + 100);
  bench.put(5 * blockBytes, bench.content.subarray(5 * blockBytes, 5 * blockBytes + 100));
  bench.start(true);
  await bench.write(4);
  await bench.readAll();
});

test('a CREATE that empties a file without saying which one ends what is relied on', async () => {
  const bench = new Bench(true);
  await bench.readAll();
  bench.server.namesFiles = false;
  const where = { directory: bench.memory.root, name: 'disk' };
  ok(await bench.finish(bench.layer.create(call, { where, how: { mode: 'unchecked', set: { size: 0 } } })));
  bench.content.fill(0);
  const set = { size };
  ok(await bench.finish(bench.layer.setattr(call, { object: bench.object, set })));
  await bench.readAll();
});

test('a verifier that changes gives up what was written: the origin may have lost it', async () => {
  const bench = new Bench(true);
  await bench.readAll();
  await bench.write(1);
  await bench.readAll();
  bench.server.verifier = 'another!';
  await bench.write(1, 1);
  assert.ok((await bench.readAll()) >= size);
});
