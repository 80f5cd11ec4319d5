/** Zero tests and digests of chunks. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { chunkBytes, digestOf, isZero } from './mod.ts';

test('zeros are told from data at any length and any place', () => {
  const whole = new Uint8Array(200_001);
  for (const count of [0, 1, 2, 3, 4095, 4096, 4097, 65_536, 65_537, 200_001]) {
    const bytes = whole.subarray(0, count);
    assert.equal(isZero(bytes), true, `${count} zeros`);
    for (const at of new Set([0, 1, count >>> 2, count >>> 1, count - 2, count - 1])) {
      if (at < 0 || at >= count) continue;
      bytes[at] = 1;
      assert.equal(isZero(bytes), false, `${count} bytes, data at ${at}`);
      bytes[at] = 0;
    }
  }
});

test('a view is tested, not what lies around it', () => {
  const bytes = new Uint8Array(3 * chunkBytes).fill(1);
  bytes.fill(0, chunkBytes, 2 * chunkBytes);
  assert.equal(isZero(bytes.subarray(chunkBytes, 2 * chunkBytes)), true);
  assert.equal(isZero(bytes.subarray(chunkBytes - 1, 2 * chunkBytes)), false);
  assert.equal(isZero(bytes.subarray(chunkBytes, 2 * chunkBytes + 1)), false);
});

test('a digest is the first half of SHA-256, of the last sector as if zeros filled it up', () => {
  const chunk = Buffer.alloc(chunkBytes);
  chunk.write('the end of a file');
  const expected = createHash('sha256').update(chunk).digest().subarray(0, 16);
  assert.deepEqual(Buffer.from(digestOf(chunk)), expected);
  assert.deepEqual(Buffer.from(digestOf(chunk.subarray(0, 17))), expected);
  assert.throws(() => digestOf(new Uint8Array(0)), { name: 'AssertionError' });
  assert.throws(() => digestOf(new Uint8Array(chunkBytes + 1)), { name: 'AssertionError' });
});
