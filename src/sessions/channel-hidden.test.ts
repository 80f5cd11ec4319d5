/**
 * Who is shown `.viaduct`, over real sockets: ordinary clients are not, Viaducts are, through a proxy too; and what becomes of peers of
 * other versions of the channel's protocol.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, type TestContext, test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '../base/mod.ts';
import { channelNumbers, hello } from '../channel/mod.ts';
import { mountClient } from '../mount3/mod.ts';
import { nfsProgram, procedures } from '../nfs3/mod.ts';
import { type NfsOrigin, openNfsOrigin } from '../origins/mod.ts';
import { RpcClient } from '../rpc/mod.ts';
import { ok, refused } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import type { SessionPlan } from './plan.ts';
import { servePlan } from './plan-fixture.test.ts';
import { startSession } from './session.ts';

const { Status } = vfs;
const top = mkdtempSync(join(tmpdir(), 'viaduct-hidden-'));
after(() => rmSync(top, { recursive: true, force: true }));
const tools = { clock: systemClock, log: silentLog, random: systemRandom };
const me = vfs.credential(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
const call: vfs.Call = { credential: me, peer: 'test', priority: 'demand' };
const host = '127.0.0.1';
const noVerifier = '\0'.repeat(8);

let number = 0;
let served = '';
beforeEach(() => {
  served = join(top, `${++number}`);
  mkdirSync(join(served, 'golden/.viaduct'), { recursive: true });
  writeFileSync(join(served, 'golden/disk'), 'disk');
  writeFileSync(join(served, 'golden/.viaduct/disk.meta'), 'meta');
});

async function start(t: TestContext, change: Partial<SessionPlan> = {}): Promise<number> {
  const plan: SessionPlan = servePlan(
    { origin: served, stateDirectory: join(top, `state-${number}-${change.kind}`) },
    change,
  );
  const session = await startSession(plan, tools);
  t.after(() => session.close());
  return (await session.ready).port;
}

function proxy(t: TestContext, port: number, change: Partial<SessionPlan> = {}): Promise<number> {
  return start(t, { kind: 'proxy', origin: `nfs://${host}:${port}/`, ...change });
}

async function viaduct(t: TestContext, port: number): Promise<NfsOrigin> {
  const address = { kind: 'nfs', host, port, path: '/golden', connections: 3 } as const;
  const origin = await openNfsOrigin({ address, credential: me, hostName: 'client', ...tools });
  t.after(() => origin.close());
  return origin;
}

/** A client that speaks NFS alone, and what it is shown. */
function plainClient(t: TestContext, port: number) {
  const rpc = new RpcClient({ host, port, ...tools });
  t.after(() => rpc.close());
  const options = { credential: me, deadlineMs: 5_000 };
  const root = async (path: string) => mountClient.mnt(rpc, path, options);
  const golden = async (): Promise<vfs.FileHandle> => {
    const reply = await root('/golden');
    assert.ok(reply.status === 0);
    return reply.object;
  };
  const lookup = async (name: string) =>
    rpc.call(nfsProgram, procedures.lookup, { directory: await golden(), name }, options);
  const names = async (): Promise<string[]> => {
    const directory = await golden();
    const args = { directory, cookie: 0n, cookieVerifier: noVerifier, directoryBytes: 4096, replyBytes: 4096 };
    const page = ok(await rpc.call(nfsProgram, procedures.readdir, args, options));
    assert.ok(page.status === 0);
    return page.entries.map((entry) => entry.name).filter((name) => name !== '.' && name !== '..');
  };
  const sayHello = (highestVersion: number, features: readonly string[] = []) =>
    rpc.call(channelNumbers, hello, { highestVersion, features, host: 'x', instance: 'i'.repeat(16) }, options);
  return { rpc, options, root, golden, lookup, names, sayHello };
}

async function metaOf(origin: NfsOrigin): Promise<string> {
  const { object: directory } = ok(await origin.lookup(call, { directory: origin.root, name: '.viaduct' }));
  const { object } = ok(await origin.lookup(call, { directory, name: 'disk.meta' }));
  const read = ok(await origin.read(call, { object, offset: 0, count: 100 }));
  assert.ok(read.status === 0);
  return Buffer.concat(read.data).toString();
}

test('a served directory, and a proxy of it, show meta-data to Viaducts alone', async (t) => {
  const server = await start(t);
  for (const port of [server, await proxy(t, server)]) {
    const plain = plainClient(t, port);
    assert.deepEqual(await plain.names(), ['disk']);
    refused(await plain.lookup('.viaduct'), Status.NOENT);
    assert.notEqual((await plain.root('/golden/.viaduct')).status, 0);
    const known = await viaduct(t, port);
    assert.equal(await metaOf(known), 'meta');
    // Over all its connections, however the calls are spread.
    const found = Array.from({ length: 60 }, () => known.lookup(call, { directory: known.root, name: '.viaduct' }));
    for (const reply of await Promise.all(found)) ok(reply);
    refused(await plain.lookup('.viaduct'), Status.NOENT);
  }
});

test('a directory that looks empty can be removed by an ordinary client, through a proxy too', async (t) => {
  const server = await start(t);
  for (const port of [server, await proxy(t, server)]) {
    mkdirSync(join(served, 'old/.viaduct'), { recursive: true });
    writeFileSync(join(served, 'old/.viaduct/disk.pack'), 'pack');
    const { rpc, options, root } = plainClient(t, port);
    const export_ = await root('/');
    assert.ok(export_.status === 0);
    const place = { directory: export_.object, name: 'old' };
    ok(await rpc.call(nfsProgram, procedures.rmdir, place, options));
    assert.equal(existsSync(join(served, 'old')), false);
  }
});

test('a client of version 1 gets what it knows, and is not shown what it does not; a later one is taken for ours', async (t) => {
  const port = await start(t);
  const first = plainClient(t, port);
  const { version, features } = await first.sayHello(1, ['leases', 'conditional']);
  assert.deepEqual({ version, features }, { version: 1, features: ['leases', 'conditional'] });
  assert.deepEqual(await first.names(), ['disk']);
  const later = plainClient(t, port);
  const reply = await later.sayHello(7, ['conditional', 'of a later time']);
  assert.deepEqual({ version: reply.version, features: reply.features }, { version: 2, features: ['conditional'] });
  assert.deepEqual((await later.names()).sort(), ['.viaduct', 'disk']);
  assert.equal((await later.sayHello(0)).version, 0);
  assert.deepEqual(await later.names(), ['disk']);
});

test('a read-only proxy has no leases to give, and says so to who asks for one all the same', async (t) => {
  const port = await proxy(t, await start(t), { writes: 'read-only' });
  const origin = await viaduct(t, port);
  assert.deepEqual(
    origin.channel.features().filter((feature) => feature === 'leases' || feature === 'conditional'),
    [],
  );
  assert.deepEqual(await origin.channel.acquireLease({ takeOver: false, holder: 'me' }), { state: 'none' });
  assert.equal(origin.channel.conditionalWrites(), false);
});

test('a read-only server says hello too', async (t) => {
  const port = await start(t, { writes: 'read-only' });
  assert.equal(await metaOf(await viaduct(t, port)), 'meta');
  assert.deepEqual(await plainClient(t, port).names(), ['disk']);
});
