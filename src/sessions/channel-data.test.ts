/** Data and names over the channel of real sessions: under leases, read-only, and through a chain of proxies. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, type TestContext, test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '../base/mod.ts';
import { digestOf } from '../content/mod.ts';
import { type NfsOrigin, openNfsOrigin } from '../origins/mod.ts';
import { makeContent, ok, pattern, refused } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import type { SessionPlan } from './plan.ts';
import { servePlan } from './plan-fixture.test.ts';
import type { RunningSession } from './running-session.ts';
import { startSession } from './session.ts';
import { defaultDirty } from './write-policy.ts';

const { Status, Stability } = vfs;
const top = mkdtempSync(join(tmpdir(), 'viaduct-data-'));
after(() => rmSync(top, { recursive: true, force: true }));
const tools = { clock: systemClock, log: silentLog, random: systemRandom };
const me = vfs.credential(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
const call: vfs.Call = { credential: me, peer: 'test', priority: 'demand' };
const writeBack: vfs.Call = { ...call, priority: 'prefetch' };
const host = '127.0.0.1';
const content = Buffer.concat([pattern(50_000), Buffer.alloc(150_000)]);

let number = 0;
let served = '';
beforeEach(() => {
  served = join(top, `${++number}`);
  mkdirSync(join(served, 'golden'), { recursive: true });
  writeFileSync(join(served, 'golden/disk'), content);
});

function planOf(change: Partial<SessionPlan>): SessionPlan {
  return servePlan(
    { origin: served, stateDirectory: join(top, `state-${number}-${change.origin?.replaceAll(/\W/g, '') ?? ''}`) },
    change,
  );
}

async function start(t: TestContext, change: Partial<SessionPlan> = {}): Promise<number> {
  return (await (await open(t, planOf(change))).ready).port;
}

async function open(t: TestContext, plan: SessionPlan): Promise<RunningSession> {
  const session = await startSession(plan, tools);
  t.after(() => session.close());
  return session;
}

const proxyOf = (t: TestContext, port: number): Promise<number> =>
  start(t, { kind: 'proxy', origin: `nfs://${host}:${port}/` });

async function mount(t: TestContext, port: number): Promise<NfsOrigin> {
  const address = { kind: 'nfs', host, port, path: '/golden', connections: 2 } as const;
  const origin = await openNfsOrigin({ address, credential: me, hostName: 'client', ...tools });
  t.after(() => origin.close());
  return origin;
}

async function disk(origin: NfsOrigin): Promise<vfs.FileHandle> {
  const { steps } = ok(await origin.data.walk(call, { directory: origin.root, names: ['disk'] }));
  return steps[0]!.object;
}

function packed(object: vfs.FileHandle, letter: string): vfs.WriteArguments {
  const data = [Buffer.alloc(50_000, letter)];
  return { object, offset: 0, count: 50_000, stable: Stability.FILE_SYNC, data };
}

test('packed writes, and writes by reference, are under leases and conditions as plain ones are', async (t) => {
  const port = await start(t);
  const [one, two] = [await mount(t, port), await mount(t, port)];
  const object = await disk(one);
  ok(await two.write(writeBack, packed(object, 'a')));
  await one.channel.acquireLease({ takeOver: false, holder: 'one' });
  refused(await two.write(writeBack, packed(object, 'b')), Status.ROFS);
  ok(await one.write(writeBack, packed(object, 'c')));
  const { size, mtime, ctime } = ok(await one.getattr(call, { object })).attributes;
  const expected = { size, mtime, ctime };
  // Sent at the same time, as write-back does.
  const chained = ['d', 'e', 'f'].map((letter) => one.write(writeBack, { ...packed(object, letter), expected }));
  for (const reply of await Promise.all(chained)) ok(reply);
  writeFileSync(join(served, 'golden/disk'), 'somebody else');
  refused(await one.write(writeBack, { ...packed(object, 'g'), expected }), Status.NOT_SYNC);
  assert.equal(readFileSync(join(served, 'golden/disk'), 'utf8'), 'somebody else');
  assert.equal(one.data.canReference(), true);
});

test('a read-only server reads in vectors and takes no data', async (t) => {
  const origin = await mount(t, await start(t, { writes: 'read-only' }));
  const object = await disk(origin);
  const reply = await origin.data.readVector(call, { object, ranges: [{ offset: 10, count: 100_000 }] });
  assert.ok(reply.status === 0 && reply.results[0]?.status === 0);
  assert.ok(Buffer.concat(reply.results[0].data).equals(content.subarray(10, 100_010)));
  assert.equal(origin.channel.features().includes('put'), false);
  refused(await origin.write(writeBack, packed(object, 'a')), Status.ROFS);
  const digests = [digestOf(content.subarray(0, 4096))];
  refused(await origin.data.have(call, { near: origin.root, digests }), Status.NOTSUPP);
});

test('through a chain the data is the same, and so is the name of where it is', async (t) => {
  const ports = [await start(t)];
  for (let i = 0; i < 2; i++) ports.push(await proxyOf(t, ports[i]!));
  const names = new Set<string>();
  const { ino, size } = statSync(join(served, 'golden/disk'), { bigint: true });
  for (const [hops, port] of ports.entries()) {
    const origin = await mount(t, port);
    const object = await disk(origin);
    const ranges = [
      { offset: 4096, count: 60_000 },
      { offset: 150_000, count: 60_000 },
    ];
    const read = await origin.data.readVector(call, { object, ranges });
    assert.ok(read.status === 0);
    const data = read.results.flatMap((result) => (result.status === 0 ? result.data : []));
    assert.ok(Buffer.concat(data).equals(Buffer.concat([content.subarray(4096, 64_096), content.subarray(150_000)])));
    const reply = ok(await origin.data.identify(call, { object }));
    assert.ok(reply.status === 0);
    assert.deepEqual([reply.hops, reply.attributes.fileid, BigInt(reply.attributes.size)], [hops, ino, size]);
    names.add(reply.origin);
    refused(await origin.data.identify(call, { object: 'nothing' }), Status.STALE, Status.BADHANDLE);
  }
  assert.equal(names.size, 1);
  const last = await mount(t, ports[2]!);
  ok(await last.write(writeBack, packed(await disk(last), 'z')));
  assert.equal(readFileSync(join(served, 'golden/disk'), 'latin1').slice(0, 50_000), 'z'.repeat(50_000));
});

test('write-back sends what compresses compressed: a guest’s memory costs a part of its size', async (t) => {
  const origin = `nfs://${host}:${await start(t)}/`;
  const dirty = {
    ...defaultDirty,
    ...{
      directory: join(top, `log-${number}`),
      limitBytes: 64 * 1024 ** 2,
      writeBackAfterMs: 3_600_000,
      ageMs: 3_600_000,
    },
  };
  const session = await open(t, planOf({ kind: 'proxy', origin, writes: 'write-back', dirty }));
  const client = await mount(t, (await session.ready).port);
  const object = await disk(client);
  const memory = Buffer.alloc(4 * 1024 ** 2, 'the same few words in page after page of the guest; ');
  memory.fill(0, 1024 ** 2, 3 * 1024 ** 2);
  for (let offset = 0; offset < memory.length; offset += 1024 ** 2) {
    const data = [memory.subarray(offset, offset + 1024 ** 2)];
    ok(await client.write(call, { object, offset, count: 1024 ** 2, stable: Stability.UNSTABLE, data }));
  }
  const sentBytes = async () => (await session.stats()).data!.layers.origin as { bytesOut: number };
  const before = (await sentBytes()).bytesOut;
  assert.equal((await session.run({ task: 'write-back' })).outcome, 'done');
  const sent = (await sentBytes()).bytesOut - before;
  assert.ok(readFileSync(join(served, 'golden/disk')).equals(memory));
  assert.ok(sent < 200_000, `${sent} bytes were sent`);
});

test('write-back sends digests of what the server has: a copied image costs a small part of its size', async (t) => {
  const image = randomBytes(6 * 1024 ** 2);
  writeFileSync(join(served, 'golden/disk'), image);
  const stamp = {
    size: image.length,
    fileid: 1n,
    mtimeSeconds: 1,
    mtimeNanoseconds: 0,
    ctimeSeconds: 1,
    ctimeNanoseconds: 0,
  };
  const { meta } = await makeContent(image, stamp);
  mkdirSync(join(served, 'golden/.viaduct'));
  writeFileSync(join(served, 'golden/.viaduct/disk.meta'), meta);
  const origin = `nfs://${host}:${await start(t)}/`;
  const never = { limitBytes: 64 * 1024 ** 2, writeBackAfterMs: 3_600_000, ageMs: 3_600_000 };
  const dirty = { ...defaultDirty, directory: join(top, `log-${number}`), ...never };
  const session = await open(t, planOf({ kind: 'proxy', origin, writes: 'write-back', dirty }));
  const client = await mount(t, (await session.ready).port);
  const where = { directory: client.root, name: 'copy' };
  const { object } = ok(await client.create(call, { where, how: { mode: 'guarded', set: { mode: 0o644 } } }));
  assert.ok(object !== undefined);
  const changed = randomBytes(100_000);
  const copy = Buffer.from(image);
  changed.copy(copy, 2_500_000);
  for (let offset = 0; offset < copy.length; offset += 1024 ** 2) {
    const data = [copy.subarray(offset, offset + 1024 ** 2)];
    ok(await client.write(call, { object, offset, count: 1024 ** 2, stable: Stability.UNSTABLE, data }));
  }
  const sentBytes = async () => (await session.stats()).data!.layers.origin as { bytesOut: number };
  const before = (await sentBytes()).bytesOut;
  assert.equal((await session.run({ task: 'write-back' })).outcome, 'done');
  const sent = (await sentBytes()).bytesOut - before;
  assert.ok(readFileSync(join(served, 'golden/copy')).equals(copy));
  assert.ok(sent < 300_000, `${sent} bytes were sent`);
  const { knownBytes } = (await session.stats()).data!.writeBack!.drain;
  assert.ok(knownBytes > 6_000_000, `${knownBytes} bytes were known`);
});
