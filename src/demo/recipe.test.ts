import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recipe, recipeHash } from './recipe.ts';

test('any change of a recipe names another folder', () => {
  const debian = recipe('debian');
  assert.equal(recipeHash(debian), recipeHash({ ...debian }));
  assert.notEqual(recipeHash(debian), recipeHash({ ...debian, init: `${debian.init}\n` }));
  assert.notEqual(recipeHash(debian), recipeHash({ ...debian, packages: [...debian.packages, 'nano'] }));
  assert.notEqual(recipeHash(debian), recipeHash(recipe('busybox')));
  assert.match(recipeHash(debian), /^[0-9a-f]{12}$/);
});
