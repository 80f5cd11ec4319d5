/** What is fetched ahead, and cannot be: others go on, and whoever wants it is told. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '../../base/mod.ts';
import { DelayLayer } from '../../testing/mod.ts';
import { type FileHandle, Status } from '../../vfs/mod.ts';
import { WantedBlocks } from '../read-ahead/mod.ts';
import { alice, bob, bytesOf, finish, type House, house, MiB, makeFile, root } from './house.test.ts';

const fileBytes = 8 * MiB;
const blocks = fileBytes / limits.blockBytes;
/** Far enough for something to happen midway. */
const rate = { wantedBytesPerSecond: 2 * MiB };

function far(): House {
  const readAhead = { sequential: false, neighbourhood: undefined, mostBytes: 64 * MiB, queueMs: 10, requestMs: 10 };
  return house({ readAhead: { ...readAhead, ...rate } }, {}, (next, clock) => {
    return new DelayLayer(next, { clock, roundTripMs: () => 20 });
  });
}

async function wantAll(at: House, object: FileHandle): Promise<WantedBlocks> {
  const wanted = new WantedBlocks();
  wanted.wantRest(blocks);
  assert.equal(await finish(at, at.layer.want(root, object, wanted)), 0);
  return wanted;
}

async function pass(at: House, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 50) await at.clock.advance(50);
}

describe('a file that is wanted and', () => {
  test('is removed midway is given up with the reason, and the next one comes', async () => {
    const at = far();
    const [first, second] = [
      makeFile(at.memory, fileBytes, 0o644, 'one'),
      makeFile(at.memory, fileBytes, 0o644, 'two'),
    ];
    const one = await wantAll(at, first);
    await pass(at, 1_000);
    assert.equal(at.memory.remove(root, { directory: at.memory.root, name: 'one' }).status, 0);
    const two = await wantAll(at, second);
    await pass(at, 6_000);
    assert.deepEqual([one.isGivenUp, one.failure, one.leftBlocks], [true, Status.STALE, 0]);
    assert.ok(one.fetchedBytes > 0 && one.fetchedBytes < fileBytes);
    assert.deepEqual([two.hasEnded, two.failure, two.fetchedBytes], [true, undefined, fileBytes]);
    await at.layer.close();
  });

  for (const name of ['ACCES', 'IO', 'JUKEBOX'] as const) {
    test(`is answered with ${name} all the time is tried for a minute, and holds nobody up`, async () => {
      const at = far();
      const [first, second] = [
        makeFile(at.memory, fileBytes, 0o644, 'one'),
        makeFile(at.memory, fileBytes, 0o644, 'two'),
      ];
      at.origin.on('read', (args, proceed) => (args.object === first ? { status: Status[name] } : proceed()));
      const one = await wantAll(at, first);
      await pass(at, 500);
      const two = await wantAll(at, second);
      await pass(at, 6_000);
      assert.deepEqual([one.hasEnded, two.hasEnded, two.fetchedBytes], [false, true, fileBytes]);
      await pass(at, 60_000);
      assert.deepEqual([one.hasEnded, one.failure, one.fetchedBytes], [true, Status[name], 0]);
      await at.layer.close();
    });
  }

  test('whose READs are kept waiting (JUKEBOX below) holds nobody up, and goes on when they are answered', async () => {
    const at = far();
    const [first, second] = [
      makeFile(at.memory, fileBytes, 0o644, 'one'),
      makeFile(at.memory, fileBytes, 0o644, 'two'),
    ];
    const waiting: (() => void)[] = [];
    let isBusy = true;
    at.origin.on('read', async (args, proceed) => {
      if (args.object === first && isBusy) await new Promise<void>((resolve) => waiting.push(resolve));
      return proceed();
    });
    const one = await wantAll(at, first);
    const two = await wantAll(at, second);
    await pass(at, 40_000);
    assert.deepEqual([one.hasEnded, one.fetchedBytes, two.hasEnded, two.fetchedBytes], [false, 0, true, fileBytes]);
    const asked = waiting.length;
    await pass(at, 40_000);
    assert.equal(waiting.length, asked, 'nothing more is asked of it');
    isBusy = false;
    for (const go of waiting) go();
    await pass(at, 10_000);
    assert.deepEqual([one.hasEnded, one.failure, one.fetchedBytes], [true, undefined, fileBytes]);
    assert.equal(at.layer.stats().inFlightBytes, 0);
    await at.layer.close();
  });

  test('has a part that cannot be read brings all the rest of it first', async () => {
    const at = far();
    const object = makeFile(at.memory, fileBytes);
    const bad = 20 * limits.blockBytes;
    at.origin.on('read', (args, proceed) =>
      args.offset <= bad && args.offset + args.count > bad ? { status: Status.IO } : proceed(),
    );
    const wanted = await wantAll(at, object);
    await pass(at, 20_000);
    assert.ok(wanted.fetchedBytes >= fileBytes - 16 * limits.blockBytes, `${wanted.fetchedBytes}`);
    await pass(at, 120_000);
    assert.deepEqual([wanted.hasEnded, wanted.failure], [true, Status.IO]);
    await at.layer.close();
  });

  test('fails for a while is fetched to its end', async () => {
    const at = far();
    const object = makeFile(at.memory, fileBytes);
    const mend = at.origin.on('read', () => ({ status: Status.IO }));
    const wanted = await wantAll(at, object);
    await pass(at, 20_000);
    mend();
    await pass(at, 15_000);
    assert.deepEqual(
      [wanted.hasEnded, wanted.isGivenUp, wanted.failedBlocks, wanted.fetchedBytes],
      [true, false, 0, fileBytes],
    );
    await at.layer.close();
  });

  test('is forgotten midway is looked at anew, with nobody reading it', async () => {
    const at = far();
    const object = makeFile(at.memory, fileBytes);
    const wanted = await wantAll(at, object);
    await pass(at, 1_000);
    await at.layer.invalidate();
    await pass(at, 20_000);
    assert.deepEqual([wanted.hasEnded, wanted.isGivenUp, wanted.leftBlocks], [true, false, 0]);
    const calls = at.origin.calls('read');
    await bytesOf(at, object, 0, MiB);
    assert.equal(at.origin.calls('read'), calls, 'what was forgotten came again');
    await at.layer.close();
  });

  test('is forgotten, and removed before it is looked at, is given up', async () => {
    const at = far();
    const object = makeFile(at.memory, fileBytes);
    const wanted = await wantAll(at, object);
    await pass(at, 1_000);
    at.memory.remove(root, { directory: at.memory.root, name: 'file' });
    await at.layer.invalidate();
    await pass(at, 2_000);
    assert.deepEqual([wanted.hasEnded, wanted.failure], [true, Status.STALE]);
    await at.layer.close();
  });

  test('is fetched for whoever wanted it, though its last reader may not read it any more', async () => {
    const at = far();
    const object = makeFile(at.memory, fileBytes);
    await bytesOf(at, object, 0, 4096, bob);
    const names: string[] = [];
    at.origin.on('read', (_args, proceed, call) => {
      names.push(call.credential.key);
      return proceed();
    });
    const wanted = new WantedBlocks();
    wanted.wantRest(blocks);
    assert.equal(await finish(at, at.layer.want(alice, object, wanted)), 0);
    await pass(at, 6_000);
    assert.ok(wanted.hasEnded);
    assert.deepEqual([...new Set(names)], [alice.credential.key]);
    await at.layer.close();
  });
});
