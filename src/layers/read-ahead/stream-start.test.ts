/** How soon a sequential reader has the link to itself, over links of all lengths: what is lost at the start is lost for good. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '../../base/mod.ts';
import { SimulatedClock } from '../../testing/mod.ts';
import {
  type BlockRun,
  type BlockView,
  defaultReadAhead,
  FilePolicy,
  type LinkFigures,
  Prefetcher,
  type PrefetchTarget,
} from './mod.ts';

const block = limits.blockBytes;
const KiB = 1024;
const MiB = 1024 * KiB;

interface LinkOptions {
  readonly roundTripMs: number;
  readonly bytesPerMs: number;
  /** Bytes on the link for each byte of the file: what a pack makes of it. */
  readonly squeeze?: number;
}

/** Requests travel half a round trip; replies queue for the link, first come first served, and travel the other half. */
class Link {
  readonly clock: SimulatedClock;
  readonly options: LinkOptions;
  #freeAtMs = 0;

  constructor(options: LinkOptions, clock = new SimulatedClock()) {
    this.options = options;
    this.clock = clock;
  }

  send(bytes: number, done: () => void): void {
    const { roundTripMs, bytesPerMs, squeeze = 1 } = this.options;
    const now = this.clock.now();
    this.#freeAtMs = Math.max(this.#freeAtMs, now + roundTripMs / 2) + (bytes * squeeze) / bytesPerMs;
    this.clock.after(this.#freeAtMs + roundTripMs / 2 - now, done);
  }
}

/** A file behind the link, its cache, and who reads it. */
class File implements PrefetchTarget, BlockView {
  readonly policy = new FilePolicy(defaultReadAhead);
  readonly blockCount: number;
  readonly isReady = true;
  makeReady(): void {}
  readonly #prefetcher: Prefetcher;
  readonly #link: Link;
  readonly #coming = new Map<number, Promise<void>>();
  fetchedBytes = 0;

  constructor(bytes: number, prefetcher: Prefetcher, link: Link) {
    this.blockCount = Math.ceil(bytes / block);
    this.#prefetcher = prefetcher;
    this.#link = link;
  }
  get view(): BlockView {
    return this;
  }
  known(index: number): boolean {
    return this.#coming.has(index);
  }
  start(run: BlockRun, done: (bytes: number) => void): boolean {
    const bytes = run.count * block;
    this.fetchedBytes += bytes;
    const { squeeze = 1 } = this.#link.options;
    const expected = bytes * this.#prefetcher.link.share;
    const mark = this.#prefetcher.begin(expected);
    const coming = new Promise<void>((resolve) => {
      this.#link.send(bytes, () => {
        resolve();
        this.#prefetcher.link.learnShare(bytes * squeeze, bytes);
        this.#prefetcher.end(mark, bytes * squeeze);
        done(bytes);
      });
    });
    for (let index = run.first; index < run.first + run.count; index++) this.#coming.set(index, coming);
    return true;
  }

  async read(offset: number, end: number): Promise<void> {
    const first = Math.floor(offset / block);
    const count = Math.ceil(end / block) - first;
    let isMissed = false;
    const waits: (Promise<void> | undefined)[] = [];
    for (let index = first; index < first + count; index++) {
      if (this.known(index)) continue;
      let more = 1;
      while (index + more < first + count && !this.known(index + more)) more++;
      this.start({ first: index, count: more }, () => {});
      isMissed = true;
    }
    for (let index = first; index < first + count; index++) waits.push(this.#coming.get(index));
    this.policy.touch(offset, end, isMissed);
    if (this.policy.hasWishes) this.#prefetcher.wake(this);
    await Promise.all(waits);
  }

  /** From the beginning to the end, `depth` READs at a time. */
  async readAll(readBytes: number, depth: number): Promise<void> {
    let next = 0;
    const reader = async (): Promise<void> => {
      while (next < this.blockCount * block) {
        const offset = next;
        next += readBytes;
        await this.read(offset, offset + readBytes);
      }
    };
    await Promise.all(Array.from({ length: depth }, reader));
  }
}

/** How long the work takes, which only this moves the clock for. */
async function duration(clock: SimulatedClock, work: Promise<void>): Promise<number> {
  const began = clock.now();
  let isDone = false;
  void work.then(() => {
    isDone = true;
  });
  while (!isDone) await clock.step();
  return clock.now() - began;
}

interface Start extends LinkOptions {
  readonly bytes: number;
  readonly readBytes?: number;
  readonly depth?: number;
}

/** The link, and who paces what is fetched over it; the look-up of the file is what it has heard so far. */
function session(options: LinkOptions, known?: LinkFigures): { link: Link; prefetcher: Prefetcher } {
  const link = new Link(options);
  const prefetcher = new Prefetcher(defaultReadAhead, link.clock);
  if (known !== undefined) prefetcher.link.remember(known, link.clock.now());
  prefetcher.heard(options.roundTripMs);
  return { link, prefetcher };
}

/** What one file needs, beyond the time that its bytes need on the link. */
interface Result {
  /** Of the link, until the last byte. */
  readonly share: number;
  readonly lostRoundTrips: number;
}

async function first(
  { bytes, readBytes = 64 * KiB, depth = 1, ...options }: Start,
  on = session(options),
): Promise<Result> {
  const file = new File(bytes, on.prefetcher, on.link);
  const ms = await duration(on.link.clock, file.readAll(readBytes, depth));
  const wireMs = (bytes * (options.squeeze ?? 1)) / options.bytesPerMs;
  return { share: wireMs / ms, lostRoundTrips: (ms - wireMs) / options.roundTripMs };
}

const far = { roundTripMs: 300, bytesPerMs: 12_500 };
const near = { roundTripMs: 40, bytesPerMs: 12_500 };
const percent = (share: number): string => `${(100 * share).toFixed(1)} % of the link`;

describe('the first sequential read of a file', () => {
  for (const [name, how, most, least] of [
    ['of 64 KiB a READ', {}, 2, 0.96],
    ['of four READs of 1 MiB at a time', { readBytes: MiB, depth: 4 }, 1.5, 0.97],
    ['packed to a quarter', { squeeze: 0.25 }, 3, 0.82],
  ] as const) {
    test(`${name}, loses no more round trips at 300 ms than at 40 ms`, async (t) => {
      const bytes = 192 * MiB;
      const [short, long] = [await first({ ...near, ...how, bytes }), await first({ ...far, ...how, bytes })];
      t.diagnostic(`40 ms: ${percent(short.share)}, ${short.lostRoundTrips.toFixed(1)} round trips lost`);
      t.diagnostic(`300 ms: ${percent(long.share)}, ${long.lostRoundTrips.toFixed(1)} round trips lost`);
      assert.ok(short.share > 0.97, percent(short.share));
      assert.ok(long.share > least, percent(long.share));
      assert.ok(long.lostRoundTrips < most && long.lostRoundTrips < short.lostRoundTrips + 0.5);
      // Of a large image the start is nothing at either.
      const large = await first({ ...far, ...how, bytes: 1024 * MiB });
      assert.ok(large.share > 0.95, percent(large.share));
    });
  }

  test('over 300 ms begins with what the link was found to hold, by an earlier file or in an earlier life', async (t) => {
    const bytes = 48 * MiB;
    const anew = await first({ ...far, bytes });
    const on = session(far);
    await first({ ...far, bytes }, on);
    // Little is asked for meanwhile: that says nothing about the link.
    const seldom = new File(1024 * MiB, on.prefetcher, on.link);
    for (let at = 0; at < 200; at++) {
      await duration(on.link.clock, seldom.read(at * 5 * MiB, at * 5 * MiB + 4 * KiB));
    }
    const second = await first({ ...far, bytes }, on);
    const kept = on.prefetcher.link.figures!;
    const later = await first({ ...far, bytes }, session(far, kept));
    t.diagnostic(
      `anew ${percent(anew.share)}, second file ${percent(second.share)}, next life ${percent(later.share)}`,
    );
    assert.ok(Math.abs(kept.bytesPerMs - far.bytesPerMs) < 2_500, `${kept.bytesPerMs} bytes/ms`);
    for (const { lostRoundTrips } of [second, later])
      assert.ok(lostRoundTrips < 1.7 && lostRoundTrips <= anew.lostRoundTrips, `${lostRoundTrips} round trips`);
  });

  test('what is kept of a link is what it carries, also if what was read was packed', async () => {
    const on = session(far);
    await first({ ...far, squeeze: 0.25, bytes: 192 * MiB }, on);
    const { bytesPerMs } = on.prefetcher.link.figures!;
    assert.ok(bytesPerMs < far.bytesPerMs * 1.2 && bytesPerMs > far.bytesPerMs * 0.7, `${bytesPerMs} bytes/ms`);
  });
});

describe('a demand read beside the start of a stream', () => {
  const fast = { bytesPerMs: 12_500, roundTripMs: 32 };
  for (const [name, options, known, mostMs] of [
    ['14 Mbit/s', { bytesPerMs: 1_750, roundTripMs: 32 }, undefined, 400],
    [
      '14 Mbit/s that was found to be so',
      { bytesPerMs: 1_750, roundTripMs: 32 },
      { bytesPerMs: 1_750, roundTripMs: 32 },
      400,
    ],
    ['14 Mbit/s that was 100 Mbit/s before', { bytesPerMs: 1_750, roundTripMs: 32 }, fast, 450],
    ['14 Mbit/s and 300 ms', { bytesPerMs: 1_750, roundTripMs: 300 }, undefined, 900],
    ['100 Mbit/s and 300 ms', far, undefined, 700],
  ] as const) {
    test(`of ${name} is answered within ${mostMs} ms`, async (t) => {
      const { link, prefetcher } = session(options, known);
      const stream = new File(192 * MiB, prefetcher, link);
      const other = new File(192 * MiB, prefetcher, link);
      void stream.readAll(64 * KiB, 1);
      const waits: number[] = [];
      for (let at = 1; at <= 40; at++) {
        await link.clock.advance(50);
        waits.push(await duration(link.clock, other.read(at * 4 * MiB, at * 4 * MiB + 4 * KiB)));
      }
      const most = Math.max(...waits);
      t.diagnostic(`${most.toFixed(0)} ms at most, the first ${waits[0]!.toFixed(0)} ms`);
      assert.ok(most < mostMs, `${most} ms`);
    });
  }
});
