/**
 * The dirty log on a small disk that fills up, by itself and by a foreign file, with kills in between: writers are slowed, and
 * nothing is lost or torn.
 */
import assert from 'node:assert/strict';
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { seededRandom, systemCode } from '../../src/base/mod.ts';
import { Bed } from './bed.ts';
import { Client } from './client.ts';
import { assertVersions, blockBytes, blockContent, fileContent } from './content.ts';
import { LoopDisk } from './loop-disk.ts';
import type { Round } from './round.ts';

const blocks = 6144;
const lanes = 8;

export async function logFull(
  round: number,
  options: { readonly mebibytes: number; readonly writes: number },
): Promise<Round> {
  const random = seededRandom(round);
  const more = ['--write-back-rate', '12M'];
  return await Bed.use({ name: 'full', after: round % 2 === 0 ? '100ms' : '1h', more }, async (bed) => {
    const disk = await LoopDisk.create(bed.scratch, 'disk', options.mebibytes);
    bed.atEnd(() => disk.remove());
    bed.log = join(disk.path, 'log');
    const image = join(bed.exported, 'image');
    const expected = new Array<number>(blocks).fill(1);
    await writeFile(image, fileContent(blocks, 1));
    await bed.startOrigin();
    await bed.startProxy();
    const client = await Client.open(`nfs://${bed.listen}:2049/`);
    bed.atEnd(() => client.close());
    const file = await client.file('image');
    let written = 0;
    let slowest = 0;
    const lane = async (index: number): Promise<void> => {
      while (written < options.writes) {
        written++;
        const block = Math.floor((random.uint32() % blocks) / lanes) * lanes + index;
        const version = expected[block]! + 1;
        expected[block] = version;
        const began = performance.now();
        await file.write(block * blockBytes, blockContent(block, version));
        slowest = Math.max(slowest, performance.now() - began);
        if (random.uint32() % 400 === 0) await file.commit();
      }
    };
    const working = Promise.all(Array.from({ length: lanes }, (_, index) => lane(index)));
    working.catch(() => {});
    const reached = (part: number): Promise<void> => reach(working, () => written >= options.writes * part);
    await reached(0.4);
    const foreign = join(disk.path, 'foreign');
    const taken = await fill(foreign);
    await reached(0.6);
    // With a full disk there must be room enough to come back.
    await bed.killProxy();
    await bed.startProxy();
    await reached(0.8);
    await rm(foreign);
    await working;
    await file.commit();
    const shown = await file.read(0, blocks * blockBytes);
    assertVersions(shown, expected);
    await bed.writeBackAll();
    assertVersions(await readFile(image), expected);
    await bed.assertOnly(['image']);
    return { writes: written, 'foreign bytes': taken, 'slowest write ms': Math.round(slowest) };
  });
}

async function reach(working: Promise<unknown>, condition: () => boolean): Promise<void> {
  while (!condition()) await Promise.race([working, new Promise((resolve) => setTimeout(resolve, 10))]);
}

/** Takes all the room that is left on the disk. */
async function fill(path: string): Promise<number> {
  const file = await open(path, 'w');
  let bytes = 0;
  try {
    for (let chunk = 1024 * 1024; chunk >= blockBytes; ) {
      try {
        bytes += (await file.write(Buffer.alloc(chunk, 0x77))).bytesWritten;
      } catch (error) {
        assert.equal(systemCode(error), 'ENOSPC');
        chunk /= 4;
      }
    }
    return bytes;
  } finally {
    await file.close();
  }
}
