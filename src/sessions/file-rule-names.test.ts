import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../base/mod.ts';
import { attributeCacheDefaults, closeToOpen } from '../layers/mod.ts';
import type { Attributes, FileRule, FileRuleSet } from '../vfs/mod.ts';
import { checkFiles } from './file-rule-schema.ts';
import { FileRules } from './file-rules.ts';

const session = closeToOpen(attributeCacheDefaults);
const pinned: FileRule = { name: 'images', path: '/images/**', settings: { isPinned: true } };
const rulesOf = (...rules: FileRule[]): FileRuleSet => ({ root: '/', defaults: {}, rules });
const start = (...rules: FileRule[]): FileRules => new FileRules('root', session, rulesOf(...rules));

test('without rules nothing is remembered, and every file has the same settings', () => {
  const rules = start();
  rules.named('root', 'images', 'i');
  rules.named('i', 'a', 'a');
  assert.equal(rules.of('a'), rules.of('b'));
  const { generation } = rules;
  rules.replace(rulesOf(pinned));
  assert.ok(rules.generation > generation);
  assert.equal(rules.of('a').isPinned, false, 'it was not told of any name');
});

test('names that the caches know are known when the first rule comes', () => {
  const rules = start();
  const names = [
    [{ directory: 'root', name: 'images' }, 'i'],
    [{ directory: 'i', name: 'a' }, 'a'],
  ] as const;
  rules.learnFrom({ attributes: () => undefined, names: () => names });
  rules.replace(rulesOf(pinned));
  assert.equal(rules.of('a').isPinned, true);
  assert.equal(rules.of('a'), rules.of('a'));
});

test('the generation grows when an answer changes that somebody has, and only then', () => {
  const rules = start(pinned);
  const grows = (action: () => void): boolean => {
    const { generation } = rules;
    action();
    return rules.generation > generation;
  };
  assert.equal(rules.of('a').isPinned, false);
  rules.named('root', 'images', 'i');
  assert.equal(
    grows(() => rules.named('i', 'b', 'b')),
    false,
    'nobody asked for it',
  );
  assert.equal(
    grows(() => rules.named('i', 'a', 'a')),
    true,
  );
  assert.equal(rules.of('a').isPinned, true);
  assert.equal(
    grows(() => rules.named('i', 'a', 'a')),
    false,
    'it is known',
  );
  const place = { directory: 'i', name: 'a' };
  assert.equal(
    grows(() => rules.renamed(place, { ...place, name: 'c' }, 'a')),
    false,
    'the same rule holds',
  );
  // The caches have forgotten which file that was.
  assert.equal(
    grows(() => rules.renamed({ ...place, name: 'c' }, { directory: 'root', name: 'c' }, undefined)),
    true,
  );
  assert.equal(rules.of('a').isPinned, false);
  assert.equal(rules.of('b').isPinned, true);
  assert.equal(
    grows(() => rules.unnamed({ directory: 'i', name: 'b' }, 'b')),
    true,
  );
  assert.equal(rules.of('b').isPinned, false);
});

test('another name of a file with two does not change its settings', () => {
  const rules = start(pinned);
  const linked = { type: 1, nlink: 2, size: 1 } as unknown as Attributes;
  rules.learnFrom({ attributes: (handle) => (handle === 'a' ? linked : undefined), names: () => [] });
  rules.named('root', 'images', 'i');
  rules.named('i', 'a', 'a');
  assert.equal(rules.of('a').isPinned, true);
  rules.named('root', 'a', 'a');
  assert.equal(rules.of('a').isPinned, true);
  rules.unnamed({ directory: 'i', name: 'a' }, 'a');
  rules.named('root', 'a', 'a');
  assert.equal(rules.of('a').isPinned, false);
});

test('what is in use stays known, however many other names there are', () => {
  const rules = start(pinned);
  rules.named('root', 'images', 'i');
  rules.named('i', 'a', 'a');
  let seen = -1;
  for (let index = 0; index < 2 * limits.ruledFiles; index++) {
    rules.named('root', `${index}`, `f${index}`);
    if (index % 2 === 0) rules.of(`f${index}`);
    // As layers do it.
    if (rules.generation !== seen) assert.equal(rules.of('a').isPinned, true, `after ${index} names`);
    seen = rules.generation;
  }
  assert.equal(rules.of('a').isPinned, true);
});

test('what is moved, replaced or removed by name alone is found, also after another file had the name', () => {
  const rules = start(pinned);
  const isPinned = (...files: string[]) => files.map((file) => rules.of(file).isPinned);
  rules.named('root', 'images', 'i');
  rules.named('i', 'a', 'a');
  rules.named('i', 'b', 'b');
  rules.renamed({ directory: 'i', name: 'a' }, { directory: 'i', name: 'b' }, undefined);
  assert.deepEqual(isPinned('a', 'b'), [true, false]);
  rules.unnamed({ directory: 'i', name: 'a' }, undefined);
  assert.deepEqual(isPinned('a', 'b'), [true, false], 'nothing is there any more');
  // Somebody else put it there.
  rules.named('i', 'b', 'c');
  rules.renamed({ directory: 'i', name: 'b' }, { directory: 'root', name: 'b' }, undefined);
  assert.deepEqual(isPinned('c'), [false]);
  rules.named('i', 'b', 'd');
  rules.unnamed({ directory: 'i', name: 'b' }, undefined);
  assert.deepEqual(isPinned('d'), [false]);
});

test('a rename or a remove costs as much among many known files as among few', () => {
  const microseconds = (files: number): number => {
    const rules = start(pinned);
    for (let file = 0; file < files; file++) rules.named('root', `name ${file}`, `${file}`);
    // Names that nobody has are found last if all are looked at.
    const place = { directory: 'root', name: 'other' };
    let least = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 5; round++) {
      const before = process.threadCpuUsage().user;
      for (let times = 0; times < 100; times++) {
        rules.unnamed(place, undefined);
        rules.renamed(place, { directory: 'root', name: 'another' }, undefined);
      }
      least = Math.min(least, process.threadCpuUsage().user - before);
    }
    return least;
  };
  microseconds(100);
  const [few, many] = [microseconds(100), microseconds(50_000)];
  // The clock of a thread ticks in up to milliseconds; looking at all of them takes 100.
  assert.ok(many < 10 * few + 10_000, `${few} µs of the processor among 100, ${many} µs among 50,000`);
});

test('directories that are in each other do not hang it', () => {
  const rules = start(pinned);
  rules.named('x', 'y', 'y');
  rules.named('y', 'x', 'x');
  assert.equal(rules.of('x').isPinned, false);
});

test('rules that cannot be meant are refused with what is wrong', () => {
  const refused = (rule: object, cause: RegExp): void =>
    assert.throws(() => checkFiles({ root: '/', defaults: {}, rules: [rule] }), {
      code: 'CONFIGURATION_INVALID',
      message: cause,
    });
  refused({ name: 'a', path: '/a/{b', settings: {} }, /rules\.0\.path: .*not closed/);
  refused({ name: 'a', path: '/a', settings: { isPined: true } }, /isPined/);
  refused({ name: 'a', path: '/a', minBytes: 2, maxBytes: 1, settings: {} }, /no file has such a size/);
  refused({ name: 'a', path: '/a', settings: { attributes: { minimumMs: 2, maximumMs: 1 } } }, /above the longest/);
});
