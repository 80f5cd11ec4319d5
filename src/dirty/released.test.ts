/** Files whose number nobody uses any more are forgotten, and never too early: nothing comes back, nothing dirty goes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../base/mod.ts';
import { Bench } from './log-fixture.test.ts';
import type { DirtyLog } from './mod.ts';

/** How many of the numbers up to `last` the log still knows. */
function known(log: DirtyLog, last: number): number {
  let count = 0;
  for (let number = 1; number <= last; number++) if (log.keyOf(number) !== undefined) count++;
  return count;
}

async function drainAll(bench: Bench, log: DirtyLog): Promise<void> {
  log.seal();
  for (let [oldest] = log.epochs(); oldest?.sealedMs !== undefined; [oldest] = log.epochs()) {
    const plan = await bench.run(log.plan(oldest.number));
    log.drained(oldest.number);
    plan.release();
  }
  await bench.run(log.sync());
}

test('a log that sees ever new files keeps only those that are dirty or in use', async () => {
  const bench = new Bench();
  const log = await bench.open();
  let last = 0;
  let most = 0;
  for (let round = 0; round < 100; round++) {
    for (let at = 0; at < 20; at++) {
      await bench.write(log, `file ${round} ${at}`, 0, 4096, 7);
      last = log.file(`file ${round} ${at}`);
      if (at > 0) log.release(last);
    }
    await drainAll(bench, log);
    most = Math.max(most, known(log, last));
  }
  // One of each round is in use; the others of two segments at most.
  assert.equal(last, 2000);
  assert.ok(most < 100 + 200, `${most} files`);
  assert.equal(log.file('file 0 0'), 1);
  assert.ok(log.file('file 0 1') > last, 'a number is never used for another file, nor again');
  await bench.run(log.close());
});

test('what was found in the log and is clean is forgotten, unless somebody asks for it', async () => {
  const bench = new Bench();
  let log = await bench.open();
  await bench.write(log, 'clean', 0, 4096, 1);
  await drainAll(bench, log);
  await bench.write(log, 'dirty', 0, 4096, 2);
  const number = log.file('dirty');
  await bench.run(log.stabilize());
  bench.crash('power');
  log = await bench.open();
  assert.deepEqual(
    [...log.dirtyFiles()].map((one) => log.keyOf(one)),
    ['dirty'],
  );
  assert.equal(known(log, number), 1);
  assert.deepEqual(await bench.bytes(log, 'dirty', 0, 2), [2, 2]);
  await bench.run(log.close());
});

test('a dropped file is known until no epoch that waits holds what was dropped', async () => {
  const bench = new Bench();
  let log = await bench.open();
  await bench.write(log, 'dropped', 0, 8192, 1);
  const number = log.file('dropped');
  await bench.write(log, 'kept', 0, 8192, 2);
  log.drop(number);
  log.release(number);
  // Over several segments, and a life.
  for (let at = 0; at < 10; at++) await bench.write(log, 'kept', at * 65_536, 65_536, 2);
  assert.equal(log.keyOf(number), 'dropped');
  await bench.run(log.stabilize());
  bench.crash('power');
  log = await bench.open();
  assert.equal(log.keyOf(number), 'dropped');
  const plan = await bench.run(log.plan(log.epochs()[0]!.number));
  assert.deepEqual(
    plan.files.map(({ file }) => log.keyOf(file)),
    ['kept'],
  );
  log.drained(log.epochs()[0]!.number);
  plan.release();
  await bench.run(log.sync());
  for (let at = 0; at < 10; at++) await bench.write(log, 'kept', at * 65_536, 65_536, 3);
  assert.equal(log.keyOf(number), undefined);
  await bench.run(log.close());
});

test('through kills and power losses each file shows what was written to it last', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = seededRandom(seed);
    const below = (count: number): number => random.uint32() % count;
    const bench = new Bench();
    let log = await bench.open();
    const written = new Map<string, number>();
    for (let step = 1; step <= 120; step++) {
      const key = `file ${below(6)}`;
      const what = below(12);
      if (what < 6) {
        await bench.write(log, key, 0, 16_384, 1 + (step % 250));
        written.set(key, 1 + (step % 250));
      } else if (what < 8) {
        await drainAll(bench, log);
        for (const one of written.keys()) if (below(2) === 0) log.release(log.file(one));
        written.clear();
      } else if (what < 10) {
        log.drop(log.file(key));
        log.release(log.file(key));
        written.delete(key);
      } else {
        await bench.run(log.stabilize());
        if (what === 11) {
          bench.crash(below(2) === 0 ? 'kill' : 'power');
          log = await bench.open();
        }
      }
      const dirty = [...log.dirtyFiles()].map((number) => log.keyOf(number)!).sort();
      assert.deepEqual(dirty, [...written.keys()].sort(), `seed ${seed}, step ${step}`);
      for (const [one, byte] of written)
        assert.deepEqual(await bench.bytes(log, one, 100, 1), [byte], `seed ${seed}, step ${step}: ${one}`);
    }
    await bench.run(log.close());
  }
});
