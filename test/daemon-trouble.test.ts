/**
 * What goes wrong for one session of a daemon is that session's alone: an origin that is down or talks rubbish, an error that nobody
 * expected. The others go on.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { clientOf } from './daemon/client-of.ts';
import { DaemonBed } from './daemon/daemon-bed.ts';
import { untilAnswered } from './daemon/load.ts';
import { bystander, faults, later, prepare } from './daemon/trouble.ts';
import { enterPrivateNetwork } from './support/namespace.ts';
import { until } from './support/programs.ts';
import { blockContent, versionOf } from './write-back/content.ts';

enterPrivateNetwork(import.meta.filename);

test('an origin that is down: no creation, no delay for others at the start, and no end of what runs', async () => {
  await DaemonBed.use({ name: 'trouble-origin' }, async (bed) => {
    await prepare(bed, 'far', 'near');
    await bed.startDaemon();
    const create = ['session', 'create', bed.origin('far'), '--name', 'far', '--policy', 'vm-disk'];
    const refused = await bed.command(...create);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /^viaduct: ORIGIN_UNREACHABLE: .*127\.0\.0\.2.*\n {2}remedy: .+/m);
    assert.deepEqual([await bed.client.sessions(), await bed.directories()], [[], []]);

    const near = await bystander(bed, 'near');
    await bed.startOrigin();
    await bed.said(...create, '--set', 'write-back-after=1h', '--set', 'dirty-age=24h');
    const file = await (await clientOf(bed, 'far')).file('data');
    await file.write(0, blockContent(0, 2));
    await file.commit();
    await bed.killOrigin();
    await file.write(0, blockContent(0, 3));
    await file.commit();
    assert.equal(versionOf(await file.read(0, 4096), 0), 3);

    await bed.endDaemon('SIGTERM');
    await bed.startDaemon();
    await bed.untilState('running', ['near']);
    await untilAnswered([near]);
    assert.equal(versionOf(await file.read(0, 4096), 0), 3, 'what is in the log needs no origin');
    await bed.startOrigin();
    await bed.untilState('running');
    await bed.writeBack('far');
    assert.equal(versionOf(await readFile(join(bed.exported, 'far/data')), 0), 3);
    await near.stop();
  });
});

test('an origin that talks rubbish does not end its session, nor disturb another', async () => {
  await DaemonBed.use({ name: 'trouble-rubbish' }, async (bed) => {
    await prepare(bed, 'far', 'near');
    await bed.startOrigin();
    const relay = await Relay.open(bed);
    await bed.startDaemon();
    const near = await bystander(bed, 'near');
    const origin = `nfs://127.0.0.5:${relayPort}/far?mountport=${relayPort}`;
    await bed.client.createSession({
      name: 'far',
      origin,
      policy: 'vm-disk',
      settings: { 'write-back-after': '50ms' },
    });
    const file = await (await clientOf(bed, 'far')).file('data');
    await file.write(0, blockContent(0, 2));
    await file.commit();
    relay.isRubbish = true;
    for (let version = 3; version < 8; version++) {
      await file.write(0, blockContent(0, version));
      await file.commit();
      await untilAnswered([near]);
    }
    await until('rubbish was said', async () => relay.rubbish > 3);
    relay.isRubbish = false;
    await bed.writeBack('far');
    assert.equal(versionOf(await readFile(join(bed.exported, 'far/data')), 0), 7);
    const { state, restarts } = await bed.session('far');
    assert.deepEqual([state, restarts], ['running', 0]);
    await near.stop();
  });
});

test('an error that nobody expected ends its session with a report; what was written is there when it is opened again', async () => {
  const start = { environment: await faults('/run/faults') };
  await DaemonBed.use({ name: 'trouble-error', start }, async (bed) => {
    await prepare(bed, 'broken', 'near');
    await bed.startOrigin();
    await bed.startDaemon();
    const near = await bystander(bed, 'near');
    const request = { name: 'broken', origin: bed.origin('broken'), policy: 'vm-disk', settings: later };
    const { id, place } = await bed.client.createSession(request);
    const file = await (await clientOf(bed, 'broken')).file('data');
    await file.write(0, blockContent(0, 2));
    await file.commit();
    await writeFile('/run/faults', `${place!.host} throw\n`);
    connect(place!.port, place!.host).on('error', () => {});
    await bed.untilState('failed', ['broken']);
    await writeFile('/run/faults', '');
    await untilAnswered([near]);
    const shown = (await bed.command('session', 'show', 'broken')).stdout.toString();
    assert.match(shown, /failed[\s\S]*not what was expected|failed[\s\S]*UNEXPECTED/);
    const reports = await readdir(join(bed.state, 'reports'));
    assert.deepEqual(
      reports.map((name) => name.startsWith(id)),
      [true],
    );
    assert.equal(versionOf(await readFile(join(bed.exported, 'broken/data')), 0), 1);
    const { everythingAtOrigin } = (await bed
      .command('status', '--json')
      .then(({ stdout }) => JSON.parse(stdout.toString()))) as { everythingAtOrigin: boolean };
    assert.equal(everythingAtOrigin, false);

    await bed.said('session', 'reopen', 'broken');
    assert.deepEqual((await bed.session('broken')).place, place);
    assert.equal(versionOf(await file.read(0, 4096), 0), 2, 'the client goes on with its handle');
    await bed.writeBack('broken');
    assert.equal(versionOf(await readFile(join(bed.exported, 'broken/data')), 0), 2);
    assert.equal((await bed.session('near')).restarts, 0);
    await near.stop();
  });
});

const relayPort = 20_495;

/** Between a session and its origin; while `isRubbish`, each answer of the origin comes with other bytes behind its first eight. */
class Relay {
  isRubbish = false;
  rubbish = 0;

  static async open(bed: DaemonBed): Promise<Relay> {
    const relay = new Relay();
    const sockets = new Set<Socket>();
    const server = createServer((client) => {
      const origin = connect(20_490, '127.0.0.2');
      for (const socket of [client, origin]) {
        sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => {
          client.destroy();
          origin.destroy();
        });
      }
      client.pipe(origin);
      origin.on('data', (bytes: Buffer) => client.write(relay.#answer(bytes)));
    }).listen(relayPort, '127.0.0.5');
    await once(server, 'listening');
    bed.atEnd(async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    });
    return relay;
  }

  #answer(bytes: Buffer): Buffer {
    if (!this.isRubbish) return bytes;
    this.rubbish++;
    // The record's length and the call's number are right in every other.
    const from = this.rubbish % 2 === 0 ? 0 : 8;
    return Buffer.concat([bytes.subarray(0, from), Buffer.alloc(Math.max(0, bytes.length - from), 0xa5)]);
  }
}
