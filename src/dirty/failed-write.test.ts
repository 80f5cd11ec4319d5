/** A write that the disk refuses is made again elsewhere, while others go on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../base/mod.ts';
import { SimulatedClock, SimulatedDisk } from '../testing/mod.ts';
import { during, openOn } from './log-model.test.ts';

test('an epoch that is sealed while its change is written again stays one epoch', async () => {
  for (let delayMs = 0; delayMs < 4; delayMs += 0.1) {
    const clock = new SimulatedClock();
    const disk = new SimulatedDisk({ clock, random: seededRandom(3), latencyMs: { write: 1, read: 0.2, sync: 1 } });
    const log = await during(clock, openOn(disk, clock, 5));
    const file = log.file('file');
    const write = (offset: number) =>
      log.write({
        ...{ file, writer: 1, offset, count: 100, sizeAfter: offset + 100, time: { seconds: 1, nanoseconds: 1 } },
        data: [Buffer.alloc(100, 7)],
      });
    disk.fail('write');
    const first = Promise.resolve(write(0));
    await clock.advance(delayMs);
    log.seal();
    const second = Promise.resolve(write(200));
    await during(clock, Promise.all([first, second]));
    log.seal();
    await during(clock, log.sync());
    const when = `sealed after ${delayMs} ms`;
    const offsets: number[][] = [];
    for (const number of log.epochs().map((epoch) => epoch.number)) {
      const plan = await during(clock, log.plan(number));
      offsets.push(plan.files.flatMap(({ extents }) => extents.map(({ offset }) => offset)));
      log.drained(number);
      plan.release();
    }
    // Before the change has an epoch, there is nothing to seal.
    assert.deepEqual(offsets, offsets.length === 1 ? [[0, 200]] : [[0], [200]], when);
    assert.equal(log.state(file), undefined, when);
    await during(clock, log.close());
  }
});
