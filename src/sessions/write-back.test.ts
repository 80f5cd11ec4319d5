/** Sessions with a dirty log, in real workers, between a real client and a served directory: policies, tasks, deaths, the end. */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { silentLog, sleep, systemClock, systemRandom } from '../base/mod.ts';
import { type NfsOrigin, openNfsOrigin } from '../origins/mod.ts';
import { callBy, ok, pattern } from '../testing/mod.ts';
import { credential, type FileHandle, Stability, Status } from '../vfs/mod.ts';
import { defaultAttributes, type SessionPlan } from './plan.ts';
import type { RunningSession } from './running-session.ts';
import { startSession } from './session.ts';
import type { TaskProgress } from './tasks.ts';
import type { WriteBackStatus } from './write-back-status.ts';
import { defaultDirty } from './write-policy.ts';

const tools = { clock: systemClock, log: silentLog, random: systemRandom };
const me = credential(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
const call = callBy(me);
const MiB = 1024 * 1024;

const common = {
  ...{
    allow: [] as string[],
    squash: 'none' as const,
    connections: 2,
    attributes: defaultAttributes,
    readAheadBytes: 0,
  },
  listen: { host: '127.0.0.1', port: 0 },
};

function startServer(origin: string, stateDirectory: string): Promise<RunningSession> {
  return startSession({ ...common, kind: 'serve', origin, stateDirectory, writes: 'write-through' }, tools);
}

interface House {
  readonly images: string;
  start(change?: Partial<SessionPlan>, onWorker?: (worker: Worker) => void): Promise<Proxy>;
  /** A client of the served origin itself. */
  another(): Promise<NfsOrigin>;
}
interface Proxy {
  readonly session: RunningSession;
  readonly client: NfsOrigin;
  status(): Promise<WriteBackStatus>;
}

/** `isServed`: over a server that knows leases; else the directory itself is the origin, which saves a worker. */
async function house(t: TestContext, isServed = false): Promise<House> {
  const scratch = mkdtempSync(join(tmpdir(), 'viaduct-write-back-'));
  const open: (() => Promise<unknown>)[] = [];
  t.after(async () => {
    for (const close of open.toReversed()) await close();
    rmSync(scratch, { recursive: true, force: true });
  });
  const images = join(scratch, 'images');
  mkdirSync(join(images, 'golden'), { recursive: true });
  writeFileSync(join(images, 'golden/disk.raw'), pattern(MiB));
  const serve = isServed ? await startServer(images, join(scratch, 'server')) : undefined;
  if (serve !== undefined) open.push(() => serve.close());
  const at = await serve?.ready;
  const start = async (change: Partial<SessionPlan> = {}, onWorker?: (worker: Worker) => void): Promise<Proxy> => {
    const plan: SessionPlan = {
      ...common,
      kind: 'proxy',
      origin: at === undefined ? images : `nfs://127.0.0.1:${at.port}/?mountport=${at.port}`,
      stateDirectory: join(scratch, 'proxy'),
      writes: 'write-back',
      // Nothing leaves unless it is told to.
      dirty: {
        ...defaultDirty,
        directory: join(scratch, 'log'),
        limitBytes: 64 * MiB,
        writeBackAfterMs: 3_600_000,
        ageMs: 3_600_000,
      },
      ...change,
    };
    const session = await startSession(plan, { ...tools, onWorker });
    open.push(() => session.close());
    const { port } = await session.ready;
    const address = { kind: 'nfs', host: '127.0.0.1', path: '/', port, mountPort: port } as const;
    const client = await openNfsOrigin({ address, connections: 1, credential: me, ...tools });
    open.push(() => client.close());
    const status = async (): Promise<WriteBackStatus> => (await session.stats()).data!.writeBack!;
    return { session, client, status };
  };
  const another = async (): Promise<NfsOrigin> => {
    const { port } = at!;
    const address = { kind: 'nfs', host: '127.0.0.1', path: '/', port, mountPort: port } as const;
    const client = await openNfsOrigin({ address, connections: 1, credential: me, ...tools });
    open.push(() => client.close());
    return client;
  };
  return { images, start, another };
}

async function find({ client }: Proxy, ...names: string[]): Promise<FileHandle> {
  let handle = client.root;
  for (const name of names) handle = ok(await client.lookup(call, { directory: handle, name })).object;
  return handle;
}

async function write({ client }: Proxy, object: FileHandle, offset: number, bytes: Buffer): Promise<void> {
  const args = { object, offset, count: bytes.length, stable: Stability.FILE_SYNC, data: [bytes] };
  ok(await client.write(call, args));
}

async function read({ client }: Proxy, object: FileHandle, offset: number, count: number): Promise<Buffer> {
  const reply = ok(await client.read(call, { object, offset, count }));
  const bytes = Buffer.concat(reply.data as Uint8Array[]);
  reply.release?.();
  return bytes;
}

test('what is written waits here, is told by its path, and is at the origin when the task says so', async (t) => {
  const { images, start } = await house(t, true);
  const proxy = await start();
  const disk = await find(proxy, 'golden', 'disk.raw');
  const bytes = pattern(200_000, 7);
  await write(proxy, disk, 4_096, bytes);
  assert.ok(readFileSync(join(images, 'golden/disk.raw')).equals(pattern(MiB)), 'not yet');
  assert.deepEqual(await read(proxy, disk, 4_096, 200_000), bytes);
  const before = await proxy.status();
  assert.equal(before.isAtOrigin, false);
  assert.deepEqual([before.pendingBytes, before.pendingFiles, before.filesLeftOff], [200_000, 1, 0]);
  assert.equal(before.files[0]?.path, '/golden/disk.raw');
  assert.equal(before.files[0]?.bytes, 200_000);
  assert.deepEqual(before.lease, { state: 'held' });
  const told: TaskProgress[] = [];
  const task = { task: 'write-back', file: '/golden/disk.raw' } as const;
  assert.deepEqual(await proxy.session.run(task, (progress) => told.push(progress)), { outcome: 'done', problems: [] });
  assert.equal(told[0]?.totalBytes, 200_000);
  assert.ok(readFileSync(join(images, 'golden/disk.raw')).subarray(4_096, 204_096).equals(bytes));
  const after = await proxy.status();
  assert.equal(after.isAtOrigin, true);
  assert.deepEqual([after.pendingBytes, after.pendingFiles, after.oldestAgeMs], [0, 0, undefined]);
  const left = await leftOf(proxy);
  assert.deepEqual([left.bytes, left.files], [0, 0]);
});

async function leftOf({ session }: Proxy) {
  const left = await session.close();
  assert.ok(left !== undefined);
  return left;
}

test('a worker that dies comes back with the log: nothing that was answered is lost, and the lock is free', async (t) => {
  const { images, start } = await house(t);
  const workers: Worker[] = [];
  const proxy = await start({}, (worker) => workers.push(worker));
  const disk = await find(proxy, 'golden', 'disk.raw');
  const bytes = pattern(100_000, 2);
  await write(proxy, disk, 100_000, bytes);
  await workers[0]!.terminate();
  // The call waits for the worker that comes next.
  assert.deepEqual(await read(proxy, disk, 100_000, 100_000), bytes);
  assert.equal((await proxy.session.stats()).restarts, 1);
  assert.equal((await proxy.status()).pendingBytes, 100_000);
  assert.equal((await proxy.session.run({ task: 'write-back' })).outcome, 'done');
  assert.ok(readFileSync(join(images, 'golden/disk.raw')).subarray(100_000, 200_000).equals(bytes));
});

test('the end says what is left; another policy is refused then, the same one goes on', async (t) => {
  const { images, start } = await house(t);
  const first = await start();
  await write(first, await find(first, 'golden', 'disk.raw'), 0, pattern(5_000, 3));
  const left = await leftOf(first);
  assert.deepEqual([left.policy, left.bytes, left.files], ['write-back', 5_000, 1]);
  for (const writes of ['write-through', 'redirect'] as const) {
    await assert.rejects(start({ writes }), { code: 'LOG_NOT_EMPTY' }, writes);
  }
  const second = await start();
  assert.equal((await second.status()).pendingBytes, 5_000);
  assert.equal((await second.session.run({ task: 'write-back' })).outcome, 'done');
  assert.ok(readFileSync(join(images, 'golden/disk.raw')).subarray(0, 5_000).equals(pattern(5_000, 3)));
  await second.session.close();
  const third = await start({ writes: 'write-through' });
  assert.equal((await third.session.stats()).data?.writeBack, undefined);
});

test('a log in use and the lease of another host fail the start; a take-over is a take-over', async (t) => {
  const { images, start } = await house(t, true);
  const first = await start();
  await assert.rejects(start(), { code: 'LOG_IN_USE' });
  const dirty = { ...defaultDirty, directory: mkdtempSync(join(tmpdir(), 'viaduct-other-log-')) };
  t.after(() => rmSync(dirty.directory, { recursive: true }));
  await assert.rejects(start({ dirty }), { code: 'LEASE_HELD' });
  assert.deepEqual(readdirSync(dirty.directory), [], 'no log was made for a session that may not write');
  const second = await start({ dirty, takeOverLease: true });
  const disk = await find(first, 'golden', 'disk.raw');
  await write(first, disk, 0, pattern(4_096, 1));
  const late = await first.session.run({ task: 'write-back' });
  assert.ok(['lease-lost', 'refused'].includes(late.outcome), late.outcome);
  assert.equal((await first.status()).pendingBytes, 4_096, 'and kept');
  await write(second, disk, 0, pattern(4_096, 2));
  assert.equal((await second.session.run({ task: 'write-back' })).outcome, 'done');
  assert.ok(readFileSync(join(images, 'golden/disk.raw')).subarray(0, 4_096).equals(pattern(4_096, 2)));
});

test('redirect: who may read may write, the origin sees nothing until commit, and discard shows it again', async (t) => {
  const { images, start } = await house(t);
  const proxy = await start({ writes: 'redirect' });
  const disk = await find(proxy, 'golden', 'disk.raw');
  await write(proxy, disk, 0, pattern(10_000, 5));
  assert.equal((await proxy.client.remove(call, { directory: proxy.client.root, name: 'golden' })).status, Status.ROFS);
  await assert.rejects(proxy.session.run({ task: 'write-back' }), { code: 'CONFIGURATION_INVALID' });
  assert.equal((await proxy.session.run({ task: 'redirect', how: 'discard' })).outcome, 'done');
  assert.deepEqual(await read(proxy, disk, 0, 10_000), pattern(MiB).subarray(0, 10_000));
  await write(proxy, disk, 0, pattern(10_000, 6));
  assert.ok(readFileSync(join(images, 'golden/disk.raw')).equals(pattern(MiB)));
  assert.equal((await proxy.session.run({ task: 'redirect', how: 'commit' })).outcome, 'done');
  assert.ok(readFileSync(join(images, 'golden/disk.raw')).subarray(0, 10_000).equals(pattern(10_000, 6)));
});

test('redirect: a commit is done as the only writer of the tree, and others may write after it', async (t) => {
  const { images, start, another } = await house(t, true);
  const proxy = await start({ writes: 'redirect' });
  const other = await another();
  const wish = { holder: 'another host', takeOver: false };
  const disk = await find(proxy, 'golden', 'disk.raw');
  const run = () => proxy.session.run({ task: 'redirect', how: 'commit' });
  assert.equal((await other.channel.acquireLease(wish)).state, 'held', 'nobody has it while nothing is committed');
  const bytes = pattern(MiB, 3);
  for (const offset of [0, 300_000]) await write(proxy, disk, offset, bytes.subarray(offset, offset + 300_000));
  await assert.rejects(run(), { code: 'LEASE_HELD' });
  assert.ok(readFileSync(join(images, 'golden/disk.raw')).equals(pattern(MiB)));
  await other.channel.release();
  const results = await Promise.all([run(), run()]);
  assert.deepEqual(
    results.map(({ outcome }) => outcome),
    ['done', 'done'],
  );
  assert.ok(readFileSync(join(images, 'golden/disk.raw')).subarray(0, 600_000).equals(bytes.subarray(0, 600_000)));
  assert.equal((await other.channel.acquireLease(wish)).state, 'held');
  assert.equal((await proxy.status()).lease.state, 'none');
  await write(proxy, disk, 0, pattern(4_096, 9));
  await assert.rejects(run(), { code: 'LEASE_HELD' });
  assert.equal((await proxy.session.run({ task: 'redirect', how: 'commit', takeOver: true })).outcome, 'done');
  assert.ok(readFileSync(join(images, 'golden/disk.raw')).subarray(0, 4_096).equals(pattern(4_096, 9)));
});

test('a worker that comes back does not begin a new log where its own is gone, and goes on when it is back', async (t) => {
  const { images, start } = await house(t);
  const workers: Worker[] = [];
  const proxy = await start({}, (worker) => workers.push(worker));
  await write(proxy, await find(proxy, 'golden', 'disk.raw'), 0, pattern(4_096, 9));
  const log = join(images, '../log');
  renameSync(log, `${log}.away`);
  await workers[0]!.terminate();
  while ((await proxy.session.stats()).lastError?.code !== 'LOG_MISSING') await sleep(systemClock, 20);
  assert.equal(existsSync(log), false);
  renameSync(`${log}.away`, log);
  while ((await proxy.session.stats()).state !== 'running') await sleep(systemClock, 20);
  assert.equal((await proxy.status()).pendingBytes, 4_096);
});

test('flush: what somebody else changed at the origin is seen at once', async (t) => {
  const { images, start } = await house(t);
  for (const writes of ['write-back', 'write-through'] as const) {
    const proxy = await start({
      writes,
      cache: { directory: join(images, `../cache-${writes}`), sizeBytes: 32 * MiB },
    });
    const disk = await find(proxy, 'golden', 'disk.raw');
    await read(proxy, disk, 0, 10);
    await sleep(systemClock, 20);
    writeFileSync(join(images, 'golden/disk.raw'), Buffer.alloc(MiB, writes));
    assert.equal((await proxy.session.run({ task: 'flush' })).outcome, 'done');
    assert.deepEqual(await read(proxy, disk, 0, 10), Buffer.alloc(10, writes));
    await proxy.session.close();
  }
});

test('tasks that make no sense are refused with what to do instead', async (t) => {
  const { images, start } = await house(t);
  const proxy = await start();
  const refused = async (task: Parameters<RunningSession['run']>[0], message: RegExp): Promise<void> => {
    await assert.rejects(proxy.session.run(task), { code: 'CONFIGURATION_INVALID', message });
  };
  await refused({ task: 'write-back', file: '/nowhere' }, /no such file/);
  await refused({ task: 'write-back', file: '/golden' }, /directory/);
  await refused({ task: 'clear-conflict', file: '/golden/disk.raw' }, /in no conflict/);
  await refused({ task: 'redirect', how: 'discard' }, /not redirect/);
  const serve = await startServer(images, `${images}-state`);
  t.after(() => serve.close());
  await serve.ready;
  await assert.rejects(serve.run({ task: 'clear-conflict', file: '/x' }), { code: 'CONFIGURATION_INVALID' });
  assert.equal((await serve.run({ task: 'write-back' })).outcome, 'done');
  await proxy.session.close();
  assert.equal((await proxy.session.run({ task: 'write-back' })).outcome, 'closed');
});

test('a conflict is told by the task and the status until it is cleared, and both versions are kept', async (t) => {
  const { images, start } = await house(t);
  const proxy = await start();
  const disk = await find(proxy, 'golden', 'disk.raw');
  await write(proxy, disk, 0, pattern(10_000, 8));
  const foreign = Buffer.alloc(2 * MiB, 'foreign');
  writeFileSync(join(images, 'golden/disk.raw'), foreign);
  const told = await proxy.session.run({ task: 'write-back' });
  assert.equal(told.outcome, 'conflict');
  assert.match(told.problems.join(), /disk\.raw/);
  assert.ok(readFileSync(join(images, 'golden/disk.raw')).equals(foreign), 'not overwritten');
  const [conflict] = (await proxy.status()).conflicts;
  assert.deepEqual(
    [conflict?.path, conflict?.kind, conflict?.savedAs?.where],
    ['/golden/disk.raw', 'changed', 'origin'],
  );
  const saved = readdirSync(join(images, 'golden')).find((name) => /^disk\.raw\.viaduct-conflict-[^.]*$/.test(name));
  assert.ok(saved !== undefined && conflict?.savedAs?.name.endsWith(saved), conflict?.savedAs?.name);
  assert.ok(
    readFileSync(join(images, 'golden', saved))
      .subarray(0, 10_000)
      .equals(pattern(10_000, 8)),
  );
  // Whoever asks later is told as well, and the file takes nothing until somebody has decided.
  assert.equal((await proxy.session.run({ task: 'write-back', file: 'golden/disk.raw' })).outcome, 'conflict');
  const args = { object: disk, offset: 0, count: 1, stable: Stability.UNSTABLE, data: [Buffer.from('x')] };
  assert.equal((await proxy.client.write(call, args)).status, Status.IO);
  const cleared = await proxy.session.run({ task: 'clear-conflict', file: '/golden/disk.raw' });
  assert.equal(cleared.outcome, 'done');
  await write(proxy, disk, 0, Buffer.from('ours'));
  assert.deepEqual(await proxy.session.run({ task: 'write-back' }), { outcome: 'done', problems: [] });
  assert.equal(readFileSync(join(images, 'golden/disk.raw')).subarray(0, 8).toString(), 'oursignf');
});
