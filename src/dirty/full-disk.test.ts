/** A disk without any room: what waits can be drained, killed processes come back, closing ends; a new log is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom, silentLog, ViaductError } from '../base/mod.ts';
import { type CrashKind, SimulatedClock, SimulatedDisk } from '../testing/mod.ts';
import type { LogFile } from './contract.ts';
import { during, MemoryDirectory, openOn } from './log-model.test.ts';
import type { DirtyLog } from './mod.ts';
import { Segments } from './segments.ts';

const time = { seconds: 1_700_000_000, nanoseconds: 5 };
const fileBytes = 20_000;

function code(wanted: string) {
  return (error: unknown) => error instanceof ViaductError && error.code === wanted;
}

class Bench {
  clock = new SimulatedClock();
  disk: SimulatedDisk;
  #seed = 1;

  constructor(capacityBytes = Number.POSITIVE_INFINITY, seed = 7) {
    this.disk = new SimulatedDisk({ clock: this.clock, random: seededRandom(seed), capacityBytes });
  }

  run<T>(promise: Promise<T> | T): Promise<T> {
    return during(this.clock, promise);
  }

  open(): Promise<DirtyLog> {
    return this.run(openOn(this.disk, this.clock, this.#seed++));
  }

  crash(kind: CrashKind, options: object = {}): void {
    this.clock = new SimulatedClock();
    this.disk = this.disk.crash(kind, { clock: this.clock, ...options });
  }

  /** Nothing more fits: somebody else took the rest. */
  fill(): void {
    this.disk.capacityBytes = this.disk.usedBytes;
  }

  /** Whole files, each an epoch, until one has to wait; answers how many there are. */
  async writeAll(log: DirtyLog, every = 1): Promise<number> {
    for (let at = 0; ; at++) {
      let isAnswered = false;
      void Promise.resolve(write(log, at)).then(
        () => {
          isAnswered = true;
        },
        () => {},
      );
      await this.clock.advance(50);
      if (!isAnswered) return at;
      if (at % every === 0) log.seal();
    }
  }
}

function write(log: DirtyLog, at: number) {
  const data = [Buffer.alloc(fileBytes, 1 + (at % 250))];
  return log.write({
    ...{ file: log.file(`file ${at}`), writer: 1, offset: 0, count: fileBytes, sizeAfter: fileBytes, time, data },
  });
}

async function expectFiles(log: DirtyLog, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at++) {
    const view = log.read(log.file(`file ${at}`), 0, fileBytes);
    const wanted = Buffer.alloc(fileBytes, 1 + (at % 250));
    const slices = await Promise.all(view.pieces.map((piece) => piece.data));
    assert.ok(Buffer.concat(slices.flatMap((some) => some ?? [])).equals(wanted), `file ${at}`);
    view.release();
  }
}

/** As the write-back does it: an intent, then the epoch. */
async function drainOne(log: DirtyLog): Promise<boolean> {
  const [oldest] = log.epochs();
  if (oldest === undefined) return false;
  if (oldest.sealedMs === undefined) log.seal();
  const plan = await log.plan(oldest.number);
  for (const { file } of plan.files) log.note(`intent ${file}`, Buffer.alloc(300, 1));
  await log.sync();
  for (const { file } of plan.files) log.note(`intent ${file}`, undefined);
  log.drained(oldest.number);
  plan.release();
  await log.sync();
  return true;
}

test('a process killed on a full disk comes back over and over, drains what waits, and takes changes again', async () => {
  const bench = new Bench();
  let log = await bench.open();
  for (let at = 0; at < 20; at++) await bench.run(write(log, at));
  bench.fill();
  const files = await bench.writeAll(log);
  for (let round = 0; round < 10; round++) {
    bench.crash('kill');
    log = await bench.open();
    await bench.run(expectFiles(log, 0, files));
    log.note(`round ${round}`, Buffer.from('here'));
    if (round % 2 === 1) await bench.run(log.sync());
  }
  // Still nothing fits, until what was drained is gone.
  while (await bench.run(drainOne(log)));
  assert.equal(Buffer.from(log.noted('round 9')!).toString(), 'here');
  assert.equal(await bench.run(write(log, 0)), 'appended');
  await bench.run(log.stabilize());
  bench.crash('power');
  log = await bench.open();
  assert.equal(log.epochs().length, 1);
  await bench.run(log.close());
});

test('changes that are not stable are there after a kill, however many they are', async () => {
  const bench = new Bench();
  let log = await bench.open();
  const answers = Array.from({ length: 40 }, (_, at) => write(log, at));
  await bench.run(Promise.all(answers));
  bench.fill();
  bench.crash('kill');
  log = await bench.open();
  await bench.run(expectFiles(log, 0, 40));
  // They are stable now: an earlier sync that failed does no harm.
  bench.crash('power');
  log = await bench.open();
  await bench.run(expectFiles(log, 0, 40));
  while (await bench.run(drainOne(log)));
  await bench.run(log.close());
});

test('notes and seals of a long drain find room on a full disk', async () => {
  const bench = new Bench();
  const log = await bench.open();
  bench.fill();
  const files = await bench.writeAll(log);
  bench.fill();
  for (let round = 0; round < 1_500; round++) {
    log.note(`intent ${round % 20}`, Buffer.alloc(1_000, round % 250));
    if (round % 10 === 0) await bench.run(log.sync());
  }
  await bench.run(expectFiles(log, 0, files));
  while (await bench.run(drainOne(log)));
  assert.equal(log.noted('intent 19')?.length, 1_000);
  await bench.run(log.close());
});

test('a crash at each step of opening on a full disk loses nothing', async () => {
  for (let step = 1; step < 60; step++) {
    // Some of it by chance: over the steps each kind meets each part of the way.
    for (const kind of step % 3 === 0 ? (['kill', 'power'] as const) : ([step % 2 ? 'kill' : 'power'] as const)) {
      const bench = new Bench(Number.POSITIVE_INFINITY, step);
      let log = await bench.open();
      for (let at = 0; at < 12; at++) await bench.run(write(log, at));
      await bench.run(log.stabilize());
      for (let at = 12; at < 30; at++) await bench.run(write(log, at));
      bench.fill();
      bench.crash('kill');
      // Twice: the second one is without one of the spares.
      for (let round = 0; round < 2; round++) {
        let left = step;
        let next: SimulatedDisk | undefined;
        const current: SimulatedDisk = bench.disk.crash('kill', {
          clock: bench.clock,
          onEvent: () => {
            if (--left === 0) next = current.crash(kind, { clock: bench.clock, onEvent: undefined });
          },
        });
        const opening = openOn(current, bench.clock, step).catch((error) => {
          assert.fail(`step ${step} ${kind}: ${error}`);
        });
        for (let turn = 0; turn < 100 && next === undefined; turn++) await bench.clock.advance(10);
        if (next === undefined) await opening;
        bench.disk = next ?? current.crash(kind, { clock: bench.clock, onEvent: undefined });
      }
      log = await bench.open();
      await bench.run(expectFiles(log, 0, kind === 'kill' ? 30 : 12));
      while (await bench.run(drainOne(log)));
      await bench.run(log.close());
    }
  }
});

test('closing ends without any room, and what was answered is stable', async () => {
  const bench = new Bench();
  let log = await bench.open();
  await bench.run(write(log, 0));
  bench.fill();
  await bench.writeAll(log);
  for (const name of await bench.run(bench.disk.list())) {
    if (name.startsWith('spare')) await bench.run(bench.disk.remove(name));
  }
  bench.fill();
  for (let round = 0; round < 300; round++) log.note(`note ${round}`, Buffer.alloc(4_000));
  const waiting = Promise.resolve(write(log, 1)).catch(() => {});
  await assert.rejects(bench.run(log.close()), (error) => error instanceof ViaductError);
  await bench.run(waiting);
  bench.disk.capacityBytes = Number.POSITIVE_INFINITY;
  bench.crash('power');
  log = await bench.open();
  await bench.run(expectFiles(log, 0, 1));
});

test('a new log on a disk without room is refused, and leaves nothing', async () => {
  for (const capacity of [0, 100_000, 200_000, 300_000, 400_000]) {
    const bench = new Bench(capacity);
    await assert.rejects(bench.open(), code('DISK_FULL'), `${capacity}`);
    assert.deepEqual(await bench.run(bench.disk.list()), []);
  }
});

test('a disk that fails while a log is opened is said to fail', async () => {
  for (const operation of ['open', 'read', 'create', 'write', 'datasync', 'sync'] as const) {
    const bench = new Bench();
    const log = await bench.open();
    await bench.run(write(log, 0));
    bench.crash('kill');
    bench.disk.fail(operation, Number.POSITIVE_INFINITY);
    await assert.rejects(bench.open(), code('LOG_FAILED'), operation);
    bench.disk.heal();
    await bench.run(expectFiles(await bench.open(), 0, 1));
  }
});

test('writers on a full disk go on as fast as the drain, and look for room no oftener than some is made', async () => {
  const bench = new Bench();
  const log = await bench.open();
  await bench.run(write(log, 0));
  // One segment is all there is: it holds the room, needed or not. Beside it, what a third spare takes.
  bench.disk.capacityBytes = bench.disk.usedBytes + 128 * 1024;
  let creates = 0;
  const { create } = bench.disk;
  bench.disk.create = (...args: Parameters<typeof create>) => {
    creates++;
    return create.apply(bench.disk, args);
  };
  const answers: string[] = [];
  const writing = (async () => {
    for (let at = 1; at <= 200; at++) answers.push(await write(log, at));
  })();
  const began = bench.clock.now();
  while (answers.length < 200) {
    if (!(await bench.run(drainOne(log)))) await bench.clock.advance(10);
    assert.ok(bench.clock.now() - began < 10_000, `${answers.length} changes in 10 s`);
  }
  await writing;
  assert.deepEqual(new Set(answers), new Set(['appended']));
  assert.ok(creates < 200, `${creates} files`);
  await bench.run(expectFiles(log, 200, 201));
  bench.crash('power');
  await bench.run((await bench.open()).close());
});

/** Without room once it is full; says what was done to which file, under the name that it was opened by. */
class FullDirectory extends MemoryDirectory {
  isFull = false;
  fails: 'rename' | undefined;
  opened = 0;
  readonly done: string[] = [];

  override create(name: string, bytes: number): Promise<LogFile> {
    if (this.isFull) return Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }));
    return super.create(name, bytes);
  }

  override async open(name: string): Promise<LogFile> {
    const file = await super.open(name);
    this.opened++;
    return {
      ...file,
      write: (position, slices) => {
        this.done.push(`write ${name}`);
        return file.write(position, slices);
      },
      close: () => {
        this.opened--;
        return file.close();
      },
    };
  }

  override remove(name: string): Promise<void> {
    this.done.push(`remove ${name}`);
    return super.remove(name);
  }

  override rename(from: string, to: string): Promise<void> {
    if (this.fails === 'rename') return Promise.reject(Object.assign(new Error('rename'), { code: 'EIO' }));
    this.done.push(`rename ${from} ${to}`);
    return super.rename(from, to);
  }
}

test('opening on a full disk leaves what is there alone until a spare holds what was in doubt', async () => {
  const bench = new Bench();
  const directory = new FullDirectory();
  const log = await bench.run(openOn(directory, bench.clock, 1));
  await bench.run(write(log, 0));
  await bench.run(log.stabilize());
  // What no sync has covered, as after a kill; and the beginning of a segment that was never used.
  await bench.run(write(log, 1));
  let left = directory.copy();
  const number = Math.max(...left.segments().map((name) => Number(/\d+/.exec(name)![0])));
  const last = left.segments().find((name) => Number(/\d+/.exec(name)![0]) === number)!;
  const unused = last.replace(/\d+/, String(number + 1).padStart(/\d+/.exec(last)![0].length, '0'));
  left.files.set(unused, Buffer.alloc(left.files.get(last)!.length));
  for (let life = 0; life < 5; life++) {
    const next = new FullDirectory();
    for (const [name, bytes] of left.files) next.files.set(name, bytes);
    next.isFull = true;
    const there = next.segments();
    const reborn = await bench.run(openOn(next, bench.clock, 2 + life));
    const renamed = next.done.findIndex((line) => line.startsWith('rename spare'));
    assert.ok(renamed >= 0, 'a spare is used');
    const before = next.done.slice(0, renamed + 1);
    for (const name of there)
      assert.ok(!before.includes(`remove ${name}`) && !next.done.includes(`write ${name}`), next.done.join('; '));
    await bench.run(expectFiles(reborn, 0, 2));
    left = next.copy();
  }
});

test('a spare that cannot be given back is closed', async () => {
  const directory = new FullDirectory();
  const options = { limitBytes: 16 << 20, segmentBytes: 256 << 10, log: silentLog };
  const segments = new Segments({ directory, ...options });
  await segments.fillReserve();
  const made = await segments.makeOfSpare(1024);
  assert.ok(made !== undefined);
  directory.fails = 'rename';
  assert.equal(await segments.unmake(made), false);
  await segments.close();
  assert.equal(directory.opened, 0);
});
