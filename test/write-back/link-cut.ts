/**
 * The link goes away for a while: writes and cached reads go on, what is not cached waits, and write-back resumes by itself.
 *
 *     cached part | written part | never touched part (its reads must wait)
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Random, seededRandom } from '../../src/base/mod.ts';
import { until } from '../support/programs.ts';
import { Bed } from './bed.ts';
import { type CarefulFile, Client } from './client.ts';
import { assertVersions, blockBytes, blockContent, fileContent } from './content.ts';
import type { Round } from './round.ts';

const blocks = 8192;
const cachedBlocks = 512;
const firstWritten = 1024;
const writtenBlocks = 1024;
/** Read-ahead must not have come here: far from all that was read. */
const firstUntouched = 7168;
/** What is fetched brings its neighbours into the cache. */
const apart = 64;
/** What goes on goes on without waiting for anybody. */
const promptMs = 5000;

export async function linkCut(round: number, options: { readonly cutsMs: readonly number[] }): Promise<Round> {
  // Past their time-out while the link is away, and believed all the same.
  const more = ['--attribute-timeout', '1s', '--read-ahead', '0'];
  const link = { roundTripMs: 20, bitsPerSecond: 200e6 };
  return await Bed.use({ name: 'link', limitMs: 280_000, after: '200ms', link, more }, async (bed) => {
    const image = join(bed.exported, 'image');
    const expected = new Array<number>(blocks).fill(1);
    await writeFile(image, fileContent(blocks, 1));
    await bed.startOrigin();
    await bed.startProxy();
    const client = await Client.open(`nfs://${bed.listen}:2049/`);
    bed.atEnd(() => client.close());
    const file = await client.file('image');
    await readCached(file, expected);
    const outage = new Outage(bed, file, expected, seededRandom(round));
    for (const [index, cutMs] of options.cutsMs.entries()) await outage.run(cutMs, firstUntouched + index * apart);
    await bed.writeBackAll();
    await bed.assertOnly(['image']);
    return outage.figures();
  });
}

class Outage {
  readonly #bed: Bed;
  readonly #file: CarefulFile;
  readonly #expected: number[];
  readonly #random: Random;
  #writes = 0;
  #slowestMs = 0;
  #resumedMs = 0;

  constructor(bed: Bed, file: CarefulFile, expected: number[], random: Random) {
    this.#bed = bed;
    this.#file = file;
    this.#expected = expected;
    this.#random = random;
  }

  async run(cutMs: number, untouched: number): Promise<void> {
    const bed = this.#bed;
    for (let i = 0; i < 200; i++) await this.#write();
    await bed.link!.cut();
    let missed = false;
    const miss = this.#file.read(untouched * blockBytes, blockBytes).then((bytes) => {
      missed = true;
      return bytes;
    });
    miss.catch(() => {});
    await this.#goOn(cutMs);
    assert.equal(missed, false, 'what is not cached was answered without the origin');
    const away = await bed.status();
    assert.equal(away.isAtOrigin, false);
    assert.ok(away.pendingBytes > 0 && away.pendingFiles === 1, `${away.pendingBytes} in ${away.pendingFiles}`);
    await bed.link!.restore();
    const restoredAt = performance.now();
    assert.ok((await miss).equals(blockContent(untouched, 1)));
    // Each epoch takes its round trips, and in a minute there were some thousand.
    await until('write-back resumed by itself', async () => (await bed.status()).isAtOrigin, 180_000);
    this.#resumedMs = Math.max(this.#resumedMs, performance.now() - restoredAt);
    assertVersions(await readFile(join(bed.exported, 'image')), this.#expected);
  }

  /** Writes and reads what is known, as long as the link is away. */
  async #goOn(forMs: number): Promise<void> {
    const cutAt = performance.now();
    while (performance.now() - cutAt < forMs) {
      const began = performance.now();
      for (let i = 0; i < 20; i++) await this.#write();
      await this.#file.commit();
      await readCached(this.#file, this.#expected);
      assert.equal(await this.#file.size(), blocks * blockBytes);
      this.#slowestMs = Math.max(this.#slowestMs, performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.ok(this.#slowestMs < promptMs, `writes and cached reads took ${this.#slowestMs} ms without the link`);
  }

  async #write(): Promise<void> {
    const block = firstWritten + (this.#random.uint32() % writtenBlocks);
    const version = this.#expected[block]! + 1;
    await this.#file.write(block * blockBytes, blockContent(block, version));
    this.#expected[block] = version;
    this.#writes++;
  }

  figures(): Round {
    const [slowest, resumed] = [Math.round(this.#slowestMs), Math.round(this.#resumedMs)];
    return { writes: this.#writes, 'slowest ms': slowest, 'resumed after ms': resumed };
  }
}

async function readCached(file: CarefulFile, expected: readonly number[]): Promise<void> {
  for (const first of [0, firstWritten]) {
    const bytes = await file.read(first * blockBytes, cachedBlocks * blockBytes);
    for (let block = 0; block < cachedBlocks; block++) {
      const found = bytes.subarray(block * blockBytes, (block + 1) * blockBytes);
      assert.ok(found.equals(blockContent(first + block, expected[first + block]!)), `block ${first + block} is wrong`);
    }
  }
}
