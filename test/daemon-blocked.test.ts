/** A thread of a daemon that stands still: it is found out, and started again with its sessions. Most of the time here is patience. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { test } from 'node:test';
import { clientOf } from './daemon/client-of.ts';
import { DaemonBed } from './daemon/daemon-bed.ts';
import { untilAnswered } from './daemon/load.ts';
import { bystander, faults, later, prepare } from './daemon/trouble.ts';
import { enterPrivateNetwork } from './support/namespace.ts';
import { until } from './support/programs.ts';
import { blockContent, versionOf } from './write-back/content.ts';

enterPrivateNetwork(import.meta.filename);

test('a thread that stands still is started again with its sessions, and another one’s do not notice', async () => {
  const start = { environment: await faults('/run/faults') };
  const more = 'daemon: { workers: 2 }\n';
  await DaemonBed.use({ name: 'trouble-blocked', start, more }, async (bed) => {
    await prepare(bed, 'blocked', 'near');
    await bed.startOrigin();
    await bed.startDaemon();
    const near = await bystander(bed, 'near');
    const request = { name: 'blocked', origin: bed.origin('blocked'), policy: 'vm-disk', settings: later };
    const { place } = await bed.client.createSession(request);
    const file = await (await clientOf(bed, 'blocked')).file('data');
    await file.write(0, blockContent(0, 2));
    await file.commit();
    await writeFile('/run/faults', `${place!.host} block\n`);
    connect(place!.port, place!.host).on('error', () => {});
    await until(
      'it is seen',
      async () => (await bed.session('blocked')).restarts > 0 || (await bed.session('blocked')).state === 'waiting',
      60_000,
    );
    await untilAnswered([near]);
    await writeFile('/run/faults', '');
    await bed.untilState('running');
    assert.equal(versionOf(await file.read(0, 4096), 0), 2);
    assert.equal((await bed.session('near')).restarts, 0);
    await bed.writeBack('blocked');
    await near.stop();
  });
});
