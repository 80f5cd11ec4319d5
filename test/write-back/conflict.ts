/**
 * Somebody else changes a file at the origin while data for it waits: both versions are there afterwards, and everybody is told. A
 * crash in the middle of our own write-back is no conflict.
 */
import assert from 'node:assert/strict';
import { readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findLauncher } from '../../src/demo/mod.ts';
import { run, until } from '../support/programs.ts';
import { Bed } from './bed.ts';
import { type CarefulFile, Client } from './client.ts';
import { assertVersions, blockBytes, blockContent, fileContent } from './content.ts';
import type { Round } from './round.ts';

const blocks = 256;
const conflictExit = 4;
const conflictName = /^image\.viaduct-conflict-/;

async function openImage(bed: Bed): Promise<CarefulFile> {
  const client = await Client.open(`nfs://${bed.listen}:2049/`);
  bed.atEnd(() => client.close());
  return await client.file('image');
}

async function writeBlocks(file: CarefulFile, expected: number[], chosen: Iterable<number>): Promise<void> {
  for (const block of chosen) {
    expected[block]!++;
    await file.write(block * blockBytes, blockContent(block, expected[block]!));
  }
  await file.commit();
}

export async function foreignChange(round: number): Promise<Round> {
  return await Bed.use({ name: 'conflict', after: '1h' }, async (bed) => {
    const image = join(bed.exported, 'image');
    const ours = new Array<number>(blocks).fill(1);
    await writeFile(image, fileContent(blocks, 1));
    await writeFile(join(bed.exported, 'other'), fileContent(blocks, 1));
    await bed.startOrigin();
    await bed.startProxy();
    const file = await openImage(bed);
    // Ranges with gaps in one round, the whole file in another.
    const step = 1 + (round % 3);
    const chosen = Array.from({ length: Math.floor(blocks / step) }, (_, index) => index * step);
    await writeBlocks(file, ours, chosen);
    // As another host would: in place, seconds after.
    const theirs = fileContent(blocks, 1000);
    await writeFile(image, theirs, { flag: 'r+' });
    await utimes(image, new Date(), new Date(Date.now() + 5000));
    const outcome = await bed.writeBack();
    assert.equal(outcome.code, conflictExit, `${outcome.stdout}${outcome.stderr}`);
    assert.ok((await readFile(image)).equals(theirs), 'the foreign version was overwritten');
    const { conflicts } = await bed.status();
    assert.equal(conflicts.length, 1);
    const { savedAs, kind } = conflicts[0]!;
    assert.equal(kind, 'changed');
    assert.equal(savedAs?.where, 'origin');
    assert.match(savedAs.name, conflictName);
    const saved = await readFile(join(bed.exported, savedAs.name));
    for (const block of chosen) {
      const at = block * blockBytes;
      assert.ok(
        saved.subarray(at, at + blockBytes).equals(blockContent(block, ours[block]!)),
        `block ${block} is lost`,
      );
    }
    await assertRefusedUntilCleared(bed, file);
    return { saved: saved.length, ranges: chosen.length };
  });
}

async function assertRefusedUntilCleared(bed: Bed, file: CarefulFile): Promise<void> {
  await assert.rejects(file.write(0, blockContent(0, 2000)), /WRITE at 0: 5/);
  await run(findLauncher(), ['conflicts', 'clear', 'image']);
  await file.write(0, blockContent(0, 2000));
  await file.commit();
  await bed.writeBackAll();
  const stored = await readFile(join(bed.exported, 'image'));
  assertVersions(stored, [2000, ...new Array<number>(blocks - 1).fill(1000)]);
}

/** kill -9 while our own epochs are on their way, several times, over one backlog. */
export async function crashAmidDrain(round: number, options: { readonly lives: number }): Promise<Round> {
  const more = ['--write-back-rate', '1M'];
  return await Bed.use({ name: 'drain', after: '1h', more }, async (bed) => {
    const image = join(bed.exported, 'image');
    const expected = new Array<number>(blocks).fill(1);
    await writeFile(image, fileContent(blocks, 1));
    await bed.startOrigin();
    await bed.startProxy();
    const file = await openImage(bed);
    for (let epoch = 0; epoch < 4; epoch++) await writeBlocks(file, expected, expected.keys());
    let interrupted = 0;
    for (let life = 1; life <= options.lives; life++) {
      const before = await readFile(image);
      const drain = bed.writeBack();
      await until('some of it is at the origin', async () => !(await readFile(image)).equals(before));
      await new Promise((resolve) => setTimeout(resolve, (round * 37 + life * 61) % 200));
      await bed.killProxy();
      if ((await drain).code !== 0) interrupted++;
      await bed.startProxy();
    }
    assert.ok(interrupted > 0, 'no write-back was interrupted');
    await bed.writeBackAll();
    assert.deepEqual((await bed.status()).conflicts, []);
    assertVersions(await readFile(image), expected);
    await bed.assertOnly(['image']);
    return { interrupted };
  });
}
