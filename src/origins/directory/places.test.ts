/** The table of file handles, opened by several threads. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { databaseWriter } from '../../testing/mod.ts';
import { Places } from './places.ts';

const directory = mkdtempSync(join(tmpdir(), 'viaduct-places-'));
after(() => rmSync(directory, { recursive: true }));

test('two sessions of a directory start at the same moment: the second waits for the first', async () => {
  const ended = await databaseWriter(join(directory, 'places.sqlite'));
  const places = new Places(directory);
  const row = { handle: 'file', parent: 'folder', name: 'name', inode: 7n };
  places.add([row]);
  const other = new Places(directory);
  assert.deepEqual(other.of('file'), [row]);
  other.close();
  places.close();
  await ended();
});
