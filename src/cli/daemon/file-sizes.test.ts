/** Looks at files of this host, some of which never end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimulatedClock } from '../../testing/mod.ts';
import { FileSizes } from './file-sizes.ts';

test('a look that does not end keeps no second thread, and nobody who asks for longer than two seconds', async () => {
  const clock = new SimulatedClock();
  const dead = Promise.withResolvers<number>();
  const looked: string[] = [];
  const look = (path: string) => {
    looked.push(path);
    return path.startsWith('/dead') ? dead.promise : Promise.resolve(7);
  };
  const sizes = new FileSizes({ clock, look });
  assert.equal(await sizes.of('/file'), 7);
  const asked = Array.from({ length: 8 }, (_, index) => sizes.of(`/dead/${index}`));
  await clock.advance(2_000);
  assert.deepEqual(await Promise.all(asked), Array(8).fill(undefined));
  assert.deepEqual(looked, ['/file', '/dead/0']);
  assert.equal(await sizes.of('/file'), undefined);
  dead.resolve(1);
  await dead.promise;
  while ((await sizes.of('/file')) === undefined);
  assert.equal(await sizes.of('./file'), 7);
  assert.deepEqual(looked, ['/file', '/dead/0', '/file', './file']);
});

test('what is no file of this host has no size here', async () => {
  const sizes = new FileSizes();
  for (const path of ['nfs://host/x', 'store:/x', '/', '/proc/nothing/there'])
    assert.equal(await sizes.of(path), undefined, path);
});
