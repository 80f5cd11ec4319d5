/** Two daemons, or a daemon and a command, that want the same: who comes second is told who was first, and the first is not disturbed. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { clientOf } from './daemon/client-of.ts';
import { DaemonBed } from './daemon/daemon-bed.ts';
import { daemonConfiguration, endDaemon, startDaemon } from './support/daemon.ts';
import { enterPrivateNetwork } from './support/namespace.ts';
import { type Outcome, until } from './support/programs.ts';
import { blockContent } from './write-back/content.ts';

enterPrivateNetwork(import.meta.filename);

function assertExplained({ code, stderr }: Outcome, error: string, pid: number): void {
  assert.match(stderr, new RegExp(`^viaduct: ${error}: .*\\b${pid}\\b.*\\n {2}remedy: .+`, 'm'));
  assert.equal(code, 1, stderr);
}

/** What a process of its own environment would do. */
async function elsewhere<Result>(runtimeDirectory: string, action: () => Promise<Result>): Promise<Result> {
  const before = process.env.VIADUCT_RUNTIME_DIR;
  process.env.VIADUCT_RUNTIME_DIR = runtimeDirectory;
  try {
    return await action();
  } finally {
    process.env.VIADUCT_RUNTIME_DIR = before;
  }
}

test('a state directory, a control socket and a cache have one owner, whom errors name', async () => {
  await DaemonBed.use({ name: 'two' }, async (bed) => {
    await writeFile(join(bed.exported, 'data'), blockContent(0, 1));
    await bed.startOrigin();
    await bed.startDaemon();
    await bed.client.createSession({ name: 'first', origin: bed.origin(), policy: 'vm-disk' });
    const file = await (await clientOf(bed, 'first')).file('data');
    const other = join(bed.scratch, 'other');
    const config = ['--config', join(bed.folder, 'viaduct.yaml')];

    const sameState = ['daemon', ...config, '--state-directory', bed.state];
    assertExplained(await elsewhere(other, () => bed.command(...sameState)), 'DAEMON_RUNNING', bed.pid);
    const sameSocket = ['daemon', ...config, '--state-directory', other];
    assertExplained(await bed.command(...sameSocket), 'DAEMON_RUNNING', bed.pid);
    const cache = ['--cache', join(bed.folder, 'cache'), '--cache-size', '256M'];
    const alone = ['proxy', bed.origin(), '--alone', '--listen', '127.0.0.9', ...cache, '--state-directory', other];
    assertExplained(await bed.command(...alone), 'CACHE_IN_USE', bed.pid);

    await file.write(0, blockContent(0, 2));
    await file.commit();
    assert.ok((await file.read(0, 4096)).equals(blockContent(0, 2)));
    assert.equal((await bed.session('first')).restarts, 0);
  });
});

test('a session whose cache another daemon has waits, says for whom, and runs when that has ended', async () => {
  await DaemonBed.use({ name: 'two-first' }, async (bed) => {
    await bed.startDaemon();
    await bed.client.createSession({ name: 'first', origin: bed.exported, policy: 'golden' });
    const { pid } = bed;
    const more = `sessions: { second: { origin: ${bed.exported}, policy: golden, listen: 127.0.0.9 } }\n`;
    const second = await startDaemon(join(bed.scratch, 'second'), daemonConfiguration(bed.folder, { more }));
    bed.atEnd(() => endDaemon(second, 'SIGKILL'));
    const found = async () => (await second.client.sessions())[0];
    await until('it waits', async () => (await found())?.state === 'waiting');
    const error = (await found())?.lastError;
    assert.equal(error?.code, 'CACHE_IN_USE');
    assert.match(error.cause, new RegExp(`\\b${pid}\\b`));
    assert.match((await bed.command('session', 'show', 'second')).stdout.toString(), /CACHE_IN_USE/);
    assert.equal((await bed.session('first')).state, 'running');
    await bed.endDaemon('SIGTERM');
    await until('it runs', async () => (await found())?.state === 'running', 30_000);
    await endDaemon(second, 'SIGTERM');
  });
});
