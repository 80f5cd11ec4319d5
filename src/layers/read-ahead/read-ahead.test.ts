/** The read-ahead policies, each by itself: touches in, block runs out. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '../../base/mod.ts';
import { SimulatedClock } from '../../testing/mod.ts';
import {
  type BlockRun,
  type BlockView,
  defaultNeighbourhood,
  defaultReadAhead,
  FilePolicy,
  LinkEstimator,
  Neighbourhood,
  noReadAhead,
  Prefetcher,
  type PrefetchTarget,
  SequentialStreams,
} from './mod.ts';

const block = limits.blockBytes;
const MiB = 1024 * 1024;

/** Requests travel half a round trip; replies queue for the link, first come first served, and travel the other half. */
class SerialLink {
  readonly clock = new SimulatedClock();
  readonly #roundTripMs: number;
  readonly #bytesPerMs: number;
  #freeAtMs = 0;

  constructor(roundTripMs: number, bytesPerMs: number) {
    this.#roundTripMs = roundTripMs;
    this.#bytesPerMs = bytesPerMs;
  }
  send(bytes: number, done: () => void): void {
    const now = this.clock.now();
    this.#freeAtMs = Math.max(this.#freeAtMs, now + this.#roundTripMs / 2) + bytes / this.#bytesPerMs;
    this.clock.after(this.#freeAtMs + this.#roundTripMs / 2 - now, done);
  }
  async run(ms: number): Promise<void> {
    await this.clock.advance(ms);
  }
}

class Blocks implements BlockView {
  readonly blockCount: number;
  readonly asked = new Set<number>();
  constructor(blockCount: number) {
    this.blockCount = blockCount;
  }
  known(index: number): boolean {
    return this.asked.has(index);
  }
  take(run: BlockRun | undefined): BlockRun | undefined {
    for (let i = 0; run !== undefined && i < run.count; i++) {
      assert.ok(run.first + i < this.blockCount, 'past the end');
      assert.ok(!this.asked.has(run.first + i), 'asked twice');
      this.asked.add(run.first + i);
    }
    return run;
  }
}

function drain(streams: SequentialStreams, view: Blocks, windowBytes = 64 * MiB): number {
  let count = 0;
  for (let run = streams.next(view, 16, windowBytes); run !== undefined; run = streams.next(view, 16, windowBytes)) {
    view.take(run);
    count += run.count;
  }
  return count;
}

function touchBlock(streams: SequentialStreams, view: Blocks, index: number): void {
  const isMissed = !view.known(index);
  view.asked.add(index);
  streams.touch(index * block, (index + 1) * block, isMissed);
}

describe('sequential streams', () => {
  test('a whole block at the beginning of a file begins a stream at once, a look at a header does not', () => {
    for (const [end, isStream] of [
      [block, true],
      [4096, false],
    ] as const) {
      const streams = new SequentialStreams();
      const view = new Blocks(1000);
      view.asked.add(0);
      streams.touch(0, end, true);
      assert.equal(drain(streams, view) >= 4, isStream);
    }
  });

  test('one touch is no stream, two adjacent ones are', () => {
    const streams = new SequentialStreams();
    const view = new Blocks(1000);
    touchBlock(streams, view, 100);
    assert.equal(drain(streams, view), 0);
    touchBlock(streams, view, 101);
    assert.ok(drain(streams, view) >= 4);
    assert.ok(view.asked.has(102) && !view.asked.has(99));
  });

  test('the window doubles as the reader goes on, up to the limit', () => {
    const streams = new SequentialStreams();
    const view = new Blocks(100_000);
    let widest = 0;
    for (let index = 0; index < 4000; index++) {
      touchBlock(streams, view, index);
      drain(streams, view, 8 * MiB);
      let ahead = 0;
      while (view.known(index + 1 + ahead)) ahead++;
      widest = Math.max(widest, ahead);
    }
    assert.ok(widest > 96 && widest <= 129, `${widest} blocks ahead`);
  });

  test('what is known already does not use up the window', () => {
    const streams = new SequentialStreams();
    const view = new Blocks(20_000);
    // One block of a hundred has to be asked for.
    for (let index = 0; index < view.blockCount; index++) if (index % 100 !== 7) view.asked.add(index);
    for (const index of [1, 2]) streams.touch(index * block, (index + 1) * block, true);
    const asked: number[] = [];
    for (let at = 0; at < 40; at++) {
      const run = streams.next(view, 1, 8 * block);
      if (run === undefined) continue;
      asked.push(run.first);
      view.take(run);
    }
    assert.deepEqual(asked, [7, 107, 207, 307]);
    // The reader has passed two of them, and one came without the link.
    streams.touch(3 * block, 150 * block, false);
    assert.equal(drain(streams, view, 4 * block), 2);
  });
  test('what came without the link gives its window back', () => {
    const streams = new SequentialStreams();
    const view = new Blocks(1000);
    for (const index of [0, 1]) streams.touch(index * block, (index + 1) * block, true);
    let asked = 0;
    for (let run = view.take(streams.next(view, 1, 4 * block)); run !== undefined && asked < 500; asked++) {
      streams.forgive(run);
      run = view.take(streams.next(view, 1, 4 * block));
    }
    assert.equal(asked, 500);
  });
  test('interleaved streams are told apart', () => {
    const streams = new SequentialStreams();
    const view = new Blocks(100_000);
    for (let step = 0; step < 50; step++) {
      for (const begin of [0, 20_000, 40_000, 60_000]) {
        touchBlock(streams, view, begin + step);
        drain(streams, view);
      }
    }
    for (const begin of [0, 20_000, 40_000, 60_000]) assert.ok(view.known(begin + 52), `stream at ${begin}`);
  });

  test('touches out of order stay one stream', () => {
    const streams = new SequentialStreams();
    const view = new Blocks(10_000);
    let missed = 0;
    for (const base of Array.from({ length: 100 }, (_, i) => i * 4)) {
      for (const index of [base + 1, base, base + 3, base + 2]) {
        if (!view.known(index)) missed++;
        touchBlock(streams, view, index);
        drain(streams, view);
      }
    }
    assert.ok(missed < 8, `${missed} blocks were not there in time`);
  });

  test('a backward reader is read ahead of', () => {
    const streams = new SequentialStreams();
    const view = new Blocks(1000);
    for (const index of [500, 499, 498, 497]) {
      touchBlock(streams, view, index);
      drain(streams, view);
    }
    assert.ok(view.known(494) && !view.known(501));
  });

  test('scattered touches ask for nothing', () => {
    const streams = new SequentialStreams();
    const view = new Blocks(1_000_000);
    for (let i = 0; i < 500; i++) touchBlock(streams, view, (i * 7919) % 1_000_000);
    assert.equal(drain(streams, view), 0);
  });
});

describe('neighbourhood', () => {
  const options = { ...defaultNeighbourhood, smallestFileBytes: 0 };

  test('the rest of the region comes after a miss: forward first, then backward', () => {
    const near = new Neighbourhood(options);
    const view = new Blocks(1600);
    view.asked.add(804);
    near.touch(804, true);
    const runs: BlockRun[] = [];
    for (let run = view.take(near.next(view, 4)); run !== undefined; run = view.take(near.next(view, 4)))
      runs.push(run);
    assert.deepEqual(runs, [
      { first: 805, count: 4 },
      { first: 809, count: 4 },
      { first: 813, count: 3 },
      { first: 800, count: 4 },
    ]);
  });

  test('neighbours of a well-used region follow', () => {
    const near = new Neighbourhood(options);
    const view = new Blocks(1600);
    for (const index of [801, 805, 809]) {
      view.asked.add(index);
      near.touch(index, true);
    }
    for (let run = view.take(near.next(view, 16)); run !== undefined; run = view.take(near.next(view, 16)));
    assert.ok(view.known(784) && view.known(831) && !view.known(783) && !view.known(832));
  });

  test('what is fetched in vain is bounded by what was missed', () => {
    const near = new Neighbourhood({ ...options, initialCreditBytes: MiB });
    const view = new Blocks(1_000_000);
    const misses = 1000;
    let prefetched = 0;
    for (let i = 0; i < misses; i++) {
      const index = (i * 7919 * 16) % 1_000_000;
      if (view.known(index)) continue;
      view.asked.add(index);
      near.touch(index, true);
      for (let run = view.take(near.next(view, 16)); run !== undefined; run = view.take(near.next(view, 16))) {
        prefetched += run.count;
      }
    }
    assert.ok(prefetched <= 16 + misses * options.missCredit, `${prefetched} blocks`);
  });

  test('small files are left alone', () => {
    const near = new Neighbourhood(defaultNeighbourhood);
    near.touch(3, true);
    assert.equal(near.next(new Blocks(100), 16), undefined);
  });
});

describe('link estimator', () => {
  test('learns rate and round trip from a full pipe', () => {
    const link = new LinkEstimator();
    // 12,500 bytes/ms, 40 ms: requests of 64 KiB, eight at a time.
    let freeAt = 0;
    let now = 0;
    const flying: { at: number; mark: ReturnType<LinkEstimator['begin']> }[] = [];
    for (let i = 0; i < 400; i++) {
      while (flying.length < 16) {
        freeAt = Math.max(freeAt, now + 20) + block / 12_500;
        flying.push({ at: freeAt + 20, mark: link.begin(now, true) });
      }
      const done = flying.shift()!;
      now = done.at;
      link.end(done.mark, block, now);
    }
    assert.ok(Math.abs(link.bytesPerMs - 12_500) < 2_500, `${link.bytesPerMs} bytes/ms`);
    assert.ok(link.roundTripMs > 30 && link.roundTripMs < 60, `${link.roundTripMs} ms`);
    assert.equal(link.growing, false);
  });
});

describe('prefetcher', () => {
  function target(policy: FilePolicy, view: Blocks, started: BlockRun[], isWilling = true): PrefetchTarget {
    return {
      policy,
      view,
      isReady: true,
      makeReady: () => {},
      start: (run) => {
        if (isWilling) started.push(view.take(run)!);
        return isWilling;
      },
    };
  }

  test('what is in flight stays within the limit, and completions bring more', () => {
    const clock = new SimulatedClock();
    const prefetcher = new Prefetcher({ ...defaultReadAhead, mostBytes: 512 * 1024 }, clock);
    const policy = new FilePolicy(defaultReadAhead);
    const view = new Blocks(100_000);
    const started: BlockRun[] = [];
    const marks: (() => void)[] = [];
    const file: PrefetchTarget = {
      policy,
      view,
      isReady: true,
      makeReady: () => {},
      start: (run) => {
        view.take(run);
        started.push(run);
        const mark = prefetcher.begin(run.count * block);
        marks.push(() => prefetcher.end(mark, run.count * block));
        return true;
      },
    };
    for (let index = 0; index < 200; index++) {
      view.asked.add(index);
      policy.touch(index * block, (index + 1) * block, true);
      prefetcher.wake(file);
      assert.ok(prefetcher.inFlightBytes <= 512 * 1024 + MiB, `${prefetcher.inFlightBytes} in flight`);
    }
    const before = started.length;
    marks.shift()?.();
    assert.ok(started.length > before);
  });

  for (const [roundTripMs, bytesPerMs] of [
    [40, 12_500],
    [32, 1_750],
    [200, 125_000],
  ] as const) {
    test(`guesses over ${roundTripMs} ms and ${bytesPerMs} bytes/ms let a demand read queue for little`, async () => {
      const link = new SerialLink(roundTripMs, bytesPerMs);
      const prefetcher = new Prefetcher(defaultReadAhead, link.clock);
      const policy = new FilePolicy(defaultReadAhead);
      const view = new Blocks(200_000);
      let guessed = 0;
      const file: PrefetchTarget = {
        policy,
        view,
        isReady: true,
        makeReady: () => {},
        start(run, done) {
          view.take(run);
          const mark = prefetcher.begin(run.count * block);
          link.send(run.count * block, () => {
            guessed += run.count * block;
            prefetcher.end(mark, run.count * block);
            done(run.count * block);
          });
          return true;
        },
      };
      const waits: number[] = [];
      // A miss every other round trip in another region, so that there is always something to guess.
      for (let miss = 0; miss < 300; miss++) {
        const index = (miss * 331) % view.blockCount;
        view.asked.add(index);
        policy.touch(index * block, (index + 1) * block, true);
        const mark = prefetcher.begin(block);
        const sentAt = link.clock.now();
        link.send(block, () => {
          waits.push(link.clock.now() - sentAt);
          prefetcher.end(mark, block);
        });
        prefetcher.wake(file);
        await link.run(2 * roundTripMs);
      }
      const own = roundTripMs + block / bytesPerMs;
      const late = waits.slice(100).sort((a, b) => a - b);
      const median = late[late.length >> 1]!;
      const most = own + 2 * defaultReadAhead.queueMs + block / bytesPerMs;
      assert.ok(median <= most, `a demand read waits ${median.toFixed(0)} ms, alone it would ${own.toFixed(0)} ms`);
      assert.ok(guessed > 8 * MiB, `only ${guessed} bytes were guessed`);
    });
  }

  test('a file that cannot take more is not asked again until it is touched', () => {
    const prefetcher = new Prefetcher(defaultReadAhead, new SimulatedClock());
    const policy = new FilePolicy(defaultReadAhead);
    const started: BlockRun[] = [];
    for (const index of [0, 1]) policy.touch(index * block, (index + 1) * block, true);
    prefetcher.wake(target(policy, new Blocks(1000), started, false));
    assert.deepEqual(started, []);
  });

  test('switched off it asks for nothing; closed it starts nothing', () => {
    for (const [options, isClosed] of [
      [noReadAhead, false],
      [defaultReadAhead, true],
    ] as const) {
      const prefetcher = new Prefetcher(options, new SimulatedClock());
      const policy = new FilePolicy(options);
      const started: BlockRun[] = [];
      if (isClosed) prefetcher.close();
      for (let index = 0; index < 50; index++) {
        policy.touch(index * block, (index + 1) * block, true);
        prefetcher.wake(target(policy, new Blocks(100_000), started));
      }
      assert.deepEqual(started, []);
    }
  });
});
