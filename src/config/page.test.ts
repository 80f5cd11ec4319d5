/** docs/configuration.md and README: their examples are configurations; the table has every key. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { keyRows } from './json-schema.ts';
import { configurationOf, problemsOf } from './parse-fixture.test.ts';

const page = textOf('../../docs/configuration.md');

function textOf(path: string): string {
  return readFileSync(new URL(path, import.meta.url), 'utf8');
}

function exampleIn(text: string): string {
  return /^```yaml\n(.*?)^```$/ms.exec(text)?.[1] ?? '';
}

function table(): string {
  const rows = keyRows().map(
    ({ key, isRequired, description }) =>
      `| \`${key}\`${isRequired ? ' (must be there)' : ''} | ${description.replaceAll('|', '\\|')} |`,
  );
  return ['| key | meaning |', '|---|---|', ...rows].join('\n');
}

test('the example is a configuration without problems', () => {
  const example = exampleIn(page);
  assert.deepEqual(problemsOf(example), []);
  const { sessions, caches } = configurationOf(example);
  assert.deepEqual([sessions.length, caches[0]?.sizeBytes], [4, 100 * 1024 ** 3]);
});

test('the example of README is a configuration without problems', () => {
  const example = exampleIn(textOf('../../README.md'));
  assert.deepEqual(problemsOf(example), []);
  assert.equal(configurationOf(example).rules.length, 2);
});

test('the table has every key with what the schema says of it', () => {
  assert.ok(page.includes(table()), `docs/configuration.md must end with:\n${table()}`);
});
