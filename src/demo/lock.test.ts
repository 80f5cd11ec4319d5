import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { withLock } from './lock.ts';

test('two builders work one after the other, and the lock is gone afterwards', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'viaduct-lock-'));
  try {
    const path = join(folder, 'a.lock');
    const events: string[] = [];
    const work = (name: string) =>
      withLock(path, new AbortController().signal, async () => {
        events.push(`${name} in`);
        await new Promise((resolve) => setTimeout(resolve, 30));
        events.push(`${name} out`);
      });
    await Promise.all([work('a'), work('b')]);
    assert.equal(events[0]!.slice(2), 'in');
    assert.equal(events[1], `${events[0]![0]} out`);
    assert.equal(events[3], `${events[2]![0]} out`);
    assert.equal(existsSync(path), false);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a dead process's lock is taken over; a live one's is waited for until the signal", async () => {
  const folder = await mkdtemp(join(tmpdir(), 'viaduct-lock-'));
  try {
    const path = join(folder, 'a.lock');
    const dead = spawnSync('true').pid;
    await writeFile(path, `${dead}\n`);
    assert.equal(await withLock(path, AbortSignal.timeout(5000), async () => 'done'), 'done');
    await writeFile(path, `${process.pid}\n`);
    await assert.rejects(
      withLock(path, AbortSignal.timeout(50), async () => 'done'),
      { name: 'TimeoutError' },
    );
    assert.equal(existsSync(path), true);
  } finally {
    await rm(folder, { recursive: true });
  }
});
