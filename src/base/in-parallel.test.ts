/** Many things at a time, and never more than so many. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inParallel } from './mod.ts';

test('all is done, never more at a time than asked for, the next as soon as one ends', async () => {
  const ends: (() => void)[] = [];
  const begun: number[] = [];
  const all = inParallel([0, 1, 2, 3, 4], 2, (item) => {
    begun.push(item);
    return new Promise((resolve) => ends.push(resolve));
  });
  assert.deepEqual(begun, [0, 1]);
  for (let item = 0; item < 5; item++) {
    ends[item]!();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(begun, [0, 1, 2, 3, 4].slice(0, item + 3));
  }
  await all;
});

test('a failure is told; nothing to do is done at once', async () => {
  await inParallel([], 4, () => assert.fail('there is nothing'));
  await assert.rejects(
    inParallel([1, 2], 4, (item) => (item === 2 ? Promise.reject(new Error('two')) : Promise.resolve())),
    /two/,
  );
});
