/** Whose token is taken. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../../base/mod.ts';
import { tokenFrom } from './token-file.ts';

test('a token that another user made is none: that user knows it', (t) => {
  const scratch = mkdtempSync(join(tmpdir(), 'viaduct-token-'));
  t.after(() => rmSync(scratch, { recursive: true }));
  const own = process.getuid!();
  const file = join(scratch, 'foreign');
  writeFileSync(file, 'x'.repeat(43), { mode: 0o600 });
  const random = seededRandom(1);
  if (own === 0) chownSync(file, 65_534, 65_534);
  assert.throws(() => tokenFrom(file, { random, uid: own === 0 ? 0 : own + 1 }), /belongs to another user/);
  assert.equal(tokenFrom(file, { random, uid: own === 0 ? 65_534 : own }), 'x'.repeat(43));
  const made = tokenFrom(join(scratch, 'new'), { random, uid: own });
  assert.equal(tokenFrom(join(scratch, 'new'), { random, uid: own }), made);
});

test('a pipe is refused, and not waited for', (t) => {
  const scratch = mkdtempSync(join(tmpdir(), 'viaduct-token-'));
  t.after(() => rmSync(scratch, { recursive: true }));
  const file = join(scratch, 'pipe');
  execFileSync('mkfifo', ['-m', '600', file]);
  assert.throws(() => tokenFrom(file, { random: seededRandom(1), uid: process.getuid!() }), /not a regular file/);
});
