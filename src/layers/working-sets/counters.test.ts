/** What the counters of learned prefetch say, whatever is warmed how often. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits, silentLog } from '../../base/mod.ts';
import type { WorkingSet } from '../../content/mod.ts';
import { type Attributes, type FileHandle, Status, stampOfAttributes } from '../../vfs/mod.ts';
import { alice, finish, type House, house, MiB, makeFile, root } from '../block-cache/house.test.ts';
import { WorkingSets } from '../working-sets.ts';

const block = limits.blockBytes;
/** Its last block is short. */
const fileBytes = 3 * MiB + 5_000;
const blocks = Math.ceil(fileBytes / block);

class Warm {
  readonly at: House = house();
  readonly file: FileHandle = makeFile(this.at.memory, fileBytes);
  readonly layer: WorkingSets;

  constructor(setBlocks: readonly number[] = []) {
    const set: WorkingSet = {
      stamp: stampOfAttributes(this.attributes),
      purpose: 'boot',
      blocks: Uint32Array.from(setBlocks),
      weights: new Uint8Array(setBlocks.length).fill(1),
      runs: 1,
    };
    this.layer = new WorkingSets(this.at.layer, {
      fetcher: this.at.layer,
      store: {
        load: (_key, purpose) => (purpose === 'boot' && setBlocks.length > 0 ? set : undefined),
        save: () => {},
      },
      publisher: undefined,
      purpose: 'boot',
      mode: 'working-set',
      cacheBytes: 64 * MiB,
      clock: this.at.clock,
      log: silentLog,
    });
  }

  get attributes(): Attributes {
    const got = this.at.memory.getattr(root, { object: this.file });
    assert.ok(got.status === 0);
    return got.attributes;
  }

  async begin(isWhole: boolean): Promise<{ readonly blocks: number; readonly ended: Promise<void> }> {
    const warming = await finish(this.at, this.layer.warm(alice, this.file, this.attributes, isWhole));
    assert.ok(warming.status === 0);
    return { blocks: warming.blocks, ended: warming.wanted.ended };
  }

  async warm(isWhole: boolean): Promise<number> {
    const { blocks: total, ended } = await this.begin(isWhole);
    await finish(this.at, ended, 10_000);
    return total;
  }

  async readAll(): Promise<void> {
    for (let offset = 0; offset < fileBytes; offset += block / 2) {
      const count = Math.min(block / 2, fileBytes - offset);
      const reply = await finish(this.at, this.layer.read(alice, { object: this.file, offset, count }));
      assert.equal(reply.status, 0);
      if (reply.status === 0) reply.release?.();
    }
  }

  async close(): Promise<void> {
    await finish(this.at, this.layer.close());
  }
}

describe('of a file that is warmed', () => {
  for (const times of [1, 2, 3]) {
    test(`${times} times and then read, all that was fetched is used, to the byte`, async () => {
      const host = new Warm();
      for (let time = 0; time < times; time++) await host.warm(true);
      await host.readAll();
      const { fetchedBytes, usedBytes } = host.layer.stats();
      assert.deepEqual([fetchedBytes, usedBytes], [fileBytes, fileBytes]);
      await host.close();
    });
  }

  test('again after a part of it was read, what was used before still counts', async () => {
    const host = new Warm();
    await host.warm(true);
    await host.readAll();
    await host.warm(true);
    assert.equal(host.layer.stats().usedBytes, fileBytes);
    await host.close();
  });

  test('its set first and the whole meanwhile or after it, no block counts twice', async () => {
    const set = [3, 4, 5, 20, 21, blocks - 1];
    for (const isMeanwhile of [true, false]) {
      const host = new Warm(set);
      const held = isMeanwhile ? host.at.origin.hold('read') : undefined;
      const first = isMeanwhile ? (await host.begin(false)).blocks : await host.warm(false);
      assert.equal(first, set.length);
      const whole = await host.begin(true);
      assert.equal(whole.blocks, blocks);
      assert.equal(host.layer.stats().leftBytes <= blocks * block, true);
      held?.release();
      await finish(host.at, whole.ended, 10_000);
      assert.deepEqual([host.layer.stats().leftBytes, host.layer.stats().fetchedBytes], [0, fileBytes]);
      await host.close();
    }
  });

  test('what failed and was then read from the origin is not said to have been fetched ahead and used', async () => {
    const host = new Warm();
    const mend = host.at.origin.on('read', () => ({ status: Status.IO }));
    await host.begin(true);
    await host.at.clock.advance(1_000);
    mend();
    const reply = await finish(host.at, host.layer.read(alice, { object: host.file, offset: 0, count: 4096 }));
    if (reply.status === 0) reply.release?.();
    await host.at.clock.advance(1_000);
    const { fetchedBytes, usedBytes } = host.layer.stats();
    assert.deepEqual([reply.status, fetchedBytes, usedBytes], [0, fileBytes - block, 0]);
    await host.close();
  });
});
