/** A failed sync moves records while others look at them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../base/mod.ts';
import { SimulatedClock, SimulatedDisk } from '../testing/mod.ts';
import { during, openOn } from './log-model.test.ts';

test('a plan made at any moment of a failed sync has the whole epoch', async () => {
  for (let delayMs = 0; delayMs < 60; delayMs += 0.5) {
    const clock = new SimulatedClock();
    const disk = new SimulatedDisk({ clock, random: seededRandom(3) });
    const log = await during(clock, openOn(disk, clock, 5));
    // Fills the first segment, so that what is not stable lies in one that is left out.
    const before = { file: log.file('before'), writer: 1, sizeAfter: 200_000, time: { seconds: 1, nanoseconds: 1 } };
    await during(clock, log.write({ ...before, offset: 0, count: 200_000, data: [Buffer.alloc(200_000)] }));
    await during(clock, log.stabilize());
    const first = await during(clock, log.plan(log.seal()));
    log.drained(first.epoch);
    first.release();
    const change = { file: log.file('file'), writer: 1, sizeAfter: 100_000, time: { seconds: 1, nanoseconds: 2 } };
    const data = [Buffer.alloc(100_000, 7)];
    await during(clock, log.write({ ...change, offset: 0, count: 100_000, data }));
    const epoch = log.seal();
    disk.fail('datasync');
    const synced = log.sync();
    await clock.advance(delayMs);
    const plan = await during(clock, log.plan(epoch));
    const planned = plan.files.map(({ extents, sizeAfter }) => ({ extents, sizeAfter }));
    assert.deepEqual(
      planned,
      [{ extents: [{ offset: 0, count: 100_000, writer: 1 }], sizeAfter: 100_000 }],
      `after ${delayMs} ms`,
    );
    await during(clock, synced);
    const view = plan.read(change.file, 0, 100_000);
    const bytes = await during(clock, Promise.all(view.pieces.map((piece) => piece.data)));
    assert.deepEqual(Buffer.concat(bytes.flatMap((slices) => slices ?? [])), data[0], `after ${delayMs} ms`);
    view.release();
    plan.release();
    await during(clock, log.close());
  }
});
