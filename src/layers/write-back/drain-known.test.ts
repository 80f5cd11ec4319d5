/** Data that the origin has already is not sent; and whatever the origin says of that, the file ends as it was written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom, sleep } from '../../base/mod.ts';
import { digestOf } from '../../content/mod.ts';
import { Chance } from '../../testing/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { sameBytes, sector, World, type WorldOptions } from './drain-fixture.test.ts';

const { Status } = vfs;
const MiB = 1 << 20;

/** An origin that says which sectors it has, and what the drain made of it. */
class Source implements vfs.ChunkHolder {
  readonly known = new Set<string>();
  readonly asked: number[] = [];
  isOffered = true;
  isSilent = false;
  failure: vfs.Failure | undefined;
  /** Instead of doing a WRITE of known data. */
  refuse: ((args: vfs.WriteArguments) => vfs.Failure | undefined) | undefined;
  /** How much of a WRITE of known data is done. */
  shorten: ((count: number) => number) | undefined;
  sentBytes = 0;
  spared = 0;
  sparedSinceMark = 0;

  canReference(): boolean {
    return this.isOffered;
  }

  async have(_call: vfs.Call, { digests }: vfs.HaveArguments): Promise<vfs.HaveReply> {
    this.asked.push(digests.length);
    await sleep(this.world.clock, 20);
    if (this.isSilent) await new Promise(() => undefined);
    if (this.failure !== undefined) return { status: this.failure, found: { has: () => true } };
    return { status: 0, found: { has: (item) => this.known.has(String(digests[item])) } };
  }

  learn(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; at += sector) this.known.add(String(digestOf(bytes.subarray(at, at + sector))));
  }

  world!: World;

  static async start(options: WorldOptions = {}): Promise<{ readonly world: World; readonly source: Source }> {
    const source = new Source();
    const world = await World.start({ ...options, chunks: source });
    source.world = world;
    world.origin.on('write', async (args, proceed) => {
      await sleep(world.clock, 20);
      const { known, data, count, offset } = args;
      if (known === undefined) {
        source.sentBytes += count;
        return proceed();
      }
      const refusal = source.refuse?.(args);
      if (refusal !== undefined) return { status: refusal, wcc: {} };
      const bytes = Buffer.concat(data);
      assert.equal(bytes.length, known.digests.length * sector);
      assert.equal(offset % sector, 0);
      for (const [i, digest] of known.digests.entries()) {
        assert.deepEqual(digest, digestOf(bytes.subarray(i * sector, (i + 1) * sector)));
      }
      const done = source.shorten?.(count) ?? count;
      source.spared += done;
      if (done === count) return proceed();
      const call = { credential: vfs.credential(0, 0), peer: 'test', priority: 'demand' } as const;
      return world.memory.write(call, { ...args, count: done, data: [bytes.subarray(0, done)] });
    });
    return { world, source };
  }
}

/** No two sectors are alike. */
function noise(seed: number, bytes: number): Buffer {
  const page = seededRandom(seed).bytes(new Uint8Array(sector));
  const buffer = Buffer.alloc(bytes, page);
  for (let at = 0; at + 4 <= bytes; at += 512) buffer.writeUInt32BE(at, at);
  return buffer;
}

async function write(world: World, object: string, bytes: Buffer, at = 0): Promise<void> {
  for (let offset = 0; offset < bytes.length; offset += 256 * 1024) {
    await world.proxy.write(object, at + offset, bytes.subarray(offset, offset + 256 * 1024));
  }
}

/** A log begins with a small segment, whose end is an epoch's: these changes are in it. Nobody is asked about files so small. */
async function fillFirstSegment({ world, source }: { readonly world: World; readonly source: Source }): Promise<void> {
  for (const name of ['one', 'two', 'three']) await write(world, world.make(name), noise(9, (7 * MiB) / 8));
  assert.equal((await world.proxy.flush()).outcome, 'done');
  assert.deepEqual(source.asked, []);
  source.sentBytes = 0;
}

test('what the origin has crosses as digests, the rest as data, and digests are asked about ahead', async () => {
  const { world, source } = await Source.start();
  await fillFirstSegment({ world, source });
  const object = world.make('clone');
  const bytes = noise(1, 6 * MiB);
  source.learn(bytes.subarray(0, 3 * MiB));
  source.learn(bytes.subarray(4 * MiB));
  await write(world, object, bytes);
  assert.equal((await world.proxy.flush()).outcome, 'done');
  sameBytes(world.content(object), bytes);
  assert.deepEqual([source.sentBytes, source.spared], [MiB, 5 * MiB]);
  assert.equal(world.proxy.drain.status().knownBytes, 5 * MiB);
  assert.deepEqual(source.asked.slice(0, 2), [256, 256]);
});

test('bytes around sectors, zeros, and sectors that lie alone are sent', async () => {
  const { world, source } = await Source.start();
  const object = world.make('clone');
  const bytes = noise(2, 2 * MiB + 1000);
  bytes.fill(0, MiB, MiB + 8 * sector);
  const at = 100;
  const whole = bytes.subarray(sector - at, sector - at + 2 * MiB);
  source.learn(whole);
  // Of each four sectors of the second half one is unknown.
  for (let i = 0; i < 64; i++) {
    const one = sector - at + MiB + 4 * i * sector;
    source.known.delete(String(digestOf(bytes.subarray(one, one + sector))));
  }
  await write(world, object, bytes, at);
  assert.equal((await world.proxy.flush()).outcome, 'done');
  sameBytes(world.content(object).subarray(at), bytes);
  assert.ok(source.spared >= MiB - sector && source.spared < MiB + 32 * sector, `${source.spared} bytes were spared`);
});

test('little data, and a server that does not offer it, is not asked about', async () => {
  const { world, source } = await Source.start();
  const bytes = noise(3, MiB - sector);
  source.learn(bytes);
  const small = world.make('small');
  await write(world, small, bytes);
  assert.equal((await world.proxy.flush()).outcome, 'done');
  source.isOffered = false;
  const large = world.make('large');
  await write(world, large, Buffer.concat([bytes, bytes]));
  assert.equal((await world.proxy.flush()).outcome, 'done');
  assert.deepEqual([source.asked, source.spared], [[], 0]);
});

test('who finds nothing asks once, and again much later', async () => {
  const { world, source } = await Source.start();
  const object = world.make('new');
  await write(world, object, noise(4, 12 * MiB));
  assert.equal((await world.proxy.flush()).outcome, 'done');
  assert.deepEqual(source.asked, [256]);
  await write(world, object, noise(5, 12 * MiB));
  assert.equal((await world.proxy.flush()).outcome, 'done');
  assert.equal(source.asked.length, 2);
  assert.equal(source.sentBytes, 24 * MiB);
});

test('an origin that has lost what it said it had, or has some of it, is sent the data, and nobody is blamed', async () => {
  for (const kind of ['nothing', 'some']) {
    const { world, source } = await Source.start();
    const object = world.make('clone');
    const bytes = noise(6, 4 * MiB);
    source.learn(bytes);
    if (kind === 'nothing') source.refuse = () => Status.NOTSUPP;
    else source.shorten = (count) => (count > sector ? count - sector : count);
    await write(world, object, bytes);
    assert.deepEqual(await world.proxy.flush(), { outcome: 'done', problems: [] });
    sameBytes(world.content(object), bytes);
    assert.equal(world.proxy.drain.status().movedBytes, 4 * MiB);
    assert.deepEqual(world.names(), ['clone']);
    assert.equal(world.proxy.files.get(object)?.conflict, undefined);
    if (kind === 'nothing') assert.equal(source.sentBytes, 4 * MiB);
  }
});

test('an answer that does not come, or is an error, holds nothing up', async () => {
  for (const kind of ['silent', 'error']) {
    const { world, source } = await Source.start();
    const object = world.make('clone');
    const bytes = noise(7, 4 * MiB);
    source.learn(bytes);
    if (kind === 'silent') source.isSilent = true;
    else source.failure = Status.SERVERFAULT;
    await write(world, object, bytes);
    const before = world.clock.now();
    assert.equal((await world.proxy.flush()).outcome, 'done');
    assert.ok(world.clock.now() - before < 6_000);
    sameBytes(world.content(object), bytes);
    assert.deepEqual([source.spared, source.sentBytes, source.asked.length], [0, 4 * MiB, 1]);
  }
});

test('what the origin loses by a restart is sent again as data', async () => {
  const { world, source } = await Source.start();
  await fillFirstSegment({ world, source });
  const object = world.make('clone');
  const bytes = noise(8, 4 * MiB);
  source.learn(bytes);
  let isRestarted = false;
  world.origin.on('commit', (_args, proceed) => {
    if (!isRestarted) world.memory.restart();
    isRestarted = true;
    return proceed();
  });
  await write(world, object, bytes);
  assert.equal((await world.proxy.flush()).outcome, 'done');
  sameBytes(world.content(object), bytes);
  world.memory.restart();
  sameBytes(world.content(object), bytes);
  assert.equal(source.spared, 4 * MiB);
  assert.ok(source.sentBytes >= 4 * MiB);
});

test('a refusal is one of the write: kept, told, and tried again', async () => {
  const { world, source } = await Source.start();
  const object = world.make('clone');
  const bytes = noise(9, 2 * MiB);
  source.learn(bytes);
  source.refuse = ({ offset }) => (offset >= MiB ? Status.NOSPC : undefined);
  await write(world, object, bytes);
  const { outcome, problems } = await world.proxy.flush();
  assert.equal(outcome, 'refused');
  assert.match(problems.join(), /NOSPC/);
  source.refuse = undefined;
  assert.equal((await world.proxy.flush()).outcome, 'done');
  sameBytes(world.content(object), bytes);
});

test('a change by somebody else is noticed as with data', async () => {
  const { world, source } = await Source.start({ conditional: true });
  const object = world.make('clone');
  const bytes = noise(10, 2 * MiB);
  source.learn(bytes);
  let isChanged = false;
  source.refuse = ({ expected }) => {
    assert.ok(expected !== undefined);
    if (!isChanged) world.foreignWrite(object, 0, Buffer.from('theirs'));
    isChanged = true;
    return Status.NOT_SYNC;
  };
  await write(world, object, bytes);
  assert.equal((await world.proxy.flush()).outcome, 'conflict');
  assert.equal(world.content(object).subarray(0, 6).toString(), 'theirs');
  const saved = world.names().find((name) => name.startsWith('clone.viaduct-conflict'))!;
  sameBytes(world.content(world.find(saved)!), bytes);
});

for (let seed = 1; seed <= 6; seed++) {
  test(`whatever the origin says it has and does, its file is what was written (seed ${seed})`, async () => {
    const { world, source } = await Source.start();
    const chance = new Chance(seededRandom(seed));
    const object = world.make('clone', noise(seed, 3 * MiB));
    source.refuse = () => (chance.happens(0.1) ? Status.NOTSUPP : undefined);
    source.shorten = (count) => (chance.happens(0.1) ? 1 + chance.below(count) : count);
    world.origin.on('commit', (_args, proceed) => {
      if (chance.happens(0.3)) world.memory.restart(() => chance.happens(0.5));
      return proceed();
    });
    const expected = world.content(object);
    for (let epoch = 0; epoch < 3; epoch++) {
      const bytes = noise(100 * seed + epoch, MiB + chance.below(MiB));
      const at = chance.happens(0.5) ? chance.below(3) * sector : chance.below(3 * sector);
      bytes.copy(expected, at);
      for (let offset = 0; offset < expected.length; offset += 16 * sector)
        if (chance.happens(0.7)) source.learn(expected.subarray(offset, offset + 16 * sector));
      await write(world, object, bytes, at);
      await world.proxy.commit();
      if (chance.happens(0.3)) await world.crash(chance.happens(0.5) ? 'kill' : 'power');
    }
    if (chance.happens(0.5)) await world.crash('power');
    assert.equal((await world.proxy.flush()).outcome, 'done');
    sameBytes(world.content(object), expected);
    assert.ok(source.spared > 0);
  });
}
