import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ViaductError } from '../base/mod.ts';
import { globMatcher } from './glob.ts';

test('a glob matches the paths that it should, and no others', () => {
  const table: readonly [pattern: string, matched: readonly string[], others: readonly string[]][] = [
    ['**/*.{ram,mem}', ['/a/b.mem', '/b.ram', '/a/.hidden/.x.mem'], ['/a/b.MEM', '/a/b.mem/c', '/a/bmem']],
    ['/golden/**', ['/golden', '/golden/a', '/golden/a/b'], ['/golden2/a', '/x/golden/a']],
    ['*.img', ['/a.img', '/x/y/a.img'], ['/a.img/x']],
    ['golden/*.img', ['/golden/a.img', '/x/golden/a.img'], ['/golden/x/a.img']],
    ['/a/**/z', ['/a/z', '/a/b/z', '/a/b/c/z'], ['/a/b', '/z']],
    ['/a/*/c', ['/a/b/c'], ['/a/c', '/a/b/b/c']],
    ['/a?c', ['/abc', '/aäc', '/a𝄞c'], ['/ac', '/abbc']],
    ['/[a-c][!x-z]', ['/am', '/ca'], ['/ay', '/dm']],
    ['/{a,b{c,d}}/e', ['/a/e', '/bc/e', '/bd/e'], ['/b/e', '/c/e']],
    ['/\\*\\{', ['/*{'], ['/a{']],
    ['/a*b*c', ['/abc', '/aXbYc', '/abbcbc'], ['/abcd', '/ac']],
    ['**', ['/', '/a', '/a/b'], []],
    ['/a{,.bak}', ['/a', '/a.bak'], ['/ab']],
  ];
  for (const [pattern, matched, others] of table) {
    const matches = globMatcher(pattern);
    for (const path of matched) assert.ok(matches(path), `${pattern} matches ${path}`);
    for (const path of others) assert.ok(!matches(path), `${pattern} does not match ${path}`);
  }
});

test('a pattern that cannot be meant is refused with the reason', () => {
  for (const [pattern, reason] of [
    ['', /it is empty/],
    ['/a/{b,c', /"\{" is not closed/],
    ['/a/b}', /"\}" closes nothing/],
    ['/a/[b', /"\[" is not closed/],
    ['/a/../b', /"\.\." is never part/],
    ['/a\\', /ends with/],
    ['{a,b}'.repeat(9), /more than 256 patterns/],
  ] as const) {
    assert.throws(
      () => globMatcher(pattern, 'rule x: path'),
      (error) =>
        error instanceof ViaductError && reason.test(error.message) && error.message.startsWith('rule x: path'),
      pattern,
    );
  }
});

test('a path that is written as a pattern matches itself, and * in place of any part of a name does too', () => {
  const name = fc.stringMatching(/^[a-z.*?{}[\],\\]{1,8}$/).filter((text) => text !== '.' && text !== '..');
  fc.assert(
    fc.property(fc.array(name, { minLength: 1, maxLength: 4 }), fc.nat(3), (names, index) => {
      const escaped = names.map((each) => each.replaceAll(/[*?{}[\],\\]/g, '\\$&'));
      const path = `/${names.join('/')}`;
      assert.ok(globMatcher(`/${escaped.join('/')}`)(path));
      assert.ok(globMatcher(`/${escaped.with(index % names.length, '*').join('/')}`)(path));
      assert.ok(globMatcher(`/${escaped.slice(0, index % names.length).join('/')}/**`)(path));
    }),
    { seed: 7, numRuns: 300 },
  );
});

test('names that make a pattern with many stars try everything are no more work than its length times theirs', () => {
  // With backtracking over every star this would take longer than the universe has been there.
  assert.equal(globMatcher(`/${'a*'.repeat(40)}b`)(`/${'a'.repeat(255)}`), false);
  assert.equal(globMatcher(`/${'**/a/'.repeat(20)}b`)(`/${'a/'.repeat(500)}c`), false);
});
