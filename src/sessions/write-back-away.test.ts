/** A session that comes back while its origin is away: what its status says of files, of the origin and of the lease. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { silentLog, sleep, systemClock, systemRandom } from '../base/mod.ts';
import { openNfsOrigin } from '../origins/mod.ts';
import { callBy, ok, pattern } from '../testing/mod.ts';
import { Access, credential, Stability } from '../vfs/mod.ts';
import { defaultAttributes } from './plan.ts';
import { startSession } from './session.ts';
import { defaultDirty } from './write-policy.ts';

const tools = { clock: systemClock, log: silentLog, random: systemRandom };
const me = credential(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
const call = callBy(me);

/** One that is free now: what is known of files is kept for sessions with an address of their own. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

test('a session killed and started again in an outage names its dirty files, and says since when the origin is silent', async (t) => {
  const scratch = mkdtempSync(join(tmpdir(), 'viaduct-away-'));
  const open: (() => Promise<unknown>)[] = [];
  t.after(async () => {
    for (const close of open.toReversed()) await close();
    rmSync(scratch, { recursive: true, force: true });
  });
  const images = join(scratch, 'images');
  mkdirSync(join(images, 'golden/old'), { recursive: true });
  for (const name of ['disk.raw', 'other.raw']) writeFileSync(join(images, 'golden/old', name), pattern(4096));
  const common = {
    ...{ allow: [], squash: 'none' as const, connections: 1, attributes: defaultAttributes, readAheadBytes: 0 },
    listen: { host: '127.0.0.1', port: 0 },
  };
  const served = { kind: 'serve', origin: images, stateDirectory: join(scratch, 'server') } as const;
  const server = await startSession({ ...common, ...served, writes: 'write-through' }, tools);
  open.push(() => server.close());
  const { port: serverPort } = await server.ready;
  const origin = `nfs://127.0.0.1:${serverPort}/?mountport=${serverPort}`;
  const dirty = { ...defaultDirty, directory: join(scratch, 'log'), limitBytes: 64 * 1024 * 1024 };
  const proxied = { kind: 'proxy', origin, stateDirectory: join(scratch, 'proxy'), writes: 'write-back' } as const;
  const workers: Worker[] = [];
  const proxy = await startSession(
    {
      ...common,
      ...proxied,
      listen: { host: '127.0.0.1', port: await freePort() },
      dirty: { ...dirty, writeBackAfterMs: 3_600_000, ageMs: 3_600_000 },
    },
    { ...tools, onWorker: (worker) => workers.push(worker) },
  );
  open.push(() => proxy.close());
  const { port } = await proxy.ready;
  const address = { kind: 'nfs', host: '127.0.0.1', path: '/', port, mountPort: port } as const;
  const client = await openNfsOrigin({ address, connections: 1, credential: me, ...tools });
  open.push(() => client.close());
  let directory = client.root;
  for (const name of ['golden', 'old']) directory = ok(await client.lookup(call, { directory, name })).object;
  const object = ok(await client.lookup(call, { directory, name: 'disk.raw' })).object;
  const data = [pattern(512, 3)];
  const write = { offset: 0, count: 512, stable: Stability.FILE_SYNC, data };
  ok(await client.write(call, { object, ...write }));
  const other = ok(await client.lookup(call, { directory, name: 'other.raw' })).object;
  ok(await client.access(call, { object: other, access: Access.READ | Access.MODIFY | Access.EXTEND }));
  // What is known of files in use is kept each second.
  await sleep(systemClock, 1_500);

  await server.close();
  const before = Date.now();
  await workers.splice(0)[0]!.terminate();
  let status = (await proxy.stats()).data?.writeBack;
  for (; status?.originAwaySinceMs === undefined; status = (await proxy.stats()).data?.writeBack)
    await sleep(systemClock, 100);
  const paths = (of: typeof status) => of.files.map(({ path }) => path).sort();
  assert.deepEqual(paths(status), ['/golden/old/disk.raw']);
  assert.equal(status.lease.state, 'acquiring');
  assert.equal(status.drain.state, 'origin-away');
  assert.match(status.drain.problem ?? '', /^the origin has not answered since \d{4}-/);
  assert.ok(status.originAwaySinceMs >= before && status.originAwaySinceMs <= Date.now());
  // Its client has not looked it up since.
  ok(await client.write(call, { object: other, ...write }));
  assert.deepEqual(paths((await proxy.stats()).data!.writeBack!), ['/golden/old/disk.raw', '/golden/old/other.raw']);
});
