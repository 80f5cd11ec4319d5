import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { callBy, FaultLayer, MemoryFilesystem, ok, pattern, SimulatedClock, settle } from '../testing/mod.ts';
import { credential, Status } from '../vfs/mod.ts';
import { LatencyHistograms } from './latency-histograms.ts';
import { operationNames, Stats } from './stats.ts';

const root = callBy(credential(0, 0));

test('calls, errors, bytes and calls in flight are counted per operation', async () => {
  const clock = new SimulatedClock();
  const memory = new MemoryFilesystem({ clock });
  const faults = new FaultLayer(memory);
  const stats = new Stats(faults, { clock });
  const where = { directory: memory.root, name: 'a' };
  const object = ok(await stats.create(root, { where, how: { mode: 'guarded', set: {} } })).object!;
  assert.equal((await stats.create(root, { where, how: { mode: 'guarded', set: {} } })).status, Status.EXIST);
  await stats.write(root, { object, offset: 0, count: 1_000, stable: 2, data: [pattern(1_000)] });
  await stats.read(root, { object, offset: 900, count: 1_000 });
  const held = faults.hold('getattr');
  const waiting = stats.getattr(root, { object });
  await settle();
  const during = stats.snapshot();
  assert.equal(during.operations.getattr.inFlight, 1);
  assert.equal(during.inFlight, 1);
  await clock.advance(40);
  held.release();
  await waiting;
  const { operations, bytesIn, bytesOut, inFlight } = stats.snapshot();
  assert.deepEqual([operations.create.count, operations.create.errors], [2, 1]);
  assert.deepEqual([bytesIn, bytesOut, inFlight], [1_000, 100, 0]);
  assert.equal(operations.getattr.count, 1);
  assert.equal(operations.getattr.latency.maximumMs, 40);
});

test('a rejected call counts as an error and is not in flight any more', async () => {
  const clock = new SimulatedClock();
  const faults = new FaultLayer(new MemoryFilesystem({ clock }));
  const stats = new Stats(faults, { clock });
  faults.on('getattr', () => Promise.reject(new Error('closing')));
  await assert.rejects(async () => stats.getattr(root, { object: stats.root }), /closing/);
  const { getattr } = stats.snapshot().operations;
  assert.deepEqual([getattr.count, getattr.errors, getattr.inFlight], [1, 1, 0]);
});

test('every operation is counted under its own name', async () => {
  const clock = new SimulatedClock();
  const faults = new FaultLayer(new MemoryFilesystem({ clock }));
  const stats = new Stats(faults, { clock });
  for (const name of operationNames) {
    faults.on(name, (() => ({ status: Status.IO })) as never);
    await (stats[name] as (call: unknown, args: unknown) => unknown)(root, {});
    assert.equal(stats.snapshot().operations[name].count, 1, name);
    assert.equal(faults.calls(name), 1, name);
  }
});

test('percentiles are within a quarter of the truth, from a microsecond to an hour', () => {
  for (const scaleMs of [0.001, 0.02, 1, 300, 60_000, 400_000]) {
    const histograms = new LatencyHistograms(2);
    for (let i = 1; i <= 1_000; i++) histograms.record(1, (i * scaleMs) / 100);
    const { medianMs, p99Ms, maximumMs } = histograms.summary(1);
    assert(medianMs >= 5 * scaleMs && medianMs <= 5 * scaleMs * 1.25 + 0.001, `median ${medianMs} of ${scaleMs}`);
    assert(p99Ms >= 9.9 * scaleMs * 0.99, `p99 ${p99Ms} of ${scaleMs}`);
    assert.equal(maximumMs, 10 * scaleMs);
    assert.equal(histograms.summary(0).medianMs, 0);
  }
});

test('counts below a bound are exact at powers of two', () => {
  const histograms = new LatencyHistograms(2);
  for (const elapsedMs of [0.001, 0.063, 0.064, 0.2, 5, 5, 60_000]) histograms.record(1, elapsedMs);
  const { below } = histograms.summary(1);
  assert.deepEqual(below?.slice(0, 5), [
    [0.064, 2],
    [0.256, 4],
    [1.024, 4],
    [4.096, 4],
    [16.384, 6],
  ]);
  assert.deepEqual(below?.at(-1), [16_777.216, 6]);
  assert.equal(histograms.summary(0).below, undefined);
});
