/** A proxy that is killed, and started again while its link is cut: what it knew is served, and writes go on into the dirty log. */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
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
/** A second of patience, and a busy machine. */
const openLimitMs = 10_000;
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

test('under the default policy an image is opened anew in an outage, before and after a restart of the proxy', async () => {
  await Bed.use({ name: 'away-open', after: '1h', link }, async (bed) => {
    const path = join(bed.exported, 'folder');
    await mkdir(path);
    await writeFile(join(path, 'image.raw'), Buffer.alloc(1024 * 1024, 1));
    await bed.startOrigin();
    await bed.startProxy();
    const url = bed.url('folder/image.raw');
    /** Opens it as a new process; says how long that took. */
    const use = async (...commands: string[]): Promise<number> => {
      const startedMs = performance.now();
      const opened = await Promise.race([QemuIo.open(url), sleep(openLimitMs)]);
      const tookMs = performance.now() - startedMs;
      assert.ok(opened, `the image was not opened within ${openLimitMs} ms`);
      await opened.run(...commands);
      await opened.close();
      return tookMs;
    };
    await use('read -P 1 0 1M', 'write -P 2 0 64k', 'flush');
    // Past the time that attributes are believed: the origin is asked, in vain.
    await sleep(4_000);
    await bed.link!.cut();
    const tookMs = [await use('read -P 2 0 64k', 'read -P 1 64k 960k', 'write -P 3 512k 64k', 'read -P 3 512k 64k')];
    await bed.killProxy();
    await bed.startProxy();
    tookMs.push(await use('read -P 2 0 64k', 'read -P 3 512k 64k', 'write -P 4 256k 64k', 'flush'));
    tookMs.push(await use('read -P 4 256k 64k', 'read -P 1 64k 64k'));
    console.log(`opened within ${tookMs.map(Math.round).join(', ')} ms`);
    await bed.link!.restore();
    await bed.writeBackAll();
    const stored = await readFile(join(path, 'image.raw'));
    assert.deepEqual([stored[0], stored[65_536], stored[262_144], stored[524_288]], [2, 1, 4, 3]);
  });
});
