/** A described file over a long link: what is on its way must be enough to keep the link busy, at any round trip. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Clock, sleep } from '../../base/mod.ts';
import { SimulatedClock } from '../../testing/mod.ts';
import {
  type Call,
  type Filesystem,
  ForwardingFilesystem,
  type LookupReply,
  type Place,
  type ReadArguments,
  type ReadReply,
} from '../../vfs/mod.ts';
import type { LinkMemory } from '../block-cache.ts';
import { defaultReadAhead, type LinkFigures } from '../read-ahead/mod.ts';
import { alice, House, imageBytes, WatchedDecoder } from './content-house.test.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** READs travel half a round trip; their bytes queue for the link, first come first served, and travel the other half. */
class LongLink extends ForwardingFilesystem {
  readonly #clock: Clock;
  readonly #roundTripMs: number;
  readonly #bytesPerMs: number;
  #freeAtMs = 0;
  bytes = 0;

  constructor(next: Filesystem, clock: Clock, roundTripMs: number, bytesPerMs: number) {
    super(next);
    this.#clock = clock;
    this.#roundTripMs = roundTripMs;
    this.#bytesPerMs = bytesPerMs;
  }

  override async lookup(call: Call, args: Place): Promise<LookupReply> {
    await sleep(this.#clock, this.#roundTripMs);
    return this.next.lookup(call, args);
  }

  override async read(call: Call, args: ReadArguments): Promise<ReadReply> {
    await sleep(this.#clock, this.#roundTripMs / 2);
    const reply = await this.next.read(call, args);
    const count = reply.status === 0 ? reply.count + 150 : 150;
    this.bytes += count;
    this.#freeAtMs = Math.max(this.#freeAtMs, this.#clock.now()) + count / this.#bytesPerMs;
    await sleep(this.#clock, this.#freeAtMs - this.#clock.now() + this.#roundTripMs / 2);
    return reply;
  }
}

interface Run {
  readonly ms: number;
  readonly linkBytes: number;
}

/** Reads the file once, in READs of 64 KiB, in simulated time. */
async function readOnce(
  roundTripMs: number,
  bytesPerMs: number,
  image: Buffer,
  known?: Buffer,
  memory?: LinkMemory,
): Promise<Run> {
  const clock = new SimulatedClock();
  let link: LongLink | undefined;
  const decoder = new WatchedDecoder();
  await using house = await House.open({
    clock,
    isLight: true,
    decode: decoder.decode,
    cache: { readAhead: defaultReadAhead, link: memory },
    between: (origin) => {
      link = new LongLink(origin, clock, roundTripMs, bytesPerMs);
      return link;
    },
  });
  const drive = async (work: Promise<void>): Promise<void> => {
    let isDone = false;
    const done = work.finally(() => {
      isDone = true;
    });
    done.catch(() => {});
    while (!isDone) {
      // What runs in the thread pool takes no time: it is awaited before the clock moves.
      await decoder.rest();
      await clock.step();
    }
    await done;
  };
  const object = await house.file('memory', image);
  if (known !== undefined) {
    const first = await house.file('disk', known);
    await drive(house.lookup('disk').then(() => house.check(first, known, MiB)));
  }
  await drive(house.lookup('memory').then(() => {}));
  const before = { ms: clock.now(), bytes: link!.bytes };
  await drive(house.check(object, image, 64 * KiB, alice));
  const run = { ms: clock.now() - before.ms, linkBytes: link!.bytes - before.bytes };
  await drive(house.stop());
  house.stop = () => Promise.resolve();
  return run;
}

describe('a sequential reader', () => {
  test('at 300 ms begins with what an earlier session found the link to hold', async (t) => {
    const image = imageBytes(12 * MiB);
    let kept: LinkFigures | undefined;
    const memory: LinkMemory = { load: () => kept, keep: (figures) => (kept = figures) };
    const anew = await readOnce(300, 12_500, image, undefined, memory);
    assert.ok(kept !== undefined && kept.bytesPerMs <= 13_000 && kept.roundTripMs === 300, JSON.stringify(kept));
    const again = await readOnce(300, 12_500, image, undefined, memory);
    t.diagnostic(`${anew.ms.toFixed(0)} ms, then ${again.ms.toFixed(0)} ms`);
    assert.ok(again.ms < anew.ms - 100, `${anew.ms} ms, then ${again.ms} ms`);
  });

  for (const roundTripMs of [40, 300]) {
    test(`at ${roundTripMs} ms needs what its compressed bytes need of 100 Mbit/s, and a few round trips`, async (t) => {
      const image = imageBytes(48 * MiB);
      const { ms, linkBytes } = await readOnce(roundTripMs, 12_500, image);
      t.diagnostic(`${ms.toFixed(0)} ms for ${linkBytes} bytes`);
      assert.ok(linkBytes < image.length / 3.5, `${linkBytes} bytes`);
      // Three for meta-data, one for the first group, and until so much is on its way that the link is full.
      assert.ok(ms < linkBytes / 12_500 + 8 * roundTripMs, `${ms} ms`);
    });

    test(`at ${roundTripMs} ms does not wait for what is on this host or zero`, async (t) => {
      const known = imageBytes(48 * MiB);
      const image = Buffer.from(known);
      // One block of sixteen is new.
      for (let offset = 3 * 64 * KiB; offset < image.length; offset += MiB) {
        imageBytes(128 * KiB, offset).copy(image, offset, 64 * KiB);
      }
      const { ms, linkBytes } = await readOnce(roundTripMs, 12_500, image, known);
      t.diagnostic(`${ms.toFixed(0)} ms for ${linkBytes} bytes`);
      assert.ok(ms < linkBytes / 12_500 + 7 * roundTripMs, `${ms} ms for ${linkBytes} bytes`);
    });
  }
});
