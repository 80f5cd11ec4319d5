/** The block cache against a model: whatever happens at once, no read returns bytes that were never right while it ran. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Clock, type Eventual, type Random, seededRandom, silentLog, sleep } from '../base/mod.ts';
import { MemoryFilesystem, SimulatedClock } from '../testing/mod.ts';
import type * as vfs from '../vfs/mod.ts';
import { type Call, credential, type FileHandle, ForwardingFilesystem, Stability } from '../vfs/mod.ts';
import { AttributeCache } from './attribute-cache.ts';
import { MemoryCache } from './block-cache/memory-cache.test.ts';
import { BlockCache } from './block-cache.ts';

const call: Call = { credential: credential(0, 0), peer: 'test', priority: 'demand' };
/** Few blocks, so that what happens at once happens to the same bytes. */
const mostBytes = 140_000;

/** Takes a random time on both ways, so that calls overtake each other; notes every state of the file. */
class SlowOrigin extends ForwardingFilesystem {
  readonly states: Buffer[] = [];
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #contents: () => Buffer;
  failOneIn = 0;
  /** As Linux and Ganesha do. */
  tellsBefore = true;

  constructor(next: vfs.Filesystem, clock: Clock, random: Random, contents: () => Buffer) {
    super(next);
    this.#clock = clock;
    this.#random = random;
    this.#contents = contents;
  }

  note(): void {
    this.states.push(this.#contents());
  }

  async #slowly<R>(execute: () => Eventual<R>): Promise<R> {
    await sleep(this.#clock, this.#random.uint32() % 20);
    const reply = await execute();
    await sleep(this.#clock, this.#random.uint32() % 20);
    return reply;
  }

  override getattr(who: Call, args: vfs.GetattrArguments): Eventual<vfs.GetattrReply> {
    return this.#random.uint32() % 2 === 0 ? super.getattr(who, args) : this.#slowly(() => super.getattr(who, args));
  }
  override read(who: Call, args: vfs.ReadArguments): Eventual<vfs.ReadReply> {
    // Some servers answer short.
    const count = this.#random.uint32() % 4 === 0 ? Math.ceil(args.count / 2) : args.count;
    return this.#slowly(() =>
      this.failOneIn > 0 && this.#random.uint32() % this.failOneIn === 0
        ? { status: 5 }
        : super.read(who, { ...args, count }),
    );
  }
  override write(who: Call, args: vfs.WriteArguments): Eventual<vfs.WriteReply> {
    return this.#slowly(async () => {
      const reply = await super.write(who, args);
      this.note();
      return this.tellsBefore ? reply : { ...reply, wcc: { after: reply.wcc.after } };
    });
  }
  override setattr(who: Call, args: vfs.SetattrArguments): Eventual<vfs.WccReply> {
    return this.#slowly(async () => {
      const reply = await super.setattr(who, args);
      this.note();
      return this.tellsBefore ? reply : { ...reply, wcc: { after: reply.wcc.after } };
    });
  }
}

interface Step {
  readonly kind: 'read' | 'write' | 'truncate' | 'foreign' | 'shrink elsewhere';
  readonly offset: number;
  readonly count: number;
  readonly waitMs: number;
}

const offsets = fc.oneof(
  fc.integer({ min: 0, max: mostBytes }),
  fc.integer({ min: 0, max: 34 }).map((sector) => sector * 4096),
);
const steps = fc.array(
  fc.record<Step>({
    kind: fc.constantFrom('read', 'read', 'read', 'read', 'write', 'write', 'truncate', 'foreign', 'shrink elsewhere'),
    offset: offsets,
    count: fc.oneof(
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 1, max: 5_000 }),
      fc.constantFrom(4096, 65_536, 131_072),
    ),
    waitMs: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 30 }), fc.constant(100)),
  }),
  { minLength: 5, maxLength: 40 },
);

class Model {
  readonly clock = new SimulatedClock();
  readonly memory: MemoryFilesystem;
  readonly origin: SlowOrigin;
  readonly cache: MemoryCache;
  readonly layer: BlockCache;
  readonly random: Random;
  handle: FileHandle = '';
  #marks = 0;
  /** Our own changes under way, and how many began so far. */
  #changing = 0;
  #changes = 0;

  constructor(seed: number, soleWriter: boolean) {
    this.random = seededRandom(seed);
    this.memory = new MemoryFilesystem({ clock: this.clock, poisonReleased: true });
    this.origin = new SlowOrigin(this.memory, this.clock, this.random, () => this.contents());
    this.cache = new MemoryCache({
      clock: this.clock,
      random: this.random,
      evictOneIn: 10,
      lateOneIn: 3,
      fillFails: () => this.random.uint32() % 10 === 0,
    });
    this.origin.tellsBefore = !soleWriter;
    const { clock } = this;
    const isBelow = soleWriter && this.random.uint32() % 2 === 0;
    const next = isBelow ? new AttributeCache(this.origin, { clock }) : this.origin;
    this.layer = new BlockCache(next, { cache: this.cache, clock, log: silentLog, soleWriter });
    const made = this.memory.create(call, {
      where: { directory: this.memory.root, name: 'f' },
      how: { mode: 'guarded', set: { mode: 0o644 } },
    });
    assert.equal(made.status, 0);
    this.handle = made.status === 0 ? (made.object ?? '') : '';
    this.#put(0, mostBytes / 2);
    this.origin.note();
  }

  contents(): Buffer {
    const reply = this.memory.read(call, { object: this.handle, offset: 0, count: 1_000_000 });
    assert.ok(reply.status === 0);
    const bytes = Buffer.concat(reply.data as Uint8Array[]);
    reply.release?.();
    return bytes;
  }

  bytes(count: number): Buffer {
    const mark = ++this.#marks;
    const bytes = Buffer.alloc(count);
    for (let i = 0; i < count; i++) bytes[i] = (mark * 31 + (i >> 6)) & 255 || 1;
    return bytes;
  }

  #put(offset: number, count: number): void {
    const data = [this.bytes(count)];
    this.memory.write(call, { object: this.handle, offset, count, stable: Stability.FILE_SYNC, data });
  }

  async run(step: Step): Promise<void> {
    const { offset, count } = step;
    switch (step.kind) {
      case 'read':
        return this.#read(offset, count);
      case 'write': {
        const data = [this.bytes(count)];
        const args = { object: this.handle, offset, count, stable: 0, data } as const;
        return this.#change(() => this.layer.write(call, args));
      }
      case 'truncate':
        return this.#change(() => this.layer.setattr(call, { object: this.handle, set: { size: offset } }));
      case 'foreign':
        this.#put(offset, count);
        return this.origin.note();
      case 'shrink elsewhere':
        this.memory.setattr(call, { object: this.handle, set: { size: offset } });
        return this.origin.note();
    }
  }

  async #change(change: () => Eventual<{ readonly status: number }>): Promise<void> {
    this.#changing++;
    this.#changes++;
    assert.equal((await change()).status, 0);
    this.#changing--;
  }

  async #read(offset: number, count: number): Promise<void> {
    const first = this.origin.states.length - 1;
    const wasQuiet = this.#changing === 0;
    const changes = this.#changes;
    const reply = await this.layer.read(call, { object: this.handle, offset, count });
    if (reply.status !== 0) {
      assert.ok(this.origin.failOneIn > 0, `unexpected status ${reply.status}`);
      return;
    }
    const states = this.origin.states.slice(first);
    const got = Buffer.concat(reply.data as Uint8Array[]);
    assert.equal(got.length, reply.count);
    for (let i = 0; i < got.length; i++) {
      const isRight = states.some((state) => offset + i < state.length && state[offset + i] === got[i]);
      assert.ok(isRight, `byte ${offset + i} of [${offset}, +${count}) was never ${got[i]} during the read`);
    }
    // Beside other people's changes only, all bytes are of one moment.
    if (wasQuiet && changes === this.#changes) {
      const isOne = states.some((state) => got.equals(state.subarray(offset, offset + got.length)));
      assert.ok(isOne, `[${offset}, +${count}) mixes versions`);
    }
    const mayEnd = states.some((state) => offset + got.length >= state.length);
    if (reply.eof) assert.ok(mayEnd, 'eof only at an end of the file');
    reply.release?.();
  }
}

async function play(seed: number, script: readonly Step[], failOneIn: number, soleWriter = false): Promise<void> {
  const model = new Model(seed, soleWriter);
  model.origin.failOneIn = failOneIn;
  const running: Promise<void>[] = [];
  for (const step of script) {
    const done = model.run(step);
    done.catch(() => {});
    running.push(done);
    await model.clock.advance(step.waitMs);
  }
  const all = Promise.all(running);
  all.catch(() => {});
  await model.clock.advance(2_000);
  await all;
  model.origin.failOneIn = 0;
  // In the end, at rest: everything is right, twice, and nothing is still lent.
  for (let round = 0; round < 2; round++) {
    const last = Promise.all(
      [0, 65_536, 131_072].map((offset) => model.run({ kind: 'read', offset, count: 65_536, waitMs: 0 })),
    );
    last.catch(() => {});
    await model.clock.advance(1_000);
    await last;
  }
  const closed = model.layer.close();
  await model.clock.advance(1_000);
  await closed;
  assert.equal(model.cache.lent, 0, 'hits not released');
  assert.equal(model.memory.unreleased, 0, 'origin replies not released');
}

const seed = Number(process.env.SEED ?? 20261122);

test('a read returns bytes that were right while it ran, whatever happens at once', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), steps, (random, script) => play(random, script, 0)),
    { seed, numRuns: Number(process.env.RUNS ?? 50) },
  );
});

test('after failures of the origin the bytes are still right', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), steps, (random, script) => play(random, script, 6)),
    { seed: seed + 1, numRuns: Number(process.env.RUNS ?? 20) },
  );
});

test('with a sole writer before an origin that tells no attributes before a change, the bytes are right', async () => {
  const own = steps.map((script) => script.filter(({ kind }) => kind !== 'foreign' && kind !== 'shrink elsewhere'));
  await fc.assert(
    fc.asyncProperty(fc.integer(), own, fc.constantFrom(0, 6), (random, script, failOneIn) =>
      play(random, script, failOneIn, true),
    ),
    { seed: seed + 2, numRuns: Number(process.env.RUNS ?? 60) },
  );
});
