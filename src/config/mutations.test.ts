/** Whatever a file holds, it is read or refused with places that are in it; nothing throws. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseConfiguration } from './mod.ts';
import { file } from './parse-fixture.test.ts';

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
const example = /^```yaml\n(.*?)^```$/ms.exec(page)?.[1] ?? '';
const pieces = [
  '',
  ':',
  '-',
  '[',
  ']',
  '{',
  '}',
  '*',
  '&a ',
  '!',
  '#',
  '"',
  "'",
  '\n',
  ' ',
  '\t',
  '|',
  '%',
  'null',
  '0',
  '<<',
];

test('a file with mistakes anywhere is refused with places in it, or holds', () => {
  const change = fc.record({
    at: fc.nat(example.length),
    drop: fc.nat(12),
    put: fc.constantFrom(...pieces),
  });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const text = changes.reduce(
        (before, { at, drop, put }) => before.slice(0, at) + put + before.slice(at + drop),
        example,
      );
      const { configuration, problems } = parseConfiguration(text, { file });
      assert.equal(
        configuration === undefined,
        problems.some(({ severity }) => severity === 'error'),
      );
      const lines = text.split('\n');
      for (const { line, column, length, cause, remedy } of problems) {
        assert.ok(line <= lines.length && column >= 1 && length >= 1 && column <= lines[line - 1]!.length + 1);
        assert.ok(cause.length > 0 && remedy.length > 0);
      }
    }),
    { seed: 20_260_101, numRuns: 300 },
  );
});
