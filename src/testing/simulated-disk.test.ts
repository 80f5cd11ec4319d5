import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../base/mod.ts';
import { SimulatedClock } from './clock.ts';
import { type CrashKind, type DiskEvent, SimulatedDisk } from './simulated-disk.ts';

const page = 4096;
const filled = (value: number, length = page): Uint8Array => new Uint8Array(length).fill(value);

async function finished<T>(clock: SimulatedClock, promise: T | Promise<T>): Promise<T> {
  const done = Promise.resolve(promise);
  done.catch(() => {});
  await clock.advance(100);
  return await done;
}

/** One page synced (1), another not (2), after a file with other content (9) was removed. */
async function crashed(seed: number, kind: CrashKind): Promise<{ disk: SimulatedDisk; names: readonly string[] }> {
  const clock = new SimulatedClock();
  const disk = new SimulatedDisk({ clock, random: seededRandom(seed) });
  const old = await finished(clock, disk.create('old', 4 * page));
  await finished(clock, old.write(0, [filled(9, 4 * page)]));
  await finished(clock, old.datasync());
  await finished(clock, disk.sync());
  await finished(clock, disk.remove('old'));
  await finished(clock, disk.sync());
  const file = await finished(clock, disk.create('log', 4 * page));
  await finished(clock, disk.sync());
  await finished(clock, file.write(0, [filled(1)]));
  await finished(clock, file.datasync());
  await finished(clock, file.write(page, [filled(2)]));
  await finished(clock, disk.create('unsynced', page));
  const next = disk.crash(kind);
  return { disk: next, names: await finished(clock, next.list()) };
}

test('a power loss keeps what was synced and gives every fate to what was not', async () => {
  const second = new Set<string>();
  const lists = new Set<string>();
  for (let seed = 1; seed <= 200; seed++) {
    const { disk, names } = await crashed(seed, 'power');
    const content = disk.contentOf('log')!;
    assert.deepEqual(content.subarray(0, page), filled(1), `seed ${seed}`);
    const values = [...new Set(content.subarray(page, 2 * page))].sort();
    second.add(values.join());
    lists.add(names.join());
  }
  assert.deepEqual([...lists].sort(), ['log', 'log,unsynced']);
  for (const fate of ['2', '0', '0,2', '9'])
    assert.ok(second.has(fate), `no crash left ${fate}: ${[...second].join(' | ')}`);
});

test('a kill keeps all that was written and made', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { disk, names } = await crashed(seed, 'kill');
    assert.deepEqual(names, ['log', 'unsynced']);
    assert.deepEqual(Buffer.from(disk.contentOf('log')!.subarray(0, 2 * page)), Buffer.concat([filled(1), filled(2)]));
  }
});

test('what survived a kill without a sync is lost by a power loss after it', async () => {
  const seen = new Set<number>();
  for (let seed = 1; seed <= 40; seed++) {
    const { disk } = await crashed(seed, 'kill');
    seen.add(disk.crash('power').contentOf('log')![page]!);
  }
  assert.ok(seen.has(0) && seen.has(2));
});

test('the same seed gives the same crash', async () => {
  const [one, two] = [await crashed(7, 'power'), await crashed(7, 'power')];
  assert.deepEqual(one.disk.contentOf('log'), two.disk.contentOf('log'));
});

test('a dead disk answers nothing, also to what was under way', async () => {
  const clock = new SimulatedClock();
  const events: DiskEvent[] = [];
  const disk: SimulatedDisk = new SimulatedDisk({
    clock,
    random: seededRandom(1),
    onEvent: (event) => {
      events.push(event);
      if (event === 'write-end') disk.crash('power');
    },
  });
  const file = await finished(clock, disk.create('log', page));
  let answered = false;
  for (const answer of [file.write(0, [filled(1)]), file.datasync(), disk.list()]) {
    Promise.resolve(answer).then(() => (answered = true));
  }
  await clock.advance(1_000);
  assert.equal(answered, false);
  assert.deepEqual(events.slice(0, 3), ['create-begin', 'create-end', 'write-begin']);
});

test('failures come as ordered, and a failed sync is not mended by the next one', async () => {
  const clock = new SimulatedClock();
  const lost = new Set<number>();
  for (let seed = 1; seed <= 40; seed++) {
    const disk = new SimulatedDisk({ clock, random: seededRandom(seed), capacityBytes: 2 * page });
    const file = await finished(clock, disk.create('log', page));
    await assert.rejects(finished(clock, disk.create('more', 2 * page)), { code: 'ENOSPC' });
    disk.fail('write');
    await assert.rejects(finished(clock, file.write(0, [filled(1)])), { code: 'EIO' });
    await finished(clock, file.write(0, [filled(2)]));
    disk.fail('datasync');
    await assert.rejects(finished(clock, file.datasync()), { code: 'EIO' });
    await finished(clock, file.datasync());
    await finished(clock, disk.sync());
    assert.equal(disk.contentOf('log')![0], 2);
    lost.add(disk.crash('power').contentOf('log')![0]!);
  }
  assert.ok(lost.has(2) && lost.size > 1);
});
