/** Where `viaduct log salvage` may write, and what a salvage leaves that came to nothing. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { systemClock } from '../base/mod.ts';
import { salvageInto } from './salvage.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viaduct-salvage-'));
after(() => rmSync(scratch, { recursive: true }));
const noLog = join(scratch, 'no-log');
mkdirSync(noLog);

test('a target that is a file, or below one, is refused', async () => {
  const file = join(scratch, 'file');
  writeFileSync(file, 'kept');
  for (const target of [file, join(file, 'below')]) {
    const refused = { code: 'CONFIGURATION_INVALID', message: /is not a directory, or lies below a file/ };
    await assert.rejects(salvageInto(noLog, target, systemClock), refused);
  }
});

test('where the system lets no directory be made the answer is an error, and it comes', async () => {
  await assert.rejects(salvageInto(noLog, '/proc/viaduct/x', systemClock), {
    code: 'CONFIGURATION_INVALID',
    message: /no directory can be made there/,
  });
});

test('a salvage that comes to nothing leaves no directory behind, and keeps those that were there', async () => {
  assert.equal(await salvageInto(noLog, join(scratch, 'a/b/c'), systemClock), undefined);
  assert.equal(existsSync(join(scratch, 'a')), false);
  await assert.rejects(salvageInto(join(scratch, 'nowhere'), join(scratch, 'd'), systemClock));
  assert.equal(existsSync(join(scratch, 'd')), false);
  const own = join(scratch, 'own');
  mkdirSync(own);
  assert.equal(await salvageInto(noLog, own, systemClock), undefined);
  assert.deepEqual(readdirSync(own), []);
});
