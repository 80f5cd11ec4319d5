/** Viaducts in a row, each in a real worker: where stable data is, what the status adds up, who gives leases. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '../base/mod.ts';
import { type NfsOrigin, openNfsOrigin } from '../origins/mod.ts';
import { callBy, ok, pattern } from '../testing/mod.ts';
import { credential, type FileHandle, Stability } from '../vfs/mod.ts';
import { type ChainStatus, SessionChain } from './chain.ts';
import { defaultAttributes, type SessionPlan } from './plan.ts';
import type { RunningSession } from './running-session.ts';
import { startSession } from './session.ts';
import { defaultDirty } from './write-policy.ts';

const tools = { clock: systemClock, log: silentLog, random: systemRandom };
const me = credential(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
const call = callBy(me);
const block = 4096;
const never = 3_600_000;

interface Link {
  readonly session: RunningSession;
  /** What the next one is given as its origin. */
  readonly origin: string;
  readonly client: NfsOrigin;
  chain(): Promise<ChainStatus | undefined>;
  pending(): Promise<number>;
}

interface Row {
  /** At the origin, as the disk has it. */
  image(): Buffer;
  /** `behind`: absent, the served directory. */
  add(change: Partial<SessionPlan>, behind?: Link, path?: string): Promise<Link>;
}

async function row(t: TestContext): Promise<Row> {
  const scratch = mkdtempSync(join(tmpdir(), 'viaduct-chain-'));
  const open: (() => Promise<unknown>)[] = [];
  t.after(async () => {
    for (const close of open.toReversed()) await close();
    rmSync(scratch, { recursive: true, force: true });
  });
  const images = join(scratch, 'images');
  mkdirSync(join(images, 'vm1'), { recursive: true });
  mkdirSync(join(images, 'vm2'), { recursive: true });
  writeFileSync(join(images, 'vm1/disk.raw'), pattern(16 * block));
  writeFileSync(join(images, 'vm2/disk.raw'), pattern(16 * block));
  let count = 0;
  const start = async (change: Partial<SessionPlan>): Promise<Link> => {
    const own = join(scratch, `${count++}`);
    const writes = change.writes ?? 'write-through';
    const isKept = writes === 'write-back' || writes === 'redirect';
    // Nothing leaves unless somebody wants it.
    const late = { ...defaultDirty, limitBytes: 64 * 1024 * 1024, writeBackAfterMs: never, ageMs: never };
    const plan: SessionPlan = {
      ...{ kind: 'proxy', origin: images, stateDirectory: own, listen: { host: '127.0.0.1', port: 0 }, allow: [] },
      ...{ squash: 'none', connections: 2, attributes: defaultAttributes, readAheadBytes: 0 },
      ...(isKept ? { dirty: { ...late, directory: join(own, 'log') } } : {}),
      ...change,
      writes,
    };
    const session = await startSession(plan, tools);
    open.push(() => session.close());
    const { port } = await session.ready;
    const address = { kind: 'nfs', host: '127.0.0.1', path: '/', port, mountPort: port } as const;
    const client = await openNfsOrigin({ address, connections: 1, credential: me, ...tools });
    open.push(() => client.close());
    const stats = async () => (await session.stats()).data!;
    return {
      ...{ session, client, origin: `nfs://127.0.0.1:${port}` },
      chain: async () => (await stats()).chain,
      pending: async () => (await stats()).writeBack?.pendingBytes ?? 0,
    };
  };
  const served = await start({ kind: 'serve' });
  const add: Row['add'] = (change, behind = served, path = '/') => {
    const port = behind.origin.split(':').at(-1);
    return start({ ...change, origin: `${behind.origin}${path}?mountport=${port}` });
  };
  return { image: () => readFileSync(join(images, 'vm1/disk.raw')), add };
}

async function disk({ client }: Link): Promise<FileHandle> {
  const folder = ok(await client.lookup(call, { directory: client.root, name: 'vm1' })).object;
  return ok(await client.lookup(call, { directory: folder, name: 'disk.raw' })).object;
}

const fresh = Buffer.alloc(block, 0x5a);

async function writeBlock(link: Link, index: number, stable: 0 | 2 = Stability.FILE_SYNC): Promise<FileHandle> {
  const object = await disk(link);
  const args = { object, offset: index * block, count: block, stable, data: [fresh] };
  ok(await link.client.write(call, args));
  return object;
}

function isAt(image: Buffer, index: number): boolean {
  return image.subarray(index * block, (index + 1) * block).equals(fresh);
}

test('commit next is answered when the next one has it on its disk, and the origin need not; the status adds up', async (t) => {
  const { add, image } = await row(t);
  const near = await add({ writes: 'write-back' });
  const host = await add({ writes: 'write-back', commit: 'next' }, near);
  await writeBlock(host, 1);
  assert.equal(await near.pending(), block);
  assert.equal(await host.pending(), 0);
  assert.equal(isAt(image(), 1), false);
  const chain = await host.chain();
  assert.equal(chain?.isAtOrigin, false);
  assert.deepEqual(
    chain?.hops.map(({ policy, pendingBytes, isAtNext }) => ({ policy, pendingBytes, isAtNext })),
    [{ policy: 'write-back', pendingBytes: block, isAtNext: false }],
  );
  assert.equal(chain?.end, 'origin');
  assert.equal(await near.chain(), undefined);
});

test('commit local keeps it on the host; writeback brings it through every hop to the origin', async (t) => {
  const { add, image } = await row(t);
  const near = await add({ writes: 'write-back' });
  const host = await add({ writes: 'write-back' }, near);
  await writeBlock(host, 1);
  assert.equal(await host.pending(), block);
  assert.equal(await near.pending(), 0);
  assert.deepEqual(await host.session.run({ task: 'write-back' }), { outcome: 'done', problems: [] });
  assert.equal(isAt(image(), 1), true);
  await writeBlock(host, 2);
  assert.deepEqual(await host.session.run({ task: 'write-back', file: '/vm1/disk.raw' }), {
    outcome: 'done',
    problems: [],
  });
  assert.equal(isAt(image(), 2), true);
  assert.equal((await host.chain())?.isAtOrigin, true);
});

test('commit origin passes every hop that keeps changes: FILE_SYNC, COMMIT and SETATTR', async (t) => {
  const { add, image } = await row(t);
  const far = await add({ writes: 'write-back' });
  const near = await add({ writes: 'write-back' }, far);
  const host = await add({ writes: 'write-back', commit: 'origin' }, near);
  await writeBlock(host, 1);
  assert.equal(isAt(image(), 1), true);
  const object = await writeBlock(host, 2, Stability.UNSTABLE);
  assert.equal(isAt(image(), 2), false);
  ok(await host.client.commit(call, { object, offset: 0, count: 0 }));
  assert.equal(isAt(image(), 2), true);
  ok(await host.client.setattr(call, { object, set: { size: 8 * block } }));
  assert.equal(image().length, 8 * block);
  assert.equal((await host.chain())?.hops.length, 2);
});

test('a write-through session says next or origin, too', async (t) => {
  const { add, image } = await row(t);
  const near = await add({ writes: 'write-back' });
  const plain = await add({}, near);
  await writeBlock(plain, 1);
  assert.equal(isAt(image(), 1), false);
  assert.equal((await plain.chain())?.isAtOrigin, false);
  assert.deepEqual(await plain.session.run({ task: 'write-back' }), { outcome: 'done', problems: [] });
  assert.equal(isAt(image(), 1), true);
  const far = await add({ commit: 'origin' }, near);
  await writeBlock(far, 2);
  assert.equal(isAt(image(), 2), true);
  const object = await writeBlock(far, 3, Stability.UNSTABLE);
  ok(await far.client.commit(call, { object, offset: 0, count: 0 }));
  assert.equal(isAt(image(), 3), true);
});

test('what a redirected session behind keeps is not at the origin, and writeback says where it is', async (t) => {
  const { add, image } = await row(t);
  const near = await add({ writes: 'redirect' });
  const host = await add({ writes: 'write-back' }, near);
  await writeBlock(host, 1);
  const result = await host.session.run({ task: 'write-back' });
  assert.equal(result.outcome, 'refused');
  assert.match(result.problems[0]!, /kept for itself \(redirect\)/);
  assert.equal(isAt(image(), 1), false);
  assert.equal((await host.chain())?.isAtOrigin, false);
});

test('a hop that does not answer is told of: what it kept is not at the origin, what keeps nothing is no matter', async (t) => {
  const { add } = await row(t);
  const keeping = await add({ writes: 'write-back' });
  const passing = await add({});
  const first = await add({ writes: 'write-back', commit: 'next' }, keeping);
  const second = await add({}, passing);
  await writeBlock(first, 1);
  assert.equal((await first.chain())?.isAtOrigin, false);
  assert.deepEqual(await second.chain(), {
    isAtOrigin: true,
    hops: [{ ...(await second.chain())!.hops[0]!, policy: 'write-through', state: 'passing', isAtNext: true }],
    end: 'origin',
  });
  await keeping.session.close();
  await passing.session.close();
  const gone = await first.chain();
  assert.equal(gone?.end, 'silent');
  assert.equal(gone?.isAtOrigin, false);
  assert.equal(gone?.hops[0]?.pendingBytes, block);
  assert.ok(gone?.saidMs !== undefined);
  assert.equal((await second.chain())?.isAtOrigin, true);
});

test('behind a proxy that keeps nothing the origin gives the leases, by tree, and checks tokens and conditions', async (t) => {
  const { add } = await row(t);
  const near = await add({});
  const first = await add({ writes: 'write-back' }, near, '/vm1');
  const second = await add({ writes: 'write-back' }, near, '/vm2');
  const lease = async ({ session }: Link) => (await session.stats()).data!.writeBack!.lease.state;
  assert.equal(await lease(first), 'held');
  assert.equal(await lease(second), 'held');
  const third = add({ writes: 'write-back', connections: 1 }, near, '/vm1');
  await assert.rejects(third, { code: 'LEASE_HELD' });
  // Without a token.
  const object = await disk(near);
  const args = { object, offset: 0, count: block, stable: Stability.FILE_SYNC, data: [fresh] };
  assert.equal((await near.client.write(call, args)).status, 30);
  assert.ok(near.client.channel.conditionalWrites());
  const root = first.client.root;
  const image = ok(await first.client.lookup(call, { directory: root, name: 'disk.raw' })).object;
  ok(await first.client.write(call, { ...args, object: image }));
  assert.equal((await first.session.run({ task: 'write-back' })).outcome, 'done');
});

test('a proxy that keeps changes has the origin’s lease and gives one of its own, of everything', async (t) => {
  const { add } = await row(t);
  const near = await add({ writes: 'write-back' });
  const host = await add({ writes: 'write-back' }, near);
  assert.equal((await near.session.stats()).data!.writeBack!.lease.state, 'held');
  assert.equal((await host.session.stats()).data!.writeBack!.lease.state, 'held');
  await assert.rejects(add({ writes: 'write-back' }, near), { code: 'LEASE_HELD' });
  await assert.rejects(add({ writes: 'write-back' }, near, '/vm1'), { code: 'ORIGIN_REFUSED' });
  assert.equal(near.client.channel.conditionalWrites(), false);
  const object = await disk(near);
  const args = { object, offset: 0, count: block, stable: Stability.FILE_SYNC, data: [fresh] };
  assert.equal((await near.client.write(call, args)).status, 30);
  await writeBlock(host, 1);
  assert.equal((await host.session.run({ task: 'write-back' })).outcome, 'done');
});

test('a conflict further on is told with the host that has it, not the first that keeps something', async () => {
  const hop = {
    ...{ policy: 'write-back' as const, isAtNext: false, pendingBytes: block, pendingFiles: 1, conflicts: 0 },
    ...{ oldestAgeMs: 0, state: 'waiting' as const, secondsLeft: undefined },
  };
  const hops = [
    { ...hop, host: 'lan' },
    { ...hop, host: 'store', conflicts: 1 },
  ];
  const told = async (outcome: 'conflict' | 'refused'): Promise<string> => {
    const chain: Pick<NfsOrigin['chain'], 'mayKeep' | 'pending' | 'writeBack' | 'commit'> = {
      mayKeep: () => true,
      pending: () => Promise.resolve({ status: 0, hops, end: 'origin' }),
      writeBack: () => Promise.resolve({ status: 0, outcome }),
      commit: () => Promise.reject(new Error('nobody commits')),
    };
    const options = { policy: 'write-through', writeBack: undefined, credential: me, hostName: 'me' } as const;
    const session = new SessionChain({ ...options, nfs: { chain: chain as NfsOrigin['chain'] }, clock: systemClock });
    const result = await session.bringOn(undefined, () => {});
    assert.equal(result.outcome, outcome);
    return result.problems.join();
  };
  assert.match(await told('conflict'), /is at store, .*`viaduct conflicts` there/);
  assert.match(await told('refused'), /is at lan, .*`viaduct status` there/);
});
