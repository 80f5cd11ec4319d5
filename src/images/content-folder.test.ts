import assert from 'node:assert/strict';
import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { bytesOf } from '../testing/mod.ts';
import { ContentFolder } from './content-folder.ts';
import { ImageFile } from './image-file.ts';
import { folder } from './pack-fixture.test.ts';

test('a folder that cannot be given its owner and mode does not stay', () => {
  const directory = folder('follow');
  chmodSync(directory, 0o755);
  const path = join(directory, 'disk.raw');
  writeFileSync(path, bytesOf('a'));
  const image = ImageFile.open(path);
  try {
    // Found to be absent, made, opened; what it shall be like cannot be told.
    let asked = 0;
    const around = { get: (): number => (++asked === 4 ? -1 : image.around) };
    const shy: ImageFile = Object.create(image, { around });
    assert.throws(() => ContentFolder.make(shy), { code: 'IMAGE_UNREADABLE' });
    assert.equal(existsSync(join(directory, '.viaduct')), false);
    ContentFolder.make(image).close();
    assert.equal(statSync(join(directory, '.viaduct')).mode & 0o777, 0o755);
  } finally {
    image.close();
  }
});
