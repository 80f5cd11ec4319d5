/** What leans on the origin waits until the log durably knows what the origin has; and nothing that goes through overtakes what was written. */
import { strict as assert } from 'node:assert';
import { it } from 'node:test';
import { type Eventual, seededRandom, silentLog } from '../../base/mod.ts';
import { callBy, ok, refused, SimulatedClock, WriteBackFixture } from '../../testing/mod.ts';
import { credential, type FileHandle, Stability, Status, type Time } from '../../vfs/mod.ts';
import { Drain } from './drain.ts';

const root = callBy(credential(0, 0));
const alice = callBy(credential(1001, 1001));
const name = 'file';
/** A disk that loses power keeps some of what was not synced: which, is drawn. */
const seeds = Array.from({ length: 12 }, (_, index) => index + 1);
/** Finer than a sync, which takes 1 ms: the power goes right after an answer. */
const atOnceMs = 0.05;
const writeBackAfterMs = 5_000;

class World {
  readonly clock = new SimulatedClock();
  fixture!: WriteBackFixture;

  static async start(seed = 1): Promise<World> {
    const world = new World();
    const { clock } = world;
    const random = seededRandom(seed);
    const options = {
      ...{ writeBackAfterMs, rateBytesPerSecond: undefined, isManual: false },
      ...{ conflictDirectory: undefined, hostName: 'host' },
    };
    const tools = { clock, logger: silentLog, random: seededRandom(5), options };
    world.fixture = await world.until(
      WriteBackFixture.open({ clock, random, createDrain: (context) => new Drain(context, tools) }),
    );
    return world;
  }

  async until<T>(eventual: Eventual<T>, stepMs = 5): Promise<T> {
    let isDone = false;
    const settled = Promise.resolve(eventual).finally(() => {
      isDone = true;
    });
    settled.catch(() => {});
    for (let ms = 0; !isDone && ms < 20_000; ms += stepMs) await this.clock.advance(stepMs);
    assert.ok(isDone, 'answered in 20 s');
    return settled;
  }

  make(mode: number, called = name): FileHandle {
    const { memory } = this.fixture;
    const how = { mode: 'guarded', set: { mode, uid: 1001, gid: 1001 } } as const;
    return ok(memory.create(root, { where: { directory: memory.root, name: called }, how })).object!;
  }

  async write(object: FileHandle, value: number, stepMs?: number): Promise<void> {
    ok(await this.until(this.fixture.layer.write(alice, writeOf(object, value)), stepMs));
  }

  /** Until the drain has done its work by itself, and not a moment longer. */
  async writtenBack(): Promise<void> {
    await this.clock.advance(writeBackAfterMs - 50);
    for (let ms = 0; this.fixture.log.epochs().length > 0 && ms < 100; ms += atOnceMs)
      await this.clock.advance(atOnceMs);
    assert.deepEqual(this.fixture.log.epochs(), []);
  }

  /** Everything written back by itself after a power loss. */
  async losePower(): Promise<void> {
    await this.until(this.fixture.reopen('power'));
    await this.clock.advance(20_000);
    assert.deepEqual(this.fixture.log.epochs(), []);
    assert.deepEqual(this.fixture.writeBack.status().conflicts, []);
  }

  origin(object: FileHandle): number[] {
    return [...Buffer.concat(ok(this.fixture.memory.read(root, { object, offset: 0, count: 100 })).data)];
  }

  mtime(object: FileHandle): Time {
    return ok(this.fixture.memory.getattr(root, { object })).attributes.mtime;
  }
}

function writeOf(object: FileHandle, value: number) {
  return { object, offset: 0, count: 4, stable: Stability.FILE_SYNC, data: [Buffer.alloc(4, value)] };
}

it('keeps a WRITE that went through to the origin over a power loss', async () => {
  for (const seed of seeds) {
    const world = await World.start(seed);
    const object = world.make(0o755);
    await world.write(object, 1);
    // Only the origin can clear the bit.
    ok(await world.until(world.fixture.layer.setattr(alice, { object, set: { mode: 0o4755 } })));
    await world.write(object, 2, atOnceMs);
    await world.losePower();
    assert.deepEqual(world.origin(object), [2, 2, 2, 2], `seed ${seed}`);
  }
});

it('keeps what another host wrote after a request was answered over a power loss', async () => {
  for (const [seed, request] of seeds.flatMap((one) => [[one, 'all'] as const, [one, 'file'] as const])) {
    const world = await World.start(seed);
    const object = world.make(0o644);
    await world.write(object, 1);
    const { writeBack, memory } = world.fixture;
    const asked = request === 'all' ? writeBack.writeBack() : writeBack.writeBack(object);
    assert.equal((await world.until(asked, atOnceMs)).outcome, 'done');
    ok(memory.write(root, writeOf(object, 2)));
    await world.losePower();
    assert.deepEqual(world.origin(object), [2, 2, 2, 2], `seed ${seed}, ${request}`);
  }
});

it('keeps what another host wrote after a request that found nothing to write back', async () => {
  for (const seed of seeds) {
    const world = await World.start(seed);
    const object = world.make(0o644);
    await world.write(object, 1);
    const { fixture } = world;
    await world.writtenBack();
    assert.equal((await world.until(fixture.writeBack.writeBack(object), atOnceMs)).outcome, 'done');
    ok(fixture.memory.write(root, writeOf(object, 2)));
    await world.losePower();
    assert.deepEqual(world.origin(object), [2, 2, 2, 2], `seed ${seed}`);
  }
});

it('syncs once for all requests that one epoch answers, and not for each epoch', async () => {
  const world = await World.start();
  const object = world.make(0o644);
  for (let value = 1; value <= 5; value++) await world.write(object, value);
  const { log, writeBack } = world.fixture;
  assert.equal(log.epochs().length, 5);
  const before = log.stats().syncs;
  const results = await world.until(Promise.all([1, 2, 3].map(() => writeBack.writeBack())), atOnceMs);
  assert.ok(results.every(({ outcome }) => outcome === 'done'));
  // Each epoch's intents, and the end.
  assert.ok(log.stats().syncs - before <= 6, `${log.stats().syncs - before} syncs`);
});

it('keeps times that a client gave a clean file over a power loss', async () => {
  const mtime = { seconds: 1_000_000, nanoseconds: 0 };
  for (const seed of seeds) {
    const world = await World.start(seed);
    const object = world.make(0o644);
    await world.write(object, 1);
    const { fixture } = world;
    await world.writtenBack();
    ok(await world.until(fixture.layer.setattr(alice, { object, set: { mtime } }), atOnceMs));
    await world.losePower();
    assert.deepEqual(world.mtime(object), mtime, `seed ${seed}`);
  }
});

for (const operation of ['REMOVE', 'RENAME over it'] as const) {
  it(`takes a file that is gone by ${operation}, right after it was written back, for no conflict after a power loss`, async () => {
    for (const seed of seeds) {
      const world = await World.start(seed);
      const object = world.make(0o644);
      world.make(0o644, 'other');
      await world.write(object, 1);
      const { fixture } = world;
      await world.writtenBack();
      const directory = fixture.memory.root;
      const to = { directory, name };
      const act = () =>
        operation === 'REMOVE'
          ? fixture.layer.remove(root, to)
          : fixture.layer.rename(root, { from: { directory, name: 'other' }, to });
      assert.equal((await world.until<{ status: number }>(act(), atOnceMs)).status, 0);
      await world.losePower();
    }
  });
}

for (const operation of ['WRITE', 'SETATTR'] as const) {
  it(`lets no ${operation} that goes through overtake what was committed of other files`, async () => {
    const world = await World.start();
    const [earlier, object] = [world.make(0o644, 'earlier'), world.make(operation === 'WRITE' ? 0o4755 : 0o644)];
    await world.write(earlier, 1);
    const { layer, faults } = world.fixture;
    let atOrigin: number[] | undefined;
    if (operation === 'WRITE') {
      await world.write(object, 2);
      atOrigin = world.origin(earlier);
    } else {
      // Who may not write: the origin decides.
      const stranger = callBy(credential(7, 7));
      faults.on('setattr', ({ object: asked }, proceed) => {
        if (asked === object) atOrigin = world.origin(earlier);
        return proceed();
      });
      refused(await world.until(layer.setattr(stranger, { object, set: { size: 0 } })), Status.ACCES, Status.PERM);
    }
    assert.deepEqual(atOrigin, [1, 1, 1, 1]);
  });
}

it('lets a change of mode go through at once', async () => {
  const world = await World.start();
  const [earlier, object] = [world.make(0o644, 'earlier'), world.make(0o644)];
  await world.write(earlier, 1);
  ok(await world.until(world.fixture.layer.setattr(alice, { object, set: { mode: 0o600 } })));
  assert.deepEqual(world.origin(earlier), []);
});
