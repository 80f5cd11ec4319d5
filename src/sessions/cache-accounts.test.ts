/** Sessions of different origins in one cache: each has figures and a quota of its own, and drops what is of its origin alone. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { limits, silentLog, systemClock, systemRandom } from '../base/mod.ts';
import { openNfsOrigin } from '../origins/mod.ts';
import { callBy, eventually, ok, pattern } from '../testing/mod.ts';
import { credential } from '../vfs/mod.ts';
import { servePlan } from './plan-fixture.test.ts';
import type { RunningSession } from './running-session.ts';
import { WorkerPool } from './worker-pool.ts';

const tools = { clock: systemClock, log: silentLog, random: systemRandom };
const me = credential(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
const call = callBy(me);
const diskBytes = 1024 * 1024;

async function readAll(session: RunningSession): Promise<void> {
  const { host, port } = await session.ready;
  const address = { kind: 'nfs', host, path: '/', port, mountPort: port } as const;
  const client = await openNfsOrigin({ address, connections: 1, credential: me, ...tools });
  const { object } = ok(await client.lookup(call, { directory: client.root, name: 'disk.raw' }));
  for (let offset = 0; offset < diskBytes; offset += limits.blockBytes)
    ok(await client.read(call, { object, offset, count: limits.blockBytes }));
  await client.close();
}

test('what a session keeps and reads is on its account, in whichever worker; its invalidate leaves the others theirs', async (t) => {
  const scratch = mkdtempSync(join(tmpdir(), 'viaduct-accounts-'));
  const pool = new WorkerPool({ ...tools, workers: 2 });
  t.after(async () => {
    await pool.close();
    rmSync(scratch, { recursive: true, force: true });
  });
  const cache = { directory: join(scratch, 'cache'), sizeBytes: limits.cacheBytes };
  const start = (name: string, quota: object = {}): Promise<RunningSession> => {
    const origin = join(scratch, name);
    mkdirSync(origin);
    writeFileSync(join(origin, 'disk.raw'), pattern(diskBytes));
    const places = { origin, stateDirectory: join(scratch, `state-${name}`) };
    return pool.start(servePlan(places, { kind: 'proxy', cache: { ...cache, ...quota } }));
  };
  const one = await start('one');
  const two = await start('two', { quotaBytes: limits.cacheBytes });
  for (const session of [one, two]) {
    await readAll(session);
    await eventually(
      async () => (await session.stats()).cache?.own.fillBytes === diskBytes,
      'all of it is kept',
      15_000,
    );
  }
  const before = (await two.stats()).cache!;
  await readAll(two);
  const after = (await two.stats()).cache!;
  assert.ok(after.own.hitBytes - before.own.hitBytes >= diskBytes);
  assert.equal(after.own.fillBytes, diskBytes);
  assert.deepEqual([before.own.quotaBytes, (await one.stats()).cache?.own.quotaBytes], [limits.cacheBytes, undefined]);
  await one.run({ task: 'flush' });
  await readAll(two);
  assert.equal((await two.stats()).cache?.own.fillBytes, diskBytes, 'nothing of the other origin was dropped');
  await readAll(one);
  await eventually(
    async () => (await one.stats()).cache?.own.fillBytes === 2 * diskBytes,
    'it is fetched anew',
    15_000,
  );
  await one.close();
  assert.equal((await two.stats()).cache?.own.occupiedBytes, diskBytes);
});
