/** What a terminal gets of names that would command it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printable } from './printable.ts';

test('what a terminal obeys is shown as an escape, all other text as it is', () => {
  assert.equal(
    printable('a\x1b[31m\nb\r\t\x7f\x9b0m\u202egpj\u2028'),
    'a\\x1b[31m\\nb\\r\\t\\x7f\\x9b0m\\u202egpj\\u2028',
  );
  for (const text of ['/srv/Büro 1/disk.raw', '日本\\語', '👩‍💻', '\ufffd']) assert.equal(printable(text), text);
});
