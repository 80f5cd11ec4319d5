/** The drain over the real channel: lease, token and conditional WRITEs, while server and proxy die amid an epoch. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { silentLog, sleep, systemClock, systemRandom } from '../base/mod.ts';
import { type Link, startLink } from '../link/mod.ts';
import { openNfsOrigin } from '../origins/mod.ts';
import { callBy, ok, pattern } from '../testing/mod.ts';
import { credential, Stability } from '../vfs/mod.ts';
import { defaultAttributes } from './plan.ts';
import type { RunningSession } from './running-session.ts';
import { startSession } from './session.ts';
import { defaultDirty } from './write-policy.ts';

const tools = { clock: systemClock, log: silentLog, random: systemRandom };
const me = credential(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
const call = callBy(me);
const MiB = 1024 * 1024;
const bytes = pattern(3 * MiB, 7);

interface Pair {
  readonly path: string;
  readonly proxy: RunningSession;
  readonly link: Link;
  readonly workers: { readonly server: Worker[]; readonly proxy: Worker[] };
}

/** A server of a directory, and over a link a proxy of it, with 3 MiB of a file to be written back: most of a second. */
async function pair(t: TestContext): Promise<Pair> {
  const scratch = mkdtempSync(join(tmpdir(), 'viaduct-restart-'));
  const open: (() => Promise<unknown>)[] = [];
  t.after(async () => {
    for (const close of open.toReversed()) await close();
    rmSync(scratch, { recursive: true, force: true });
  });
  const images = join(scratch, 'images');
  mkdirSync(images);
  const path = join(images, 'disk.raw');
  writeFileSync(path, pattern(4 * MiB));
  const workers = { server: [] as Worker[], proxy: [] as Worker[] };
  const common = {
    ...{ allow: [], squash: 'none' as const, connections: 4, attributes: defaultAttributes, readAheadBytes: 0 },
    listen: { host: '127.0.0.1', port: 0 },
  };
  const served = { kind: 'serve', origin: images, stateDirectory: join(scratch, 'server') } as const;
  const server = await startSession(
    { ...common, ...served, writes: 'write-through' },
    { ...tools, onWorker: (worker) => workers.server.push(worker) },
  );
  open.push(() => server.close());
  const { port: serverPort } = await server.ready;
  const dirty = {
    ...defaultDirty,
    directory: join(scratch, 'log'),
    limitBytes: 64 * MiB,
  };
  // It runs in this thread, so it carries no more than a moment's bytes between two looks of the test, however busy the machine.
  const link = await startLink({
    routes: [{ listen: { host: '127.0.0.1', port: 0 }, target: { host: '127.0.0.1', port: serverPort } }],
    ...{ roundTripMs: 0, bitsPerSecond: 40e6, clock: systemClock, log: silentLog },
  });
  open.push(() => link.close());
  const near = link.addresses[0]!.port;
  const origin = `nfs://127.0.0.1:${near}/?mountport=${near}`;
  const proxied = { kind: 'proxy', origin, stateDirectory: join(scratch, 'proxy'), writes: 'write-back' } as const;
  const proxy = await startSession(
    { ...common, ...proxied, dirty: { ...dirty, writeBackAfterMs: 3_600_000, ageMs: 3_600_000 } },
    { ...tools, onWorker: (worker) => workers.proxy.push(worker) },
  );
  open.push(() => proxy.close());
  const { port } = await proxy.ready;
  const address = { kind: 'nfs', host: '127.0.0.1', path: '/', port, mountPort: port } as const;
  const client = await openNfsOrigin({ address, connections: 1, credential: me, ...tools });
  open.push(() => client.close());
  const disk = ok(await client.lookup(call, { directory: client.root, name: 'disk.raw' })).object;
  for (let offset = 0; offset < bytes.length; offset += MiB / 2) {
    const data = [bytes.subarray(offset, offset + MiB / 2)];
    ok(await client.write(call, { object: disk, offset, count: MiB / 2, stable: Stability.UNSTABLE, data }));
  }
  ok(await client.commit(call, { object: disk, offset: 0, count: 0 }));
  return { path, proxy, link, workers };
}

/** Waits until part of the file is at the origin, and stops the rest on its way: nothing more comes before `link.restore`. */
async function stopAmid(both: Pair): Promise<void> {
  const changedAt = (): bigint => statSync(both.path, { bigint: true }).mtimeNs;
  const before = changedAt();
  while (changedAt() === before) await sleep(systemClock, 5);
  both.link.cut();
  // What the server has got already it writes.
  for (let last = before; last !== changedAt(); ) {
    last = changedAt();
    await sleep(systemClock, 200);
  }
  assert.ok(!isWhole(both), 'in the middle');
}

function isWhole({ path }: Pair): boolean {
  const now = readFileSync(path);
  return (
    now.subarray(0, bytes.length).equals(bytes) &&
    now.subarray(bytes.length).equals(pattern(4 * MiB).subarray(bytes.length))
  );
}

for (const who of ['server', 'proxy'] as const) {
  test(`the ${who} dies amid conditional WRITEs: no conflict, and all arrives`, async (t) => {
    const both = await pair(t);
    const first = both.proxy.run({ task: 'write-back' }).catch((error: unknown) => error);
    await stopAmid(both);
    for (const worker of both.workers[who].splice(0)) await worker.terminate();
    both.link.restore();
    await first;
    let result = await both.proxy.run({ task: 'write-back' });
    // The worker that comes next is not there yet.
    for (; result.outcome === 'closed'; result = await both.proxy.run({ task: 'write-back' }))
      await sleep(systemClock, 50);
    assert.deepEqual(result, { outcome: 'done', problems: [] });
    assert.ok(isWhole(both));
    const status = (await both.proxy.stats()).data!.writeBack!;
    assert.deepEqual([status.pendingBytes, status.lease.state], [0, 'held']);
  });
}

test('a change at the server amid conditional WRITEs stops them: both versions are kept', async (t) => {
  const both = await pair(t);
  const run = both.proxy.run({ task: 'write-back' });
  await stopAmid(both);
  const foreign = Buffer.alloc(4 * MiB, 'foreign');
  writeFileSync(both.path, foreign);
  both.link.restore();
  assert.equal((await run).outcome, 'conflict');
  const after = readFileSync(both.path);
  assert.ok(after.equals(foreign), 'nothing of it was overwritten');
});
