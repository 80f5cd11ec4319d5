/**
 * A wall clock that jumps a year forward and back under a daemon at work: nothing ends, hangs or is lost, and what is told of time stays
 * sane. The daemon alone runs under libfaketime; what counts seconds by the monotonic clock is left in peace, as by a true jump.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { DaemonBed } from './daemon/daemon-bed.ts';
import { untilAnswered } from './daemon/load.ts';
import { bystander, prepare } from './daemon/trouble.ts';
import { enterPrivateNetwork } from './support/namespace.ts';
import { run } from './support/programs.ts';

enterPrivateNetwork(import.meta.filename);

const dayMs = 24 * 3600 * 1000;

/** Debian's place for it; undefined: it is not installed. */
async function libfaketime(): Promise<string | undefined> {
  const triplet = (await run('uname', ['-m'])).toString().trim();
  const path = `/usr/lib/${triplet}-linux-gnu/faketime/libfaketimeMT.so.1`;
  return existsSync(path) ? path : undefined;
}

const library = await libfaketime();

test('a year forward, two back and one forward again', {
  skip: library === undefined && 'no libfaketime',
}, async () => {
  const file = '/run/faketime';
  const environment = {
    ...{ LD_PRELOAD: library!, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1' },
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  };
  await writeFile(file, '+0d');
  await DaemonBed.use({ name: 'clock', start: { environment } }, async (bed) => {
    await prepare(bed, 'disk');
    await bed.startOrigin();
    await bed.startDaemon();
    const disk = await bystander(bed, 'disk', bed.origin('disk'));
    for (const days of ['+365d', '-365d', '+0d']) {
      await writeFile(file, days);
      await untilAnswered([disk]);
      const created = await bed.client.createSession({ name: 'more', origin: bed.exported, policy: 'golden' });
      const expectedMs = Date.now() + Number.parseInt(days, 10) * dayMs;
      assert.ok(
        Math.abs(Date.parse(created.createdAt) - expectedMs) < dayMs,
        `the clock did jump: ${created.createdAt}`,
      );
      // What was written before the jump is as old as the clock now says; it is written back like the rest.
      assert.ok((await writeBackOf(bed)).oldestAgeMs >= 0, days);
      await bed.writeBack('disk');
      const { oldestAgeMs, lease } = await writeBackOf(bed);
      assert.ok(oldestAgeMs >= 0 && oldestAgeMs < dayMs, `dirty for ${oldestAgeMs} ms at ${days}`);
      assert.equal(lease.state, 'held', days);
      await bed.said('session', 'close', 'more');
      assert.equal((await bed.session('disk')).restarts, 0);
    }
    // A daemon of another year finds what the earlier one left.
    await writeFile(file, '-365d');
    await bed.endDaemon('SIGKILL');
    await bed.startDaemon();
    await bed.untilState('running');
    await untilAnswered([disk]);
    await disk.stop();
    await bed.writeBack('disk');
    await disk.assertIn(join(bed.exported, 'disk/image.raw'));
  });
});

async function writeBackOf(bed: DaemonBed) {
  const { status } = await bed.client.session('disk');
  const { oldestAgeMs = 0, lease } = status?.data?.writeBack ?? assert.fail('it says nothing of its write-back');
  return { oldestAgeMs, lease };
}
