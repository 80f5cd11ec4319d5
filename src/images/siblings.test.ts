import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { bytesOf } from '../testing/mod.ts';
import { packImage } from './mod.ts';
import { folder, options } from './pack-fixture.test.ts';

test('meta-data that cannot be opened or are damaged are no siblings, and keep no image from being packed', async () => {
  const directory = folder('siblings');
  const [golden, damaged, image] = ['golden.raw', 'damaged.raw', 'disk.raw'].map((name) => join(directory, name));
  for (const path of [golden!, damaged!]) {
    writeFileSync(path, bytesOf('abx'));
    await packImage(path, options());
  }
  const meta = join(directory, '.viaduct/damaged.raw.meta');
  writeFileSync(meta, readFileSync(meta).subarray(1));
  // A socket cannot be opened, whoever asks.
  const server = createServer();
  server.listen(join(directory, '.viaduct/socket.raw.meta'));
  await once(server, 'listening');
  try {
    writeFileSync(image!, bytesOf('abc'));
    assert.deepEqual((await packImage(image!, options())).siblings, [{ path: golden, chunks: 2 }]);
  } finally {
    server.close();
  }
});
