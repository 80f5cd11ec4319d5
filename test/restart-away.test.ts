/** A proxy that is killed, and started again while its link is cut: what it knew is served, and writes go on into the dirty log. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { enterPrivateNetwork } from './support/namespace.ts';
import { Bed } from './write-back/bed.ts';
import { Client } from './write-back/client.ts';
import { assertVersions, blockBytes, blockContent, fileContent } from './write-back/content.ts';
import { QemuIo } from './write-back/qemu-io.ts';

enterPrivateNetwork(import.meta.filename);

const blocks = 1024;
const link = { roundTripMs: 10, bitsPerSecond: 100e6 };
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('a write-back proxy restarted in an outage goes on with dirty data, reads and writes, and writes all back', async () => {
  await Bed.use({ name: 'away', after: '300ms', link, more: ['--read-ahead', '0'] }, async (bed) => {
    const image = join(bed.exported, 'image');
    const versions = new Array<number>(blocks).fill(1);
    await writeFile(image, fileContent(blocks, 1));
    await bed.startOrigin();
    await bed.startProxy();
    const client = await Client.open(`nfs://${bed.listen}:2049/`);
    bed.atEnd(() => client.close());
    const file = await client.file('image');
    const write = async (block: number): Promise<void> => {
      const version = versions[block]! + 1;
      await file.write(block * blockBytes, blockContent(block, version));
      versions[block] = version;
    };
    const check = async (from: number, to: number): Promise<void> => {
      const bytes = await file.read(from * blockBytes, (to - from) * blockBytes);
      for (let block = from; block < to; block++) {
        const found = bytes.subarray((block - from) * blockBytes, (block - from + 1) * blockBytes);
        assert.ok(found.equals(blockContent(block, versions[block]!)), `block ${block} is wrong`);
      }
    };
    await check(0, 128);
    for (let block = 100; block < 200; block++) await write(block);
    await file.commit();
    // The origin takes some of it; more is written when the link has gone.
    await sleep(1_500);
    for (let block = 150; block < 250; block++) await write(block);
    await bed.link!.cut();
    for (let block = 200; block < 300; block++) await write(block);
    await sleep(1_000);

    await bed.killProxy();
    await bed.startProxy();
    assert.ok((await bed.status()).pendingBytes > 0);
    // Dirty blocks, cached blocks under them, and new writes: none of these needs the origin.
    await check(100, 128);
    await check(200, 300);
    await check(0, 128);
    for (let block = 0; block < 400; block += 3) await write(block);
    await file.commit();
    assert.equal(await file.size(), blocks * blockBytes);
    // A monitor that starts now finds the image, and reads and writes it.
    assert.equal((await bed.status()).isAtOrigin, false);

    await bed.killProxy();
    await bed.startProxy();
    await check(200, 300);
    await write(7);
    await file.commit();
    await bed.link!.restore();
    await bed.writeBackAll();
    assertVersions(await readFile(image), versions);
    await check(0, blocks);
    await bed.assertOnly(['image']);
  });
});

test('an image can be opened anew through a proxy that was restarted in an outage', async () => {
  await Bed.use({ name: 'away-open', after: '1h', link }, async (bed) => {
    await writeFile(join(bed.exported, 'image.raw'), Buffer.alloc(1024 * 1024, 1));
    await bed.startOrigin();
    await bed.startProxy();
    const before = await QemuIo.open(bed.url('image.raw'));
    await before.run('read -P 1 0 1M', 'write -P 2 0 64k', 'flush');
    await before.close();
    await sleep(1_500);
    await bed.link!.cut();
    await bed.killProxy();
    await bed.startProxy(['--outage', 'stale']);
    const after = await QemuIo.open(bed.url('image.raw'));
    await after.run('read -P 2 0 64k', 'read -P 1 64k 960k', 'write -P 3 512k 64k', 'read -P 3 512k 64k');
    await after.close();
    await bed.link!.restore();
    await bed.writeBackAll();
    const stored = await readFile(join(bed.exported, 'image.raw'));
    assert.deepEqual([stored[0], stored[65_536], stored[524_288]], [2, 1, 3]);
  });
});
