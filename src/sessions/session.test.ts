/** Real sessions in real workers: listening, errors with their codes, a worker that dies, the end. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { silentLog, sleep, systemClock, systemRandom } from '../base/mod.ts';
import { mountClient } from '../mount3/mod.ts';
import { PeerPolicy, RpcClient, RpcServer } from '../rpc/mod.ts';
import { credential } from '../vfs/mod.ts';
import { openListeners } from './listen.ts';
import { plainFields } from './messages.ts';
import type { SessionPlan } from './plan.ts';
import { servePlan } from './plan-fixture.test.ts';
import { startSession } from './session.ts';

let scratch: string;
before(() => {
  scratch = mkdtempSync(join(tmpdir(), 'viaduct-session-'));
  mkdirSync(join(scratch, 'images'));
  writeFileSync(join(scratch, 'images/a'), 'a');
});
after(() => rmSync(scratch, { recursive: true, force: true }));

const tools = { clock: systemClock, log: silentLog, random: systemRandom };

function plan(change: Partial<SessionPlan> = {}): SessionPlan {
  return servePlan({ origin: join(scratch, 'images'), stateDirectory: join(scratch, 'state') }, change);
}

async function mountRoot(port: number): Promise<number> {
  const client = new RpcClient({ host: '127.0.0.1', port, connections: 1, ...tools });
  try {
    const me = credential(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
    return (await mountClient.mnt(client, '/', { credential: me, deadlineMs: 5_000 })).status;
  } finally {
    await client.close();
  }
}

test('a session with a cache serves, loses its worker, and is back on its port with the same cache', async () => {
  const workers: Worker[] = [];
  const cache = { directory: join(scratch, 'cache'), sizeBytes: 32 << 20 };
  const session = await startSession(plan({ kind: 'proxy', cache }), {
    ...tools,
    onWorker: (worker) => workers.push(worker),
  });
  try {
    const { port } = await session.ready;
    assert.equal(await mountRoot(port), 0);
    await workers[0]!.terminate();
    for (let i = 0; i < 100 && (await session.stats()).state !== 'running'; i++) await sleep(systemClock, 50);
    const status = await session.stats();
    assert.equal(status.state, 'running');
    assert.equal(status.restarts, 1);
    assert.equal(status.place?.port, port);
    assert.equal(await mountRoot(port), 0);
    assert.equal(status.cache?.directory, cache.directory);
    assert.ok(status.data?.layers['block-cache']);
  } finally {
    await session.close();
  }
  assert.equal((await session.stats()).state, 'ended');
});

test('what the worker finds wrong is the session’s error, and the cache is free again', async () => {
  const cache = { directory: join(scratch, 'cache-of-nothing'), sizeBytes: 32 << 20 };
  for (let i = 0; i < 2; i++) {
    const session = await startSession(plan({ kind: 'proxy', origin: join(scratch, 'nowhere'), cache }), tools);
    await assert.rejects(session.ready, { name: 'ViaductError' });
    await session.close();
  }
  assert.equal(existsSync(cache.directory), false, 'and nothing is left of it');
});

test('a cache directory that is in use is refused', async () => {
  const cache = { directory: join(scratch, 'cache-twice'), sizeBytes: 32 << 20 };
  const session = await startSession(plan({ kind: 'proxy', cache }), tools);
  await session.ready;
  await assert.rejects(startSession(plan({ kind: 'proxy', cache }), tools), { code: 'CACHE_IN_USE' });
  await session.close();
});

test('a kernel NFS server in the way is named, another program is not mistaken for it', async () => {
  const holder = new RpcServer({ programs: [], ...tools });
  // Any address of ours will do; what matters is that 2049 is taken on it.
  await holder.listen('127.0.0.77', 2049);
  const listen = async (processes: string): Promise<unknown> => {
    const server = new RpcServer({ programs: [], ...tools });
    const rule = { host: '127.0.0.77' };
    const failure = await openListeners({
      rule,
      port: undefined,
      server,
      admit: new PeerPolicy(),
      processes,
      ...tools,
    }).catch((error) => error.code);
    await server.close();
    return failure;
  };
  const processes = join(scratch, 'proc');
  mkdirSync(join(processes, '7'), { recursive: true });
  writeFileSync(join(processes, '7/comm'), 'nfsd\n');
  writeFileSync(join(processes, '7/cmdline'), '');
  assert.equal(await listen(processes), 'KERNEL_SERVER_IN_THE_WAY');
  writeFileSync(join(processes, '7/cmdline'), 'nfsd');
  assert.equal(await listen(processes), 'ADDRESS_IN_USE');
  await holder.close();
});

test('log fields can be posted and printed whatever they hold', () => {
  const fields = plainFields({
    error: new Error('x'),
    big: 7n,
    bytes: Buffer.from('abc'),
    call: () => 1,
    deep: [{ big: 1n }],
  });
  assert.doesNotThrow(() => JSON.stringify(structuredClone(fields)));
  assert.match(JSON.stringify(fields), /"message":"x".*"big":"7".*"3 bytes".*"deep":\[\{"big":"1"\}\]/);
});

test('a state directory that cannot be made is refused at once, with its name', async () => {
  await assert.rejects(startSession(plan({ stateDirectory: '/proc/viaduct/state' }), tools), {
    code: 'CONFIGURATION_INVALID',
    message: /\/proc\/viaduct\/state/,
  });
});

test('a start that fails leaves no file of kept replies, one that was there stays', async () => {
  const holder = new RpcServer({ programs: [], ...tools });
  const { host, port } = await holder.listen('127.0.0.78', 0);
  const stateDirectory = join(scratch, 'state-of-failures');
  const replies = join(stateDirectory, `replies-${host}-${port}`);
  const start = async () => {
    const session = await startSession(plan({ stateDirectory, listen: { host, port } }), tools);
    const code = await session.ready.then(
      () => 'ready',
      (error) => error.code,
    );
    await session.close();
    return code;
  };
  assert.equal(await start(), 'ADDRESS_IN_USE');
  assert.equal(existsSync(replies), false);
  await holder.close();
  assert.equal(await start(), 'ready');
  assert.equal(existsSync(replies), true);
  await holder.close();
});
