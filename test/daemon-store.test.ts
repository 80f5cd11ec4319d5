/**
 * A store that cannot be written or read: its disk is full, it is read-only, it is of a newer version, it is garbage. What runs goes on, what
 * cannot be stored is refused with a remedy and leaves nothing, and when the trouble is over all works again.
 *
 *     STATE   a tmpfs of its own: store, dirty logs, handles
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, rename, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { clientOf } from './daemon/client-of.ts';
import { DaemonBed } from './daemon/daemon-bed.ts';
import { enterPrivateNetwork } from './support/namespace.ts';
import { type Outcome, run } from './support/programs.ts';
import { blockContent, versionOf } from './write-back/content.ts';

enterPrivateNetwork(import.meta.filename);

function assertExplained({ code, stderr }: Outcome, ...patterns: RegExp[]): void {
  assert.equal(code, 1, stderr);
  assert.match(stderr, /^viaduct: [A-Z_]+: .+\n {2}remedy: .+/m);
  for (const pattern of patterns) assert.match(stderr, pattern);
}

/** STATE of the bed becomes a small file system. */
async function mountState(bed: DaemonBed): Promise<void> {
  await mkdir(bed.state, { recursive: true });
  await run('mount', ['-t', 'tmpfs', '-o', 'size=24M', 'tmpfs', bed.state]);
  bed.atEnd(async () => void (await run('umount', [bed.state])));
}

/** Takes all the room there is; answers what gives it back. */
async function fill(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, 'filler');
  const { bavail, bsize } = await statfs(folder);
  await run('fallocate', ['-l', String(bavail * bsize), path]);
  return () => rm(path);
}

async function working(bed: DaemonBed): Promise<() => Promise<void>> {
  await writeFile(join(bed.exported, 'data'), blockContent(0, 1));
  await bed.startOrigin();
  await bed.startDaemon();
  await bed.client.createSession({ name: 'reads', origin: bed.origin(), policy: 'golden' });
  await bed.client.createSession({ name: 'writes', origin: bed.origin(), policy: 'vm-disk' });
  const reads = await (await clientOf(bed, 'reads')).file('data');
  const writes = await (await clientOf(bed, 'writes')).file('data');
  let version = 1;
  return async () => {
    assert.equal(await reads.size(), 4096);
    versionOf(await reads.read(0, 4096), 0);
    await writes.write(0, blockContent(0, ++version));
    await writes.commit();
    assert.equal(versionOf(await writes.read(0, 4096), 0), version);
  };
}

test('on a full disk nothing is created, what runs goes on, and with room all works', async () => {
  await DaemonBed.use({ name: 'store-full' }, async (bed) => {
    await mountState(bed);
    const work = await working(bed);
    await work();
    const before = await bed.directories();
    const empty = await fill(bed.state);
    const create = ['session', 'create', bed.origin(), '--name', 'more', '--policy', 'golden'];
    assertExplained(await bed.command(...create), /DISK_FULL/, /remedy: Make room/);
    assert.deepEqual(
      (await bed.client.sessions()).map(({ name }) => name),
      ['reads', 'writes'],
    );
    assert.deepEqual(await bed.directories(), before);
    await work();
    await bed.writeBack('writes');
    await empty();
    await bed.said(...create);
    await work();
    await bed.said('session', 'close', 'more');
    assert.deepEqual(await bed.directories(), before);
    await bed.endDaemon('SIGTERM');
    await bed.startDaemon();
    await bed.untilState('running', ['reads', 'writes']);
    await work();
  });
});

test('on a read-only disk a daemon does not start, and says why; on one that is full neither', async () => {
  await DaemonBed.use({ name: 'store-read-only' }, async (bed) => {
    await mountState(bed);
    const work = await working(bed);
    await work();
    await bed.endDaemon('SIGTERM');
    const config = ['--config', join(bed.folder, 'viaduct.yaml'), '--state-directory', bed.state];
    await run('mount', ['-o', 'remount,ro', bed.state]);
    assertExplained(await bed.command('daemon', ...config), /STORE_FAILED: .*EROFS/);
    await run('mount', ['-o', 'remount,rw', bed.state]);
    const empty = await fill(bed.state);
    assertExplained(await bed.command('daemon', ...config), /DISK_FULL/);
    await empty();
    await bed.startDaemon();
    await bed.untilState('running', ['reads', 'writes']);
    await work();
  });
});

test('a store of a newer version, or one that is garbage, is left as it is, and said to be so', async () => {
  await DaemonBed.use({ name: 'store-foreign' }, async (bed) => {
    const work = await working(bed);
    await work();
    await bed.endDaemon('SIGTERM');
    const store = join(bed.state, 'daemon.sqlite');
    const config = ['--config', join(bed.folder, 'viaduct.yaml'), '--state-directory', bed.state];
    const setVersion = (change: number): void => {
      const database = new DatabaseSync(store);
      const { user_version: version } = database.prepare('PRAGMA user_version').get() ?? {};
      database.exec(`PRAGMA user_version = ${Number(version) + change}`);
      database.close();
    };
    setVersion(90);
    assertExplained(await bed.command('daemon', ...config), /STORE_VERSION/);
    setVersion(-90);
    await bed.startDaemon();
    await bed.untilState('running', ['reads', 'writes']);
    await bed.endDaemon('SIGKILL');

    await rename(store, `${store}.whole`);
    for (const suffix of ['-wal', '-shm']) await rm(`${store}${suffix}`, { force: true });
    await writeFile(store, Buffer.alloc(8192, 'garbage '));
    assertExplained(await bed.command('daemon', ...config), /STORE_FAILED/, /remedy: Move the file away/);
    assert.ok((await readFile(store)).equals(Buffer.alloc(8192, 'garbage ')), 'it is left as it is');
    await rename(store, `${store}.garbage`);
    await bed.startDaemon();
    assert.deepEqual(await bed.client.sessions(), []);
    // What was written is told of, and comes to the origin.
    const { stdout } = await bed.command('status', '--json');
    const { endedSessions } = JSON.parse(stdout.toString()) as { endedSessions: { restart: string }[] };
    assert.equal(endedSessions.length, 1);
    await bed.endDaemon('SIGTERM');
    await bed.aloneUntilWrittenBack(endedSessions[0]!.restart);
    assert.equal(versionOf(await readFile(join(bed.exported, 'data')), 0), 2);
  });
});
