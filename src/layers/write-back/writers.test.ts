/** What is remembered of writers and of files ends with the last change that needs it, and not before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom, silentLog } from '../../base/mod.ts';
import { DirtyLog } from '../../dirty/mod.ts';
import { SimulatedClock, SimulatedDisk } from '../../testing/mod.ts';
import { credential } from '../../vfs/mod.ts';
import { DirtyFileTable } from './files.ts';
import { Writers } from './writers.ts';

const maximum = 8;

class Bench {
  readonly clock = new SimulatedClock();
  disk = new SimulatedDisk({ clock: this.clock, random: seededRandom(3) });
  log!: DirtyLog;

  async open(): Promise<void> {
    const { disk: directory, clock } = this;
    const tools = { directory, clock, log: silentLog, random: seededRandom(4) };
    const rest = { identity: 'writers', limitBytes: 16 << 20, segmentBytes: 256 << 10, bootId: 'boot', keeps: false };
    this.log = await this.run(DirtyLog.open({ ...tools, ...rest }));
  }

  async run<T>(promise: Promise<T> | T): Promise<T> {
    let isDone = false;
    const done = Promise.resolve(promise).finally(() => {
      isDone = true;
    });
    done.catch(() => {});
    for (let ms = 0; !isDone && ms < 10_000; ms += 5) await this.clock.advance(5);
    assert.ok(isDone);
    return done;
  }

  write(key: string, writer: number): Promise<unknown> {
    const file = this.log.file(key);
    const change = { file, writer, sizeAfter: 4096, time: { seconds: 1, nanoseconds: 0 } };
    return this.run(this.log.write({ ...change, offset: 0, count: 4096, data: [Buffer.alloc(4096, 1)] }));
  }

  async drainOldest(): Promise<void> {
    this.log.seal();
    const number = this.log.epochs()[0]!.number;
    const plan = await this.run(this.log.plan(number));
    this.log.drained(number);
    plan.release();
  }

  noted(): number {
    return [...this.log.notes('writer:')].length;
  }
}

test('ever new writers leave nothing behind once their changes are at the origin', async () => {
  const bench = new Bench();
  await bench.open();
  const writers = new Writers(bench.log, maximum);
  const daemon = credential(0, 0, [7]);
  const first = writers.numberOf(daemon);
  for (let uid = 1; uid <= 500; uid++) {
    await bench.write('file', writers.numberOf(credential(uid, uid)));
    assert.equal(writers.numberOf(daemon), first, 'who writes all the time keeps his number');
    await bench.drainOldest();
    assert.ok(bench.noted() <= 2 * maximum + 1, `${bench.noted()} writers are noted`);
  }
  assert.equal(writers.credentialOf(first)?.key, daemon.key);
  assert.equal(writers.credentialOf(2), undefined);
  await bench.run(bench.log.close());
});

test('a writer is remembered as long as an epoch that waits holds a change of his, also by the next life', async () => {
  const bench = new Bench();
  await bench.open();
  const writers = new Writers(bench.log, maximum);
  const by = new Map<number, string>();
  const write = async (uid: number): Promise<void> => {
    const who = credential(uid, uid);
    const number = writers.numberOf(who);
    by.set(number, who.key);
    await bench.write(`file ${uid}`, number);
  };
  for (let uid = 1; uid <= 60; uid++) {
    await write(uid);
    bench.log.seal();
    // Every third one stays a while longer.
    if (uid % 3 !== 0) await bench.drainOldest();
  }
  assert.equal(bench.log.epochs().length, 20);
  await bench.run(bench.log.sync());
  bench.disk = bench.disk.crash('power', { clock: bench.clock });
  await bench.open();
  const next = new Writers(bench.log, maximum);
  for (const epoch of [...bench.log.epochs()]) {
    const plan = await bench.run(bench.log.plan(epoch.number));
    for (const { writer } of plan.files) assert.equal(next.credentialOf(writer)?.key, by.get(writer), `${writer}`);
    bench.log.drained(epoch.number);
    plan.release();
  }
  await bench.run(bench.log.close());
});

test('a file that is forgotten leaves no trace in the log, and may come again', async () => {
  const bench = new Bench();
  await bench.open();
  const table = new DirtyFileTable(bench.log);
  for (let at = 0; at < 300; at++) {
    const { number } = table.open(`removed ${at}`);
    await bench.write(`removed ${at}`, 1);
    bench.log.drop(number);
    table.forget(`removed ${at}`);
    await bench.drainOldest();
    await bench.run(bench.log.sync());
  }
  let known = 0;
  for (let number = 1; number <= 300; number++) if (bench.log.keyOf(number) !== undefined) known++;
  assert.ok(known < 150, `${known} of 300 files are known`);
  assert.equal(bench.log.keyOf(table.open('removed 0').number), 'removed 0');
  await bench.run(bench.log.close());
});
