/**
 * Many sessions in the workers of a pool: all of them serve; what befalls one of them, or a worker, and what of it the others see. The same
 * file is the program of the workers that are made to fail.
 */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, type Worker } from 'node:worker_threads';
import { silentLog, sleep, systemClock, systemRandom } from '../base/mod.ts';
import { CleanCache } from '../cache/mod.ts';
import { type NfsOrigin, openNfsOrigin } from '../origins/mod.ts';
import { callBy, eventually, LogLines, ok, pattern } from '../testing/mod.ts';
import { credential, type FileHandle, Stability } from '../vfs/mod.ts';
import type { ListeningPlace, WorkerReport } from './messages.ts';
import type { SessionPlan } from './plan.ts';
import { servePlan } from './plan-fixture.test.ts';
import type { RunningSession } from './running-session.ts';
import { WorkerPool, type WorkerPoolOptions } from './worker-pool.ts';
import { defaultDirty } from './write-policy.ts';

const tools = { clock: systemClock, log: silentLog, random: systemRandom };
const me = credential(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
const call = callBy(me);
const MiB = 1024 * 1024;
const diskBytes = MiB;

/** What goes wrong in a worker: in a timer or a promise of one session, or in nobody's. */
interface Fault {
  readonly kind: 'fault';
  readonly session: number;
  readonly how: 'timer' | 'promise' | 'nobody';
}

/** The real program, whose sessions can be made to fail: the context in which one gets ready is its own. */
async function runFaultyWorker(port: NonNullable<typeof parentPort>): Promise<void> {
  const contexts = new Map<number, <R>(action: () => R) => R>();
  const post = port.postMessage.bind(port);
  port.postMessage = (report: WorkerReport) => {
    if (report.kind === 'ready') contexts.set(report.session, AsyncLocalStorage.snapshot());
    post(report);
  };
  await import('./worker.ts');
  port.on('message', (order: Fault | { kind: 'other' }) => {
    if (order.kind !== 'fault') return;
    const fail = (): never => {
      throw new Error(`fault of ${order.how}`);
    };
    const within = contexts.get(order.session)!;
    if (order.how === 'nobody') systemClock.after(1, fail);
    else if (order.how === 'timer') within(() => systemClock.after(1, fail));
    else within(() => void sleep(systemClock, 1).then(fail));
  });
}

interface House {
  readonly scratch: string;
  readonly workers: Worker[];
  readonly pool: WorkerPool;
  fault(fault: Omit<Fault, 'kind'>): void;
  /** A proxy of the images, without a server between. */
  start(change?: Partial<SessionPlan>): Promise<RunningSession>;
  startWriter(name: string): Promise<RunningSession>;
  client(place: ListeningPlace): Promise<NfsOrigin>;
}

function house(t: TestContext, options: Partial<WorkerPoolOptions> = {}): House {
  const scratch = mkdtempSync(join(tmpdir(), 'viaduct-pool-'));
  const workers: Worker[] = [];
  const clients: NfsOrigin[] = [];
  const pool = new WorkerPool({ ...tools, workers: 2, onWorker: (worker) => workers.push(worker), ...options });
  t.after(async () => {
    for (const client of clients) await client.close();
    await pool.close();
    rmSync(scratch, { recursive: true, force: true });
  });
  const images = join(scratch, 'images');
  mkdirSync(images);
  writeFileSync(join(images, 'disk.raw'), pattern(diskBytes));
  const start = (change: Partial<SessionPlan> = {}): Promise<RunningSession> =>
    pool.start(servePlan({ origin: images, stateDirectory: join(scratch, 'state') }, { kind: 'proxy', ...change }));
  return {
    ...{ scratch, workers, pool, start },
    fault: (fault) => {
      for (const worker of workers) worker.postMessage({ kind: 'fault', ...fault } satisfies Fault);
    },
    startWriter: (name) => {
      const directory = join(scratch, `log-${name}`);
      const never = { writeBackAfterMs: 3_600_000, ageMs: 3_600_000 };
      const dirty = { ...defaultDirty, directory, limitBytes: 64 * MiB, ...never };
      return start({ writes: 'write-back', dirty });
    },
    client: async ({ host, port }) => {
      const address = { kind: 'nfs', host, path: '/', port, mountPort: port } as const;
      const client = await openNfsOrigin({ address, connections: 1, credential: me, ...tools });
      clients.push(client);
      return client;
    },
  };
}

async function disk(client: NfsOrigin): Promise<FileHandle> {
  return ok(await client.lookup(call, { directory: client.root, name: 'disk.raw' })).object;
}

async function read(client: NfsOrigin, offset: number, count: number): Promise<Buffer> {
  const reply = ok(await client.read(call, { object: await disk(client), offset, count }));
  return Buffer.concat(reply.data);
}

async function assertServes(client: NfsOrigin, offset = 0): Promise<void> {
  const bytes = pattern(diskBytes).subarray(offset, offset + 4_096);
  assert.ok((await read(client, offset, 4_096)).equals(bytes), 'other bytes than the origin has');
}

async function write(client: NfsOrigin, text: string): Promise<void> {
  const data = [Buffer.from(text)];
  const args = { object: await disk(client), offset: 0, count: text.length, stable: Stability.UNSTABLE, data };
  ok(await client.write(call, args));
}

async function pendingBytes(session: RunningSession): Promise<number | undefined> {
  return (await session.stats()).data?.writeBack?.pendingBytes;
}

async function isRunning(session: RunningSession): Promise<boolean> {
  return (await session.stats()).state === 'running';
}

if (!isMainThread) {
  await runFaultyWorker(parentPort!);
} else {
  const program = fileURLToPath(import.meta.url);

  test('sessions are spread over the workers, serve, and share one cache; the close of one leaves the others', async (t) => {
    const { workers, pool, start, client, scratch } = house(t);
    const cache = { directory: join(scratch, 'cache'), sizeBytes: 32 * MiB };
    const sessions = [await start({ cache })];
    symlinkSync(cache.directory, join(scratch, 'alias'));
    for (const directory of [join(scratch, 'alias'), cache.directory, cache.directory])
      sessions.push(await start({ cache: { ...cache, directory } }));
    const clients: NfsOrigin[] = [];
    for (const session of sessions) clients.push(await client(await session.ready));
    assert.equal(workers.length, 2);
    assert.deepEqual(
      pool.status().map((worker) => worker.sessions),
      [2, 2],
    );
    await assertServes(clients[0]!);
    await eventually(async () => (await sessions[0]!.stats()).cache!.validBytes > 0, 'what was read is kept');
    const hitsBefore = (await sessions[1]!.stats()).cache!.hits;
    // In the other worker.
    await assertServes(clients[1]!);
    assert.ok((await sessions[1]!.stats()).cache!.hits > hitsBefore, 'what one session read, another has');
    await sessions[0]!.close();
    await sessions[1]!.close();
    assert.equal((await sessions[0]!.stats()).state, 'ended');
    await assertServes(clients[2]!, 8_192);
    await assert.rejects(CleanCache.open({ ...cache, ...tools }), { code: 'CACHE_IN_USE' });
    await sessions[2]!.close();
    await assertServes(clients[3]!, 16_384);
    await sessions[3]!.close();
    const again = await CleanCache.open({ ...cache, ...tools });
    assert.ok(again.stat().validBytes > 0, 'it was closed with its last session');
    await again.close();
    // And opened anew by the next.
    await (await start({ cache })).ready;
  });

  test('caches of different directories are different, and one directory has one size', async (t) => {
    const { start, client, scratch } = house(t, { workers: 1 });
    const cache = { directory: join(scratch, 'a'), sizeBytes: 32 * MiB };
    const first = await start({ cache });
    const second = await start({ cache: { ...cache, directory: join(scratch, 'b') } });
    await second.ready;
    await assertServes(await client(await first.ready));
    await eventually(async () => (await first.stats()).cache!.validBytes > 0, 'what was read is kept');
    assert.equal((await second.stats()).cache!.validBytes, 0);
    const other = start({ cache: { ...cache, sizeBytes: 48 * MiB } });
    await assert.rejects(other, { code: 'CONFIGURATION_INVALID', message: /in use with a size of/ });
    await assertServes(await client(await first.ready), 4_096);
  });

  test('a session that cannot start is told what is wrong, and those beside it go on', async (t) => {
    const { workers, pool, start, client, scratch } = house(t, { workers: 1 });
    const cache = { directory: join(scratch, 'cache'), sizeBytes: 32 * MiB };
    const good = await start({ cache });
    const served = await client(await good.ready);
    const bad = await start({ origin: join(scratch, 'nowhere'), cache });
    await assert.rejects(bad.ready, { name: 'ViaductError' });
    const error = await bad.ended;
    assert.deepEqual((await bad.stats()).lastError, error);
    const { port, host } = await good.ready;
    const taken = await start({ listen: { host, port } });
    await assert.rejects(taken.ready, { code: 'ADDRESS_IN_USE' });
    await bad.close();
    await assertServes(served);
    assert.deepEqual([workers.length, pool.status()[0]!.sessions], [1, 1]);
  });

  for (const how of ['timer', 'promise'] as const) {
    test(`an unexpected error in a ${how} of one session ends it alone, and its log is there for the next`, async (t) => {
      const log = new LogLines();
      const { workers, start, startWriter, client, fault, pool } = house(t, { workers: 1, program, log });
      const first = await start();
      const writer = await startWriter('a');
      const other = await startWriter('b');
      const [reads, writes, keeps] = [
        await client(await first.ready),
        await client(await writer.ready),
        await client(await other.ready),
      ];
      await write(writes, 'kept');
      await write(keeps, 'also kept');
      fault({ session: 2, how });
      const error = await writer.ended;
      assert.match(error!.cause, new RegExp(`fault of ${how}`));
      const status = await writer.stats();
      assert.deepEqual([status.state, status.lastError], ['ended', error]);
      assert.ok(log.has('ended by an error that nobody expected'));
      await assertServes(reads);
      assert.equal(await pendingBytes(other), 9);
      assert.equal((await writer.run({ task: 'write-back' })).outcome, 'closed');
      assert.equal((await writer.close())?.bytes, 4);
      const next = await startWriter('a');
      await next.ready;
      assert.equal(await pendingBytes(next), 4);
      assert.deepEqual([workers.length, pool.status()[0]!.restarts], [1, 0]);
    });
  }

  test('an error that is nobody’s ends the worker, and all its sessions are back', async (t) => {
    const { workers, startWriter, client, fault, pool } = house(t, { workers: 1, program });
    const sessions = [await startWriter('a'), await startWriter('b')];
    const clients: NfsOrigin[] = [];
    for (const session of sessions) clients.push(await client(await session.ready));
    for (const one of clients) await write(one, 'text');
    fault({ session: 1, how: 'nobody' });
    await eventually(() => workers.length === 2, 'the worker is started again');
    for (const session of sessions) {
      await eventually(() => isRunning(session), 'the session is back');
      assert.equal(await pendingBytes(session), 4);
      assert.match((await session.stats()).lastError!.cause, /fault of nobody/);
    }
    assert.equal(pool.status()[0]!.restarts, 1);
  });

  test('a worker that is ended under load: every session comes back on its port with what was written, none of the other worker notices', async (t) => {
    const { workers, startWriter, client } = house(t);
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const sessions: RunningSession[] = [];
    const clients: NfsOrigin[] = [];
    for (const name of names) sessions.push(await startWriter(name));
    const places = await Promise.all(sessions.map((session) => session.ready));
    for (const place of places) clients.push(await client(place));
    for (const [index, one] of clients.entries()) await write(one, names[index]!.repeat(index + 1));
    let isOver = false;
    let reads = 0;
    const load = clients.map(async (one, index) => {
      const expected = Buffer.concat([
        Buffer.from(names[index]!.repeat(index + 1)),
        pattern(4_096).subarray(index + 1),
      ]);
      while (!isOver) {
        assert.ok((await read(one, 0, 4_096)).equals(expected));
        reads++;
        await sleep(systemClock, 1);
      }
    });
    await eventually(() => reads > 30, 'the load runs');
    await workers[0]!.terminate();
    await eventually(() => workers.length === 3, 'the worker is started again');
    for (const session of sessions) await eventually(() => isRunning(session), 'the session is back');
    const readsBefore = reads;
    await eventually(() => reads > readsBefore + 60, 'the load goes on');
    isOver = true;
    await Promise.all(load);
    for (const [index, session] of sessions.entries()) {
      const { place, restarts } = await session.stats();
      assert.deepEqual(place, places[index]);
      // Sessions go to the workers in turn.
      assert.equal(restarts, index % 2 === 0 ? 1 : 0);
      assert.equal(await pendingBytes(session), index + 1);
    }
  });

  test('a pool that is closed closes its sessions, and takes no more', async (t) => {
    const { pool, start, startWriter, client } = house(t);
    const writer = await startWriter('a');
    await write(await client(await writer.ready), 'kept');
    await (await start()).ready;
    await pool.close();
    assert.equal((await writer.stats()).state, 'ended');
    assert.equal((await writer.close())?.bytes, 4);
    await assert.rejects(start(), { code: 'UNEXPECTED' });
  });
}
