/**
 * The channel end to end: a served directory in a real session, clients over real sockets. Take-overs, late writes, a server that
 * is killed and comes back, conditions.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, type TestContext, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { silentLog, sleep, systemClock, systemRandom } from '../base/mod.ts';
import { Stability } from '../layers/mod.ts';
import { startLink } from '../link/mod.ts';
import { type NfsOrigin, openNfsOrigin } from '../origins/mod.ts';
import { eventually, ok, refused } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import type { SessionPlan } from './plan.ts';
import { servePlan } from './plan-fixture.test.ts';
import { startSession } from './session.ts';

const { Status } = vfs;
const top = mkdtempSync(join(tmpdir(), 'viaduct-channel-'));
after(() => rmSync(top, { recursive: true, force: true }));
const tools = { clock: systemClock, log: silentLog, random: systemRandom };
const me = vfs.credential(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
const call: vfs.Call = { credential: me, peer: 'test', priority: 'demand' };
const host = '127.0.0.1';

let number = 0;
let served = '';
beforeEach(() => {
  served = join(top, `${++number}`);
  mkdirSync(join(served, 'golden'), { recursive: true });
  mkdirSync(join(served, 'elsewhere'));
  writeFileSync(join(served, 'golden/disk'), 'old');
  writeFileSync(join(served, 'elsewhere/disk'), 'old');
});

async function serve(t: TestContext, change: Partial<SessionPlan> = {}, onWorker?: (worker: Worker) => void) {
  const plan: SessionPlan = servePlan({ origin: served, stateDirectory: join(top, `state-${number}`) }, change);
  const session = await startSession(plan, { ...tools, onWorker });
  t.after(() => session.close());
  const { port } = await session.ready;
  return { session, port };
}

async function mount(t: TestContext, port: number, path = '/golden'): Promise<NfsOrigin> {
  const address = { kind: 'nfs', host, port, path, connections: 2 } as const;
  const origin = await openNfsOrigin({ address, credential: me, hostName: 'client', ...tools });
  t.after(() => origin.close());
  return origin;
}

async function disk(origin: NfsOrigin, name = 'disk'): Promise<vfs.FileHandle> {
  return ok(await origin.lookup(call, { directory: origin.root, name })).object;
}

function writing(object: vfs.FileHandle, text: string, expected?: vfs.WccAttributes): vfs.WriteArguments {
  return { object, offset: 0, count: text.length, stable: vfs.Stability.UNSTABLE, data: [Buffer.from(text)], expected };
}

function content(path = 'golden/disk'): string {
  return readFileSync(join(served, path), 'utf8');
}

async function stampOf(origin: NfsOrigin, object: vfs.FileHandle): Promise<vfs.WccAttributes> {
  const { size, mtime, ctime } = ok(await origin.getattr(call, { object })).attributes;
  return { size, mtime, ctime };
}

test('one host holds a tree; another is told who, gets it by a take-over, and fences the first for good', async (t) => {
  const { port } = await serve(t, { leaseTakeover: 60_000 });
  const [one, two, plain] = [await mount(t, port), await mount(t, port), await mount(t, port, '/')];
  const all = ['conditional', 'have', 'identity', 'leases', 'put', 'read-vector', 'walk', 'working-sets'];
  assert.deepEqual([...one.channel.features()].sort(), all);
  assert.deepEqual(one.channel.lease(), { state: 'none' });
  assert.deepEqual(await one.channel.acquireLease({ takeOver: false, holder: 'host one' }), { state: 'held' });
  const object = await disk(one);
  ok(await one.write(call, writing(object, 'one')));
  refused(await two.write(call, writing(object, 'two')), Status.ROFS);
  refused(await plain.remove(call, { directory: one.root, name: 'disk' }), Status.ROFS);
  const elsewhere = ok(await plain.lookup(call, { directory: plain.root, name: 'elsewhere' })).object;
  const far = ok(await plain.lookup(call, { directory: elsewhere, name: 'disk' })).object;
  ok(await plain.write(call, writing(far, 'far')));
  await assert.rejects(two.channel.acquireLease({ takeOver: false, holder: 'host two' }), {
    code: 'LEASE_HELD',
    message: /"host one" holds the write lease of "\/golden" since .*; last seen .*; it can be had from/,
  });
  await assert.rejects(plain.channel.acquireLease({ takeOver: false, holder: 'all' }), { code: 'LEASE_HELD' });
  assert.deepEqual(two.channel.lease(), { state: 'none' });

  const lost: vfs.LeaseState[] = [];
  one.channel.onLeaseLost((state) => lost.push(state));
  assert.deepEqual(await two.channel.acquireLease({ takeOver: true, holder: 'host two' }), { state: 'held' });
  refused(await one.write(call, writing(object, 'late')), Status.ROFS);
  ok(await two.write(call, writing(object, 'two')));
  assert.equal(content(), 'two');
  await eventually(() => lost.length === 1, 'a refused change makes the first ask');
  assert.equal(lost[0]?.state === 'lost' && lost[0].holder, 'host two');
  await two.channel.release();
  refused(await one.write(call, writing(object, 'late')), Status.ROFS);
  ok(await plain.write(call, writing(object, 'all')));
  assert.equal(lost.length, 1);
  assert.deepEqual(one.channel.lease(), lost[0]);
});

test('who lost a lease is told so by a renewal', async (t) => {
  const { port } = await serve(t, { leaseTakeover: 1_000 });
  const [one, two] = [await mount(t, port), await mount(t, port)];
  await one.channel.acquireLease({ takeOver: false, holder: 'one' });
  const lost: vfs.LeaseState[] = [];
  one.channel.onLeaseLost((state) => lost.push(state));
  // It is renewed all the time, and so not to be had by waiting.
  await sleep(systemClock, 1_300);
  await assert.rejects(two.channel.acquireLease({ takeOver: false, holder: 'two' }), { code: 'LEASE_HELD' });
  await two.channel.acquireLease({ takeOver: true, holder: 'two' });
  await eventually(() => lost.length === 1, 'the loss is told');
  assert.equal(lost[0]?.state === 'lost' && lost[0].holder, 'two');
  assert.deepEqual(one.channel.lease(), lost[0]);
});

test('a write that was sent before the take-over and arrives after it changes nothing', async (t) => {
  const { port } = await serve(t);
  const routes = [{ listen: { host, port: 0 }, target: { host, port } }];
  const link = await startLink({ routes, roundTripMs: 2, clock: systemClock, log: silentLog });
  t.after(() => link.close());
  const [cutOff, two] = [await mount(t, link.addresses[0]!.port), await mount(t, port)];
  await cutOff.channel.acquireLease({ takeOver: false, holder: 'cut off' });
  const object = await disk(cutOff);
  ok(await cutOff.write(call, writing(object, 'early')));
  link.cut();
  const late = [
    cutOff.write(call, writing(object, 'late')),
    cutOff.setattr(call, { object, set: { size: 0 } }),
    cutOff.remove(call, { directory: cutOff.root, name: 'disk' }),
  ];
  await sleep(systemClock, 50);
  await two.channel.acquireLease({ takeOver: true, holder: 'two' });
  ok(await two.write(call, writing(object, 'after')));
  link.restore();
  for (const reply of late) refused(await reply, Status.ROFS);
  assert.equal(content(), 'after');
});

test('a server that ends and comes back knows the lease, its token, and interrupted changes', async (t) => {
  const first = await serve(t);
  const { port } = first;
  const [one, two] = [await mount(t, port), await mount(t, port)];
  await one.channel.acquireLease({ takeOver: false, holder: 'one' });
  const object = await disk(one);
  const base = await stampOf(one, object);
  ok(await one.write(call, writing(object, 'half', base)));
  const stamp = await stampOf(one, object);
  assert.ok(!vfs.sameContent(stamp, base));
  await first.session.close();
  // Encoded while nobody is there; sent again to whoever comes.
  const waiting = one.write(call, writing(object, 'done', base));
  await serve(t, { listen: { host, port } });
  ok(await waiting);
  assert.equal(content(), 'done');
  refused(await two.write(call, writing(object, 'two')), Status.ROFS);
  await assert.rejects(two.channel.acquireLease({ takeOver: false, holder: 'two' }), { code: 'LEASE_HELD' });
  assert.deepEqual(one.channel.lease(), { state: 'held' });
  await one.channel.release();
  ok(await two.write(call, writing(object, 'two')));
});

test('a server that is killed in the middle of a chain is no conflict, also when its client sends data again first', async (t) => {
  const workers: Worker[] = [];
  const { session, port } = await serve(t, {}, (worker) => workers.push(worker));
  const origin = await mount(t, port);
  const top = new Stability(origin, tools);
  origin.listen({ onReconnect: () => top.originMayHaveRestarted() });
  await origin.channel.acquireLease({ takeOver: false, holder: 'one' });
  const object = await disk(origin);
  const base = await stampOf(origin, object);
  const write = (offset: number, text: string) => top.write(call, { ...writing(object, text, base), offset });
  for (let i = 0; i < 4; i++) ok(await write(i, `${i}`));
  const first = ok(await top.write(call, writing(object, '0', base))).verifier;
  await workers[0]!.terminate();
  // Reads the new verifier, and sends again what was unstable.
  ok(await top.getattr(call, { object }));
  await eventually(() => workers.length === 2, 'the server is back');
  const rest = await Promise.all([
    write(4, '4'),
    write(5, '5'),
    top.setattr(call, { object, set: { size: 6 }, expected: base }),
  ]);
  for (const reply of rest) assert.equal(reply.status, 0);
  assert.equal((await top.commit(call, { object, offset: 0, count: 0 })).status, 0);
  assert.equal(content(), '012345');
  assert.equal(ok(await write(0, '0')).verifier, first, 'its own verifier did not change: nothing was lost');
  await sleep(systemClock, 10);
  writeFileSync(join(served, 'golden/disk'), 'local!');
  refused(await write(0, 'x'), Status.NOT_SYNC);
  assert.equal((await session.stats()).restarts, 1);
});

test('a change at the server between two writes of one holder is noticed before it is overwritten', async (t) => {
  const { port } = await serve(t);
  const one = await mount(t, port);
  await one.channel.acquireLease({ takeOver: false, holder: 'one' });
  assert.equal(one.channel.conditionalWrites(), true);
  const object = await disk(one);
  const base = await stampOf(one, object);
  const replies = Array.from({ length: 8 }, (_, i) => one.write(call, { ...writing(object, `${i}`, base), offset: i }));
  for (const reply of await Promise.all(replies)) ok(reply);
  assert.equal(content(), '01234567');
  await sleep(systemClock, 10);
  writeFileSync(join(served, 'golden/disk'), 'somebody');
  refused(await one.write(call, writing(object, 'else', base)), Status.NOT_SYNC);
  refused(await one.setattr(call, { object, set: { size: 0 }, expected: base }), Status.NOT_SYNC);
  assert.equal(content(), 'somebody');
  ok(await one.write(call, writing(object, 'SOME', await stampOf(one, object))));
  assert.equal(content(), 'SOMEbody');
});

test('a holder that was killed gets its tree back as the same instance, and what it sent before is refused', async (t) => {
  const { port } = await serve(t);
  const instance = 'log 0123456789ab';
  const before = await mount(t, port);
  await before.channel.acquireLease({ takeOver: false, holder: 'one', instance });
  const again = await mount(t, port);
  assert.deepEqual(await again.channel.acquireLease({ takeOver: false, holder: 'one', instance }), { state: 'held' });
  const object = await disk(again);
  ok(await again.write(call, writing(object, 'mine')));
  // What comes while the lease is being asked for waits for its token.
  const third = await mount(t, port);
  const asking = third.channel.acquireLease({ takeOver: false, holder: 'one', instance });
  assert.deepEqual(third.channel.lease(), { state: 'acquiring' });
  const early = third.mkdir(call, { where: { directory: third.root, name: 'early' }, set: { mode: 0o755 } });
  ok(await third.write(call, writing(object, 'soon')));
  ok(await early);
  assert.deepEqual(await asking, { state: 'held' });
  refused(await before.write(call, writing(object, 'late')), Status.ROFS);
});

test('of a server that gives nothing to be changed no lease is to be had', async (t) => {
  const { port } = await serve(t, { writes: 'read-only' });
  const one = await mount(t, port);
  assert.equal(one.channel.features().includes('leases'), false);
  assert.deepEqual(await one.channel.acquireLease({ takeOver: true, holder: 'one' }), { state: 'none' });
  assert.equal(one.channel.conditionalWrites(), false);
});

test('a served NFS server leases its whole export, and checks no conditions', async (t) => {
  const below = await serve(t);
  const origin = `nfs://${host}:${below.port}/`;
  const { port } = await serve(t, { origin, stateDirectory: join(top, `above-${number}`) });
  const [tree, all] = [await mount(t, port), await mount(t, port, '/')];
  assert.equal(all.channel.features().includes('leases'), true);
  assert.equal(all.channel.conditionalWrites(), false);
  await assert.rejects(tree.channel.acquireLease({ takeOver: false, holder: 'tree' }), {
    code: 'ORIGIN_REFUSED',
    message: /NFS3ERR_NOTSUPP/,
  });
  await all.channel.acquireLease({ takeOver: false, holder: 'all' });
  const object = await disk(tree);
  refused(await tree.write(call, writing(object, 'tree')), Status.ROFS);
  ok(await all.write(call, writing(object, 'all')));
});
