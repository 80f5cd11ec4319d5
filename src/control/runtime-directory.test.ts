/** Which folder is taken for sockets: nobody else may put one there. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ViaductError } from '../base/mod.ts';
import { prepareRuntimeDirectory } from './mod.ts';

const uid = process.getuid!();

test('a folder that others may write to, a link and a folder of somebody else are refused', (t) => {
  const scratch = mkdtempSync(join(tmpdir(), 'viaduct-runtime-'));
  t.after(() => rmSync(scratch, { recursive: true }));
  const own = join(scratch, 'own');
  prepareRuntimeDirectory(own, uid);
  assert.equal(statSync(own).mode & 0o777, 0o700);
  const open = join(scratch, 'open');
  mkdirSync(open);
  const refuse = (directory: string, why: RegExp, asked = uid): void =>
    assert.throws(
      () => prepareRuntimeDirectory(directory, asked),
      (error) => error instanceof ViaductError && why.test(error.message),
    );
  for (const mode of [0o770, 0o702, 0o777]) {
    chmodSync(open, mode);
    refuse(open, /others than its owner may write to it \(mode 07/);
  }
  chmodSync(open, 0o755);
  prepareRuntimeDirectory(open, uid);
  symlinkSync(own, join(scratch, 'link'));
  refuse(join(scratch, 'link'), /no directory/);
  refuse(own, new RegExp(`belongs to uid ${uid}`), uid + 1);
});
