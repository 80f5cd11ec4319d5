/** Settings by file in a whole stack, over an origin that counts what it is asked for. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { type Clock, limits, silentLog, systemClock, systemRandom } from '../base/mod.ts';
import { CleanCache } from '../cache/mod.ts';
import { mount3Program } from '../mount3/mod.ts';
import { nfs3Program } from '../nfs3/mod.ts';
import { RpcServer } from '../rpc/mod.ts';
import { callBy, FaultLayer, MemoryFilesystem, ok, pattern } from '../testing/mod.ts';
import { Access, credential, type FileChanges, type FileRule, type FileRuleSet, Status } from '../vfs/mod.ts';
import { buildStack } from './build.ts';
import { checkPlan } from './plan.ts';
import { servePlan } from './plan-fixture.test.ts';
import { describeStack } from './stack.ts';

const call = callBy(credential(0, 0));
const hourMs = 3600_000;
const { blockBytes } = limits;

function ruleFor(path: string, settings: FileChanges, size: Pick<FileRule, 'minBytes' | 'maxBytes'> = {}): FileRule {
  return { name: path, path, settings, ...size };
}
function setOf(...rules: FileRule[]): FileRuleSet {
  return { root: '/golden', defaults: {}, rules };
}

/** A proxy in this thread, over NFS. Its clock may jump. */
async function start(t: TestContext, files: FileRuleSet | undefined) {
  const root = mkdtempSync(join(tmpdir(), 'viaduct-rules-'));
  const memory = new MemoryFilesystem({ root: { mode: 0o777, uid: 0, gid: 0 } });
  const origin = new FaultLayer(memory);
  let readBytes = 0;
  origin.on('read', (args, proceed) => {
    readBytes += args.count;
    return proceed();
  });
  let skewMs = 0;
  const clock: Clock = {
    now: () => systemClock.now() + skewMs,
    wallTimeMs: () => systemClock.wallTimeMs() + skewMs,
    after: (delayMs, action) => systemClock.after(delayMs, action),
  };
  const tools = { log: silentLog, random: systemRandom };
  const programs = [nfs3Program(origin), mount3Program({ filesystem: origin })];
  const server = new RpcServer({ programs, clock: systemClock, ...tools });
  const { port } = await server.listen('127.0.0.1', 0);
  const cachePlan = { directory: join(root, 'cache'), sizeBytes: 64 * 1024 * 1024 };
  const cache = await CleanCache.open({ ...cachePlan, clock: systemClock, ...tools });
  const plan = checkPlan(
    servePlan(
      { origin: `nfs://127.0.0.1:${port}/?mountport=${port}`, stateDirectory: root },
      { kind: 'proxy', cache: cachePlan, content: false, fetch: 'on-demand', readAheadBytes: 4 * 1024 * 1024, files },
    ),
  );
  const stack = await buildStack(describeStack(plan), { ...tools, clock, cache });
  t.after(async () => {
    await stack.close();
    await cache.close();
    await server.close();
    rmSync(root, { recursive: true });
  });
  const { top } = stack;
  const at = (name: string, directory = top.root) => ({ directory, name });
  return {
    ...{ stack, top, origin, at },
    jump: (ms: number): void => {
      skewMs += ms;
    },
    /** As somebody else, at the origin. */
    put(name: string, bytes: number, directory = memory.root): string {
      const how = { mode: 'unchecked', set: { mode: 0o666 } } as const;
      const object = ok(memory.create(call, { where: { directory, name }, how })).object!;
      const data = pattern(bytes);
      if (bytes > 0) ok(memory.write(call, { object, offset: 0, count: bytes, stable: 2, data: [data] }));
      return object;
    },
    directory: (name: string): string =>
      ok(memory.mkdir(call, { where: { directory: memory.root, name }, set: {} })).object!,
    look: async (name: string, directory = top.root): Promise<string> =>
      ok(await top.lookup(call, { directory, name })).object,
    size: async (object: string): Promise<number> => ok(await top.getattr(call, { object })).attributes.size,
    read: async (object: string, offset: number, count: number): Promise<void> => {
      ok(await top.read(call, { object, offset, count })).release?.();
    },
    write: async (object: string): Promise<number> =>
      (await top.write(call, { object, offset: 0, count: 1, stable: 2, data: [Buffer.from('x')] })).status,
    /** Calls of the origin while it is done. */
    async asked(action: () => Promise<unknown>): Promise<number> {
      const calls = () =>
        (['getattr', 'lookup', 'access', 'read'] as const).reduce((sum, of) => sum + origin.calls(of), 0);
      const before = calls();
      await action();
      return calls() - before;
    },
    readBytes: () => readBytes,
  };
}

async function until(condition: () => boolean): Promise<void> {
  const endMs = systemClock.now() + 10_000;
  while (!condition()) {
    assert.ok(systemClock.now() < endMs, 'it did not happen within 10 s');
    await setImmediate();
  }
}

test('a fixed file asks nothing again after its time-out, a strict one each time, others as ever', async (t) => {
  const set = setOf(ruleFor('*.fixed', { consistency: 'fixed' }), ruleFor('*.strict', { consistency: 'strict' }));
  const { put, look, size, read, asked, jump } = await start(t, set);
  const names = ['a.fixed', 'a.strict', 'a.plain'] as const;
  for (const name of names) put(name, 10_000);
  const use = async (name: string): Promise<void> => {
    const object = await look(name);
    await size(object);
    await read(object, 0, 4096);
  };
  for (const name of names) await use(name);
  assert.equal(await asked(() => use('a.plain')), 0);
  // LOOKUP, GETATTR, and GETATTR for the READ of what is cached.
  assert.equal(await asked(() => use('a.strict')), 3);
  jump(hourMs);
  assert.equal(await asked(() => use('a.fixed')), 0);
  assert.ok((await asked(() => use('a.plain'))) > 0);
  jump(24 * hourMs);
  assert.ok((await asked(() => use('a.fixed'))) > 0, 'for a day at most');
});

test('a file with read-ahead off is read as far as it is asked for; whole fetches all of it', async (t) => {
  const set = setOf(
    ruleFor('/golden/off.img', { readAheadBytes: 0 }),
    ruleFor('/golden/*.mem', { fetch: 'whole', readAheadBytes: 0 }, { minBytes: 1024 * 1024 }),
  );
  const { put, look, read, readBytes } = await start(t, set);
  for (const name of ['off.img', 'on.img', 'large.mem']) put(name, 32 * blockBytes);
  const blocks = async (name: string, count: number): Promise<number> => {
    const before = readBytes();
    const object = await look(name);
    for (let block = 0; block < count; block++) await read(object, block * blockBytes, blockBytes);
    return readBytes() - before;
  };
  assert.equal(await blocks('off.img', 6), 6 * blockBytes);
  const before = readBytes();
  await blocks('on.img', 6);
  await until(() => readBytes() - before > 6 * blockBytes);
  const fetched = readBytes();
  await blocks('large.mem', 1);
  await until(() => readBytes() - fetched >= 32 * blockBytes);
});

test('a read-only file is changed by nobody, nor made, replaced, moved or removed', async (t) => {
  const { put, look, at, top, write, stack } = await start(t, setOf(ruleFor('/golden/*.iso', { isReadOnly: true })));
  put('a.iso', 10);
  put('b.img', 10);
  const iso = await look('a.iso');
  const image = await look('b.img');
  assert.equal(await write(iso), Status.ROFS);
  assert.equal((await top.setattr(call, { object: iso, set: { size: 0 } })).status, Status.ROFS);
  const { access } = ok(await top.access(call, { object: iso, access: Access.ALL }));
  assert.equal(access & (Access.MODIFY | Access.EXTEND | Access.DELETE), 0);
  assert.equal((await top.remove(call, at('a.iso'))).status, Status.ROFS);
  assert.equal((await top.rename(call, { from: at('a.iso'), to: at('c') })).status, Status.ROFS);
  assert.equal((await top.rename(call, { from: at('b.img'), to: at('a.iso') })).status, Status.ROFS);
  assert.equal((await top.link(call, { object: iso, where: at('c') })).status, Status.ROFS);
  const over = { mode: 'unchecked', set: { size: 0 } } as const;
  assert.equal((await top.create(call, { where: at('a.iso'), how: over })).status, Status.ROFS);
  assert.equal((await top.create(call, { where: at('new.iso'), how: over })).status, Status.ROFS);
  assert.equal(await write(image), 0);
  assert.equal((await top.rename(call, { from: at('b.img'), to: at('b.iso') })).status, Status.ROFS);
  assert.equal((await top.link(call, { object: image, where: at('b.iso') })).status, Status.ROFS);
  ok(await top.rename(call, { from: at('b.img'), to: at('b.raw') }));
  assert.equal(await write(image), 0);
  stack.setFiles(setOf());
  assert.equal(await write(iso), 0);
  assert.equal(await write(image), 0);
});

test('rules that come while the session runs hold at once, for files that were looked up before too', async (t) => {
  const { put, look, size, read, asked, jump, stack } = await start(t, undefined);
  put('a.img', 10_000);
  const object = await look('a.img');
  await read(object, 0, 4096);
  assert.equal(await asked(() => size(object)), 0);
  stack.setFiles(setOf(ruleFor('/golden/a.*', { consistency: 'strict' })));
  assert.equal(await asked(() => size(object)), 1);
  assert.equal(await asked(() => read(object, 0, 4096)), 1);
  stack.setFiles(setOf(ruleFor('/golden/a.*', { attributes: { minimumMs: 2 * hourMs, maximumMs: 2 * hourMs } })));
  jump(hourMs);
  assert.equal(await asked(() => size(object)), 0);
  stack.setFiles(setOf());
  assert.equal(await asked(() => size(object)), 1);
});

test('a file has the settings of the path and of the size that it has now', async (t) => {
  const strict = { consistency: 'strict' } as const;
  const set = setOf(
    ruleFor('/golden/shared/**', strict),
    ruleFor('*.img', strict, { minBytes: 10_000, maxBytes: 20_000 }),
  );
  const { put, directory, look, size, asked, top, at } = await start(t, set);
  put('b', 10, directory('private'));
  put('c.img', 9_999);
  const isStrict = async (object: string): Promise<boolean> => {
    await size(object);
    return (await asked(() => size(object))) === 1;
  };
  const object = await look('b', await look('private'));
  assert.equal(await isStrict(object), false);
  ok(await top.rename(call, { from: at('private'), to: at('shared') }));
  assert.equal(await isStrict(object), true, 'by its directory’s name');
  ok(await top.rename(call, { from: at('b', await look('shared')), to: at('b') }));
  assert.equal(await isStrict(object), false, 'by its own');
  const image = await look('c.img');
  assert.equal(await isStrict(image), false);
  const resize = async (bytes: number) => ok(await top.setattr(call, { object: image, set: { size: bytes } }));
  await resize(10_000);
  assert.equal(await isStrict(image), true);
  await resize(20_000);
  assert.equal(await isStrict(image), true);
  await resize(20_001);
  assert.equal(await isStrict(image), false);
});
