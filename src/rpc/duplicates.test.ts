import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Clock, silentLog, sleep, systemClock } from '../base/mod.ts';
import { eventually, KeptLog, numberArgument, RawPeer, rawCall, TestService } from '../testing/mod.ts';
import type { ReplyChannel } from './channel.ts';
import { DuplicateRequestCache } from './duplicates.ts';
import type { RpcCall } from './procedure.ts';
import { RpcServer } from './server.ts';

const nowhere = {} as ReplyChannel;
const add = (xid: number, amount: number, procedure = 3): Buffer =>
  rawCall({ xid, procedure, arguments: numberArgument(amount) });
const answer = (xid: number, value: number): number[] => [xid, 1, 0, 0, 0, 0, value];

async function serve(t: TestContext, duplicates: DuplicateRequestCache, service = new TestService()) {
  const server = new RpcServer({ programs: [service.program], clock: systemClock, log: silentLog, duplicates });
  const { port } = await server.listen('127.0.0.1', 0);
  t.after(() => server.close(0));
  const peer = async (): Promise<RawPeer> => {
    const raw = await RawPeer.connect(port);
    t.after(() => raw.close());
    return raw;
  };
  return { service, server, peer };
}

async function scratch(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'viaduct-duplicates-'));
  t.after(() => rm(directory, { recursive: true }));
  return join(directory, 'replies');
}

test('a call sent again over another connection is answered from the kept reply and not executed', async (t) => {
  const { peer, service, server } = await serve(t, new DuplicateRequestCache());
  const first = await peer();
  first.send(add(7, 5));
  assert.deepEqual(await first.words(), answer(7, 5));
  await first.close();
  const second = await peer();
  second.send(add(7, 5), add(7, 6), add(8, 5));
  assert.deepEqual(await second.words(), answer(7, 5), 'the same call');
  assert.deepEqual(await second.words(), answer(7, 11), 'same xid, other arguments');
  assert.deepEqual(await second.words(), answer(8, 16), 'other xid, same arguments');
  assert.equal(service.counter, 16);
  assert.equal(server.stats().replayed, 1);
});

test('a duplicate of a call in progress is absorbed, and the reply goes to the connection that asked last', async (t) => {
  const { peer, service, server } = await serve(t, new DuplicateRequestCache());
  const first = await peer();
  first.send(add(7, 5, 8));
  await eventually(() => service.held.size === 1, 'the call is under way');
  await first.close();
  const second = await peer();
  second.send(add(7, 5, 8));
  await eventually(() => server.stats().absorbed === 1, 'the duplicate is absorbed');
  service.held.get(5)!(55);
  assert.deepEqual(await second.words(), answer(7, 55));
  assert.equal(service.counter, 5);
});

test('a reply whose connection is gone is kept for the next one', async (t) => {
  const duplicates = new DuplicateRequestCache();
  const { peer, service, server } = await serve(t, duplicates);
  const first = await peer();
  first.send(add(7, 5, 8));
  await eventually(() => service.held.size === 1, 'the call is under way');
  await first.close();
  await eventually(() => server.stats().connections === 0, 'the connection is gone');
  service.held.get(5)!(55);
  await eventually(() => duplicates.stats().kept === 1, 'the reply is kept');
  assert.equal(service.released, 1);
  const second = await peer();
  second.send(add(7, 5, 8));
  assert.deepEqual(await second.words(), answer(7, 55));
});

test('a server that closes for its successor waits for what must not be executed twice, and not for the rest', async (t) => {
  const { peer, service, server } = await serve(t, new DuplicateRequestCache());
  const raw = await peer();
  raw.send(add(7, 5, 8), add(8, 6, 2));
  await eventually(() => service.held.size === 2, 'both calls are under way');
  let isClosed = false;
  const closed = server.close(60_000, 20).then(() => (isClosed = true));
  await eventually(() => server.stats().connections === 1, 'the client is there');
  await sleep(systemClock, 100);
  assert.equal(isClosed, false);
  service.held.get(5)!(55);
  await closed;
  assert.deepEqual(await raw.words(), answer(7, 55));
  assert.equal(await raw.words(), undefined);
});

test('replies survive a restart', async (t) => {
  const path = await scratch(t);
  const before = await DuplicateRequestCache.open(path);
  const one = await serve(t, before);
  const first = await one.peer();
  first.send(add(7, 5), add(8, 6));
  assert.deepEqual(await first.words(), answer(7, 5));
  assert.deepEqual(await first.words(), answer(8, 11));
  // Not closed: the process was killed.
  const after = await DuplicateRequestCache.open(path);
  t.after(() => Promise.all([before.close(), after.close()]));
  const two = await serve(t, after);
  const second = await two.peer();
  second.send(add(7, 5), add(9, 1));
  assert.deepEqual(await second.words(), answer(7, 5));
  assert.deepEqual(await second.words(), answer(9, 1), 'a new service counts from 0');
});

test('a call that had begun when the process was killed is executed again, and told so once', async (t) => {
  const path = await scratch(t);
  const before = await DuplicateRequestCache.open(path);
  const one = await serve(t, before);
  const first = await one.peer();
  first.send(add(7, 5, 8), add(8, 6));
  assert.deepEqual(await first.words(), answer(8, 11));
  await eventually(() => one.service.held.size === 1, 'the call is under way');
  const service = new TestService();
  const repeats: boolean[] = [];
  const holdAdd = service.program.procedures[8]!;
  const told = { ...holdAdd, handle: (call: RpcCall) => repeats.push(call.isRepeat === true) };
  const procedures = service.program.procedures.map((served) => (served === holdAdd ? told : served));
  const after = await DuplicateRequestCache.open(path);
  t.after(() => Promise.all([before.close(), after.close()]));
  const two = await serve(t, after, { ...service, program: { ...service.program, procedures } });
  const second = await two.peer();
  second.send(add(7, 5, 8), add(9, 1, 8), add(8, 6));
  const answers = [await second.words(), await second.words(), await second.words()];
  assert.deepEqual(repeats, [true, false]);
  assert.deepEqual(answers.map((words) => words?.[0]).sort(), [7, 8, 9]);
  second.send(add(7, 5, 8));
  assert.equal((await second.words())?.[0], 7);
  assert.equal(repeats.length, 2);
});

test('the journal holds a reply before it is sent', async (t) => {
  const path = await scratch(t);
  const duplicates = await DuplicateRequestCache.open(path);
  t.after(() => duplicates.close());
  const { peer } = await serve(t, duplicates);
  const raw = await peer();
  const empty = (await stat(path)).size;
  raw.send(add(7, 5));
  await raw.words();
  assert.ok((await stat(path)).size > empty);
});

test('the journal takes records at once, by threads for a while after one was slow, and in their order', async (t) => {
  const path = await scratch(t);
  const time = { now: 0, step: 0 };
  const now = (): number => {
    time.now += time.step;
    return time.now;
  };
  const cache = await DuplicateRequestCache.open(path, { clock: { ...systemClock, now } });
  const keep = (key: string, text: string) => cache.complete(cache.begin(key, nowhere), Buffer.from(text));
  assert.equal(keep('one', 'first reply'), undefined);
  assert.equal(cache.noteBegun(cache.begin('two', nowhere)), undefined);
  time.step = 5;
  assert.equal(keep('two', 'second reply'), undefined, 'this one is slow');
  time.step = 0;
  const waiting = [keep('three', 'third reply'), cache.noteBegun(cache.begin('four', nowhere))];
  time.now += 10_000;
  waiting.push(keep('five', 'nothing overtakes what waits'));
  for (const one of waiting) assert.ok(one instanceof Promise);
  await Promise.all(waiting);
  assert.equal(keep('six', 'sixth reply'), undefined);
  await cache.close();
  const again = await DuplicateRequestCache.open(path);
  const found = ['one', 'two', 'three', 'four', 'five', 'six'].map((key) => again.find(key)?.reply?.toString());
  const replies = ['first reply', 'second reply', 'third reply', undefined];
  assert.deepEqual(found, [...replies, 'nothing overtakes what waits', 'sixth reply']);
  assert.deepEqual([again.isRepeat('two'), again.isRepeat('four')], [false, true]);
  await again.close();
});

test('a damaged tail is left out at every length, and what is before it kept', async (t) => {
  const path = await scratch(t);
  const cache = await DuplicateRequestCache.open(path);
  await cache.complete(cache.begin('one', nowhere), Buffer.from('first reply.'));
  const boundary = (await stat(path)).size;
  await cache.complete(cache.begin('two', nowhere), Buffer.from('second reply'));
  await cache.close();
  const content = await readFile(path);
  for (let length = 0; length <= content.length; length++) {
    await writeFile(path, content.subarray(0, length));
    const again = await DuplicateRequestCache.open(path);
    assert.equal(
      again.find('one')?.reply?.toString(),
      length >= boundary ? 'first reply.' : undefined,
      `${length} bytes`,
    );
    assert.equal(again.find('two')?.reply?.toString(), length === content.length ? 'second reply' : undefined);
    await again.close();
  }
  for (let at = 0; at < content.length; at++) {
    const changed = Buffer.from(content);
    changed[at]! ^= 0x55;
    await writeFile(path, changed);
    const again = await DuplicateRequestCache.open(path);
    assert.equal(again.find('two'), undefined, `byte ${at} changed`);
    await again.close();
  }
  await writeFile(path, content);
  await appendFile(path, Buffer.alloc(5, 0xff));
  const again = await DuplicateRequestCache.open(path);
  await again.complete(again.begin('three', nowhere), Buffer.from('3'));
  await again.close();
  const last = await DuplicateRequestCache.open(path);
  assert.deepEqual(
    ['one', 'two', 'three'].map((key) => last.find(key) !== undefined),
    [true, true, true],
  );
  await last.close();
});

test('count, bytes and age are bounded; calls in progress stay', async () => {
  let now = 0;
  const clock: Clock = { ...systemClock, now: () => now };
  const cache = new DuplicateRequestCache({ clock, maximumEntries: 3, maximumBytes: 100, maximumAgeMs: 1000 });
  const working = cache.begin('working', nowhere);
  for (let i = 0; i < 10; i++) cache.complete(cache.begin(`${i}`, nowhere), Buffer.alloc(4));
  assert.deepEqual([cache.find('6'), cache.find('7')?.key, cache.stats().kept], [undefined, '7', 3]);
  cache.complete(cache.begin('big', nowhere), Buffer.alloc(90));
  assert.deepEqual([cache.find('8'), cache.find('big')?.key], [undefined, 'big']);
  assert.ok(cache.stats().keptBytes <= 100);
  now = 1001;
  assert.equal(cache.find('big'), undefined);
  assert.equal(cache.find('working'), working);
  cache.complete(cache.begin('new', nowhere), Buffer.alloc(4));
  assert.deepEqual(cache.stats(), { kept: 1, keptBytes: 7, inProgress: 1 });
});

test('the journal is compacted when dead replies fill it', async (t) => {
  const path = await scratch(t);
  const cache = await DuplicateRequestCache.open(path, { maximumEntries: 2 });
  for (let i = 0; i < 40; i++) await cache.complete(cache.begin(`${i}`, nowhere), Buffer.alloc(1 << 20, i));
  await cache.close();
  assert.ok((await stat(path)).size < 20 << 20);
  const again = await DuplicateRequestCache.open(path, { maximumEntries: 2 });
  assert.deepEqual([again.find('37'), again.find('38')?.reply?.[0], again.find('39')?.reply?.[0]], [undefined, 38, 39]);
  await again.close();
});

test('a journal that cannot be written is told once, and calls go on', async (t) => {
  const log = new KeptLog();
  const path = await scratch(t);
  await assert.rejects(DuplicateRequestCache.open(join(path, 'missing', 'file')), { code: 'CONFIGURATION_INVALID' });
  const cache = await DuplicateRequestCache.open(path, { log });
  await cache.close();
  await cache.complete(cache.begin('a', nowhere), Buffer.alloc(4));
  await cache.complete(cache.begin('b', nowhere), Buffer.alloc(4));
  assert.equal(log.lines.filter((line) => line.level === 'error').length, 1);
  assert.equal(cache.stats().kept, 2);
  await truncate(path, 0);
});
