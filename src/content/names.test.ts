/** Names of content files. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPurpose, metaName, packName, workingSetName } from './mod.ts';

test('names are the file name and an ending, if that is a name still', () => {
  assert.equal(metaName('disk.raw'), 'disk.raw.meta');
  assert.equal(packName('disk.raw'), 'disk.raw.pack');
  assert.equal(workingSetName('disk.raw', 'boot'), 'disk.raw.boot.ws');
  assert.equal(metaName('x'.repeat(250))?.length, 255);
  assert.equal(metaName('x'.repeat(251)), undefined);
  assert.equal(packName('x'.repeat(251)), undefined);
  assert.equal(workingSetName('x'.repeat(247), 'boot')?.length, 255);
  assert.equal(workingSetName('x'.repeat(248), 'boot'), undefined);
});

test('a purpose is a word that cannot be a path', () => {
  for (const good of ['boot', 'resume', 'written', 'a-1', 'x'.repeat(32)]) assert.ok(isPurpose(good), good);
  for (const bad of ['', 'x'.repeat(33), '../x', 'a/b', 'A', 'a.b', 'a b', 'boot\n', 'ä'])
    assert.ok(!isPurpose(bad), bad);
  assert.equal(workingSetName('disk', '../../etc/passwd'), undefined);
});
