/** Stacks as they are built for real: what the parts must tell each other. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLog, systemClock, systemRandom } from '../base/mod.ts';
import { mount3Program } from '../mount3/mod.ts';
import { nfs3Program } from '../nfs3/mod.ts';
import { RpcServer } from '../rpc/mod.ts';
import { callBy, FaultLayer, MemoryFilesystem, ok, pattern } from '../testing/mod.ts';
import { credential, Stability, Status } from '../vfs/mod.ts';
import { buildStack } from './build.ts';
import { defaultAttributes } from './plan.ts';
import { describeStack, type StackDescription } from './stack.ts';
import { defaultDirty } from './write-policy.ts';

const tools = { clock: systemClock, log: silentLog, random: systemRandom };
const call = callBy(credential(0, 0));

test('a read after the origin restarted gets the unstable data that it lost', async (t) => {
  const memory = new MemoryFilesystem({ volatile: true });
  const serve = async (port: number) => {
    const programs = [nfs3Program(memory), mount3Program({ filesystem: memory })];
    const server = new RpcServer({ programs, ...tools });
    return { server, port: (await server.listen('127.0.0.1', port)).port };
  };
  const first = await serve(0);
  const text = `nfs://127.0.0.1:${first.port}/?mountport=${first.port}`;
  const stateDirectory = mkdtempSync(join(tmpdir(), 'viaduct-build-'));
  t.after(() => rmSync(stateDirectory, { recursive: true }));
  const description: StackDescription = {
    origin: { text, stateDirectory, connections: 2 },
    writes: 'write-through',
    dirty: undefined,
    takeOverLease: false,
    layers: [{ layer: 'stability' }],
  };
  const stack = await buildStack(description, { ...tools, cache: undefined });
  let second: Awaited<ReturnType<typeof serve>> | undefined;
  try {
    const where = { directory: stack.top.root, name: 'a' };
    const object = ok(await stack.top.create(call, { where, how: { mode: 'guarded', set: { mode: 0o644 } } })).object!;
    const data = [pattern(5_000)];
    ok(await stack.top.write(call, { object, offset: 0, count: 5_000, stable: Stability.UNSTABLE, data }));
    await first.server.close();
    memory.restart();
    second = await serve(first.port);
    const reply = ok(await stack.top.read(call, { object, offset: 0, count: 10_000 }));
    assert.deepEqual(Buffer.concat(reply.data as Uint8Array[]), pattern(5_000));
    reply.release?.();
  } finally {
    await stack.close();
    await second?.server.close();
  }
});

test('a session that ends with times that the origin refuses says that something is left', async (t) => {
  const memory = new MemoryFilesystem({ root: { mode: 0o777, uid: 0, gid: 0 } });
  const faults = new FaultLayer(memory);
  const programs = [nfs3Program(faults), mount3Program({ filesystem: faults })];
  const server = new RpcServer({ programs, ...tools });
  const { port } = await server.listen('127.0.0.1', 0);
  t.after(() => server.close());
  const stateDirectory = mkdtempSync(join(tmpdir(), 'viaduct-build-'));
  t.after(() => rmSync(stateDirectory, { recursive: true }));
  const description = describeStack({
    ...{ kind: 'proxy', listen: { host: '127.0.0.1', port: 0 }, allow: [], squash: 'none', connections: 1 },
    ...{ attributes: defaultAttributes, readAheadBytes: 0, stateDirectory, writes: 'write-back' },
    origin: `nfs://127.0.0.1:${port}/?mountport=${port}`,
    dirty: { ...defaultDirty, directory: join(stateDirectory, 'log'), writeBackAfterMs: 3_600_000 },
  });
  const stack = await buildStack(description, { ...tools, cache: undefined });
  const where = { directory: stack.top.root, name: 'a' };
  const object = ok(await stack.top.create(call, { where, how: { mode: 'guarded', set: { mode: 0o644 } } })).object!;
  const data = [pattern(5_000)];
  ok(await stack.top.write(call, { object, offset: 0, count: 5_000, stable: Stability.UNSTABLE, data }));
  ok(await stack.top.setattr(call, { object, set: { mtime: { seconds: 1_000_000, nanoseconds: 0 } } }));
  faults.on('setattr', () => ({ status: Status.NOSPC, wcc: {} }));
  const written = await stack.writeBack!.writeBack(undefined, () => {});
  assert.equal(written.outcome, 'refused');
  assert.equal((await stack.writeBack!.status()).isAtOrigin, false);
  const left = await stack.close();
  assert.deepEqual([left?.bytes, left?.files], [0, 1]);
});
