/**
 * Policies by file, through libnfs: one session, and rules of viaduct.yaml that say of each file how it is used. A reload takes effect on
 * handles that clients have open.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { DaemonBed, fileUrl } from './daemon/daemon-bed.ts';
import { enterPrivateNetwork } from './support/namespace.ts';
import { until } from './support/programs.ts';
import { QemuIo } from './write-back/qemu-io.ts';

enterPrivateNetwork(import.meta.filename);

const MiB = 1024 * 1024;

function rulesText(rules: Readonly<Record<string, string>>): string {
  const lines = Object.entries(rules).map(([path, policy]) => `  - { path: '${path}', policy: ${policy} }\n`);
  return `rules:\n${lines.join('')}`;
}

const policies = `policies:
  plain: { model: home, writes: write-through, read-ahead: 0, fetch: on-demand, attribute-timeout: 1h, outage: fail:1s }
  published: { model: golden, fetch: on-demand }
  live: { model: home, consistency: strict }
  locked: { model: home, writes: read-only }
  whole: { model: home, fetch: whole }
  held: { model: home, pin: true, fetch: on-demand, read-ahead: 0, attribute-timeout: 1h }
`;
const session = 'sessions: { work: { origin: ORIGIN, policy: plain } }\n';

/** A bed with the files, each full of ones, and the session. */
async function withFiles(
  options: { readonly rules: Readonly<Record<string, string>>; readonly files: Readonly<Record<string, number>> },
  use: (bed: DaemonBed, open: (name: string, isReadOnly?: boolean) => Promise<QemuIo>) => Promise<void>,
): Promise<void> {
  await DaemonBed.use({ name: 'policies' }, async (bed) => {
    for (const [name, size] of Object.entries(options.files)) await change(bed, name, size, 1);
    await bed.startOrigin();
    configure(bed, options.rules);
    await bed.startDaemon();
    await bed.untilState('running');
    const view = await bed.session('work');
    await use(bed, async (name, isReadOnly = false) => {
      const io = await QemuIo.open(fileUrl(view, name), { isReadOnly });
      bed.atEnd(() => io.kill());
      return io;
    });
  });
}

function configure(bed: DaemonBed, rules: Readonly<Record<string, string>>): void {
  const [caches = ''] = bed.configuration.split('policies:');
  const text = `${caches}${policies}${rulesText(rules)}${session}`;
  bed.configuration = text.replace('ORIGIN', `'${bed.origin()}'`).replace('256M', '24M');
}

/** At the origin, as somebody else does. */
function change(bed: DaemonBed, name: string, size: number, pattern: number): Promise<void> {
  return writeFile(join(bed.exported, name), Buffer.alloc(size, pattern));
}

async function reload(bed: DaemonBed): Promise<void> {
  const { loadedAt } = await bed.client.configuration();
  await writeFile(join(bed.folder, 'viaduct.yaml'), bed.configuration);
  process.kill(bed.pid, 'SIGHUP');
  await until('the configuration is read again', async () => {
    const report = await bed.client.configuration();
    assert.equal(report.problem, undefined);
    return report.loadedAt !== loadedAt;
  });
}

test('files are fixed, strict or read-only as rules say, and otherwise after a reload, with the handles that clients have', async () => {
  const files = { 'a.fixed': MiB, 'b.live': MiB, 'c.locked': MiB, 'd.other': MiB };
  const rules = { '**/*.fixed': 'published', '**/*.live': 'live', '**/*.locked': 'locked' };
  await withFiles({ rules, files }, async (bed, open) => {
    const fixed = await open('a.fixed', true);
    const live = await open('b.live');
    const other = await open('d.other');
    for (const io of [fixed, live, other]) await io.run('read -P 1 0 1M');
    for (const name of ['a.fixed', 'b.live', 'd.other']) await change(bed, name, MiB, 2);
    await live.run('read -P 2 0 1M');
    await fixed.run('read -P 1 0 1M');
    await other.run('read -P 1 0 1M', 'write -P 3 0 4k', 'read -P 3 0 4k');
    await assert.rejects(open('c.locked'), /read-only|Read-only|ROFS|ACCESS/);
    const { id } = await bed.session('work');

    configure(bed, { '**/*.fixed': 'live', '**/*.live': 'locked', '**/*.other': 'published' });
    await reload(bed);
    await fixed.run('read -P 2 0 1M');
    await assert.rejects(live.run('write -P 4 0 4k'), /NFS3ERR_ROFS/);
    const unlocked = await open('c.locked');
    await unlocked.run('write -P 5 0 4k', 'flush', 'read -P 5 0 4k');
    const after = await bed.session('work');
    assert.deepEqual([after.id, after.state, after.restarts], [id, 'running', 0]);
  });
});

test('a file that is wanted whole is there when its origin is away, and what is pinned stays when the cache is full', async () => {
  const files = { 'a.whole': 4 * MiB, 'b.held': 4 * MiB, 'c.other': 4 * MiB, 'd.large': 40 * MiB };
  const rules = { '**/*.held': 'held' };
  await withFiles({ rules, files }, async (bed, open) => {
    const whole = await open('a.whole');
    const held = await open('b.held');
    const other = await open('c.other');
    await whole.run('read -P 1 0 4k');
    await held.run('read -P 1 0 4M');
    await other.run('read -P 1 0 4M');
    const large = await open('d.large');
    for (let at = 0; at < 40; at += 4) await large.run(`read -P 1 ${at}M 4M`);
    // Nothing of it is wanted whole yet.
    configure(bed, { ...rules, '**/*.whole': 'whole' });
    await reload(bed);
    await whole.run('read -P 1 64k 4k');
    const fetched = async (): Promise<number> =>
      (await bed.client.samples()).reduce((sum, { prefetchedBytes }) => sum + prefetchedBytes, 0);
    await until('the whole file is fetched', async () => (await fetched()) >= 3 * MiB);
    await bed.killOrigin();
    await whole.run('read -P 1 0 4M');
    await held.run('read -P 1 0 4M');
    await assert.rejects(other.run('read -P 1 0 4M'), /NFS3ERR_IO/);
  });
});
