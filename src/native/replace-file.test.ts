/** A file is replaced as a whole or not at all, and what fails leaves nothing behind. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { removeIfPossible, replaceFile } from './mod.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viaduct-replace-file-'));
after(() => rmSync(scratch, { recursive: true }));

test('a file is made or replaced, readable by its owner alone, and nothing else is left', () => {
  const path = join(scratch, 'note');
  for (const [text, options] of [
    ['a longer one', {}],
    ['short', { isSynced: true }],
    ['last', { isOnlyWriter: true }],
  ] as const) {
    replaceFile(path, text, options);
    assert.equal(readFileSync(path, 'utf8'), text);
    assert.equal(statSync(path).mode & 0o777, 0o600);
  }
  assert.deepEqual(readdirSync(scratch), ['note']);
});

test('what a killed process left half written is in nobody’s way', () => {
  const path = join(scratch, 'hints');
  writeFileSync(`${path}.new`, 'half of something long');
  replaceFile(path, 'whole', { isOnlyWriter: true });
  assert.equal(readFileSync(path, 'utf8'), 'whole');
  rmSync(path);
});

test('what cannot be put in place throws why, and leaves nothing', () => {
  const path = join(scratch, 'taken');
  mkdirSync(join(path, 'below'), { recursive: true });
  assert.throws(() => replaceFile(path, 'text'), { code: 'EISDIR' });
  assert.throws(() => replaceFile(join(scratch, 'none/note'), 'text'), { code: 'ENOENT' });
  assert.deepEqual(readdirSync(scratch).sort(), ['note', 'taken']);
});

test('what cannot be removed stays, without a word', () => {
  removeIfPossible(join(scratch, 'taken'));
  removeIfPossible('/proc/self/status');
  removeIfPossible(join(scratch, 'none'));
  assert.ok(statSync(join(scratch, 'taken')).isDirectory());
});
