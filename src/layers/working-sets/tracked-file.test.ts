import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/mod.ts';
import { TrackedFile } from './tracked-file.ts';

const set = {
  stamp: undefined as never,
  purpose: 'boot',
  blocks: new Uint32Array(9),
  weights: new Uint8Array(9),
  runs: 1,
};

test('what is let go of a file that nobody has used yet is what was found, and no more', () => {
  const file = new TrackedFile('handle');
  file.finding = Promise.resolve([set]);
  file.found = [set];
  file.letGo();
  assert.equal(file.keptBytes, 0);
  assert.equal(file.hasLooked, true);
  assert.equal(file.finding, undefined, 'it is looked for again when it is used');
  for (let block = 0; block < 20; block++) file.reads.touch(block * limits.blockBytes, 1);
  assert.equal(file.reads.count, 20);
  file.stop();
  file.letGo();
  assert.equal(file.reads.count, 0);
  file.reads.touch(100 * limits.blockBytes, 1);
  assert.equal(file.reads.count, 0, 'its recording is over');
});
