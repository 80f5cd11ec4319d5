/** Learned prefetch between real sessions: what one host learned, the next one fetches; and what a server takes from whom. */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, type TestContext, test } from 'node:test';
import { limits, silentLog, sleep, systemClock, systemRandom } from '../base/mod.ts';
import { decodeWorkingSet, encodeWorkingSet, type WorkingSet } from '../content/mod.ts';
import type { WorkingSetsReport } from '../layers/mod.ts';
import { mountClient } from '../mount3/mod.ts';
import { openNfs3Client } from '../nfs3/mod.ts';
import { RpcClient } from '../rpc/mod.ts';
import { FaultLayer, MemoryFilesystem, makeContent, ok, patternBytes, stampOfFile } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { listNames } from './list-names.ts';
import type { SessionPlan } from './plan.ts';
import { servePlan } from './plan-fixture.test.ts';
import { PublishedSets, type PublishedSetsOptions } from './published-sets.ts';
import type { RunningSession } from './running-session.ts';
import { startSession } from './session.ts';
import { WorkingSetFiles } from './working-set-files.ts';

const top = mkdtempSync(join(tmpdir(), 'viaduct-sets-'));
after(() => rmSync(top, { recursive: true, force: true }));
const tools = { clock: systemClock, log: silentLog, random: systemRandom };
const me = vfs.credential(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
const call: vfs.Call = { credential: me, peer: 'test', priority: 'demand' };
const host = '127.0.0.1';
const block = limits.blockBytes;
const MiB = 1024 * 1024;
const blocks = [40, 3, 77, 90, 12, 55, 61, 20, 33, 70, 8, 49];

let number = 0;
let served = '';
beforeEach(() => {
  served = join(top, `${++number}`);
  mkdirSync(join(served, 'golden'), { recursive: true });
  writeFileSync(join(served, 'golden/disk.raw'), patternBytes(1, 0, 6 * MiB));
});

interface Running {
  readonly session: RunningSession;
  readonly port: number;
}

let states = 0;
async function start(t: TestContext, change: Partial<SessionPlan> = {}): Promise<Running> {
  const plan: SessionPlan = servePlan({ origin: served, stateDirectory: join(top, `state-${++states}`) }, change);
  const session = await startSession(plan, tools);
  t.after(() => session.close());
  return { session, port: (await session.ready).port };
}

/** A compute host with an empty cache. */
function proxy(t: TestContext, port: number, change: Partial<SessionPlan> = {}): Promise<Running> {
  const cache = { directory: join(top, `cache-${++states}`), sizeBytes: limits.cacheBytes };
  return start(t, { kind: 'proxy', origin: `nfs://${host}:${port}/`, cache, ...change });
}

/** An ordinary client: it says no hello. */
async function client(t: TestContext, port: number): Promise<Client> {
  const rpc = new RpcClient({ host, port, ...tools });
  t.after(() => rpc.close());
  const mounted = await mountClient.mnt(rpc, '/golden', { credential: me, deadlineMs: 5_000 });
  assert.ok(mounted.status === 0);
  const identity = `test ${port}`;
  const files = await openNfs3Client({ caller: rpc, root: mounted.object, identity, ...tools }, me);
  const open = async () => ok(await files.lookup(call, { directory: files.root, name: 'disk.raw' }));
  return {
    async read(wanted) {
      const { object } = await open();
      for (const one of wanted) {
        const reply = ok(await files.read(call, { object, offset: one * block, count: 4096 }));
        assert.ok(Buffer.concat(reply.data as Uint8Array[]).equals(patternBytes(1, one * block, 4096)));
        reply.release?.();
      }
    },
    async write(wanted) {
      const { object } = await open();
      for (const one of wanted) {
        const data = [Buffer.alloc(4096, 1)];
        ok(
          await files.write(call, { object, offset: one * block, count: 4096, stable: vfs.Stability.FILE_SYNC, data }),
        );
      }
    },
    close: () => rpc.close(),
  };
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const endMs = systemClock.now() + 10_000;
  while (!(await condition())) {
    assert.ok(systemClock.now() < endMs, 'it did not happen within 10 s');
    await sleep(systemClock, 10);
  }
}

interface Client {
  read(blocks: readonly number[]): Promise<void>;
  write(blocks: readonly number[]): Promise<void>;
  close(): Promise<void>;
}

async function report({ session }: Running): Promise<WorkingSetsReport> {
  const { data } = await session.stats();
  return data!.layers['working-sets'] as WorkingSetsReport;
}

/** A session that ends after its guest touched the blocks. */
async function boot(
  t: TestContext,
  on: Running,
  wanted: readonly number[],
  written: readonly number[] = [],
): Promise<void> {
  const guest = await client(t, on.port);
  await guest.read(wanted);
  await guest.write(written);
  await guest.close();
  await on.session.close();
}

function setPath(purpose: string): string {
  return join(served, `golden/.viaduct/disk.raw.${purpose}.ws`);
}

function setOf(purpose: string): WorkingSet {
  return decodeWorkingSet(readFileSync(setPath(purpose)));
}

describe('between hosts', () => {
  test('what one boot touched is at the server when its session ends, and fetched on another host', async (t) => {
    const server = await start(t);
    await boot(t, await proxy(t, server.port), blocks);
    assert.deepEqual([...setOf('boot').blocks], blocks);
    const { uid, gid, mode } = statSync(join(served, 'golden/disk.raw'));
    const set = statSync(setPath('boot'));
    assert.deepEqual([set.uid, set.gid, set.mode & 0o777], [uid, gid, mode & 0o644]);

    const other = await proxy(t, server.port);
    const guest = await client(t, other.port);
    await guest.read(blocks.slice(0, 1));
    await until(async () => (await report(other)).leftBytes === 0 && (await report(other)).known === 1);
    const before = await other.session.stats();
    await guest.read(blocks);
    const { fetchedBytes, usedBytes, lastDemandAfterMs } = await report(other);
    assert.equal(fetchedBytes, (blocks.length - 1) * block);
    assert.equal(usedBytes, fetchedBytes);
    assert.ok(lastDemandAfterMs! > 0);
    const misses = ({ data }: typeof before): unknown => (data!.layers['block-cache'] as { misses: number }).misses;
    assert.equal(misses(await other.session.stats()), misses(before));
  });

  test('runs are merged; purposes, and what was written, are kept apart', async (t) => {
    const server = await start(t);
    await boot(t, await proxy(t, server.port), blocks);
    await boot(t, await proxy(t, server.port), [...blocks, 2]);
    const { runs, weights } = setOf('boot');
    assert.deepEqual([runs, [...weights]], [2, [...blocks.map(() => 2), 1]]);
    const written = [1, 4, 9, 16, 25, 36, 64, 81];
    await boot(t, await proxy(t, server.port, { purpose: 'resume' }), blocks.toReversed(), written);
    assert.deepEqual([...setOf('resume').blocks], blocks.toReversed());
    assert.deepEqual([...setOf('written').blocks], written);
    assert.equal(setOf('boot').runs, 2);
  });

  test('a read-only server takes them, one that is told not to does not; then this host alone knows', async (t) => {
    const readOnly = await start(t, { writes: 'read-only' });
    await boot(t, await proxy(t, readOnly.port), blocks);
    assert.ok(existsSync(setPath('boot')));
    rmSync(join(served, 'golden/.viaduct'), { recursive: true });
    const none = await start(t, { workingSets: 'none' });
    const stateDirectory = join(top, `state-of-one-host-${number}`);
    await boot(t, await proxy(t, none.port, { stateDirectory }), blocks);
    assert.equal(existsSync(join(served, 'golden/.viaduct')), false);
    const again = await proxy(t, none.port, { stateDirectory });
    const guest = await client(t, again.port);
    await guest.read([0]);
    await until(async () => (await report(again)).fetchedBytes === blocks.length * block);
  });

  test('they go through a proxy between to where the files are', async (t) => {
    const server = await start(t);
    const between = await proxy(t, server.port);
    await boot(t, await proxy(t, between.port), blocks);
    assert.deepEqual([...setOf('boot').blocks], blocks);
  });

  test('a file that was packed so is fetched whole by whoever uses it, unless he was told otherwise', async (t) => {
    const server = await start(t);
    const path = join(served, 'golden/disk.raw');
    mkdirSync(join(served, 'golden/.viaduct'));
    for (const isWantedWhole of [false, true]) {
      const { meta, pack } = await makeContent(readFileSync(path), stampOfFile(path), 1, undefined, isWantedWhole);
      for (const [end, bytes] of [
        ['meta', meta],
        ['pack', pack],
      ] as const)
        writeFileSync(join(served, `golden/.viaduct/disk.raw.${end}`), bytes);
      for (const fetch of ['on-demand', 'working-set', undefined] as const) {
        const near = await proxy(t, server.port, { fetch });
        await (await client(t, near.port)).read([5]);
        const wanted = fetch === undefined && isWantedWhole ? 6 * MiB - block : 0;
        await until(async () => (await report(near)).fetchedBytes >= wanted);
        await sleep(systemClock, 100);
        assert.equal((await report(near)).fetchedBytes, wanted, `${fetch}, ${isWantedWhole}`);
      }
    }
  });

  test('a file is warmed on request: all of it, or its set', async (t) => {
    const server = await start(t);
    const host = await proxy(t, server.port, { fetch: 'on-demand' });
    await assert.rejects(
      host.session.run({ task: 'warm', file: '/golden/disk.raw', what: 'working-set' }),
      /no working set/,
    );
    await assert.rejects(host.session.run({ task: 'warm', file: '/golden/none', what: 'whole' }), /no such file/);
    await assert.rejects(host.session.run({ task: 'warm', file: '/golden', what: 'whole' }), /no regular file/);
    await assert.rejects(server.session.run({ task: 'warm', file: '/golden/disk.raw', what: 'whole' }), /no cache/);
    const seen: number[] = [];
    const done = await host.session.run({ task: 'warm', file: '/golden/disk.raw', what: 'whole' }, ({ totalBytes }) =>
      seen.push(totalBytes),
    );
    assert.deepEqual([done.outcome, seen[0]], ['done', 6 * MiB]);
    const guest = await client(t, host.port);
    await guest.read(blocks);
    assert.equal((await report(host)).lastDemandAfterMs, undefined);
    writeFileSync(join(served, 'golden/large'), Buffer.alloc(16 * MiB));
    await assert.rejects(
      host.session.run({ task: 'warm', file: '/golden/large', what: 'whole' }),
      /larger than the cache/,
    );
  });
});

describe('a server takes a working set', () => {
  const root: vfs.Call = { credential: vfs.credential(0, 0), peer: 'test', priority: 'demand' };
  const owner: vfs.Call = { ...root, credential: vfs.credential(1000, 1000) };
  const other: vfs.Call = { ...root, credential: vfs.credential(2000, 2000) };
  const set: WorkingSet = {
    stamp: {
      size: 100 * MiB,
      mtimeSeconds: 1,
      mtimeNanoseconds: 2,
      ctimeSeconds: 2 ** 40,
      ctimeNanoseconds: 4,
      fileid: 5n,
    },
    purpose: 'boot',
    blocks: Uint32Array.from([7, 1500, 3]),
    weights: Uint8Array.from([1, 1, 1]),
    runs: 1,
  };

  async function site(
    mode: number,
    more: Partial<PublishedSetsOptions> = {},
    memory: vfs.Filesystem = new MemoryFilesystem(),
  ) {
    const place = { directory: memory.root, name: 'disk' };
    const how = { mode: 'guarded', set: { mode, uid: 1000, gid: 1000, size: 4 * MiB } } as const;
    ok(await memory.create(root, { where: place, how }));
    const options = {
      top: memory,
      origin: memory,
      permission: 'readers',
      squash: 'none',
      own: root.credential,
    } as const;
    const sets = new PublishedSets({ ...options, ...tools, ...more });
    const publish = async (by: vfs.Call, what: WorkingSet | Uint8Array = set, at: vfs.Place = place): Promise<number> =>
      (await sets.publishWorkingSet(by, { place: at, set: what instanceof Uint8Array ? what : encodeWorkingSet(what) }))
        .status;
    const hidden = async () => ok(await memory.lookup(root, { directory: memory.root, name: '.viaduct' })).object;
    return { memory, place, publish, hidden };
  }

  test('of whoever may read the file, or of its owner alone', async () => {
    const readers = await site(0o640);
    assert.equal(await readers.publish(other), vfs.Status.ACCES);
    assert.equal(await readers.publish(owner), 0);
    const owners = await site(0o644, { permission: 'owner' });
    assert.equal(await owners.publish(other), vfs.Status.ACCES);
    assert.equal(await owners.publish(owner), 0);
    assert.equal(await owners.publish(root), 0);
    const squashed = await site(0o644, { permission: 'owner', squash: 'root' });
    assert.equal(await squashed.publish(root), vfs.Status.ACCES);
  });

  test('as one of the version that the file is of, whatever the client says', async () => {
    const at = await site(0o644);
    assert.equal(await at.publish(other), 0);
    const directory = await at.hidden();
    const { object } = ok(await at.memory.lookup(root, { directory, name: 'disk.boot.ws' }));
    const read = ok(await at.memory.read(root, { object, offset: 0, count: MiB }));
    const kept = decodeWorkingSet(Buffer.concat(read.data as Uint8Array[]));
    assert.deepEqual([kept.stamp.size, [...kept.blocks]], [4 * MiB, [7, 3]]);
    assert.ok(kept.stamp.ctimeSeconds < 2 ** 40);
  });

  test('only if it is one, of a file that may have one, and of so many purposes', async () => {
    const at = await site(0o644);
    assert.equal(await at.publish(other, Buffer.from('no set')), vfs.Status.INVAL);
    assert.equal(await at.publish(other, set, { ...at.place, name: 'none' }), vfs.Status.NOENT);
    for (let index = 0; index < limits.workingSetPurposes; index++)
      assert.equal(await at.publish(other, { ...set, purpose: `p${index}` }), 0);
    assert.equal(await at.publish(other, { ...set, purpose: 'one-more' }), vfs.Status.NOSPC);
    assert.equal(await at.publish(other, { ...set, purpose: 'p3' }), 0);
    assert.equal(await at.publish(other, set, { directory: await at.hidden(), name: 'disk.p1.ws' }), vfs.Status.INVAL);
  });

  test('and replaces what is no set, but nothing that it cannot read now', async () => {
    const bare = new MemoryFilesystem({ poisonReleased: true });
    const memory = new FaultLayer(bare);
    const at = await site(0o644, {}, memory);
    assert.equal(await at.publish(other), 0);
    const there = async () =>
      ok(await at.memory.lookup(root, { directory: await at.hidden(), name: 'disk.boot.ws' })).object;
    const object = await there();
    const heal = memory.on('read', () => ({ status: vfs.Status.IO }));
    assert.equal(await at.publish(other), vfs.Status.IO);
    heal();
    assert.equal(await there(), object, 'what others taught is still there');
    // Longer than any set, and no set.
    for (const size of [3 * MiB, 5]) {
      const bad = await there();
      ok(await at.memory.setattr(root, { object: bad, set: { size } }));
      assert.equal(await at.publish(other), 0);
      assert.notEqual(await there(), bad);
    }
    assert.equal(bare.unreleased, 0);
  });

  test('and removes what a killed server left, once nobody can be writing it any more', async () => {
    let passedMs = 0;
    const clock = { ...systemClock, now: () => passedMs, wallTimeMs: () => systemClock.wallTimeMs() + passedMs };
    const at = await site(0o644, { clock });
    assert.equal(await at.publish(other), 0);
    const directory = await at.hidden();
    for (const name of ['.new-0123456789abcdef', '.new-mine', 'note'])
      ok(await at.memory.create(root, { where: { directory, name }, how: { mode: 'guarded', set: { mode: 0o644 } } }));
    assert.equal(await at.publish(other), 0);
    const names = async () => (await listNames(at.memory, root, directory))?.sort();
    assert.equal((await names())?.length, 4);
    passedMs += 2 * 60 * 60_000;
    assert.equal(await at.publish(other), 0);
    assert.deepEqual(await names(), ['.new-mine', 'disk.boot.ws', 'note']);
  });

  test('into no directory that others may write to', async () => {
    const at = await site(0o644);
    ok(await at.memory.mkdir(root, { where: { directory: at.memory.root, name: '.viaduct' }, set: { mode: 0o777 } }));
    assert.equal(await at.publish(owner), vfs.Status.ACCES);
  });
});

describe('kept on this host', () => {
  test('sets are bounded, the longest unused go, and a damaged one is none', () => {
    const directory = join(top, 'kept');
    let nowMs = 1_700_000_000_000;
    const clock = { ...systemClock, wallTimeMs: () => nowMs };
    const files = new WorkingSetFiles({ directory, clock, log: silentLog });
    const set = (index: number): WorkingSet => ({
      stamp: { size: 6 * MiB, mtimeSeconds: 1, mtimeNanoseconds: 2, ctimeSeconds: 3, ctimeNanoseconds: 4, fileid: 5n },
      purpose: 'boot',
      blocks: Uint32Array.from([index % 90]),
      weights: Uint8Array.from([1]),
      runs: 1,
    });
    const key = (index: number): string => String(index).padStart(16, '0');
    for (let index = 0; index <= limits.keptWorkingSets; index++) {
      files.save(key(index), set(index));
      nowMs += 1000;
      // Its use is what counts.
      files.load(key(index), 'boot');
      if (index > 0) files.load(key(0), 'boot');
    }
    assert.ok(readdirSync(directory).length < limits.keptWorkingSets);
    assert.deepEqual(files.load(key(0), 'boot')?.blocks, Uint32Array.from([0]));
    assert.equal(files.load(key(1), 'boot'), undefined);
    const last = readdirSync(directory).at(-1)!;
    writeFileSync(join(directory, last), 'damaged');
    assert.equal(files.load(Buffer.from(last.split('.')[0]!, 'hex').toString('latin1'), 'boot'), undefined);
    assert.equal(existsSync(join(directory, last)), false);
  });
});
