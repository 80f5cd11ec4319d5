import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeDirectory } from './mod.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viaduct-make-directory-'));
after(() => rmSync(scratch, { recursive: true }));

test('makes what is missing, with the mode, and tells what it made', () => {
  const deep = join(scratch, 'a/b/c');
  assert.deepEqual(makeDirectory(deep, 0o700), [join(scratch, 'a'), join(scratch, 'a/b'), deep]);
  assert.equal(statSync(deep).mode & 0o777, 0o700);
  assert.deepEqual(makeDirectory(deep, 0o700), []);
  symlinkSync(deep, join(scratch, 'link'));
  assert.deepEqual(makeDirectory(join(scratch, 'link/d'), 0o700), [join(scratch, 'link/d')]);
});

test('fails where no directory can be, at once', () => {
  assert.throws(() => makeDirectory('/proc/viaduct/x', 0o700), /ENOENT|EACCES/);
  writeFileSync(join(scratch, 'file'), '');
  assert.throws(() => makeDirectory(join(scratch, 'file'), 0o700), { code: 'ENOTDIR' });
  assert.throws(() => makeDirectory(join(scratch, 'file/below'), 0o700), { code: 'ENOTDIR' });
  symlinkSync(join(scratch, 'nowhere'), join(scratch, 'dangling'));
  assert.throws(() => makeDirectory(join(scratch, 'dangling'), 0o700), { code: 'EEXIST' });
});
