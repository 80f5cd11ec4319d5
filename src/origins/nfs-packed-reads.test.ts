/** READs over slow and fast links: what crosses, what is sent together, and when data is read as it is. */
import { strict as assert } from 'node:assert';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { seededRandom, silentLog, sleep, systemClock } from '../base/mod.ts';
import { channelProgram, Feature } from '../channel/mod.ts';
import { startLink } from '../link/mod.ts';
import { mount3Program } from '../mount3/mod.ts';
import { nfs3Program } from '../nfs3/mod.ts';
import { RpcServer } from '../rpc/mod.ts';
import { callBy, MemoryFilesystem, ok, SimulatedClock } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { openNfsOrigin } from './nfs.ts';
import { PackedReads } from './nfs-packed-reads.ts';

const { Status, Stability } = vfs;
const host = '127.0.0.1';
const superuser = vfs.credential(0, 0);
const call = callBy(superuser);
const KiB = 1024;
const MiB = 1024 * KiB;

/** A server behind 40 Mbit/s and 4 ms, and its file. */
async function farFile(t: TestContext, content: Buffer) {
  const memory = new MemoryFilesystem({ poisonReleased: true });
  const where = { directory: memory.root, name: 'disk' };
  const { object } = ok(await memory.create(call, { where, how: { mode: 'guarded', set: { mode: 0o644 } } }));
  assert.ok(object !== undefined);
  for (let offset = 0; offset < content.length; offset += MiB) {
    const data = [content.subarray(offset, offset + MiB)];
    ok(await memory.write(call, { object, offset, count: data[0]!.length, stable: Stability.FILE_SYNC, data }));
  }
  const tools = { clock: systemClock, log: silentLog };
  const names = { server: 's'.repeat(16), start: 't'.repeat(16) };
  const channel = channelProgram({ filesystem: memory, features: Object.values(Feature), ...names, ...tools });
  const programs = [nfs3Program(memory), mount3Program({ filesystem: memory }), channel];
  const server = new RpcServer({ programs, ...tools });
  t.after(() => server.close());
  const target = { host, port: (await server.listen(host, 0)).port };
  const routes = [{ listen: { host, port: 0 }, target }];
  const link = await startLink({ routes, roundTripMs: 4, bitsPerSecond: 40e6, ...tools });
  t.after(() => link.close());
  const address = { kind: 'nfs', host, port: link.addresses[0]!.port, path: '/', connections: 1 } as const;
  const random = seededRandom(8);
  const origin = await openNfsOrigin({ address, credential: superuser, hostName: 'me', ...tools, random });
  t.after(() => origin.close());
  const read = async (offset: number, count: number): Promise<vfs.ReadReply & { readonly status: 0 }> => {
    const reply = ok(await origin.read(call, { object, offset, count }));
    assert.ok(reply.status === 0);
    const data = Buffer.concat(reply.data);
    reply.release?.();
    assert.ok(data.equals(content.subarray(offset, offset + count)), `${count} bytes at ${offset}`);
    assert.equal(reply.eof, offset + count >= content.length);
    return reply;
  };
  /** From then on the link is known. */
  await read(0, 64 * KiB);
  return { memory, origin, object, read, crossed: () => link.counters().backwardBytes };
}

test('over a slow link text and zeros cost a part of their size, and replies show their version as ever', async (t) => {
  const content = Buffer.concat([randomBytes(64 * KiB), Buffer.alloc(MiB), Buffer.alloc(MiB, 'some lines of text; ')]);
  const { memory, origin, object, read, crossed } = await farFile(t, content);
  const before = crossed();
  for (let offset = 64 * KiB; offset < content.length; offset += 128 * KiB) {
    const { attributes, linkBytes } = await read(offset, 128 * KiB);
    assert.deepEqual(attributes, ok(await memory.getattr(call, { object })).attributes);
    assert.ok(linkBytes !== undefined && linkBytes < 8 * KiB, `${linkBytes} bytes`);
  }
  assert.ok(crossed() - before < 32 * KiB, `${crossed() - before} bytes crossed`);
  const { packedReadCalls, packedReads, packedReadBytes, packedReadWireBytes } = origin.stats();
  assert.deepEqual([packedReadCalls, packedReads, packedReadBytes], [16, 16, 2 * MiB]);
  assert.ok(packedReadWireBytes < 32 * KiB);
  assert.equal(memory.unreleased, 0);
});

test('small READs of one turn cross in one call, each with its own answer', async (t) => {
  const content = Buffer.alloc(MiB, 'page of much the same ');
  const { memory, origin, object, read } = await farFile(t, content);
  const calls = origin.stats().packedReadCalls;
  const offsets = Array.from({ length: 40 }, (_, i) => i * 20 * KiB + 100);
  await Promise.all(offsets.map((offset) => read(offset, 4 * KiB)));
  assert.equal(origin.stats().packedReadCalls - calls, 1);
  // Alone and small, past the end, of another caller, of nothing: as ever.
  await read(8 * KiB, 4 * KiB);
  assert.equal(origin.stats().packedReadCalls - calls, 1);
  const [beyond, foreign, gone] = await Promise.all([
    origin.read(call, { object, offset: 2 * MiB, count: 64 * KiB }),
    origin.read(callBy(vfs.credential(1000, 1000)), { object, offset: 0, count: 64 * KiB }),
    origin.read(call, { object: 'nothing', offset: 0, count: 64 * KiB }),
  ]);
  assert.ok(beyond.status === 0 && beyond.count === 0 && beyond.eof);
  assert.equal(foreign.status, 0);
  assert.ok(gone.status === Status.STALE || gone.status === Status.BADHANDLE);
  ok(await memory.setattr(call, { object, set: { mode: 0o600 } }));
  const refusal = await origin.read(callBy(vfs.credential(1000, 1000)), { object, offset: 0, count: 64 * KiB });
  assert.equal(refusal.status, Status.ACCES);
});

test('what does not pack is soon read as it is', async (t) => {
  const { origin, read, crossed } = await farFile(t, randomBytes(2 * MiB));
  const before = crossed();
  for (let offset = 0; offset < 2 * MiB; offset += 128 * KiB) await read(offset, 128 * KiB);
  assert.equal(origin.stats().packedReadBytes, 512 * KiB);
  assert.ok(crossed() - before < 2 * MiB + 16 * KiB);
});

test('data of two versions shows no attributes', async (t) => {
  const content = Buffer.alloc(256 * KiB, 'x');
  const { memory, origin, object } = await farFile(t, content);
  let reads = 0;
  const real = memory.read.bind(memory);
  memory.read = (by: vfs.Call, args: vfs.ReadArguments) => {
    if (++reads === 2) {
      const data = [Buffer.from('new')];
      ok(memory.write(call, { object, offset: 0, count: 3, stable: Stability.FILE_SYNC, data }) as vfs.WriteReply);
    }
    return real(by, args);
  };
  const both = await Promise.all([0, 64 * KiB].map((offset) => origin.read(call, { object, offset, count: 8 * KiB })));
  for (const reply of both) assert.ok(reply.status === 0 && reply.attributes === undefined);
  const { attributes } = ok(await origin.read(call, { object, offset: 0, count: 8 * KiB }));
  assert.ok(attributes !== undefined);
});

/** Without sockets: a link of `rate` bytes a millisecond, and a server that packs to `share`. */
class Bench {
  readonly clock = new SimulatedClock();
  readonly plain: number[] = [];
  readonly packed: number[] = [];
  rate = 1000;
  share = 0.5;
  offers = true;
  refusal: vfs.Failure | undefined;
  mostResults = 256;
  #received = 0;

  readonly reads = new PackedReads({
    next: { read: (_call, args) => this.#plain(args) },
    data: {
      canReadVectors: () => this.offers,
      vectorRanges: 256,
      vectorBytes: MiB,
      readVector: async (by, args) => (await this.#packed(by, args)).reply,
      readVectorMeasured: (by, args) => this.#packed(by, args),
    },
    clock: this.clock,
    receivedBytes: () => this.#received,
    readMaximum: MiB,
  });

  async #cross(bytes: number): Promise<void> {
    await sleep(this.clock, bytes / this.rate);
    this.#received += bytes;
  }

  async #plain({ count }: vfs.ReadArguments): Promise<vfs.ReadReply> {
    this.plain.push(count);
    await this.#cross(count);
    return { status: 0, data: [Buffer.alloc(count)], count, eof: false };
  }

  async #packed(_by: vfs.Call, { ranges }: vfs.VectorReadArguments) {
    const bytes = ranges.reduce((sum, { count }) => sum + count, 0);
    this.packed.push(bytes);
    await this.#cross(this.share * bytes);
    if (this.refusal !== undefined) return { reply: { status: this.refusal }, storedBytes: 0 };
    const results = ranges.slice(0, this.mostResults).map(({ count }) => {
      return { status: 0 as const, data: [Buffer.alloc(count)], count, eof: false };
    });
    return { reply: { status: 0 as const, results }, storedBytes: this.share * bytes };
  }

  /** One after another. */
  async read(times: number, count = 64 * KiB): Promise<void> {
    for (let i = 0; i < times; i++) {
      const reply = this.reads.read(call, { object: 'file', offset: i * count, count });
      while (!(await isDone(reply))) await this.clock.advance(1);
      assert.equal((await reply).status, 0);
    }
  }
}

async function isDone(promise: unknown): Promise<boolean> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
  const pending = Symbol('pending');
  return (await Promise.race([promise, Promise.resolve(pending)])) !== pending;
}

test('over a fast link, and from a server that does not offer it, data crosses as it is', async () => {
  const fast = new Bench();
  fast.rate = 100_000;
  await fast.read(20);
  assert.deepEqual([fast.plain.length, fast.packed.length], [20, 0]);
  const plain = new Bench();
  plain.offers = false;
  await plain.read(20);
  assert.deepEqual([plain.plain.length, plain.packed.length], [20, 0]);
});

test('a link that became fast is noticed, and one that became slow as well', async () => {
  const bench = new Bench();
  await bench.read(50);
  assert.deepEqual([bench.plain.length, bench.packed.length], [1, 49]);
  bench.rate = 100_000;
  bench.share = 0.001;
  await bench.read(200);
  const before = bench.packed.length;
  assert.ok(before < 150, `${before} were packed`);
  await bench.read(20);
  assert.equal(bench.packed.length, before);
  bench.rate = 1000;
  await bench.read(300);
  assert.ok(bench.packed.length > before);
});

test('a file that does not pack rests, and is tried again', async () => {
  const bench = new Bench();
  bench.share = 1;
  await bench.read(30);
  assert.equal(bench.packed.length, 8);
  await bench.clock.advance(31_000);
  await bench.read(1);
  assert.equal(bench.packed.length, 9);
});

test('refusals and short answers are read as they are', async () => {
  const bench = new Bench();
  await bench.read(1);
  bench.mostResults = 2;
  const together = Promise.all(
    [0, 1, 2, 3].map(async (i) => bench.reads.read(call, { object: 'file', offset: i * 4096, count: 4096 })),
  );
  while (!(await isDone(together))) await bench.clock.advance(1);
  for (const reply of await together) assert.ok(reply.status === 0 && reply.count === 4096);
  assert.deepEqual([bench.packed, bench.plain], [[16_384], [64 * KiB, 4096, 4096]]);
  bench.refusal = Status.NOTSUPP;
  await bench.read(3);
  // Once, then not for a while.
  assert.equal(bench.packed.length, 2);
  assert.equal(bench.plain.length, 6);
  assert.equal(bench.reads.stats().packedReadFailures, 1);
});
