/**
 * kill -9 of the proxy amid writes by `qemu-io`, several lives, then write-back: the origin has what was answered.
 *
 * Each lane owns a part of the image and has its own model of it; libnfs waits for the proxy to come back, so a guest would see a
 * pause. In the last life the clients are killed too: then a block whose write was under way holds the old or the new pattern.
 */
import assert from 'node:assert/strict';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Random, seededRandom } from '../../src/base/mod.ts';
import { Bed, type Policy } from './bed.ts';
import { QemuIo, QemuIoGone } from './qemu-io.ts';
import type { Round } from './round.ts';

const unitBytes = 512;
const laneUnits = 16_384;
const laneCount = 3;

interface Write {
  readonly unit: number;
  readonly units: number;
  readonly pattern: number;
}

/** What each 512 bytes of a lane's part of the image hold. */
class Lane {
  readonly base: number;
  readonly held = new Uint8Array(laneUnits);
  /** Writes that are not answered. */
  pending: Write[] = [];
  writes = 0;
  flushes = 0;
  readonly #random: Random;

  constructor(index: number, random: Random) {
    this.base = index * laneUnits;
    this.#random = random;
  }

  /** Writes, flushes and reads back until told to stop; a killed client ends it too. */
  async work(io: QemuIo, goesOn: () => boolean): Promise<void> {
    try {
      while (goesOn()) await this.#step(io);
    } catch (error) {
      if (!(error instanceof QemuIoGone)) throw error;
    }
  }

  async #step(io: QemuIo): Promise<void> {
    const choice = this.#next(10);
    if (choice < 5) await this.#write(io, [this.#draw()], 'write');
    else if (choice < 7) {
      const first = this.#draw();
      const second = this.#draw();
      const apart = first.unit + first.units <= second.unit || second.unit + second.units <= first.unit;
      await this.#write(io, apart ? [first, second] : [first], 'aio_write');
    } else if (choice < 9) await this.#readBack(io);
    else {
      await io.run('flush');
      this.flushes++;
    }
  }

  async #write(io: QemuIo, writes: Write[], command: string): Promise<void> {
    this.pending = writes;
    await io.run(
      ...writes.map(
        ({ unit, units, pattern }) => `${command} -P ${pattern} ${(this.base + unit) * unitBytes} ${units * unitBytes}`,
      ),
      ...(command === 'aio_write' ? ['aio_flush'] : []),
    );
    for (const { unit, units, pattern } of writes) this.held.fill(pattern, unit, unit + units);
    this.pending = [];
    this.writes += writes.length;
  }

  async #readBack(io: QemuIo): Promise<void> {
    const unit = this.#next(laneUnits);
    let end = unit + 1;
    while (end < laneUnits && end < unit + 64 && this.held[end] === this.held[unit]) end++;
    const offset = (this.base + unit) * unitBytes;
    await io.run(`read -P ${this.held[unit]} ${offset} ${(end - unit) * unitBytes}`);
  }

  #draw(): Write {
    const units = this.#next(3) === 0 ? 1 + this.#next(128) : 8 * (1 + this.#next(4));
    // Half of them crowd in one corner, so that epochs overwrite each other.
    const space = (this.#next(2) === 0 ? 1024 : laneUnits) - units;
    return { unit: this.#next(space), units, pattern: 1 + this.#next(255) };
  }

  #next(below: number): number {
    return this.#random.uint32() % below;
  }

  /** Throws unless the image holds what was answered. */
  verify(image: Buffer): void {
    for (let unit = 0; unit < laneUnits; unit++) {
      const at = (this.base + unit) * unitBytes;
      const bytes = image.subarray(at, at + unitBytes);
      const found = bytes[0]!;
      const allowed = [this.held[unit]!, ...this.#pendingAt(unit)];
      assert.ok(
        bytes.equals(Buffer.alloc(unitBytes, found)) && allowed.includes(found),
        `at ${at} the origin holds ${[...new Set(bytes)]}, answered was ${allowed}`,
      );
      this.held[unit] = found;
    }
  }

  #pendingAt(unit: number): number[] {
    return this.pending
      .filter((write) => unit >= write.unit && unit < write.unit + write.units)
      .map(({ pattern }) => pattern);
  }
}

export async function killedProxy(
  round: number,
  options: { readonly lives: number; readonly policy?: Policy },
): Promise<Round> {
  const random = seededRandom(round);
  const policy = options.policy ?? (round % 3 === 0 ? 'write-back-origin' : 'write-back');
  const after = ['100ms', '1s', '1h'][round % 3]!;
  return await Bed.use({ name: 'killed', policy, after }, async (bed) => {
    const image = join(bed.exported, 'image.raw');
    const lanes = Array.from({ length: laneCount }, (_, index) => new Lane(index, seededRandom(round * 100 + index)));
    await writeFile(image, '');
    await truncate(image, laneCount * laneUnits * unitBytes);
    await bed.startOrigin();
    await bed.startProxy();
    const clients = await openClients(bed, lanes);
    let goesOn = true;
    const working = Promise.all(lanes.map((lane, index) => lane.work(clients[index]!, () => goesOn)));
    working.catch(() => {});
    const pause = (ms: number): Promise<unknown> =>
      Promise.race([working, new Promise((resolve) => setTimeout(resolve, ms))]);
    for (let life = 1; life <= options.lives; life++) {
      await pause(150 + (random.uint32() % 600));
      await bed.killProxy();
      if (life === options.lives) break;
      await pause(random.uint32() % 300);
      await bed.startProxy();
    }
    goesOn = false;
    for (const client of clients) await client.kill();
    await working;
    await bed.startProxy();
    await bed.writeBackAll();
    await bed.assertOnly(['image.raw']);
    const stored = await readFile(image);
    for (const lane of lanes) lane.verify(stored);
    const sum = (of: (lane: Lane) => number): number => lanes.reduce((total, lane) => total + of(lane), 0);
    return { policy, after, writes: sum((lane) => lane.writes), flushes: sum((lane) => lane.flushes) };
  });
}

async function openClients(bed: Bed, lanes: readonly Lane[]): Promise<QemuIo[]> {
  const clients = await Promise.all(lanes.map(() => QemuIo.open(bed.url('image.raw'))));
  bed.atEnd(async () => {
    for (const client of clients) await client.kill();
  });
  return clients;
}
