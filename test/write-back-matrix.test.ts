/**
 * The failure matrix of docs/durability.md, a test a cell: one failure amid writes whose order flushes make, under one policy. What
 * was promised must be there, and the origin must show a consistent prefix at every moment. How: write-back/matrix.ts.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { enterPrivateNetwork, isRealRoot } from './support/namespace.ts';
import { scratchFolder } from './support/programs.ts';
import type { Policy } from './write-back/bed.ts';
import { LoopDisk } from './write-back/loop-disk.ts';
import { type Failure, failUnder } from './write-back/matrix.ts';

enterPrivateNetwork(import.meta.filename);

/** Titles stand here letter by letter: the table names them. */
const cells: readonly (readonly [string, Failure, Policy])[] = [
  ['write-through, kill: nothing is lost', 'kill', 'write-through'],
  ['write-through, host crash: what COMMIT answered is at the origin', 'host crash', 'write-through'],
  ['write-through, log disk lost: there is no log', 'log disk lost', 'write-through'],
  ['write-through, link cut: writes wait and nothing is lost', 'link cut', 'write-through'],
  ['write-through, origin crash: what COMMIT answered is there', 'origin crash', 'write-through'],
  ['commit local, kill: nothing that was answered is lost', 'kill', 'write-back'],
  ['commit local, host crash: what COMMIT answered is recovered', 'host crash', 'write-back'],
  ['commit local, log disk lost: the origin keeps a consistent prefix', 'log disk lost', 'write-back'],
  ['commit local, link cut: writes go on and nothing is lost', 'link cut', 'write-back'],
  ['commit local, origin crash: what it lost is sent again', 'origin crash', 'write-back'],
  ['commit origin, kill: nothing that was answered is lost', 'kill', 'write-back-origin'],
  ['commit origin, host crash: what COMMIT answered is at the origin', 'host crash', 'write-back-origin'],
  ['commit origin, log disk lost: what COMMIT answered is at the origin', 'log disk lost', 'write-back-origin'],
  ['commit origin, link cut: COMMIT waits and nothing is lost', 'link cut', 'write-back-origin'],
  ['commit origin, origin crash: what COMMIT answered is there', 'origin crash', 'write-back-origin'],
  ['redirect, kill: nothing that was answered is lost', 'kill', 'redirect'],
  ['redirect, host crash: what COMMIT answered is recovered', 'host crash', 'redirect'],
  ['redirect, log disk lost: the golden files are untouched', 'log disk lost', 'redirect'],
  ['redirect, link cut: writes go on and nothing is lost', 'link cut', 'redirect'],
  ['redirect, origin crash: the session is untouched', 'origin crash', 'redirect'],
];
const needsLoop: readonly Failure[] = ['host crash', 'log disk lost', 'origin crash'];

test('a disk of these tests loses what was not synced when its power goes, and nothing else', {
  skip: isRealRoot() ? false : 'needs root: loop devices do',
}, async () => {
  const scratch = await scratchFolder('loop-disk');
  const disk = await LoopDisk.create(scratch.path, 'disk', 16);
  try {
    const path = join(disk.path, 'file');
    const file = await open(path, 'w');
    await file.write('synced');
    await file.sync();
    await file.write('not synced', 0);
    await file.close();
    await writeFile(join(disk.path, 'new'), 'not synced');
    await disk.crash();
    assert.equal(await readFile(path, 'utf8'), 'synced');
    assert.equal(existsSync(join(disk.path, 'new')), false);
  } finally {
    await disk.remove();
    await scratch.remove();
  }
});

for (const [index, [title, failure, policy]] of cells.entries()) {
  const skip = needsLoop.includes(failure) && !isRealRoot() ? 'needs root: loop devices do' : false;
  test(title, { skip }, async (t) => {
    t.diagnostic(JSON.stringify(await failUnder(failure, policy, index)));
  });
}
