import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

test('a process ends at once though a call of its thread pool does not', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'viaduct-exit-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const fifo = join(directory, 'fifo');
  execFileSync('mkfifo', [fifo]);
  // Opening it waits for a writer, as a look at a disk that does not answer waits for the disk.
  const program = `
    import { open } from 'node:fs/promises';
    import { exitNow } from ${JSON.stringify(import.meta.resolve('./mod.ts'))};
    open(${JSON.stringify(fifo)}).catch(() => {});
    setTimeout(() => exitNow(7), 100);`;
  const options = { timeout: 20_000, encoding: 'utf8' } as const;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], options);
  assert.equal(status, 7, stderr);
});
