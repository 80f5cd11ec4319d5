/** Which known word somebody may have meant. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearest } from './nearest.ts';

test('a name that is a slip away is meant; one that is farther is not', () => {
  assert.equal(nearest('goldn', ['golden', 'home']), 'golden');
  assert.equal(nearest('hmoe', ['golden', 'home']), 'home');
  assert.equal(nearest('x', ['golden', 'home']), undefined);
});
