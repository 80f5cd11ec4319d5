/** What is no YAML, or not the kind that a configuration is written in, is told with its place. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problemsOf } from './parse-fixture.test.ts';

const depth = 'No key of this file lies so deep: check brackets and indentation.';

const cases: readonly (readonly [what: string, text: string, problems: readonly string[]])[] = [
  [
    'a key that is there twice',
    'caches:\n  main: { directory: /a }\n  main: { directory: /b }\n',
    ['3:3 error caches.main: the key "main" is there twice. (and 2:3 caches.main before) | Remove one of the two.'],
  ],
  ['a tab', 'daemon:\n\tworkers: 2\n', ['2:1 error : a tab cannot indent in YAML. | Use spaces, two a level.']],
  [
    'an alias without its anchor',
    'sessions:\n  a: *lab\n',
    [
      '2:6 error sessions.a: there is no anchor &lab above this alias. | Write &lab before the value that is meant, or quote "*lab" if it is text.',
    ],
  ],
  [
    'an alias within what it repeats',
    'policies: &all\n  a: *all\n',
    ['2:6 error policies.a: the alias *all stands within what it repeats. | Write the value out.'],
  ],
  [
    'a second document',
    'daemon: {}\n---\ncaches: {}\n',
    ['2:1 error : a second YAML document begins here. | Remove the "---"; the file is one document.'],
  ],
  [
    'YAML 1.1',
    '%YAML 1.1\n---\ndaemon: {}\n',
    ['1:1 error : this says that it is YAML 1.1. | Remove the %YAML line; the file is YAML 1.2.'],
  ],
  [
    'a tag',
    'default-policy: !!binary aGk=\n',
    [
      '1:17 error : unresolved tag: tag:yaml.org,2002:binary. | Tags (!NAME) mean nothing here. Put the text in quotes: "...".',
    ],
  ],
  [
    'merge keys',
    'policies:\n  a: &a { writes: read-only }\n  b: { <<: *a }\n',
    [
      '3:8 error policies.b."<<": merge keys (<<) are not understood. | Write the keys out, or name a policy and use it.',
    ],
  ],
  [
    'a key with a meaning of its own in JavaScript',
    'sessions:\n  __proto__: { origin: /srv }\n',
    ['2:3 error sessions.__proto__: this cannot be a key. | Choose another name.'],
  ],
  [
    'an open bracket',
    'rules: [\n',
    [
      '2:1 error : flow sequence in block collection must be sufficiently indented and end with a ]. | Keys of one level begin in the same column; check the brackets above, too.',
    ],
  ],
  [
    'a control character',
    'daemon:\n  log-level: in\0fo\n',
    ['2:16 error : there is a control character here (code 0). | Remove it; the file must be plain text.'],
  ],
  ['brackets without end', '['.repeat(20_000), [`1:1 error : this is nested too deeply. | ${depth}`]],
  [
    'a list as a whole',
    '- daemon\n',
    [
      '1:1 error : a list stands here, and a mapping (KEY: VALUE, indented) is wanted. | Write keys below it: daemon, caches, origins, policies, rules, default-policy, sessions.',
    ],
  ],
];

for (const [what, text, problems] of cases) {
  test(`${what} is told`, () => {
    const told = problemsOf(text).map((line) => line.replace(/^1:\d+( error : this is nested)/, '1:1$1'));
    assert.deepEqual(told, problems);
  });
}

test('aliases of aliases end at a bound instead of filling the memory', () => {
  const names = 'abcdefghij';
  const lines = [...names].map((name, index) => {
    const below = index === 0 ? 'x' : `*${names[index - 1]}`;
    return `${name}: &${name} [${Array(9).fill(below).join(',')}]`;
  });
  const [first] = problemsOf(lines.join('\n')).filter((line) => line.includes('values'));
  assert.match(first ?? '', /there are more than 50000 values here, counting what aliases repeat\./);
});

test('values that lie deeper than any key does are refused, once', () => {
  const told = problemsOf(`daemon: ${'{a: '.repeat(40)}1${'}'.repeat(40)}\n`).filter((line) => /deeper/.test(line));
  assert.equal(told.length, 1);
});

test('an alias repeats a value, and what is wrong with it is told where it is written', () => {
  const text =
    'policies:\n  a: &shared { model: scratch }\n  b: *shared\n  c: &bad { model: golden, pin: perhaps }\n  d: *bad\n';
  assert.deepEqual(
    problemsOf(text).map((line) => line.split(' ', 3).join(' ')),
    ['4:33 error policies.c.pin:', '4:33 error policies.d.pin:'],
  );
});

test('a file of many keys is read in linear time: each is counted once', () => {
  const text = Array.from({ length: 60_000 }, (_, index) => `key${index}: 1`).join('\n');
  const told = problemsOf(text);
  assert.equal(told.length, 100, 'not more are told at once than anybody reads');
});
