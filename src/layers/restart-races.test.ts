/** What the stability layer promises while calls and the sending again cross each other. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { seededRandom, silentLog } from '../base/mod.ts';
import { callBy, FaultLayer, MemoryFilesystem, ok, pattern, SimulatedClock, settle } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import type { StabilityOptions } from './own-commits.ts';
import { Stability } from './stability.ts';

const { Stability: Stable, Status } = vfs;
const root = callBy(vfs.credential(0, 0));

function setup(options: Partial<StabilityOptions> = {}) {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock, volatile: true });
  const origin = new FaultLayer(memory);
  const layer = new Stability(origin, { clock, log: silentLog, random: seededRandom(7), options });
  const make = (name: string): string => {
    const where = { directory: memory.root, name };
    return ok(memory.create(root, { where, how: { mode: 'guarded', set: {} } })).object!;
  };
  const write = async (object: string, offset: number, data: Buffer, stable: vfs.StabilityCode = Stable.UNSTABLE) =>
    ok(await layer.write(root, { object, offset, count: data.length, stable, data: [data] }));
  const read = async (from: vfs.Filesystem, object: string): Promise<Buffer> =>
    Buffer.concat(ok(await from.read(root, { object, offset: 0, count: 1_000_000 })).data);
  return { clock, memory, origin, layer, make, write, read };
}

test('a READ that the restarted origin answered before it got the data again is repeated, however late its reply', async () => {
  const { memory, origin, layer, make, write, read } = setup();
  const object = make('a');
  await write(object, 0, pattern(1_000));
  memory.restart();
  const late = origin.hold('read', 'after');
  const reading = read(layer, object);
  const lateAttributes = origin.hold('getattr', 'after');
  const attributes = layer.getattr(root, { object });
  await settle();
  layer.originMayHaveRestarted();
  await settle();
  assert.deepEqual(await read(memory, object), pattern(1_000), 'the sending again is over');
  late.release();
  lateAttributes.release();
  assert.deepEqual(await reading, pattern(1_000));
  assert.equal(ok(await attributes).attributes.size, 1_000);
});

test('a reply that may show a file without what was lost carries no attributes', async () => {
  const { memory, origin, layer, make, write } = setup();
  const [object, other] = ['a', 'b'].map(make) as [string, string];
  await write(object, 0, pattern(10_000));
  memory.restart();
  const place = { directory: memory.root, name: 'a' };
  const listing = { directory: memory.root, cookie: 0n, cookieVerifier: '\0'.repeat(8) };
  const sizes = { directoryBytes: 4_096, replyBytes: 8_192 };
  const shown = async (): Promise<(vfs.Attributes | undefined)[]> => {
    const list = ok(await layer.readdirplus(root, { ...listing, ...sizes }));
    return [
      ok(await layer.lookup(root, place)).attributes,
      ok(await layer.access(root, { object, access: 1 })).attributes,
      list.entries.find(({ name }) => name === 'a')?.attributes,
    ];
  };
  const held = origin.hold('commit');
  // This reply tells of the restart; the file itself is shorter in it than what was written.
  assert.deepEqual((await write(object, 0, pattern(100))).wcc, {});
  await write(other, 0, pattern(10));
  assert.deepEqual(await shown(), [undefined, undefined, undefined]);
  held.release();
  await settle();
  assert.deepEqual(
    (await shown()).map((attributes) => attributes?.size),
    [10_000, 10_000, 10_000],
  );
});

test('a stable write that waited for room does not meet older data that is sent again', async () => {
  const { memory, origin, layer, make, write, read } = setup({ unstableBytes: 16 * 1024 });
  const object = make('a');
  await write(object, 0, pattern(6_000, 1));
  // No commit succeeds until the data is sent again; so writers are let go on without being kept.
  const refusing = origin.on('commit', () => ({ status: Status.IO, wcc: {} }));
  memory.restart();
  const letGo = Promise.withResolvers<void>();
  origin.on('write', async (args, proceed) => {
    if (args.count === 6_000) await letGo.promise;
    return proceed();
  });
  const held = origin.hold('commit');
  const waiting = write(object, 0, pattern(16_000, 2));
  await settle();
  assert.equal(layer.stats().waitingWriters, 1);
  refusing();
  layer.originMayHaveRestarted();
  await settle();
  // The layer's own COMMIT is refused, the one of the sending again is answered by the new instance.
  let commits = 0;
  origin.on('commit', (_args, proceed) => (++commits === 1 ? { status: Status.IO, wcc: {} } : proceed()));
  held.release();
  await settle();
  letGo.resolve();
  await waiting;
  await settle();
  assert.deepEqual((await read(memory, object)).subarray(0, 16_000), pattern(16_000, 2));
});

test('closing lets writers go that wait for room', async () => {
  const { clock, origin, layer, make, write } = setup({ unstableBytes: 8 * 1024 });
  const object = make('a');
  origin.on('commit', () => new Promise(() => {}));
  await write(object, 0, pattern(6_000));
  const waiting = write(object, 6_000, pattern(6_000));
  await settle();
  assert.equal(layer.stats().waitingWriters, 1);
  const closing = layer.close();
  await clock.advance(5_000);
  await closing;
  await waiting;
});
