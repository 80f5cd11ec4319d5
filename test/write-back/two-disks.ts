/** Two disks of one guest, written by two `qemu-io` in an order that flushes make: the origin shows a prefix at every moment. */
import assert from 'node:assert/strict';
import { seededRandom } from '../../src/base/mod.ts';
import { Bed } from './bed.ts';
import { type Disk, diskNames, makeDisks, OrderedWriter, prefixOf, readDisks } from './ordered.ts';
import { QemuIo } from './qemu-io.ts';
import type { Round } from './round.ts';
import { Sampler } from './sampler.ts';

/** The blocks of an epoch are one pattern each: qemu-io writes bytes from a file. */
class QemuDisk implements Disk {
  readonly #io: QemuIo;
  readonly #scratch: string;
  #queue: Promise<void> = Promise.resolve();

  constructor(io: QemuIo, scratch: string) {
    this.#io = io;
    this.#scratch = scratch;
  }

  write(offset: number, data: Buffer): Promise<void> {
    this.#queue = this.#queue.then(() => this.#io.writeBytes(offset, data, this.#scratch));
    return this.#queue;
  }

  commit(): Promise<void> {
    return this.#io.run('flush');
  }
}

export async function twoDisks(
  round: number,
  options: { readonly lives: number; readonly lifeMs: number },
): Promise<Round> {
  const random = seededRandom(round);
  const after = ['50ms', '300ms', '2s'][round % 3]!;
  return await Bed.use({ name: 'disks', after }, async (bed) => {
    await makeDisks(bed.exported);
    await bed.startOrigin();
    await bed.startProxy();
    const clients = await Promise.all(diskNames.map((name) => QemuIo.open(bed.url(name))));
    bed.atEnd(async () => {
      for (const client of clients) await client.kill();
    });
    const disks = clients.map((io, index) => new QemuDisk(io, `${bed.scratch}/block-${index}`));
    const writer = new OrderedWriter(disks, 0);
    const seen = new Set<number>();
    let complete = 0;
    const look = async (): Promise<void> => {
      const found = prefixOf(await bed.atOneMoment(() => readDisks(bed.exported)));
      assert.ok(found.complete >= complete, `the origin went back from epoch ${complete} to ${found.complete}`);
      complete = found.complete;
      seen.add(complete);
    };
    const sampler = new Sampler(look, random, 40);
    sampler.start();
    const writing = writer.run();
    writing.catch(() => {});
    const pause = (): Promise<unknown> => {
      const ms = options.lifeMs * (0.5 + (random.uint32() % 100) / 100);
      return Promise.race([writing, new Promise((resolve) => setTimeout(resolve, ms))]);
    };
    await pause();
    for (let life = 1; life < options.lives; life++) {
      await bed.killProxy();
      await bed.startProxy();
      await pause();
    }
    writer.stopped = true;
    await writing;
    await bed.writeBackAll();
    await sampler.stop();
    await look();
    assert.equal(complete, writer.promised);
    await bed.assertOnly(diskNames);
    for (const client of clients) await client.close();
    return { after, epochs: writer.promised, looks: sampler.looks, moments: seen.size };
  });
}
