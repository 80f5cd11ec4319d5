/** What a terminal gets of names that would command it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ViaductError } from '../base/mod.ts';
import { reportError } from './output.ts';
import { printable } from './printable.ts';

test('what a terminal obeys is shown as an escape, all other text as it is', () => {
  assert.equal(
    printable('a\x1b[31m\nb\r\t\x7f\x9b0m\u202egpj\u2028'),
    'a\\x1b[31m\\nb\\r\\t\\x7f\\x9b0m\\u202egpj\\u2028',
  );
  for (const text of ['/srv/Büro 1/disk.raw', '日本\\語', '👩‍💻', '\ufffd']) assert.equal(printable(text), text);
});

test('an error shows the name that it is about without obeying it; in JSON it is the name itself', (t) => {
  let said = '';
  const take = (text: string | Uint8Array): boolean => {
    said += String(text);
    return true;
  };
  t.mock.method(process.stderr, 'write', take);
  const error = new ViaductError('IMAGE_BUSY', { cause: 'x\x1b[2J\ny is packed', remedy: 'wait for x\x1b' });
  reportError(error, false);
  assert.equal(said, 'viaduct: IMAGE_BUSY: x\\x1b[2J\\ny is packed\n  remedy: wait for x\\x1b\n');
  assert.equal(error.toJSON().cause, 'x\x1b[2J\ny is packed');
  said = '';
  reportError(new ViaductError('CONFLICT', { cause: 'a\n          b', remedy: 'look' }), false);
  assert.equal(said, 'viaduct: CONFLICT: a\n          b\n  remedy: look\n', 'what is laid out in lines stays so');
});
