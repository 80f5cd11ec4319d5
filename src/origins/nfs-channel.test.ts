/** The client side of the channel against scripted servers: plain ones, silent ones, and leases that end in every way. */
import { strict as assert } from 'node:assert';
import { type TestContext, test } from 'node:test';
import { seededRandom, silentLog, systemClock } from '../base/mod.ts';
import { channelNumbers, channelProgram, Feature } from '../channel/mod.ts';
import { mount3Program } from '../mount3/mod.ts';
import { nfs3Program } from '../nfs3/mod.ts';
import { noReply, type RpcProgram, RpcServer } from '../rpc/mod.ts';
import { callBy, eventually, MemoryFilesystem, ok } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { type NfsOrigin, openNfsOrigin } from './nfs.ts';

const host = '127.0.0.1';
const superuser = vfs.credential(0, 0);
const call = callBy(superuser);
const wish = { takeOver: false, holder: 'me' };

/** Answers as it is told, and writes down what it was asked. */
class ScriptedLeases implements vfs.LeaseService {
  readonly asked: string[] = [];
  readonly tokens: (string | undefined)[] = [];
  granted = 0;
  onAcquire: (args: vfs.AcquireArguments) => vfs.AcquireReply | undefined = () => undefined;
  onRenew: (args: vfs.LeaseReference) => vfs.RenewReply = () => ({ outcome: 'held', renewMs: 100 });

  acquire(by: vfs.Call, args: vfs.AcquireArguments): vfs.AcquireReply {
    this.asked.push('acquire');
    this.tokens.push(by.fencing);
    const token = `token  ${++this.granted}`;
    return this.onAcquire(args) ?? { outcome: 'granted', token, renewMs: 100, path: '/' };
  }
  renew(by: vfs.Call, args: vfs.LeaseReference): vfs.RenewReply {
    this.asked.push('renew');
    assert.equal(by.fencing, args.token);
    return this.onRenew(args);
  }
  release(): vfs.ReleaseReply {
    this.asked.push('release');
    return { outcome: 'released' };
  }
  status(): vfs.LeaseStatusReply {
    return { outcome: 'listed', leases: [], more: false };
  }
}

/** Notes what WRITE and SETATTR carry. */
class Noting extends vfs.ForwardingFilesystem {
  readonly seen: { readonly fencing: string | undefined; readonly expected: vfs.WccAttributes | undefined }[] = [];
  /** As a server whose lease another has. */
  refuses = false;
  override write(by: vfs.Call, args: vfs.WriteArguments) {
    if (this.refuses) return { status: vfs.Status.ROFS, wcc: {} } as const;
    this.seen.push({ fencing: by.fencing, expected: args.expected });
    return super.write(by, args);
  }
  /** Whether the last GETATTR came from a Viaduct. */
  isViaduct: boolean | undefined;
  override getattr(by: vfs.Call, args: vfs.GetattrArguments) {
    this.isViaduct = by.isViaduct;
    return super.getattr(by, args);
  }
  override setattr(by: vfs.Call, args: vfs.SetattrArguments) {
    this.seen.push({ fencing: by.fencing, expected: args.expected });
    return super.setattr(by, args);
  }
}

interface Place {
  readonly noting: Noting;
  readonly leases: ScriptedLeases;
  readonly server: RpcServer;
  readonly port: number;
  readonly origin: NfsOrigin;
  readonly file: vfs.FileHandle;
}

async function serve(t: TestContext, programs: readonly RpcProgram[], port = 0) {
  const server = new RpcServer({ programs, clock: systemClock, log: silentLog });
  t.after(() => server.close());
  return { server, port: (await server.listen(host, port)).port };
}

function plainPrograms(filesystem: vfs.Filesystem): RpcProgram[] {
  return [nfs3Program(filesystem), mount3Program({ filesystem })];
}

function channelOf(filesystem: vfs.Filesystem, leases: vfs.LeaseService): RpcProgram {
  const names = { server: 's'.repeat(16), start: 't'.repeat(16) };
  return channelProgram({ filesystem, leases, features: Object.values(Feature), ...names, log: silentLog });
}

async function place(
  t: TestContext,
  beside: (filesystem: vfs.Filesystem, leases: ScriptedLeases) => RpcProgram[],
): Promise<Place> {
  const noting = new Noting(new MemoryFilesystem());
  const leases = new ScriptedLeases();
  const { server, port } = await serve(t, [...plainPrograms(noting), ...beside(noting, leases)]);
  const address = { kind: 'nfs', host, port, path: '/', connections: 1 } as const;
  const tools = { clock: systemClock, log: silentLog, random: seededRandom(8) };
  const origin = await openNfsOrigin({ address, credential: superuser, hostName: 'me', ...tools });
  t.after(() => origin.close());
  const where = { directory: origin.root, name: 'disk' };
  const { object } = ok(await origin.create(call, { where, how: { mode: 'guarded', set: { mode: 0o600 } } }));
  assert.ok(object !== undefined);
  return { noting, leases, server, port, origin, file: object };
}

async function conditions({ origin, file, noting }: Place): Promise<(vfs.WccAttributes | undefined)[]> {
  const { size, mtime, ctime } = ok(await origin.getattr(call, { object: file })).attributes;
  const expected = { size, mtime, ctime };
  noting.seen.length = 0;
  const data = [Buffer.from('x')];
  ok(await origin.write(call, { object: file, offset: 0, count: 1, stable: vfs.Stability.UNSTABLE, data, expected }));
  assert.equal((await origin.setattr(call, { object: file, set: { mode: 0o640 }, expected })).status, 0);
  ok(await origin.write(call, { object: file, offset: 0, count: 1, stable: vfs.Stability.UNSTABLE, data }));
  return noting.seen.map((one) => one.expected && { ...expected, ...one.expected });
}

test('a plain NFS server gives no lease, sees no token, and gets no conditions', async (t) => {
  const there = await place(t, () => []);
  const { channel } = there.origin;
  assert.deepEqual(channel.features(), []);
  assert.equal(channel.conditionalWrites(), false);
  assert.deepEqual(await channel.acquireLease(wish), { state: 'none' });
  assert.deepEqual(await conditions(there), [undefined, undefined, undefined]);
  assert.deepEqual(
    there.noting.seen.map((one) => one.fencing),
    [undefined, undefined, undefined],
  );
  await channel.release();
});

test('a server that keeps silent about programs that it does not know is plain after three seconds', async (t) => {
  const silent = {
    ...channelNumbers,
    name: 'silent',
    procedures: channelOf(new MemoryFilesystem(), new ScriptedLeases()).procedures.map(
      (served) => served && { ...served, handle: () => noReply },
    ),
  };
  const started = systemClock.now();
  const there = await place(t, () => [silent]);
  assert.ok(systemClock.now() - started < 4_500);
  assert.deepEqual(there.origin.channel.features(), []);
});

test('with the channel, conditions travel, and the token is in every call from the grant on', async (t) => {
  const there = await place(t, (filesystem, leases) => [channelOf(filesystem, leases)]);
  const { channel } = there.origin;
  const seen = await conditions(there);
  assert.deepEqual(
    seen.map((one) => one !== undefined),
    [true, true, false],
  );
  assert.equal(there.noting.seen[0]?.fencing, undefined);
  assert.deepEqual(await channel.acquireLease(wish), { state: 'held' });
  await conditions(there);
  assert.deepEqual(
    there.noting.seen.map((one) => one.fencing),
    Array.from({ length: 3 }, () => 'token  1'),
  );
  await eventually(() => there.leases.asked.filter((one) => one === 'renew').length >= 2, 'it is renewed');
  await channel.release();
  assert.deepEqual(channel.lease(), { state: 'none' });
  await conditions(there);
  assert.equal(there.noting.seen[0]?.fencing, undefined);
  const { length } = there.leases.asked;
  await new Promise((resolve) => systemClock.after(250, () => resolve(undefined)));
  assert.equal(there.leases.asked.length, length, 'nothing is renewed any more');
});

test('a lease that an administrator ended is asked for again; if another has it by then, it is lost', async (t) => {
  const there = await place(t, (filesystem, leases) => [channelOf(filesystem, leases)]);
  const { leases, origin } = there;
  await origin.channel.acquireLease({ ...wish, takeOver: true });
  const takeOvers: boolean[] = [];
  leases.onAcquire = (args) => {
    takeOvers.push(args.takeOver);
    return undefined;
  };
  leases.onRenew = ({ token }) => (token === 'token  1' ? { outcome: 'ended' } : { outcome: 'held', renewMs: 100 });
  await eventually(() => leases.granted === 2, 'it is asked for again');
  await eventually(() => origin.channel.lease().state === 'held', 'it is held');
  assert.deepEqual(takeOvers, [false], 'what was taken over once is not taken over again');
  await conditions(there);
  assert.equal(there.noting.seen[0]?.fencing, 'token  2');
  const lost: vfs.LeaseState[] = [];
  origin.channel.onLeaseLost((state) => lost.push(state));
  const by = { path: '/', holder: 'another', sinceMs: 5, seenMs: 6, breakableMs: 0 };
  leases.onAcquire = () => ({ outcome: 'held', by });
  leases.onRenew = () => ({ outcome: 'ended' });
  await eventually(() => lost.length === 1, 'it is lost');
  assert.deepEqual(lost[0], { state: 'lost', holder: 'another', sinceMs: 5 });
  await conditions(there);
  assert.equal(there.noting.seen[0]?.fencing, 'token  2', 'the old token stays, to be refused');
  assert.deepEqual(
    await origin.channel.acquireLease({ ...wish, takeOver: false }).catch((error) => error.code),
    'LEASE_HELD',
  );
  assert.equal(origin.channel.lease().state, 'lost', 'and stays lost');
  leases.onAcquire = () => undefined;
  assert.deepEqual(await origin.channel.acquireLease({ ...wish, takeOver: true }), { state: 'held' });
});

test('what a killed life of the same session asked for late is answered by asking again, once; the name alone gets nothing', async (t) => {
  const { leases, origin } = await place(t, (filesystem, scripted) => [channelOf(filesystem, scripted)]);
  await origin.channel.acquireLease(wish);
  const [lost, takeOvers]: [vfs.LeaseState[], boolean[]] = [[], []];
  origin.channel.onLeaseLost((state) => lost.push(state));
  leases.onAcquire = ({ takeOver }) => {
    takeOvers.push(takeOver);
    return undefined;
  };
  leases.onRenew = ({ token }) =>
    token === 'token  1' ? { outcome: 'lost', holder: 'me', sinceMs: 5 } : { outcome: 'held', renewMs: 100 };
  await eventually(() => leases.granted === 2, 'it is asked for again');
  await eventually(() => origin.channel.lease().state === 'held', 'it is held');
  assert.deepEqual([lost, takeOvers], [[], [false]]);
  leases.onRenew = () => ({ outcome: 'lost', holder: 'me', sinceMs: 6 });
  await eventually(() => lost.length === 1, 'a second time it is lost: somebody of the same name goes on');
  assert.equal(leases.granted, 2);
});

test('a taken-over lease is known as soon as somebody asks, or a change is refused, not only at the next renewal', async (t) => {
  for (const how of ['check', 'change'] as const) {
    const there = await place(t, (filesystem, scripted) => [channelOf(filesystem, scripted)]);
    const { leases, origin, noting, file } = there;
    leases.onAcquire = () => ({ outcome: 'granted', token: 'token  9', renewMs: 3_600_000, path: '/' });
    await origin.channel.acquireLease(wish);
    leases.onRenew = () => ({ outcome: 'lost', holder: 'another', sinceMs: 5 });
    assert.equal(origin.channel.lease().state, 'held');
    if (how === 'check') await origin.channel.checkLease();
    else {
      noting.refuses = true;
      const change = { object: file, offset: 0, count: 1, stable: vfs.Stability.FILE_SYNC, data: [new Uint8Array(1)] };
      assert.equal((await origin.write(call, change)).status, vfs.Status.ROFS);
      await eventually(() => origin.channel.lease().state === 'lost', 'the refusal makes it ask');
    }
    assert.deepEqual(origin.channel.lease(), { state: 'lost', holder: 'another', sinceMs: 5 });
  }
});

test('whoever asks while the lease is being renewed is told what the server says after that', async (t) => {
  const { leases, origin } = await place(t, (filesystem, scripted) => [channelOf(filesystem, scripted)]);
  await origin.channel.acquireLease(wish);
  let renewals = 0;
  leases.onRenew = () =>
    renewals++ === 0 ? { outcome: 'held', renewMs: 60_000 } : { outcome: 'lost', holder: 'another', sinceMs: 5 };
  const first = origin.channel.checkLease();
  await origin.channel.checkLease();
  assert.equal(origin.channel.lease().state, 'lost');
  await first;
  assert.equal(renewals, 2);
});

test('a server whose store fails for a while keeps the lease', async (t) => {
  const { leases, origin } = await place(t, (filesystem, scripted) => [channelOf(filesystem, scripted)]);
  await origin.channel.acquireLease(wish);
  let failures = 3;
  leases.onRenew = () =>
    failures-- > 0 ? { outcome: 'refused', status: vfs.Status.SERVERFAULT } : { outcome: 'held', renewMs: 100 };
  await eventually(() => failures < -1, 'it is renewed all the same');
  assert.deepEqual(origin.channel.lease(), { state: 'held' });
});

test('a server is told that we are a Viaduct as long as it is one, from its first connection on or from its return', async (t) => {
  const there = await place(t, () => []);
  const { noting, leases, port, origin, file } = there;
  const told = async (): Promise<boolean> => {
    ok(await origin.getattr(call, { object: file }));
    return noting.isViaduct === true;
  };
  assert.equal(await told(), false);
  await there.server.close();
  const { server } = await serve(t, [...plainPrograms(noting), channelOf(noting, leases)], port);
  ok(await origin.getattr(call, { object: file }));
  await eventually(() => origin.channel.features().length > 0, 'it is known');
  assert.equal(await told(), true);
  await server.close();
  await serve(t, [...plainPrograms(noting), channelOf(noting, leases)], port);
  assert.equal(await told(), true, 'the first call behind a reconnect');
});

test('a server that comes back without the channel has lost the lease', async (t) => {
  const { noting, server, port, origin, file } = await place(t, (filesystem, leases) => [
    channelOf(filesystem, leases),
  ]);
  await origin.channel.acquireLease(wish);
  const lost: vfs.LeaseState[] = [];
  origin.channel.onLeaseLost((state) => lost.push(state));
  await server.close();
  await serve(t, plainPrograms(noting), port);
  ok(await origin.getattr(call, { object: file }));
  await eventually(() => lost.length === 1, 'it is lost');
  assert.deepEqual(origin.channel.features(), []);
});

test('a lease is renewed at once after a reconnect, and what the server can is asked anew', async (t) => {
  const { noting, leases, server, port, origin, file } = await place(t, () => []);
  assert.deepEqual(origin.channel.features(), []);
  await server.close();
  leases.onRenew = () => ({ outcome: 'held', renewMs: 60_000 });
  const again = await serve(t, [...plainPrograms(noting), channelOf(noting, leases)], port);
  ok(await origin.getattr(call, { object: file }));
  await eventually(() => origin.channel.conditionalWrites(), 'it became a server with the channel');
  leases.onAcquire = () => ({ outcome: 'granted', token: 'token  9', renewMs: 60_000, path: '/' });
  await origin.channel.acquireLease(wish);
  await again.server.close();
  assert.deepEqual(leases.asked, ['acquire']);
  await serve(t, [...plainPrograms(noting), channelOf(noting, leases)], port);
  ok(await origin.getattr(call, { object: file }));
  await eventually(() => leases.asked.includes('renew'), 'the lease is looked after');
  assert.deepEqual(origin.channel.lease(), { state: 'held' });
});
