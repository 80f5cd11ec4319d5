/** Crashes at every kind of moment, on a disk that does what disks may do: what comes back is a prefix, and a long enough one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom, ViaductError } from '../base/mod.ts';
import { type CrashKind, SimulatedClock, SimulatedDisk } from '../testing/mod.ts';
import { difference, during, fileBytes, openOn, type Step } from './log-model.test.ts';
import type { DirtyLog } from './mod.ts';

interface Run {
  steps: Step[];
  /** Refused, but perhaps in the log nevertheless if the next thing is a crash. */
  refused: Step[];
  /** How many steps came before them. */
  refusedAt: number;
  /** Steps that were answered. */
  answered: number;
  /** Steps that were answered before a sync that was answered. */
  stable: number;
}

class Driver {
  readonly #chance;
  readonly #log: DirtyLog;
  readonly #faults: SimulatedDisk | undefined;
  /** Never written back: no epochs. */
  readonly #keeps: boolean;
  readonly #run: Run;
  readonly #sizes = new Map<number, number>();
  /** The log refused changes. */
  isRefused = false;

  constructor(log: DirtyLog, run: Run, seed: number, faults: SimulatedDisk | undefined, keeps: boolean) {
    this.#faults = faults;
    this.#keeps = keeps;
    this.#log = log;
    this.#run = run;
    this.#chance = seededRandom(seed);
  }

  #below(limit: number): number {
    return this.#chance.uint32() % limit;
  }

  #add(step: Step): void {
    this.#run.steps.push(step);
  }

  /** Some changes at once; answered all, or the disk died. */
  async #changes(): Promise<void> {
    const promises: unknown[] = [];
    for (let left = 1 + this.#below(6); left > 0; left--) {
      const file = 1 + this.#below(3);
      const number = this.#log.file(`file ${file}`);
      const size = this.#sizes.get(file) ?? 10_000;
      const time = { seconds: 5, nanoseconds: 6 };
      if (this.#below(5) === 0) {
        const sizeAfter = this.#below(fileBytes);
        this.#sizes.set(file, sizeAfter);
        this.#add({ kind: 'resize', file, sizeAfter });
        promises.push(this.#log.resize({ file: number, writer: 1, sizeAfter, time }));
        continue;
      }
      const offset = this.#below(fileBytes - 1);
      const count = Math.min(1 + this.#below(9_000), fileBytes - offset);
      const sizeAfter = Math.max(size, offset + count);
      this.#sizes.set(file, sizeAfter);
      const byte = this.#run.steps.length % 251;
      this.#add({ kind: 'write', file, offset, count, byte, sizeAfter });
      const data = [Buffer.alloc(Math.floor(count / 2), byte), Buffer.alloc(count - Math.floor(count / 2), byte)];
      promises.push(this.#log.write({ file: number, writer: 1, offset, count, sizeAfter, time, data }));
    }
    const first = this.#run.steps.length - promises.length;
    let appended = 0;
    for (const result of await Promise.allSettled(promises)) {
      if (result.status === 'rejected') {
        expectFailure(result.reason);
        this.isRefused = true;
      } else if (result.value === 'appended') appended++;
    }
    this.#run.refused = this.#run.steps.slice(first + appended);
    this.#run.steps.length = first + appended;
    this.#run.refusedAt = first + appended;
    if (appended > 0) this.#run.answered = this.#run.steps.length;
    for (const step of this.#run.refused) if ('file' in step) this.#sizes.set(step.file, 10_000);
  }

  /** Nothing waits then. */
  async drainAll(): Promise<void> {
    this.#add({ kind: 'seal' });
    this.#log.seal();
    for (let epoch = this.#log.epochs()[0]; epoch !== undefined; epoch = this.#log.epochs()[0]) {
      const plan = await this.#log.plan(epoch.number);
      this.#log.drained(epoch.number);
      plan.release();
      this.#add({ kind: 'drained' });
    }
  }

  async step(): Promise<void> {
    if (this.#faults !== undefined && this.#below(4) === 0) {
      const operation = (['datasync', 'datasync', 'write', 'create'] as const)[this.#below(4)]!;
      this.#faults.fail(operation, 1 + this.#below(3), operation === 'datasync' ? 'EIO' : 'ENOSPC');
    }
    const action = this.#below(12);
    const log = this.#log;
    if (action < 6 || (this.#keeps && (action === 6 || action === 9))) return this.#changes();
    if (action === 6) {
      this.#add({ kind: 'seal' });
      log.seal();
    } else if (action < 9) {
      if (action === 7 && !this.#keeps) this.#add({ kind: 'seal' });
      try {
        await (action === 7 ? log.stabilize() : log.sync());
      } catch (error) {
        expectFailure(error);
        // Clients see another verifier: what was not stable may be lost.
        this.#run.answered = this.#run.stable;
        return;
      }
      this.#run.refused = [];
      this.#run.answered = this.#run.steps.length;
      this.#run.stable = this.#run.steps.length;
    } else if (action === 9) {
      const epoch = log.epochs()[0];
      if (epoch?.sealedMs === undefined) return;
      const plan = await log.plan(epoch.number);
      log.drained(epoch.number);
      plan.release();
      this.#add({ kind: 'drained' });
    } else if (action === 10 && this.#below(3) === 0) {
      const file = 1 + this.#below(3);
      log.drop(log.file(`file ${file}`));
      this.#add({ kind: 'drop', file });
    } else {
      log.note('note', Buffer.alloc(1 + this.#below(300), this.#run.steps.length % 251));
    }
  }
}

function expectFailure(error: unknown): void {
  if (!(error instanceof ViaductError) || error.code !== 'LOG_FAILED') throw error;
}

async function life(seed: number, way: 'plain' | 'faults' | 'keeps'): Promise<void> {
  const keeps = way === 'keeps';
  const options = keeps ? { keeps, limitBytes: 1280 * 1024, segmentBytes: 128 * 1024 } : {};
  const random = seededRandom(seed);
  const run: Run = { steps: [], refused: [], refusedAt: 0, answered: 0, stable: 0 };
  let clock = new SimulatedClock();
  const dropsPagesAfterFailure = way === 'faults' && seed % 2000 === 500;
  let disk = new SimulatedDisk({ clock, random: seededRandom(seed + 1), dropsPagesAfterFailure });
  for (let boot = 0; boot < 4; boot++) {
    let left = 1 + (random.uint32() % (keeps ? 500 : 120));
    const kind: CrashKind = random.uint32() % 2 === 0 ? 'kill' : 'power';
    let next: SimulatedDisk | undefined;
    const nextClock = new SimulatedClock();
    const current = disk.crash('kill', {
      clock,
      onEvent: () => {
        if (--left !== 0) return;
        next = current.crash(kind, { clock: nextClock, onEvent: undefined });
      },
    });
    const work = async (): Promise<void> => {
      const begin = async () => {
        const log = await openOn(current, clock, seed + boot, options);
        await check(log, run, seed, boot);
        const driver = new Driver(log, run, random.uint32(), way === 'faults' ? current : undefined, keeps);
        return { log, driver };
      };
      let { log, driver } = await begin();
      while (next === undefined) {
        if (way !== 'faults' && random.uint32() % 12 === 0) {
          if (!keeps && random.uint32() % 3 > 0) await driver.drainAll();
          await log.close();
          run.answered = run.stable = run.steps.length;
          ({ log, driver } = await begin());
        }
        const isLost = await driver.step().then(
          () => false,
          (error) => {
            expectFailure(error);
            return dropsPagesAfterFailure;
          },
        );
        // What the kernel forgot is lost: only another start helps.
        if (isLost || (dropsPagesAfterFailure && driver.isRefused))
          next ??= current.crash(kind, { clock: nextClock, onEvent: undefined });
      }
    };
    let problem: unknown;
    void work().catch((error) => {
      problem = error;
    });
    for (let turns = 0; next === undefined && problem === undefined; turns++) {
      assert.ok(turns < 20_000, `seed ${seed}: nothing hangs`);
      await clock.advance(1);
    }
    if (problem !== undefined) throw problem;
    // What was only answered survives kills, until the power fails; or a sync, after which the kernel shows what the disk has.
    if (kind === 'power' || dropsPagesAfterFailure) run.answered = run.stable;
    disk = next!;
    disk.heal();
    clock = nextClock;
  }
  const log = await during(clock, openOn(disk, clock, seed, options));
  await during(clock, check(log, run, seed, 9));
  await during(clock, log.close());
}

/** The log is one of the prefixes that it may be; from now on that one is the history. */
async function check(log: DirtyLog, run: Run, seed: number, boot: number): Promise<void> {
  const why: string[] = [];
  const other = run.steps.slice(0, run.refusedAt).concat(run.refused);
  run.refused = [];
  if (other.length > run.answered) {
    for (let count = other.length; count > run.refusedAt; count--) {
      if ((await difference(log, other, count)) !== undefined) continue;
      run.steps = other;
      break;
    }
  }
  for (let count = run.steps.length; count >= run.answered; count--) {
    const problem = await difference(log, run.steps, count);
    if (problem !== undefined) {
      why.push(`${count}: ${problem}`);
      continue;
    }
    run.steps.length = count;
    // The same state may come of several prefixes: seals and drains show in the epochs.
    run.answered = count;
    run.stable = count;
    return;
  }
  assert.fail(
    `seed ${seed}, boot ${boot}: no prefix of ${run.answered} to ${run.steps.length} steps fits: ${why.join('; ')}`,
  );
}

const first = Number(process.env.SEED ?? 1);
const count = Number(process.env.SEEDS ?? 20);

test('after any crash the log is a prefix of what was asked, and holds all that was stable', async () => {
  for (let seed = first; seed < first + count; seed++) await life(seed * 1000, 'plain');
});

test('the same on a disk that refuses writes, fails syncs and forgets pages', async () => {
  for (let seed = first; seed < first + count; seed++) await life(seed * 1000 + 500, 'faults');
});

test('the same while dead records are cleaned away', async () => {
  for (let seed = first; seed < first + count; seed++) await life(seed * 1000 + 700, 'keeps');
});
